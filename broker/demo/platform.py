"""A platform as the broker sees one: basic credentials, JSON over HTTP, polling until an operation ends."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY = timedelta(milliseconds=300)
# A bind may wait inside its request for up to 50 s.
_ANSWER_WITHIN = timedelta(seconds=70)


class Refused(Exception):
    """The broker answered with an error, or the operation it began has failed."""

    def __init__(self, what: str, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{what}: {status} {body.get('error', '')} {body.get('description', '')}".strip())
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Plan:
    """A service plan as the catalog shows it, with the offering that it belongs to."""

    service_id: str
    plan_id: str
    offering: str
    name: str

    def ids(self) -> dict[str, str]:
        """Return the pair that every request names."""
        return {"service_id": self.service_id, "plan_id": self.plan_id}


class Platform:
    """
    A client of the Open Service Broker API that waits for what it asked.

    Each method raises `Refused` when the answer is an error. `connect` points it at a broker that was started again.
    """

    def __init__(self, url: str, username: str, password: str, *, namespace: str = "demo") -> None:
        self.url = url
        self.namespace = namespace
        self.auth = httpx.BasicAuth(username, password)
        self.client = httpx.AsyncClient(timeout=_ANSWER_WITHIN.total_seconds(), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    def connect(self, url: str) -> None:
        """Go on with the broker at *url*."""
        self.url = url

    def forget_password(self) -> None:
        """Show a wrong password from now on."""
        self.auth = httpx.BasicAuth("somebody", "somebody's password")

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """Send one request; return status and body."""
        answer = await self.client.request(
            method,
            self.url + path,
            params=query,
            content=None if body is None else json.dumps(body),
            auth=self.auth,
            headers={"X-Broker-API-Version": "2.17", "Content-Type": "application/json"},
        )
        read = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            raise Refused(f"{method} {path}", answer.status_code, read)
        return answer.status_code, read

    async def plans(self) -> list[Plan]:
        """Read the catalog."""
        _, catalog = await self.ask("GET", "/v2/catalog")
        return [
            Plan(offering["id"], plan["id"], offering["name"], plan["name"])
            for offering in catalog["services"]
            for plan in offering["plans"]
        ]

    async def provision(self, instance_id: str, plan: Plan, parameters: dict[str, Any]) -> str:
        """Order a service instance; return the operation to poll."""
        _, answer = await self.ask(
            "PUT",
            f"/v2/service_instances/{instance_id}",
            {
                **plan.ids(),
                "context": self._context(instance_id),
                "organization_guid": self.namespace,
                "space_guid": self.namespace,
                "parameters": parameters,
            },
            accepts_incomplete="true",
        )
        return str(answer.get("operation", ""))

    async def update(self, instance_id: str, plan: Plan, parameters: dict[str, Any]) -> str:
        """Change parameters of a service instance; return the operation to poll."""
        _, answer = await self.ask(
            "PATCH",
            f"/v2/service_instances/{instance_id}",
            {"service_id": plan.service_id, "context": self._context(instance_id), "parameters": parameters},
            accepts_incomplete="true",
        )
        return str(answer.get("operation", ""))

    async def deprovision(self, instance_id: str, plan: Plan) -> str:
        """Have a service instance deleted; return the operation to poll."""
        _, answer = await self.ask(
            "DELETE", f"/v2/service_instances/{instance_id}", None, accepts_incomplete="true", **plan.ids()
        )
        return str(answer.get("operation", ""))

    async def bind(
        self, instance_id: str, binding_id: str, plan: Plan, parameters: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Order a service binding; return the status and the credentials."""
        status, answer = await self.ask(
            "PUT",
            f"/v2/service_instances/{instance_id}/service_bindings/{binding_id}",
            {**plan.ids(), "context": self._context(instance_id), "parameters": parameters or {}},
        )
        return status, answer["credentials"]

    async def unbind(self, instance_id: str, binding_id: str, plan: Plan) -> None:
        """Have a service binding deleted."""
        await self.ask(
            "DELETE", f"/v2/service_instances/{instance_id}/service_bindings/{binding_id}", None, **plan.ids()
        )

    async def ended(
        self,
        instance_id: str,
        operation: str,
        *,
        within: timedelta,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Poll until the operation has succeeded; *told* is given each new description.

        Raises:
            Refused: It failed, or did not end in time. For a deletion, gone (410) is its success.
        """
        last, until = "", time.monotonic() + within.total_seconds()
        while True:
            try:
                _, answer = await self.ask(
                    "GET", f"/v2/service_instances/{instance_id}/last_operation", operation=operation
                )
            except Refused as refused:
                if refused.status == 410:
                    return
                raise
            if answer.get("description", "") != last:
                last = answer.get("description", "")
                told(last)
            if answer["state"] == "succeeded":
                return
            if answer["state"] == "failed" or time.monotonic() > until:
                raise Refused(f"The operation on {instance_id} is {answer['state']}", 200, answer)
            await asyncio.sleep(_LOOK_EVERY.total_seconds())

    def _context(self, instance_id: str) -> dict[str, str]:
        return {
            "platform": "kubernetes",
            "clusterid": "demo-cluster",
            "namespace": self.namespace,
            "instance_name": instance_id,
        }
