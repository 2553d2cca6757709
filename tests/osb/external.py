"""
A system outside the broker that does what a test says: wait, fail, or finish at once.

It keeps the law of `broker/provisioners/base.py` and its own books, so that a test can look past the broker at what
really exists.
"""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from broker.domain.operations import ExternalResource, Refusal
from broker.provisioners.base import FIRST_VERSION, Next, Outcome, StepFailed, Work

LOOK_AGAIN = timedelta(milliseconds=30)


@dataclass
class Thing:
    """What exists outside for one service instance."""

    platform: str
    instance_id: str
    plan_id: str
    parameters: dict
    generation: int


@dataclass(frozen=True)
class Login:
    """What exists outside for one binding."""

    instance_key: UUID
    binding_id: str
    password: str


@dataclass(repr=False)
class External:
    """The books, and what the test wants to happen next; safe to use from any thread."""

    things: dict[str, Thing] = field(default_factory=dict)
    """By external name: broker's instance key and generation."""
    logins: dict[UUID, "Login"] = field(default_factory=dict)
    """What opens the door, by binding key."""
    creations: Counter = field(default_factory=Counter)
    """How often something was made, by instance id or binding id."""
    updates: Counter = field(default_factory=Counter)
    _held: set[tuple[str, str]] = field(default_factory=set)
    _failing: dict[tuple[str, str], str] = field(default_factory=dict)
    _refusals: dict[str, Refusal] = field(default_factory=dict)
    _flags: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    _crashing: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def hold(self, id_: str, *verbs: str) -> None:
        """Make work on an instance or binding id wait: create, update, delete, bind or unbind."""
        self._held |= {(id_, verb) for verb in verbs}

    def release(self, id_: str, *verbs: str) -> None:
        self._held -= (
            {(id_, verb) for verb in verbs} if verbs else {one for one in self._held if one[0] == id_}
        )

    @contextmanager
    def holding(self, id_: str, *verbs: str) -> Iterator[None]:
        self.hold(id_, *verbs)
        try:
            yield
        finally:
            self.release(id_, *verbs)

    def fail(self, id_: str, verb: str, description: str = "There is no quota left.", *, flags=None) -> None:
        """Make work on an id fail until `mend`; *flags* are instance_usable and update_repeatable."""
        self._failing[id_, verb] = description
        if flags:
            self._flags[id_] = flags

    def refuse(self, binding_id: str, description: str, code: str, *, never: bool = False) -> None:
        """Make a bind be refused until `mend`."""
        self._refusals[binding_id] = Refusal(code, never=never)
        self._failing[binding_id, "bind"] = description

    def mend(self, id_: str) -> None:
        self._refusals.pop(id_, None)
        for key in [key for key in self._failing if key[0] == id_]:
            del self._failing[key]
        self._crashing -= {key for key in self._crashing if key[0] == id_}

    def throttle(self, id_: str, verb: str) -> None:
        """Make each step on an id fail in a way that passes."""
        self._crashing.add((id_, verb))

    def living(self, instance_id: str, platform: str | None = None) -> list[Thing]:
        """What exists for an instance id, of every platform unless one is named."""
        return [
            thing
            for thing in list(self.things.values())
            if thing.instance_id == instance_id and platform in {None, thing.platform}
        ]

    def passwords(self) -> set[str]:
        """Every password that works."""
        return {login.password for login in list(self.logins.values())}

    def logins_of(self, binding_id: str) -> list["Login"]:
        """What was handed out for a binding id and still works."""
        return [login for login in list(self.logins.values()) if login.binding_id == binding_id]


class ExternalProvisioner:
    """Carries out the plans of `offerings.py` in an `External` system."""

    handler_versions = FIRST_VERSION

    def __init__(self, external: External) -> None:
        self._external = external

    async def create(self, work: Work) -> Next:
        instance, name = work.instance, _name(work)
        if work.operation.phase == "":
            return Next(
                phase="make",
                description="ordering",
                record={"name": name},
                dashboard_url=dashboard_of(instance.key),
                resources=[ExternalResource(instance.key, name, "2026-01-01", position=0)],
            )
        if waiting := self._told(work, instance.instance_id, "create"):
            return waiting
        work.guard()
        asked = instance.asked
        assert asked is not None
        with self._external._lock:
            if name not in self._external.things:
                self._external.creations[instance.instance_id] += 1
                self._external.things[name] = Thing(
                    instance.platform,
                    instance.instance_id,
                    asked.service_plan_id,
                    dict(asked.parameters),
                    instance.generation,
                )
        return Next(Outcome.DONE, description="made", region="nowhere")

    async def update(self, work: Work) -> Next:
        instance = work.instance
        if waiting := self._told(work, instance.instance_id, "update"):
            return waiting
        work.guard()
        asked = instance.asked
        assert asked is not None
        with self._external._lock:
            thing = self._external.things[str(instance.record["name"])]
            thing.plan_id, thing.parameters = asked.service_plan_id, dict(asked.parameters)
            self._external.updates[instance.instance_id] += 1
        return Next(Outcome.DONE, description="changed")

    async def delete(self, work: Work) -> Next:
        if waiting := self._told(work, work.instance.instance_id, "delete"):
            return waiting
        work.guard()
        gone = [resource.resource_id for resource in work.resources if resource.gone_at is None]
        with self._external._lock:
            for name in gone:
                self._external.things.pop(name, None)
        return Next(Outcome.DONE, description="gone", gone=gone)

    async def bind(self, work: Work) -> Next:
        binding = work.binding
        assert binding is not None
        if work.operation.phase == "":
            password = secrets.token_urlsafe(18)
            return Next(phase="make", description="logging in", secrets={"password": password})
        if waiting := self._told(work, binding.binding_id, "bind"):
            return waiting
        work.guard()
        password = str(binding.secrets["password"])
        with self._external._lock:
            if not self._external.living(work.instance.instance_id, work.instance.platform):
                return Next(Outcome.FAILED, description="There is nothing to log in to.")
            if binding.key not in self._external.logins:
                self._external.creations[binding.binding_id] += 1
            self._external.logins[binding.key] = Login(work.instance.key, binding.binding_id, password)
        return Next(
            Outcome.DONE,
            record={"login": str(binding.key)},
            credentials={
                "host": "things.example",
                "port": 5432,
                "username": f"u{binding.key.hex}",
                "password": password,
            },
            endpoints=[{"host": "things.example", "ports": ["5432"], "protocol": "tcp"}],
        )

    async def unbind(self, work: Work) -> Next:
        binding = work.binding
        assert binding is not None
        if waiting := self._told(work, binding.binding_id, "unbind"):
            return waiting
        work.guard()
        with self._external._lock:
            self._external.logins.pop(binding.key, None)
        return Next(Outcome.DONE, description="logged out", state={"logged_out": True})

    def _told(self, work: Work, id_: str, verb: str) -> Next | None:
        if (id_, verb) in self._external._held:
            return Next(phase=work.operation.phase, delay=LOOK_AGAIN, description="waiting", progress=False)
        if (id_, verb) in self._external._crashing:
            raise StepFailed(
                "The system outside is too busy.", retryable=True, retry_after=timedelta(seconds=1)
            )
        if failure := self._external._failing.get((id_, verb)):
            usable, repeatable = self._external._flags.get(id_, (None, None))
            return Next(
                Outcome.FAILED,
                description=failure,
                instance_usable=usable,
                update_repeatable=repeatable,
                refusal=self._external._refusals.get(id_) if verb == "bind" else None,
            )
        return None


def _name(work: Work) -> str:
    return f"/things/{work.instance.key.hex}-{work.instance.generation}"


def dashboard_of(instance_key: UUID) -> str:
    """The page where a person would look at what was made."""
    return f"https://portal.example/things/{instance_key.hex}"
