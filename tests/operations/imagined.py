"""A provisioner that makes imagined resources in a folder, which outlives every process that works on it."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path

from broker.domain.operations import ExternalResource
from broker.provisioners.base import FIRST_VERSION, Cost, Next, Outcome, StepFailed, Work

_A_MOMENT = timedelta(milliseconds=20)


class World:
    """What exists, as files; and each call that was made, as lines. Shared by all processes of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "living").mkdir(parents=True, exist_ok=True)

    @property
    def living(self) -> set[str]:
        return {path.name for path in (self.folder / "living").iterdir()}

    @property
    def calls(self) -> list[tuple[str, str]]:
        ledger = self.folder / "ledger"
        if not ledger.exists():
            return []
        return [tuple(json.loads(line)) for line in ledger.read_text().splitlines()]

    def count(self, what: str) -> int:
        return sum(call[0] == what for call in self.calls)

    def exists(self, name: str) -> bool:
        return (self.folder / "living" / name).exists()

    def make(self, name: str) -> None:
        self.called("make", name)
        os.close(os.open(self.folder / "living" / name, os.O_CREAT | os.O_EXCL))

    def remove(self, name: str) -> None:
        self.called("remove", name)
        (self.folder / "living" / name).unlink(missing_ok=True)

    def called(self, what: str, name: str) -> None:
        with (self.folder / "ledger").open("a") as ledger:
            ledger.write(json.dumps([what, name]) + "\n")

    def told(self, word: str) -> bool:
        """Whether the test has said *word*: steps ask, tests command, across processes."""
        return (self.folder / f"word-{word}").exists()

    def tell(self, word: str) -> None:
        (self.folder / f"word-{word}").touch()

    def unsay(self, word: str) -> None:
        (self.folder / f"word-{word}").unlink(missing_ok=True)


class Imagined:
    """
    Makes one resource per instance or binding: noted, made, looked at, done. Words of the test change its ways.

    `fail-<verb>`: FAILED for good; `hold-<verb>`: goes on looking; `trouble-<verb>`: a passing trouble;
    `raise-<verb>`: an exception that nobody foresaw.
    """

    handler_versions = FIRST_VERSION

    def __init__(self, world: World, *, before_call=lambda: None, after_call=lambda: None) -> None:
        self.world = world
        self.before_call = before_call
        self.after_call = after_call
        self.works: list[Work] = []

    async def create(self, work: Work) -> Next:
        name = f"{work.instance.instance_id}-{work.instance.generation}"
        return await self._make("create", name, work, secrets={"admin": "made-up"})

    async def update(self, work: Work) -> Next:
        self._obey("update", work)
        if stop := self._stop("update"):
            return stop
        return Next(Outcome.DONE, secrets={"admin": "changed"}, record={"updated": True})

    async def delete(self, work: Work) -> Next:
        return await self._remove("delete", work)

    async def bind(self, work: Work) -> Next:
        return await self._make("bind", work.binding.binding_id, work, credentials={"password": "made-up"})

    async def unbind(self, work: Work) -> Next:
        return await self._remove("unbind", work)

    async def _make(self, verb: str, name: str, work: Work, **result) -> Next:
        self._obey(verb, work)
        if work.operation.phase == "":
            resource = ExternalResource(
                work.instance.key,
                name,
                "2026-01-01",
                0,
                binding_key=work.binding.key if work.binding else None,
            )
            return Next(
                phase="make",
                resources=[resource],
                record={"name": name},
                description=f"Creating {name}",
                number=1,
                of=2,
            )
        if work.operation.phase == "make":
            work.guard()
            self.world.called("guarded call", name)
            if not self.world.exists(name):
                await self.asked(name)
                await work.before_change()
                self.before_call()
                self.world.make(name)
                self.after_call()
            return Next(phase="look", description=f"Looking at {name}", number=2, of=2, cost=Cost(reads=1))
        if stop := self._stop(verb):
            return stop
        return Next(Outcome.DONE, **result)

    async def _remove(self, verb: str, work: Work) -> Next:
        self._obey(verb, work)
        if stop := self._stop(verb):
            return stop
        gone = []
        for resource in work.resources:
            if resource.gone_at is None:
                await work.before_change()
                self.before_call()
                self.world.remove(resource.resource_id)
                self.after_call()
                gone.append(resource.resource_id)
        return Next(Outcome.DONE, gone=gone)

    async def asked(self, name: str) -> None:
        """Between the answer that *name* is not there and its making."""

    def _obey(self, verb: str, work: Work) -> None:
        self.works.append(work)
        self.world.called(verb, f"{work.operation.id}:{work.operation.fence}")
        if self.world.told(f"raise-{verb}"):
            raise ZeroDivisionError("a secret that nobody may see")
        if self.world.told(f"trouble-{verb}"):
            raise StepFailed("The cloud is tired.", retryable=True)

    def _stop(self, verb: str) -> Next | None:
        if self.world.told(f"fail-{verb}"):
            return Next(Outcome.FAILED, description="There is no quota.")
        if self.world.told(f"hold-{verb}"):
            return Next(phase="look", delay=_A_MOMENT, description="Looking", progress=False)
        return None


def wait_until(condition, *, seconds: float = 20) -> None:
    """Wait for a condition of another process; the time is for a machine under load."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)
