"""The broker in a thread of its own: API, store and runner as in production, the plans of a test instead of Azure's."""

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import uvicorn

from broker.api.admin.application import beside
from broker.api.protocol import JsonHttpProtocol
from broker.app import create_admin_app, create_app
from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.foresight import Foresight
from broker.domain.instances import ServiceInstance
from broker.lifecycle.options import LifecycleOptions, NoRules, RulesSource
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import Provisioner
from broker.setting_values import OperatorCredentials, PlatformCredentials
from broker.store.database import Database
from broker.store.migrations import upgrade
from broker.store.sealing import KeyRing
from tests.osb.external import dashboard_of

PATIENT = LifecycleOptions(request_wait=timedelta(seconds=30), quick_wait=timedelta(seconds=15))
"""For whatever is not held: it takes milliseconds, or seconds where the machine has much else to do."""
IMPATIENT = LifecycleOptions(request_wait=timedelta(seconds=1), quick_wait=timedelta(milliseconds=200))
"""For work that a test holds: no wait would be long enough, so none needs to be long."""


@dataclass(frozen=True)
class Served:
    """A running broker."""

    url: str
    impatient_url: str
    """The same broker, but its requests wait for hardly anything."""
    database_url: str


class FixedCatalog:
    """A catalog that is another one only when a test says so."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def current(self) -> Catalog:
        return self.catalog


def foresee(_plan: ServicePlan, instance: ServiceInstance, _parent: ServiceInstance | None) -> Foresight:
    return Foresight(dashboard_url=dashboard_of(instance.key))


def a_listener() -> socket.socket:
    """A port that was free; asyncio turns Nagle's delay off only for sockets that name their protocol."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


@contextmanager
def served(
    *,
    database_url: str,
    sealing_key: str,
    platforms: Sequence[PlatformCredentials],
    catalog: Catalog | FixedCatalog,
    provisioners: Mapping[str, Provisioner],
    operators: Sequence[OperatorCredentials] = (),
    tenants: RulesSource | None = None,
) -> Iterator[Served]:
    """Migrate the database, serve until the end of the block, and stop in good order."""
    upgrade(database_url)
    key_id, _, key = sealing_key.partition(":")
    keys = KeyRing([(key_id, base64.b64decode(key))])
    listeners = [a_listener() for _ in range(2)]
    ready, stop, faults = threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            database = await Database.open(database_url, sealing=keys, broker_id="conformance")
            stack.push_async_callback(database.close)
            source = FixedCatalog(catalog) if isinstance(catalog, Catalog) else catalog
            apps = [
                create_app(
                    database,
                    catalog=source,
                    platforms=platforms,
                    options=replace(options, foresee=foresee, tenants=tenants or NoRules()),
                )
                for options in (PATIENT, IMPATIENT)
            ]
            if operators:
                admin = create_admin_app(database, catalog=source, operators=operators)
                apps = [beside(app, admin) for app in apps]
            servers = [
                uvicorn.Server(
                    uvicorn.Config(
                        app, http=JsonHttpProtocol, lifespan="off", log_config=None, access_log=False
                    )
                )
                for app in apps
            ]
            runner = Runner(database, provisioners, RunnerOptions(name="conformance"))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(runner.run())
                for server, listener in zip(servers, listeners, strict=True):
                    tasks.create_task(server.serve(sockets=[listener]))
                ready.set()
                await stop.wait()
                for server in servers:
                    server.should_exit = True
                runner.stop()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as fault:  # noqa: BLE001 - told to the test's thread
            faults.append(fault)
        finally:
            ready.set()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=run, name="broker")
    thread.start()
    ready.wait()
    try:
        if not faults:
            yield Served(*(f"http://127.0.0.1:{one.getsockname()[1]}" for one in listeners), database_url)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
        for listener in listeners:
            listener.close()
        if faults:
            raise faults[0]
