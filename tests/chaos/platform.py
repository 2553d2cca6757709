"""
A platform: Service Catalog, as its double plays it, with pauses that are twenty times shorter.

What it cannot do by itself is done to it: its controller restarts when something hangs, two workers send the same
DELETE at once, and somebody removes bindings from the cluster by hand, so that the broker has to take them away with
their instance.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Beliefs, Promise
from tests.end_to_end.orders import Ordered
from tests.service_catalog.binding import Binding
from tests.service_catalog.controller import Controller
from tests.service_catalog.envelopes import Request
from tests.service_catalog.instance import Instance, Refused
from tests.service_catalog.machine import Answer, Flags, Thing

SPEED = 20.0
REQUEST_TAKES = 20.0
"""Seconds until the platform gives up on a request; the broker answers after less than half of it."""
FLAGS = Flags(operation_polling_maximum_backoff=timedelta(seconds=30), async_binding_operations=True)
_WORKERS = 30
_SETTLES_WITHIN = 600.0
"""Seconds; longer than any storm lasts, which has a limit of its own."""
_LOOKS_EVERY = 1.0


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

    def told(self, request: Request, answer: Answer, _took: float) -> None:
        """Remember what an answer promises."""
        self.answers[f"{request.method} {answer.status or answer.fault}"] += 1
        parts = request.path.split("/")
        instance, binding = parts[3], parts[5] if "/service_bindings/" in request.path else None
        if answer.status == 400 or (request.polls and answer.status == 404):
            self.surprises.append(f"{request.method} {request.path}: {answer.description}")
        elif answer.status == 202 and answer.document is not None:
            self.promises.append(Promise(instance, binding, answer.document["operation"]))
        elif answer.status in {200, 201} and request.method == "PUT" and binding is not None:
            self.promises.append(Promise(instance, binding))


class Platform:
    """A controller of Service Catalog that asks whichever broker is there."""

    def __init__(
        self, urls: Callable[[], list[str]], credentials: tuple[str, str], known: Known, draws: random.Random
    ) -> None:
        def one_of_them() -> str | None:
            living = urls()
            return draws.choice(living) if living else None

        self.known = known
        self.controller = Controller(
            one_of_them,
            credentials,
            flags=FLAGS,
            speed=SPEED,
            request_timeout=REQUEST_TAKES,
            syncs=_WORKERS,
            told=known.told,
        )

    async def attend(self) -> None:
        """Restart the controller whenever something hangs in it, as its operators must."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            if any(thing.stalled for thing in self.controller.things.values()):
                self.known.answers["controller restarted"] += 1
                await self.controller.restart()

    def unsettled(self) -> list[str]:
        """The objects that have ended neither as Ready, nor as Failed with a reason, nor as gone."""
        return [
            f"{kind} {name}: {thing.condition}"
            for (kind, name), thing in self.controller.things.items()
            if not (thing.settled and (thing.gone or thing.condition.ready or thing.condition.message))
        ]

    async def close(self) -> None:
        await self.controller.__aexit__(None, None, None)


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
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    until: asyncio.Event | None = None
    """What has to happen before the instance may be deleted: the end of its children."""
    impatient: bool = False
    """Its user deletes it in the middle of its making."""

    async def run(self) -> None:
        known = self.platform.known
        try:
            instance = await self._provision()
            if instance is None:
                return
            own = instance.envelopes.id
            known.alive.add(own)
            self.ready.set()
            bound = [binding for _ in range(self.bindings) if (binding := await self._bind(instance))]
            if self.update is not None:
                await self._update(instance, self.update)
            if self.until is not None:
                await self.until.wait()
            if not self.stays:
                left = bound[: self.draws.randint(0, len(bound))]
                for binding in bound:
                    if binding not in left:
                        await self._unbind(binding)
                ids = {own, *(binding.envelopes.id for binding in left)}
                known.alive -= ids
                for binding in left:
                    self.platform.controller.forget(binding)
                await self._delete(instance)
                known.gone |= ids
        except Surprise as surprise:
            known.surprises.append(str(surprise))
        finally:
            self.ready.set()

    async def _settled(self, thing: Thing) -> None:
        try:
            await self.platform.controller.settled(thing, within=_SETTLES_WITHIN)
        except TimeoutError:
            raise Surprise(f"no end of it: {thing}") from None

    async def _provision(self) -> Instance | None:
        for _ in range(6):
            own = self._an_id()
            instance = self.platform.controller.provision_by_id(
                own,
                self.ordered.service_id,
                self.ordered.plan_id,
                self.parameters,
                external_id=own,
            )
            if self.impatient:
                self.impatient = False
                await asyncio.sleep(self.draws.uniform(0, 1))
                await self._delete(instance)
                self.platform.known.gone.add(own)
                continue
            await self._settled(instance)
            if instance.condition.ready:
                return instance
            # What failed was deleted already, and is not tried again under its id.
            await self._delete(instance)
            self.platform.known.gone.add(own)
            if self.draws.random() < 0.3:
                return None
        return None

    async def _delete(self, instance: Instance) -> None:
        instance.twice = self.draws.random() < 0.2
        instance.delete()
        await self._settled(instance)

    async def _update(self, instance: Instance, parameters: Mapping[str, Any]) -> None:
        try:
            instance.change(parameters={**instance.spec.parameters, **parameters})
        except Refused:
            raise Surprise(f"an instance at rest takes no change: {instance}") from None
        await self._settled(instance)

    async def _bind(self, instance: Instance) -> Binding | None:
        for _ in range(6):
            own = self._an_id()
            late = self.draws.random() < 0.3
            binding = self.platform.controller.bind(own, instance, external_id=own, asynchronous=late)
            await self._settled(binding)
            if binding.secret is not None:
                for name in ("password", "accessKey"):
                    if name in binding.secret:
                        self.platform.known.secrets[f"{name} of {own}"] = binding.secret[name]
                self.platform.known.alive.add(own)
                return binding
            # Any error is final: its user deletes it and makes another one.
            await self._unbind(binding)
        return None

    async def _unbind(self, binding: Binding) -> None:
        self.platform.known.alive.discard(binding.envelopes.id)
        binding.delete()
        await self._settled(binding)
        self.platform.known.gone.add(binding.envelopes.id)

    def _an_id(self) -> str:
        return str(UUID(int=self.draws.getrandbits(128), version=4))
