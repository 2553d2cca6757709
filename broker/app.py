"""The one place where the parts of the broker are put together."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import structlog
from starlette.types import ASGIApp

from broker.api.admin.application import admin_application, beside
from broker.api.admin.front import OperatorCredentials
from broker.api.admin.parts import AdminParts
from broker.api.application import osb_application
from broker.api.authentication import Credentials
from broker.api.health import Check, HealthChecks, health_application
from broker.api.parts import Parts
from broker.azure.arm import Arm
from broker.azure.calls import Call, Trace, no_trace
from broker.azure.clouds import CLOUDS, Cloud, custom
from broker.azure.credentials import credential_for
from broker.azure.transport import http_client
from broker.catalog.api_versions import faults_at, undescribed
from broker.catalog.faults import CatalogRefused, Fault
from broker.catalog.file_sets import Files
from broker.catalog.publishing import Publisher
from broker.catalog.source import CatalogSource as PublishedCatalog
from broker.catalog.watching import FileWatch
from broker.domain.catalog import Catalog
from broker.errors import StoreUnavailable
from broker.lifecycle.administration.binding_keys import BindingKeyAdministration
from broker.lifecycle.administration.bindings import BindingAdministration
from broker.lifecycle.administration.catalog import CatalogAdministration
from broker.lifecycle.administration.deletions import DeletionAdministration
from broker.lifecycle.administration.imports import Imports
from broker.lifecycle.administration.instances import InstanceAdministration
from broker.lifecycle.administration.inventory import InventoryAdministration
from broker.lifecycle.administration.keys import KeyAdministration
from broker.lifecycle.administration.operations import OperationAdministration
from broker.lifecycle.administration.past import PastAdministration
from broker.lifecycle.administration.preflight import PreflightAdministration
from broker.lifecycle.bindings import Bindings
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import CatalogSource, LifecycleOptions, NoRules
from broker.lifecycle.polling import Polling
from broker.measuring import Told, counting
from broker.metrics import CONTENT_TYPE, Metrics
from broker.operations.failpoints import Failpoints
from broker.operations.key_checking import KeyChecker
from broker.operations.observing import Observer
from broker.operations.rounds import Rounds, RoundsOptions
from broker.operations.runner import Runner, RunnerOptions
from broker.operations.stocktaking import Stocktaker, StocktakingOptions
from broker.operations.unhandled import UnhandledWatch
from broker.provisioners.base import Provisioner, handlers_of
from broker.provisioners.foresight import foreseeing
from broker.provisioners.keys import Keys
from broker.provisioners.options import OwnPrincipal, ProvisionerOptions
from broker.provisioners.registry import registry
from broker.provisioners.survey import Survey
from broker.settings import Settings
from broker.shipped import shipped
from broker.store import resealing
from broker.store.call_meter import CallMeter
from broker.store.database import Database
from broker.store.errors import SchemaOutdated, SealingKeysMissing
from broker.store.sealing import KeyRing
from broker.tenants.source import TenantRulesFile
from broker.tracing import Untraced, tracing

log = structlog.get_logger(__name__)

DEFAULT_BODY_LIMIT = 1024 * 1024
_SILENT_FOR_LEASES = 10


@dataclass(frozen=True)
class Broker:
    """
    The applications of a running broker, and what they stand on; `admin` only where it has a port of its own.

    Setting `stopping` makes the process not ready; it goes on serving.
    """

    api: ASGIApp
    health: ASGIApp
    admin: ASGIApp | None
    database: Database
    runner: Runner | None
    stopping: asyncio.Event


def create_app(
    database: Database,
    *,
    catalog: CatalogSource,
    platforms: Iterable[Credentials],
    options: LifecycleOptions | None = None,
    body_limit: int = DEFAULT_BODY_LIMIT,
    metrics: Metrics | None = None,
    before_serving: Callable[[Callable[[Catalog], None]], None] | None = None,
    traces: Untraced | None = None,
) -> ASGIApp:
    """Return the application that platforms reach, on an open database; it starts nothing."""
    parts = Parts(
        instances=Instances(database, catalog, options),
        bindings=Bindings(database, catalog, options),
        polling=Polling(database, options),
        body_limit=body_limit,
    )
    measured, traced = metrics or Metrics(), traces or Untraced()
    return traced.requests(
        osb_application(
            parts,
            platforms=platforms,
            catalog=catalog,
            observe=traced.observing(measured.request_answered),
            rules=options.tenants if options else None,
            before_serving=before_serving,
        )
    )


def create_admin_app(
    database: Database,
    *,
    catalog: CatalogSource,
    operators: Iterable[OperatorCredentials],
    options: LifecycleOptions | None = None,
    body_limit: int = DEFAULT_BODY_LIMIT,
    metrics: Metrics | None = None,
    proposals: CatalogAdministration | None = None,
    platforms: Sequence[str] | None = None,
) -> ASGIApp:
    """Return the application that operators reach, on an open database; it starts nothing."""
    if proposals is None:
        published = PublishedCatalog(database)
        proposals = CatalogAdministration(database, published, Publisher(database, published))
    ordering = Instances(database, catalog, options)
    parts = AdminParts(
        instances=InstanceAdministration(database, catalog),
        bindings=BindingAdministration(database),
        binding_keys=BindingKeyAdministration(database, catalog),
        operations=OperationAdministration(database, catalog),
        deletions=DeletionAdministration(database, catalog),
        past=PastAdministration(database),
        inventory=InventoryAdministration(database),
        keys=KeyAdministration(database),
        preflight=PreflightAdministration(ordering, catalog),
        imports=Imports(ordering, catalog, platforms),
        catalog=proposals,
        body_limit=body_limit,
    )
    measured = metrics or Metrics()
    return admin_application(parts, operators=operators, observe=measured.request_answered)


@asynccontextmanager
async def running(
    settings: Settings, *, with_runner: bool = True, failpoints: Failpoints | None = None
) -> AsyncIterator[Broker]:
    """
    Open the database, publish the catalog, start what works in the background, and end it all in good order.

    When a part of it dies the block is cancelled and the fault rises: a dead runner behind a healthy API
    would be the worst of failures. *failpoints* are for tests of crashes.

    Raises:
        SchemaOutdated: `osb migrate` has to run first.
        SealingKeysMissing: Stored values need keys that are neither at hand nor known to be lost.
        CatalogRefused: The catalog's files are not acceptable, and none was published before; or what was published
            does not fit the api-versions that are to be asked for.
        TenantRulesRefused: The tenant rules are not.
        StoreUnavailable: The database does not answer.
        TracingMissing: Traces are wanted, and OpenTelemetry is not installed.
    """
    metrics, traces = Metrics(), tracing(wanted=settings.tracing)
    database = await _opened(settings)
    try:
        await database.revision_is_current()
        await _keys_are_at_hand(database, lost=settings.lost_sealing_keys)
        catalog, publisher, files = _catalog(settings, database, metrics)
        await files.start()
        _look_at_api_versions(catalog.current(), settings.azure_api_versions)
        cloud = cloud_of(settings)
        provisioner_options = _provisioner_options(settings)
        meter = CallMeter(settings.azure_client_id or "", settings.azure_call_share)
        tenants = (
            TenantRulesFile(settings.tenant_rules, catalog.current, on_look=metrics.tenant_rules_looked_at)
            if settings.tenant_rules
            else None
        )
        async with resource_manager(settings, cloud, metrics, meter, traces.call) as arm:
            provisioners = registry(provisioner_options, arm)
            database.handlers = handlers = handlers_of(provisioners)
            runner = (
                _runner(settings, database, provisioners, failpoints, Told(metrics, catalog, traces), meter)
                if with_runner
                else None
            )
            lifecycle = LifecycleOptions(
                request_wait=settings.request_wait,
                quick_wait=min(LifecycleOptions.quick_wait, settings.request_wait),
                preflight_wait=min(LifecycleOptions.preflight_wait, settings.request_wait),
                foresee=foreseeing(provisioner_options, cloud),
                tenants=tenants or NoRules(),
            )
            api = create_app(
                database,
                catalog=catalog,
                platforms=settings.platforms,
                options=lifecycle,
                body_limit=settings.body_limit,
                metrics=metrics,
                before_serving=catalog.prepare,
                traces=traces,
            )
            admin = None
            if settings.operators:
                admin = create_admin_app(
                    database,
                    catalog=catalog,
                    operators=settings.operators,
                    options=lifecycle,
                    body_limit=settings.body_limit,
                    metrics=metrics,
                    proposals=CatalogAdministration(database, catalog, publisher, files),
                    platforms=[platform.name for platform in settings.platforms],
                )
                if settings.admin_port is None:
                    api, admin = beside(api, admin), None
            rounds = _rounds(settings, database, arm, provisioner_options) if runner else {}
            watch = UnhandledWatch(database, handlers, counted=metrics.unhandled_counted)
            stopping = asyncio.Event()
            async with _working(database, catalog, files, tenants, runner, rounds, watch, metrics) as tasks:
                checks = HealthChecks(
                    alive={name: _runs(task) for name, task in tasks.items()}
                    | _looks(runner, database, too_long=settings.lease * _SILENT_FOR_LEASES),
                    ready={"database": database_answers(database), "process": _is_to_stay(stopping)},
                    metrics=lambda: (metrics.exposed(), CONTENT_TYPE),
                    notes=_notes(watch, files, tenants),
                )
                yield Broker(api, health_application(checks), admin, database, runner, stopping)
    finally:
        await traces.close()
        await database.close()


def _catalog(
    settings: Settings, database: Database, metrics: Metrics
) -> tuple[PublishedCatalog, Publisher, FileWatch]:
    def fits_the_cloud(proposed: Catalog) -> list[Fault]:
        return faults_at(proposed, settings.azure_api_versions)

    catalog = PublishedCatalog(database)
    catalog.prepare(lambda one: metrics.catalog_served(one.revision, one.published_at))
    publisher = Publisher(database, catalog, also=fits_the_cloud if settings.azure_api_versions else None)
    files = Files(
        settings.catalog_folder or shipped("catalog"),
        settings.catalog_built_in,
        settings.catalog_overlays,
        settings.legacy_catalog,
    )
    watch = FileWatch(database, publisher, catalog, files, refusals_counted=metrics.catalog_refused)
    return catalog, publisher, watch


def _look_at_api_versions(catalog: Catalog, overrides: Mapping[str, str]) -> None:
    """
    Check what plans send against the api-versions that replace theirs, as far as these are described.

    Raises:
        CatalogRefused: A described one does not take it.
    """
    for kind, version in undescribed(overrides).items():
        log.warning(
            "What plans send was not checked at the api-version that replaces theirs.",
            resource_type=kind,
            api_version=version,
        )
    if faults := faults_at(catalog, overrides):
        raise CatalogRefused(faults)


async def _opened(settings: Settings) -> Database:
    listen = settings.listen_database_url
    return await Database.open(
        settings.database_url.get_secret_value(),
        listen_url=listen.get_secret_value() if listen else None,
        sealing=KeyRing([(key.key_id, key.key) for key in settings.sealing_keys]),
        broker_id=settings.broker_id,
    )


async def _keys_are_at_hand(database: Database, *, lost: Collection[str]) -> None:
    async with database.transaction(read_only=True) as tx:
        needed = await resealing.in_use(tx)
    missing = {name: count for name, count in needed.items() if name not in database.sealing.names}
    if any(name not in lost for name in missing):
        raise SealingKeysMissing({name: count for name, count in missing.items() if name not in lost})
    if missing:
        log.warning("Some stored values can only be deleted: their keys are lost.", values_by_key=missing)


@asynccontextmanager
async def _working(
    database: Database,
    catalog: PublishedCatalog,
    files: FileWatch,
    tenants: TenantRulesFile | None,
    runner: Runner | None,
    rounds: Mapping[str, Rounds],
    watch: UnhandledWatch,
    metrics: Metrics,
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as group:
        tasks = {
            "catalog": group.create_task(catalog.run(), name="catalog"),
            "catalog files": group.create_task(files.run(), name="catalog files"),
            "counting": group.create_task(counting(database, catalog, metrics), name="counting"),
            "unhandled": group.create_task(watch.run(), name="unhandled"),
            "wake-ups": group.create_task(database.wakeups.watch(), name="wake-ups"),
        }
        if tenants is not None:
            tasks["tenant rules"] = group.create_task(tenants.run(), name="tenant rules")
        for name, each in rounds.items():
            tasks[name] = group.create_task(each.run(), name=name)
        if runner is not None:
            tasks["runner"] = group.create_task(runner.run(), name="runner")
        try:
            yield tasks
        finally:
            if runner is not None:
                runner.stop()
            for name, task in tasks.items():
                if name != "runner":
                    task.cancel()


@asynccontextmanager
async def resource_manager(
    settings: Settings,
    cloud: Cloud,
    metrics: Metrics,
    meter: CallMeter | None = None,
    trace: Trace = no_trace,
) -> AsyncIterator[Arm]:
    secret = settings.azure_client_secret
    simulated = settings.azure_authentication == "simulator"

    def count(call: Call) -> None:
        metrics.arm_called(
            str(call.kind),
            call.status,
            timedelta(seconds=call.seconds),
            subscription=call.subscription or "",
            remaining=call.remaining,
        )
        if meter is not None:
            remaining = 0 if call.status == HTTPStatus.TOO_MANY_REQUESTS else call.remaining
            meter.called(call.subscription, call.kind, region=call.region, remaining=remaining)

    proxy = settings.azure_proxy
    async with http_client(
        ca_file=settings.azure_ca_file, proxy=proxy.get_secret_value() if proxy else None
    ) as client:
        credential = credential_for(
            settings.azure_authentication,
            cloud=cloud,
            client=client,
            tenant_id=settings.azure_tenant_id,
            client_id=settings.azure_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            token_file=settings.azure_token_file if simulated else settings.azure_federated_token_file,
        )
        async with credential:
            yield Arm(
                cloud=cloud,
                credential=credential,
                client=client,
                on_call=count,
                api_versions=settings.azure_api_versions,
                trace=trace,
            )


def cloud_of(settings: Settings) -> Cloud:
    if settings.azure_cloud != "custom":
        return CLOUDS[settings.azure_cloud]
    return custom(
        str(settings.azure_endpoint),
        scope=settings.azure_scope,
        authority=str(settings.azure_authority) if settings.azure_authority else None,
    )


def _provisioner_options(settings: Settings) -> ProvisionerOptions:
    return ProvisionerOptions(
        broker_id=settings.broker_id,
        subscription=settings.azure_subscription_id,
        location=settings.azure_location,
        resource_group=settings.azure_resource_group,
        tenant_id=settings.azure_tenant_id,
        poll_interval=settings.azure_poll_interval,
        egress_addresses=tuple(str(address) for address in settings.egress_addresses),
        adoption_scopes=settings.adoption_scopes,
        data_plane_ca_file=settings.data_plane_ca_file,
        principal=OwnPrincipal(
            settings.azure_principal_id, settings.azure_principal_name, settings.azure_client_id
        )
        if settings.azure_principal_id and settings.azure_principal_name
        else None,
    )


def _runner(
    settings: Settings,
    database: Database,
    provisioners: Mapping[str, Provisioner],
    failpoints: Failpoints | None,
    observer: Observer,
    meter: CallMeter,
) -> Runner:
    return Runner(
        database,
        provisioners,
        RunnerOptions(
            name=_process_name(),
            lease=settings.lease,
            in_flight=settings.in_flight,
            retention=settings.history_retention,
        ),
        failpoints=failpoints,
        observer=observer,
        meter=meter,
    )


def _rounds(
    settings: Settings, database: Database, arm: Arm, options: ProvisionerOptions
) -> dict[str, Rounds]:
    """Return what looks at Azure from time to time, by the name of its task."""
    every = settings.inventory_interval if settings.inventory else None
    stock = StocktakingOptions(name=_process_name(), every=every)
    every = settings.key_check_interval if settings.key_check else None
    keys = RoundsOptions(name=_process_name(), every=every)
    return {
        "inventory": Stocktaker(database, Survey(arm, options), stock),
        "keys": KeyChecker(database, Keys(arm, options), keys),
    }


def _process_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _notes(watch: UnhandledWatch, files: FileWatch, tenants: TenantRulesFile | None) -> dict[str, Check]:
    notes: dict[str, Check] = {"operations": watch.note, "catalog": files.note}
    if tenants is not None:
        notes["tenant rules"] = tenants.note
    return notes


def _runs(task: asyncio.Task[None]) -> Check:
    async def check() -> str | None:
        return f"{task.get_name()} has ended" if task.done() else None

    return check


def _is_to_stay(stopping: asyncio.Event) -> Check:
    async def check() -> str | None:
        return "it is about to stop" if stopping.is_set() else None

    return check


def _looks(runner: Runner | None, database: Database, *, too_long: timedelta) -> dict[str, Check]:
    """Check that the runner looks at the queue; a database that is away is no reason to restart the process."""
    if runner is None:
        return {}

    async def check() -> str | None:
        if runner.silent_for < too_long:
            return None
        try:
            await database.ping()
        except StoreUnavailable:
            return None
        return "the runner does not look at the queue"

    return {"queue": check}


def database_answers(database: Database) -> Check:
    """Check that the database has this release's tables, and takes writes again if it has refused one."""

    async def check() -> str | None:
        try:
            await database.revision_is_current()
            await database.takes_writes()
        except (StoreUnavailable, SchemaOutdated) as fault:
            return str(fault)
        return None

    return check
