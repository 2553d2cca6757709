"""A plan of a catalog on disk tried against the simulated Azure: each step, each call, and what is left."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from broker.azure_models import TEAMS_FOLDER, Models
from broker.catalog.rights import verbs_of
from broker.demo.azure import simulated_azure
from broker.demo.platform import Platform, Refused
from broker.demo.processes import ProcessFailed
from broker.demo.witnesses import Azure
from broker.demo.workplace import LOCATION, PLATFORM, RESOURCE_GROUP, Workplace
from broker.domain.catalog import ServicePlan
from broker.errors import StoreUnavailable
from broker.proving.azure_settings import AzureEnvironment
from broker.proving.interrupts import Interrupts
from broker.proving.orders import Order
from broker.proving.trial_broker import TrialBroker
from broker.settings import process_environment

BROKER_ID = "trial"
SPEED = 1000.0
"""How many times faster than Azure; an hour is 4 seconds."""
_OPERATION_ENDS = timedelta(minutes=5)
_FORESEEN = (Refused, ProcessFailed, StoreUnavailable, httpx.HTTPError)


@dataclass(frozen=True)
class Trial:
    """
    What is tried: an order, and how it is bound and updated.

    *models* are the catalog's own model files by name. It is bound once with each of *bind_parameters*. *unchecked* are
    resource types, with their api-versions, that have no model: whatever is sent for them is taken.
    """

    order: Order
    catalog_folder: Path
    overlays: Sequence[Path] = ()
    models: Mapping[str, bytes] = field(default_factory=dict)
    bind_parameters: Sequence[Mapping[str, Any]] = ({},)
    update_parameters: Mapping[str, Any] | None = None
    unchecked: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Call:
    """A call that came to Azure; *times* as often in a row. The path is without subscription and group."""

    method: str
    path: str
    status: int
    code: str | None
    times: int = 1

    def __str__(self) -> str:
        often = f"  ({self.times} times)" if self.times > 1 else ""
        return f"{self.method:6} {self.status} {self.path}{f'  {self.code}' if self.code else ''}{often}"


@dataclass
class Step:
    """One thing that was asked of the broker, and what was seen of it; `credentials` are names and types alone."""

    name: str
    descriptions: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    credentials: dict[str, Any] | None = None
    problem: str | None = None


@dataclass
class Report:
    """What was seen; `left` are ids of what was not deleted."""

    plan: str
    steps: list[Step] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    complete: bool = False

    @property
    def ok(self) -> bool:
        """Whether every step succeeded and nothing was left."""
        return self.complete and not self.left and not any(step.problem for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        steps = [
            {key: value for key, value in asdict(step).items() if value is not None} for step in self.steps
        ]
        return {
            "plan": self.plan,
            "ok": self.ok,
            "steps": steps,
            "unchecked": self.unchecked,
            "left": self.left,
        }


def unchecked_types(wanted: Order, models: Models) -> list[tuple[str, str]]:
    """Return the types, with api-versions, that the order's plans make and no model describes."""
    made = {pair: None for one in wanted.all() for pair in _types(one.plan)}
    return [(kind, version) for kind, version in made if models.load(kind, version) is None]


def _types(plan: ServicePlan) -> list[tuple[str, str]]:
    recipe = plan.recipe
    resources = recipe.get("template", {}).get("resources", ())
    children = [verb["child"] for verb in verbs_of(recipe) if "child" in verb]
    return [
        *((str(resource["type"]), str(resource["apiVersion"])) for resource in resources),
        *((str(child["type"]), str(child["api_version"])) for child in children),
    ]


def _needs_data_planes(wanted: Order) -> bool:
    """Whether somebody will connect to what is made: a real server has to stand there then."""
    recipes = [one.plan.recipe for one in wanted.all()]
    return any(
        recipe.get("database") or any("sas_policy" in verb for verb in verbs_of(recipe)) for recipe in recipes
    )


async def tried(
    trial: Trial, *, say: Callable[[str], None], told: Callable[[Report], None], keep: bool = False
) -> int:
    """
    Try it in a temporary folder; *say* hears of progress, *told* of the end. Return the exit status.

    0 when every step succeeded and nothing is left, 130 after Ctrl-C. With *keep*, and after a failure, the folder
    with the broker's database and the logs stays.
    """
    folder = Path(tempfile.mkdtemp(prefix="osb-try-"))
    status = 1
    report = Report(trial.order.name, unchecked=[f"{kind} at {version}" for kind, version in trial.unchecked])
    try:
        with Interrupts(lambda: say("Stopping.")) as interrupts:
            whole = await interrupts.through(_tried(trial, folder, report, say))
        if whole:
            told(report)
            status = 0 if report.ok else 1
        else:
            status = 130
    except ProcessFailed as failure:
        say(str(failure))
    finally:
        if keep or status == 1:
            say(f"The broker's database, its log and the simulator's are in {folder}.")
        else:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return status


async def _tried(trial: Trial, folder: Path, report: Report, say: Callable[[str], None]) -> None:
    async with _parties(trial, folder) as (platform, azure):
        run = _Run(trial, report, platform, azure, say)
        await run.play()


@asynccontextmanager
async def _parties(trial: Trial, folder: Path) -> AsyncIterator[tuple[Platform, Azure]]:
    workplace = Workplace(folder)
    workplace.prepare()
    models = folder / TEAMS_FOLDER
    models.mkdir()
    for name, content in trial.models.items():
        (models / name).write_bytes(content)
    more = ["--models", str(models)]
    more += [word for pair in trial.unchecked for word in ("--unchecked", "=".join(pair))]
    more += [] if _needs_data_planes(trial.order) else ["--no-data-planes"]
    async with simulated_azure(workplace, process_environment(), speed=SPEED, more=more):
        variables = {
            **workplace.azure_environment(),
            "BROKER_AZURE_LOCATION": LOCATION,
            "BROKER_AZURE_RESOURCE_GROUP": RESOURCE_GROUP,
            "BROKER_AZURE_POLL_INTERVAL": "100ms",
            "BROKER_CATALOG_FOLDER": str(trial.catalog_folder.resolve()),
        }
        if trial.overlays:
            overlays = (str(overlay.resolve()) for overlay in trial.overlays)
            variables["BROKER_CATALOG_OVERLAYS"] = ",".join(overlays)
        azure = AzureEnvironment(variables, {})
        broker = TrialBroker(folder, azure, process_environment(), broker_id=BROKER_ID)
        async with (
            Azure(workplace.simulated_azure()) as witness,
            Platform("", PLATFORM, workplace.password, namespace="trial") as platform,
        ):
            await witness.put_group(RESOURCE_GROUP, LOCATION)
            try:
                platform.connect(str(await broker.answering()))
                yield platform, witness
            finally:
                await broker.stop()


class _Run:
    """The steps, in order; what was made is deleted whatever becomes of them."""

    def __init__(
        self, trial: Trial, report: Report, platform: Platform, azure: Azure, say: Callable[[str], None]
    ) -> None:
        self._trial = trial
        self._report = report
        self._platform = platform
        self._azure = azure
        self._say = say
        self._seen = 0

    async def play(self) -> None:
        """Play the whole life; an error is a step's problem and ends what depends on it."""
        await self._calls()
        ordered: list[Order] = []
        good = True
        for one in self._trial.order.all():
            ordered.append(one)
            if good := await self._step(f"Order {one.name}", self._provision(one)):
                continue
            break
        if good:
            await self._use()
        for one in reversed(ordered):
            await self._step(f"Deprovision {one.name}", self._deprovision(one))
        self._report.left = await self._left()
        self._report.complete = True

    async def _use(self) -> None:
        one = self._trial.order
        binding_ids = [str(uuid.uuid4()) for _ in self._trial.bind_parameters] if one.plan.bindable else []
        bound = []
        for binding_id, given in zip(binding_ids, self._trial.bind_parameters, strict=False):
            how = f" with {', '.join(given)}" if given else ""
            if await self._step(f"Bind {one.name}{how}", self._bind(binding_id, given)):
                bound.append(binding_id)
        if self._trial.update_parameters is not None:
            await self._step(f"Update {one.name}", self._update(self._trial.update_parameters))
        for binding_id in bound:
            await self._step(f"Unbind {one.name}", self._unbind(binding_id))

    async def _step(self, name: str, work: Any) -> bool:
        step = Step(name)
        self._report.steps.append(step)
        self._say(f"{len(self._report.steps)}  {name}")
        try:
            step.credentials = await work
        except _FORESEEN as failure:
            step.problem = _told(failure)
        step.calls = await self._calls()
        for call in step.calls:
            self._say(f"     {call}")
        if step.credentials is not None:
            self._say("     credentials:")
            for key, kind in step.credentials.items():
                self._say(f"       {key}: {kind}")
        if step.problem is not None:
            self._say(f"     FAILED: {step.problem}")
        return step.problem is None

    async def _provision(self, one: Order) -> None:
        operation = await self._platform.provision(one.instance_id, one.as_platform, dict(one.parameters))
        await self._ended(one, operation)

    async def _update(self, parameters: Mapping[str, Any]) -> None:
        one = self._trial.order
        operation = await self._platform.update(one.instance_id, one.as_platform, dict(parameters))
        await self._ended(one, operation)

    async def _bind(self, binding_id: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        one = self._trial.order
        _, credentials = await self._platform.bind(
            one.instance_id, binding_id, one.as_platform, dict(parameters)
        )
        return {key: shape(value) for key, value in credentials.items()}

    async def _unbind(self, binding_id: str) -> None:
        one = self._trial.order
        await self._platform.unbind(one.instance_id, binding_id, one.as_platform)

    async def _deprovision(self, one: Order) -> None:
        try:
            operation = await self._platform.deprovision(one.instance_id, one.as_platform)
        except Refused as refused:
            if refused.status == 410:
                return
            raise
        await self._ended(one, operation)

    async def _ended(self, one: Order, operation: str) -> None:
        def told(text: str) -> None:
            self._report.steps[-1].descriptions.append(text)
            self._say(f"     | {text}")

        await self._platform.ended(one.instance_id, operation, within=_OPERATION_ENDS, told=told)

    async def _calls(self) -> list[Call]:
        """Return the calls since the last time, the same ones in a row as one."""
        found: list[Call] = []
        for said in (await self._azure.ledger())[self._seen :]:
            self._seen += 1
            call = Call(said["method"], _short(said["path"]), said["status"], said.get("code"))
            last = found[-1] if found else None
            if last is not None and Call(last.method, last.path, last.status, last.code) == call:
                found[-1] = Call(call.method, call.path, call.status, call.code, last.times + 1)
            else:
                found.append(call)
        return found

    async def _left(self) -> list[str]:
        living = await self._azure.living()
        groups = [group["name"] for group in living["groups"] if group["name"] != RESOURCE_GROUP]
        return [
            *(f"resource group {name}" for name in groups),
            *(resource["id"] for resource in living["resources"]),
            *(assignment["id"] for assignment in living.get("role_assignments", ())),
        ]


def shape(value: Any) -> Any:
    """Say what a value is without saying it."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "integer", float: "number"}
    return kinds.get(type(value), "null")


def _short(path: str) -> str:
    """Leave out the subscription and the group of the trial: they are the same in every call."""
    words = path.split("/")
    if len(words) > 3 and words[1].lower() == "subscriptions":
        words = ["", *words[3:]]
    if len(words) > 3 and words[1].lower() == "resourcegroups" and words[2] == RESOURCE_GROUP:
        words = ["", *words[3:]]
    return "/".join(words)


def _told(failure: BaseException) -> str:
    if isinstance(failure, Refused):
        return str(failure.body.get("description") or failure)
    return str(failure) or type(failure).__name__
