"""The second listener: is this process alive, may it be sent requests, and what has it measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.api.answers import answer

Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, else a sentence for the operator."""


@dataclass(frozen=True)
class HealthChecks:
    """
    What the second listener asks.

    `ready` says nothing of Azure: a broker that cannot reach Azure still answers platforms, and taking all
    replicas out of service would turn Azure's fault into the broker's.
    """

    alive: dict[str, Check]
    ready: dict[str, Check]
    metrics: Callable[[], tuple[bytes, str]]
    notes: dict[str, Check] = field(default_factory=dict)
    """Told with readiness, to which they make no difference."""


def health_application(checks: HealthChecks) -> Starlette:
    """Return the application; it needs no credentials, so its listener is for the cluster only."""

    async def healthz(_request: Request) -> Response:
        return await _asked(checks.alive)

    async def readyz(_request: Request) -> Response:
        return await _asked({**checks.alive, **checks.ready}, checks.notes)

    async def metrics(_request: Request) -> Response:
        body, media_type = checks.metrics()
        return Response(body, media_type=media_type)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


async def _asked(checks: dict[str, Check], notes: dict[str, Check] | None = None) -> Response:
    found = {name: await check() for name, check in checks.items()}
    noted = {name: said for name, note in (notes or {}).items() if (said := await note()) is not None}
    well = all(fault is None for fault in found.values())
    return answer(
        200 if well else 503,
        {
            "status": "ok" if well else "failing",
            "checks": {name: "ok" if fault is None else fault for name, fault in found.items()},
            **({"notes": noted} if noted else {}),
        },
    )
