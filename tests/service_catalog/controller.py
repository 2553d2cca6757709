"""The controller against a real broker: its objects live side by side, and the time between requests is made faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx

from tests.service_catalog import envelopes
from tests.service_catalog.binding import Binding
from tests.service_catalog.classes import Classes, NotSynced
from tests.service_catalog.envelopes import Account, BindingEnvelopes, Cluster, InstanceEnvelopes, Request
from tests.service_catalog.instance import Instance, Spec
from tests.service_catalog.machine import REFUSED, TIMED_OUT, Answer, Flags, Send, Thing, Wait

USER = Account("alice", ("dev-team", "system:authenticated"))
SYNCS = 5
"""Workers for each kind, as by --concurrent-syncs: so many objects send at a time."""

AnyThing = TypeVar("AnyThing", bound=Thing)
Told = Callable[[Request, Answer, float], None]
"""Hears of a request, its answer, and how many seconds it took on the clock."""


class Controller:
    """
    One Service Catalog with one registered broker.

    All seconds in its objects are those of a cluster; on a clock they take *speed* times less. Requests take as long
    as they take: their time limit is *request_timeout* seconds on the clock. *url* may be a function, which is asked
    for each request, as a Service is that has several brokers behind it, or at the moment none.
    """

    def __init__(
        self,
        url: str | Callable[[], str | None],
        credentials: tuple[str, str],
        *,
        cluster: Cluster | None = None,
        flags: Flags | None = None,
        speed: float = 1.0,
        request_timeout: float = 60.0,
        syncs: int = SYNCS,
        told: Told = lambda _request, _answer, _took: None,
    ) -> None:
        self.flags = flags or Flags()
        self.cluster = cluster or Cluster(str(uuid4()), "default", str(uuid4()))
        self.classes = Classes()
        self.things: dict[tuple[str, str], Thing] = {}
        self._url = url if callable(url) else lambda: url
        self._speed = speed
        self._told = told
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._fault: BaseException | None = None
        self._workers = {kind: asyncio.Semaphore(syncs) for kind in (Instance, Binding)}
        self._client = httpx.AsyncClient(
            auth=credentials,
            timeout=request_timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end_tasks()
        await self._client.aclose()

    @property
    def now(self) -> float:
        """Seconds in the cluster, since some time."""
        return time.monotonic() * self._speed

    async def relist(self) -> None:
        """
        Fetch the catalog and take it in.

        Raises:
            NotSynced: It did not come, or has something that is not acceptable.
        """
        answer = await self._ask(envelopes.catalog())
        if answer.status != 200 or answer.document is None:
            raise NotSynced(answer.description)
        self.classes.sync(answer.document)

    def provision(
        self,
        name: str,
        class_name: str,
        plan_name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        external_id: str | None = None,
    ) -> Instance:
        """Create a ServiceInstance; raises `Unresolved`."""
        kind, plan = self.classes.resolve(class_name, plan_name)
        return self.provision_by_id(name, kind.id, plan.id, parameters, external_id=external_id)

    def provision_by_id(
        self,
        name: str,
        service_id: str,
        plan_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        external_id: str | None = None,
    ) -> Instance:
        """Create a ServiceInstance whose class and plan are known already."""
        own = InstanceEnvelopes(self.cluster, name, external_id or str(uuid4()), service_id)
        instance = Instance(self.flags, envelopes=own, spec=Spec(plan_id, parameters or {}), user=USER)
        return self._added("instance", name, instance)

    def bind(
        self,
        name: str,
        instance: Instance,
        parameters: Mapping[str, Any] | None = None,
        *,
        external_id: str | None = None,
        asynchronous: bool = False,
    ) -> Binding:
        """Create a ServiceBinding; it waits until its instance is ready. *asynchronous*: the class can be retrieved."""
        gate = asynchronous and self.flags.async_binding_operations
        own = BindingEnvelopes(instance.envelopes, external_id or str(uuid4()), USER, gate)
        return self._added(
            "binding",
            name,
            Binding(self.flags, envelopes=own, instance=instance, parameters=parameters or {}),
        )

    def _added(self, kind: str, name: str, thing: AnyThing) -> AnyThing:
        assert (kind, name) not in self.things, f"there is a {kind} {name} already"
        self.things[kind, name] = thing
        self._start((kind, name))
        return thing

    async def settled(self, *things: Thing, within: float = 120.0) -> None:
        """Wait until these have settled; *within* is in seconds on the clock."""
        await self.until(lambda: all(thing.settled for thing in things), within=within)

    async def until(self, condition: Callable[[], bool], within: float = 120.0) -> None:
        """Wait for a condition; a fault of the double itself rises here."""
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)
                if self._fault is not None:
                    raise self._fault

    async def restart(self) -> None:
        """End with whatever is under way, and begin again with what the API server has kept."""
        await self._end_tasks()
        for key, thing in self.things.items():
            if not thing.gone:
                thing.restarted()
                self._start(key)

    def forget(self, thing: Thing) -> None:
        """Take its finalizer away by hand: the object is gone for the cluster, and the broker is not told."""
        (key,) = (key for key, each in self.things.items() if each is thing)
        self._tasks[key].cancel()
        thing.gone = True
        if isinstance(thing, Binding):
            thing.instance.bindings -= 1

    def _start(self, key: tuple[str, str]) -> None:
        task = asyncio.create_task(self._live(self.things[key]), name=" ".join(key))
        task.add_done_callback(self._ended)
        self._tasks[key] = task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()

    async def _end_tasks(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _live(self, thing: Thing) -> None:
        work, answers = thing.run(), None
        woken = asyncio.Event()
        thing.noticed = woken.set
        while True:
            thing.now, thing.changed = self.now, False
            woken.clear()
            try:
                wish = next(work) if answers is None else work.send(answers)
            except StopIteration:
                return
            if isinstance(wish, Wait):
                await self._pause(wish, woken)
                answers = ()
            else:
                answers = await self._send(thing, wish)

    async def _pause(self, wait: Wait, woken: asyncio.Event) -> None:
        seconds = None if wait.seconds is None else wait.seconds / self._speed
        if not wait.minds:
            await asyncio.sleep(seconds if seconds is not None else 3600)
            return
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            pass

    async def _send(self, thing: Thing, wish: Send) -> tuple[Answer, ...]:
        async with self._workers[type(thing)]:
            return tuple(await asyncio.gather(*(self._ask(request) for request in wish.requests)))

    async def _ask(self, request: Request) -> Answer:
        began, url = time.monotonic(), self._url()
        try:
            if url is None:
                return REFUSED
            response = await self._client.request(
                request.method,
                url + request.target,
                headers=dict(request.headers),
                content=request.body,
            )
            answer = Answer(response.status_code, response.content)
        except httpx.ReadTimeout:
            answer = TIMED_OUT
        except httpx.TransportError:
            answer = REFUSED
        self._told(request, answer, time.monotonic() - began)
        return answer
