"""One service instance through its whole life in the Azure that the settings name, and no trace of it afterwards."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from broker.azure.arm import Arm
from broker.azure.failures import AzureFailure
from broker.azure.naming import BROKER_TAG, external_name
from broker.catalog.reader import read_catalog
from broker.demo.platform import Platform, Refused
from broker.demo.processes import ProcessFailed
from broker.demo.workplace import PLATFORM
from broker.domain.catalog import Catalog
from broker.errors import StoreUnavailable
from broker.metrics import Metrics
from broker.proving import logins, orders
from broker.proving.azure_settings import handed_on
from broker.proving.findings import look_around, scopes_of
from broker.proving.interrupts import Interrupts, answered
from broker.proving.leftovers import Leftovers, delete_command
from broker.proving.orders import Order, WrongOrder, parameters_of
from broker.proving.trial_broker import TrialBroker
from broker.provisioners.recipe import GROUP_RULE
from broker.settings import Settings, process_environment
from broker.shipped import shipped

ALIAS = "smoke"
INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""

# A deletion that failed goes on where it stopped when it is asked for again.
_DELETIONS = 2
_ASK_AGAIN_AFTER = timedelta(seconds=2)
_BUSY_FOR = timedelta(minutes=10)
# A run orders each instance once; a generation more is made only after a creation that was begun afresh.
_GENERATIONS = range(3)


class NotSeen(Exception):
    """What should have been seen was not."""


FORESEEN = (
    AzureFailure,
    NotSeen,
    Refused,
    ProcessFailed,
    StoreUnavailable,
    logins.LoginUnproven,
    *logins.DriverError,
    httpx.HTTPError,
)


def drawn_broker_id() -> str:
    """Draw an id that no other broker has: what carries it in Azure is this run's."""
    return f"smoke-{secrets.token_hex(4)}"


def order(settings: Settings, named: str, parameters: str) -> Order:
    """
    Read what to order: *named* is OFFERING/PLAN, *parameters* a JSON object.

    Raises:
        WrongOrder: There is no such plan, or the parameters do not fit it.
    """
    catalog = read_catalog(settings.catalog_folder or shipped("catalog"))
    given = parameters_of("--parameters", parameters)
    wanted = orders.order(catalog, named, given, alias=ALIAS)
    lets_in = given.keys() & {"firewallRules", "allowAzureServices"}
    if (
        wanted.plan.bindable
        and wanted.plan.recipe.get("database")
        and not (settings.egress_addresses or lets_in)
    ):
        raise WrongOrder(
            "BROKER_EGRESS_ADDRESSES: is needed, with this machine's public address: no server's firewall would let "
            "the login in that is to be tried."
        )
    return wanted


def warning(settings: Settings, wanted: Order) -> str:
    """Return what is about to happen, and that it costs money."""
    names = " and ".join(one.name for one in wanted.all())
    return (
        f"This makes {names} in subscription {settings.azure_subscription_id}, resource group "
        f"{settings.azure_resource_group or '(of the plan)'}, region {settings.azure_location}.\n"
        "THIS COSTS MONEY: Azure charges for it from creation to deletion. It takes 10 to 30 minutes; do not close "
        "this terminal. Ctrl-C deletes what was made.\n"
        f"Everything carries the tag {BROKER_TAG}={settings.broker_id}."
    )


async def smoke(settings: Settings, wanted: Order, *, keep_data_folder: bool) -> int:
    """Play the whole life; return the exit status: 0 only if all was seen and nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="osb-smoke-"))
    keep = keep_data_folder
    status = 1
    try:
        with Interrupts(
            lambda: _say("Stopping here; the answer to a request under way is awaited first.")
        ) as interrupts:
            async with _parties(settings, wanted, folder) as run:
                status = await run.play(interrupts)
                keep |= status == 1 or run.left_behind
    finally:
        if keep:
            _say(f"The broker's database, keys and log are in {folder}; remove it when you are done.")
        else:
            shutil.rmtree(folder)
    return status


@asynccontextmanager
async def _parties(settings: Settings, wanted: Order, folder: Path) -> AsyncIterator[_Run]:
    from broker.app import cloud_of, resource_manager  # noqa: PLC0415 - it imports every part of the broker

    broker = TrialBroker(folder, handed_on(settings), process_environment(), broker_id=settings.broker_id)
    scopes = scopes_of(Catalog(tuple(one.offering for one in wanted.all())), settings)
    versions = {name.lower(): version for scope in scopes for name, version in scope.rights.types.items()}
    async with (
        resource_manager(settings, cloud_of(settings), Metrics()) as arm,
        Platform("", PLATFORM, broker.workplace.password, namespace=ALIAS) as platform,
    ):
        subscriptions = list(dict.fromkeys(scope.subscription for scope in scopes))
        leftovers = Leftovers(
            arm, subscriptions, settings.broker_id, versions, groups=_groups_of_their_own(settings, wanted)
        )
        try:
            yield _Run(settings, wanted, arm, broker, platform, leftovers)
        finally:
            await broker.stop()


def _groups_of_their_own(settings: Settings, wanted: Order) -> list[tuple[str, str]]:
    """Return the subscriptions and names of the groups that a plan would make for an instance of its own."""
    return [
        (
            str(one.plan.recipe["placement"].get("subscription") or settings.azure_subscription_id),
            external_name(GROUP_RULE, settings.broker_id, PLATFORM, one.instance_id, generation),
        )
        for one in wanted.all()
        if one.plan.recipe["placement"]["group"] == "own"
        for generation in _GENERATIONS
    ]


@dataclass
class _Run:
    """The steps, in order, and what has to be undone when they end early."""

    settings: Settings
    wanted: Order
    arm: Arm
    broker: TrialBroker
    platform: Platform
    leftovers: Leftovers
    ordered: list[Order] = field(default_factory=list)
    credentials: dict[str, Any] = field(default_factory=dict)
    left_behind: bool = False
    _binding_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _step: int = 0
    _made: bool = False

    async def play(self, interrupts: Interrupts) -> int:
        """Do all steps; clean up if one fails or Ctrl-C ends it."""
        failed = False
        try:
            if await interrupts.through(self._whole_life()):
                self._made = False
                _say("All was seen, and nothing is left.")
                return 0
            _say("Interrupted.")
        except FORESEEN as failure:
            failed = True
            _say(f"Not seen: {_told(failure)}")
            _say(f"The broker's log: {self.broker.child.log}")
        finally:
            if self._made:
                await self._undo(interrupts)
        return 1 if failed or self.left_behind else INTERRUPTED

    async def _undo(self, interrupts: Interrupts) -> None:
        """Delete what was ordered; say what is left if that fails or is interrupted too."""
        _say("Deleting what was made. Ctrl-C again stops that and leaves it behind.")
        self.left_behind = True
        try:
            if await interrupts.through(self._clean_up()):
                self.left_behind = False
                _say("Nothing is left in Azure.")
            else:
                _say("Interrupted again: the deletion was stopped.")
        except FORESEEN as failure:
            _say(f"The deletion failed: {_told(failure)}")
        finally:
            # A fault that nobody foresaw must not hide it either.
            if self.left_behind:
                await self._tell_how_to_delete(interrupts)

    async def _tell_how_to_delete(self, interrupts: Interrupts) -> None:
        tag = f"{BROKER_TAG}={self.settings.broker_id}"
        _say("What is left costs money until you delete it. It is what this lists, now and later:")
        _say(f'  az resource list --tag {tag} --query "[].id" --output tsv')
        try:
            if not await interrupts.through(self._tell_what_is_left()):
                _say("Interrupted once more: what is left was not looked up.")
        except FORESEEN as failure:
            _say(f"What is left could not be looked up: {_told(failure)}")

    async def _tell_what_is_left(self) -> None:
        found = await self.leftovers.found()
        _say(
            f"Found at this moment: {len(found)}. A deployment that still runs may make more; look again later."
        )
        for resource_id in found:
            _say(f"  {delete_command(resource_id)}")

    async def _clean_up(self) -> None:
        await self._broker_answers()
        for one in reversed(list(self.ordered)):
            await self._delete(one)
        await self._nothing_is_left()

    # The steps.

    async def _whole_life(self) -> None:
        self._begin("See what Azure allows the broker.")
        await self._allowed()
        self._begin("Start a broker of its own.")
        await self._broker_answers()
        await self._reads_catalog()
        for one in self.wanted.all():
            self._begin(f"Order {one.name}.")
            await self._provision(one)
        self._begin("See it in Azure, by its tag.")
        await self._is_in_azure()
        if self.wanted.plan.bindable:
            self._begin("Bind it.")
            await self._bind()
            self._begin("Connect with the credentials and run SQL.")
            _say(f"    {await logins.use(self.credentials, self.settings.data_plane_ca_file)}")
            self._begin("Unbind: the login is refused.")
            await self._unbind()
        for one in reversed(self.wanted.all()):
            self._begin(f"Deprovision {one.name}.")
            await self._delete(one)
        self._begin("Look for what is left in Azure.")
        await self._nothing_is_left()

    async def _allowed(self) -> None:
        catalog = Catalog(tuple(one.offering for one in self.wanted.all()))
        found = await look_around(self.arm, self.settings, catalog)
        for finding in found:
            if finding.state != "ok":
                _say(f"    {finding}")
        if missing := sum(finding.state == "missing" for finding in found):
            raise NotSeen(f"{missing} of what is needed is missing. Nothing was ordered.")
        _say(f"    {sum(finding.state == 'ok' for finding in found)} things are as they should be.")

    async def _broker_answers(self) -> None:
        if url := await self.broker.answering():
            self.platform.connect(url)
            _say(f"    The broker answers at {url}.")

    async def _reads_catalog(self) -> None:
        offered = {plan.plan_id for plan in await self.platform.plans()}
        if absent := [one.name for one in self.wanted.all() if one.plan.id not in offered]:
            raise NotSeen(f"The broker's catalog does not hold {', '.join(absent)}.")

    async def _provision(self, one: Order) -> None:
        # Noted before it is sent: an answer that is lost is no reason to forget what it may have begun.
        self.ordered.append(one)
        self._made = True
        operation = await answered(
            self.platform.provision(one.instance_id, one.as_platform, dict(one.parameters))
        )
        await self._ended(one, operation)

    async def _is_in_azure(self) -> None:
        found = await self.leftovers.appeared()
        if not found:
            raise NotSeen(
                "Azure finds nothing with the broker's tag, so leftovers would not be noticed either."
            )
        for resource_id in found:
            _say(f"    {resource_id}")

    async def _bind(self) -> None:
        _, self.credentials = await answered(
            self.platform.bind(self.wanted.instance_id, self._binding_id, self.wanted.as_platform)
        )
        if not logins.provable(self.credentials):
            raise NotSeen("There is no driver at hand that could try these credentials.")
        _say(f"    Login {self.credentials['username']} on {self.credentials['host']}.")

    async def _unbind(self) -> None:
        await answered(
            self.platform.unbind(self.wanted.instance_id, self._binding_id, self.wanted.as_platform)
        )
        _say(f"    {await logins.refusal(self.credentials, self.settings.data_plane_ca_file)}")

    async def _delete(self, one: Order) -> None:
        for attempt in range(1, _DELETIONS + 1):
            try:
                await self._ended(one, await self._accepted_deletion(one))
                break
            except Refused as refused:
                if refused.status == 410:
                    break
                if refused.body.get("state") != "failed" or attempt == _DELETIONS:
                    raise
                _say(f"    {_told(refused)} Once more.")
        self.ordered.remove(one)

    async def _accepted_deletion(self, one: Order) -> str:
        """Ask for the deletion until the broker takes it: while it does something else with it, it says so."""
        ends = asyncio.get_running_loop().time() + _BUSY_FOR.total_seconds()
        while True:
            try:
                return await answered(self.platform.deprovision(one.instance_id, one.as_platform))
            except Refused as refused:
                busy = refused.body.get("error") == "ConcurrencyError" or refused.status == 503
                if not busy or asyncio.get_running_loop().time() > ends:
                    raise
            await asyncio.sleep(_ASK_AGAIN_AFTER.total_seconds())

    async def _nothing_is_left(self) -> None:
        if left := await self.leftovers.vanished():
            self.left_behind = True
            raise NotSeen(f"Azure still holds {', '.join(left)}")
        _say(f"    Azure holds nothing with the tag {BROKER_TAG}={self.settings.broker_id}.")

    async def _ended(self, one: Order, operation: str) -> None:
        await self.platform.ended(
            one.instance_id,
            operation,
            within=one.plan.maximum_polling_duration,
            told=lambda text: _say(f"    | {text}"),
        )

    def _begin(self, title: str) -> None:
        self._step += 1
        steps = 4 + 2 * len(self.wanted.all()) + (3 if self.wanted.plan.bindable else 0)
        _say(f"{self._step:2} of {steps}  {title}")


def _told(failure: BaseException) -> str:
    if isinstance(failure, Refused):
        return str(failure.body.get("description") or failure)
    return str(failure) or type(failure).__name__


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command's output
