"""
A platform that behaves like Service Catalog.

It repeats what was refused with a 4xx, deletes what it asked for after a 5xx or a failed creation and asks for it
again under the same id, sends a DELETE twice at once now and then, and takes any error of a bind for final. Its
back-off is a thousand times shorter.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.evidence import Beliefs, Promise
from tests.end_to_end.orders import Ordered

REQUEST_TAKES = 20.0
"""Seconds until the platform gives up on a request; the broker answers after less than half of it."""
_BACK_OFF = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)


class Surprise(AssertionError):
    """An answer that no platform would know what to do with."""


@dataclass
class Known:
    """All that the platform remembers, for the checker."""

    promises: list[Promise] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    @property
    def beliefs(self) -> Beliefs:
        return Beliefs(frozenset(self.alive), frozenset(self.gone))


class Platform:
    """Requests to whichever broker is there."""

    def __init__(self, urls: Callable[[], list[str]], credentials: tuple[str, str], known: Known) -> None:
        self._urls = urls
        self.known = known
        self._client = httpx.AsyncClient(
            auth=credentials,
            headers={"X-Broker-API-Version": "2.17"},
            timeout=REQUEST_TAKES,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(
        self, draws: random.Random, method: str, path: str, body: Any = None, **params: Any
    ) -> httpx.Response | None:
        """Send it to one of the brokers; None: nobody knows what became of it."""
        for pause in (*_BACK_OFF, *_BACK_OFF, *_BACK_OFF):
            urls = self._urls()
            if urls:
                try:
                    answer = await self._client.request(
                        method, draws.choice(urls) + "/v2/service_instances/" + path, json=body, params=params
                    )
                except httpx.ConnectError:
                    pass  # Nobody was there: nothing was asked.
                except httpx.TransportError:
                    self.known.answers[f"{method} cut off"] += 1
                    return None
                else:
                    self.known.answers[f"{method} {answer.status_code}"] += 1
                    return answer
            await asyncio.sleep(pause)
        return None


@dataclass
class Life:
    """One service instance from its order to its end, with all that is done to it in between."""

    platform: Platform
    draws: random.Random
    ordered: Ordered
    parameters: Mapping[str, Any]
    bindings: int = 0
    update: Mapping[str, Any] | None = None
    stays: bool = False
    instance: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    until: asyncio.Event | None = None
    """What has to happen before the instance may be deleted: the end of its children."""

    def __post_init__(self) -> None:
        self.instance = self.instance or self._an_id()

    async def run(self) -> None:
        known = self.platform.known
        try:
            if not await self._provision():
                return
            known.alive.add(self.instance)
            self.ready.set()
            bound = [binding for _ in range(self.bindings) if (binding := await self._bind())]
            if self.update is not None:
                await self._update(self.update)
            if self.until is not None:
                await self.until.wait()
            if not self.stays:
                leave = bound[: self.draws.randint(0, len(bound))]
                for binding in bound:
                    if binding not in leave:
                        await self._unbind(binding)
                known.alive -= {self.instance, *leave}
                await self._deprovision()
                known.gone |= {self.instance, *leave}
        except Surprise as surprise:
            known.surprises.append(f"{self.instance}: {surprise}")
        finally:
            self.ready.set()

    # Instances

    async def _provision(self) -> bool:
        body = self.ordered.order(**self.parameters)
        for attempt in range(60):
            answer = await self._ask("PUT", self.instance, body, accepts_incomplete="true")
            if answer is None or answer.status_code >= 500:
                # The outcome is unknown: orphan mitigation, then the same again.
                if self.draws.random() < 0.7:
                    await self._deprovision()
            elif answer.status_code in {200, 201}:
                return True
            elif answer.status_code == 202:
                self._promised(answer)
                state = await self._settled(self.instance, answer)
                if state == "succeeded":
                    return True
                if state == "failed":
                    await self._deprovision()
                    self.platform.known.gone.add(self.instance)
                    if self.draws.random() < 0.3:
                        return False
                    self.instance = self._an_id()
            elif answer.status_code == 400:
                raise Surprise(f"provision: {answer.text}")
            await self._back_off(attempt)
        raise Surprise("provision: no end of it")

    async def _deprovision(self) -> None:
        params = {"service_id": self.ordered.service_id, "plan_id": self.ordered.plan_id}
        params["accepts_incomplete"] = "true"
        for attempt in range(200):
            times = 2 if self.draws.random() < 0.2 else 1
            asked = (self._ask("DELETE", self.instance, None, **params) for _ in range(times))
            for answer in await asyncio.gather(*asked):
                if answer is None:
                    continue
                if answer.status_code in {200, 410}:
                    return
                if answer.status_code == 202:
                    self._promised(answer)
                    if await self._settled(self.instance, answer) == "gone":
                        return
                elif answer.status_code == 400:
                    raise Surprise(f"deprovision: {answer.text}")
            await self._back_off(attempt)
        raise Surprise("deprovision: no end of it")

    async def _update(self, parameters: Mapping[str, Any]) -> None:
        body = {"service_id": self.ordered.service_id, "parameters": dict(parameters)}
        for attempt in range(40):
            answer = await self._ask("PATCH", self.instance, body, accepts_incomplete="true")
            if answer is not None and answer.status_code == 200:
                return
            if answer is not None and answer.status_code == 202:
                self._promised(answer)
                if await self._settled(self.instance, answer) in {"succeeded", "failed"}:
                    return
            if answer is not None and answer.status_code == 400:
                raise Surprise(f"update: {answer.text}")
            await self._back_off(attempt)
        raise Surprise("update: no end of it")

    # Bindings

    async def _bind(self) -> str | None:
        for _ in range(6):
            binding = self._an_id()
            path = f"{self.instance}/service_bindings/{binding}"
            late = {"accepts_incomplete": "true"} if self.draws.random() < 0.3 else {}
            answer = await self._ask("PUT", path, self.ordered.body(), **late)
            if answer is not None and answer.status_code == 202:
                self._promised(answer, binding)
                if await self._settled(path, answer) == "succeeded":
                    answer = await self._fetched(path)
            elif answer is not None and answer.status_code in {200, 201}:
                self.platform.known.promises.append(Promise(self.instance, binding))
            if answer is not None and answer.status_code in {200, 201}:
                self._credentials(binding, answer.json()["credentials"])
                self.platform.known.alive.add(binding)
                return binding
            # Any error is final here; what may have been made is deleted.
            await self._unbind(binding)
        return None

    async def _fetched(self, path: str) -> httpx.Response | None:
        for attempt in range(20):
            answer = await self._ask("GET", path)
            if answer is not None and answer.status_code < 500:
                return answer
            await self._back_off(attempt)
        return None

    async def _unbind(self, binding: str) -> None:
        path = f"{self.instance}/service_bindings/{binding}"
        params = {"service_id": self.ordered.service_id, "plan_id": self.ordered.plan_id}
        if self.draws.random() < 0.3:
            params["accepts_incomplete"] = "true"
        self.platform.known.alive.discard(binding)
        for attempt in range(100):
            answer = await self._ask("DELETE", path, None, **params)
            if answer is not None and answer.status_code in {200, 410}:
                break
            if answer is not None and answer.status_code == 202:
                self._promised(answer, binding)
                if await self._settled(path, answer) == "gone":
                    break
            if answer is not None and answer.status_code == 400:
                raise Surprise(f"unbind: {answer.text}")
            await self._back_off(attempt)
        else:
            raise Surprise("unbind: no end of it")
        self.platform.known.gone.add(binding)

    def _credentials(self, binding: str, credentials: Mapping[str, Any]) -> None:
        for name in ("password", "accessKey"):
            if name in credentials:
                self.platform.known.secrets[f"{name} of {binding}"] = credentials[name]

    # What both have

    async def _settled(self, path: str, accepted: httpx.Response) -> str:
        """Poll to the end: succeeded, failed, or gone."""
        operation = accepted.json()["operation"]
        for attempt in range(400):
            answer = await self._ask("GET", f"{path}/last_operation", None, operation=operation)
            if answer is not None and answer.status_code == 410:
                return "gone"
            if answer is not None and answer.status_code == 200:
                state = str(answer.json()["state"])
                if state != "in progress":
                    return state
            if answer is not None and answer.status_code in {400, 404}:
                raise Surprise(f"last_operation {operation}: {answer.text}")
            await self._back_off(attempt)
        raise Surprise(f"last_operation {operation}: no end of it")

    async def _ask(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response | None:
        return await self.platform.ask(self.draws, method, path, body, **params)

    def _promised(self, answer: httpx.Response, binding: str | None = None) -> None:
        self.platform.known.promises.append(Promise(self.instance, binding, answer.json()["operation"]))

    async def _back_off(self, attempt: int) -> None:
        await asyncio.sleep(_BACK_OFF[min(attempt, len(_BACK_OFF) - 1)] * self.draws.uniform(0.7, 1.3))

    def _an_id(self) -> str:
        return str(UUID(int=self.draws.getrandbits(128), version=4))
