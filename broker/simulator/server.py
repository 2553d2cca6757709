"""Starts the simulator: its authority, its ports, its files, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from broker.azure_models import ModelFileBroken, shipped
from broker.simulator.app import Simulator
from broker.simulator.bare_names import BareNames
from broker.simulator.blobs import PREFIX
from broker.simulator.certificates import CertificateAuthority
from broker.simulator.clock import Clock
from broker.simulator.clouds import CLOUDS, PlayedCloud
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.lagging import Lagging
from broker.simulator.listeners import (
    SimulatorCannotStart,
    address,
    listening,
    served,
    tls_context,
    write_private,
)
from broker.simulator.proxy import proxying
from broker.simulator.redis import Caches
from broker.simulator.resource_types import ResourceTypes
from broker.simulator.sign_in import SignIn
from broker.simulator.state import State

__all__ = ["Access", "Running", "SimulatorCannotStart", "SimulatorOptions", "running", "serve"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """
    How to start it.

    *folder* is made if absent and holds all its files; *port* 0 takes a free one; *durations* are seconds of
    simulated time by the names of `Durations`; *template_folder* keeps the data folder that database servers
    are copied from, for several simulators; *mysqld* is the program of a MySQL server (without one, there and in
    the system, nothing answers behind MySQL servers), *redis_server* the one that stands behind caches.
    *cloud* is one of `broker.simulator.clouds`; without *data_planes* resources have the host names of that cloud
    and nothing behind them. *api_versions*, by resource type, are the only ones at which a lagging cloud serves
    these types. *models* is a folder of model files besides the shipped ones; of *unchecked* types, each with an
    api-version, any body is taken. *http* opens a second port without TLS,
    *proxy* one that leads the cloud's own names here.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    at_most_databases: int = 8
    durations: Mapping[str, float] | None = None
    template_folder: Path | None = None
    mysqld: Path | None = None
    redis_server: Path | None = None
    cloud: str = "public"
    api_versions: Mapping[str, str] | None = None
    models: Path | None = None
    unchecked: tuple[tuple[str, str], ...] = ()
    data_planes: bool = True
    http: bool = False
    http_port: int = 0
    proxy: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs; also the content of `simulator.json`."""

    endpoint: str
    ca_file: str
    token_file: str
    subscription_id: str
    tenant_id: str
    pid: int
    cloud: str = "public"
    client_id: str = ""
    client_secret_file: str = ""
    http_endpoint: str | None = None
    proxy: str | None = None

    @property
    def token(self) -> str:
        return Path(self.token_file).read_text(encoding="utf-8").strip()

    @property
    def client_secret(self) -> str:
        return Path(self.client_secret_file).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that accepts connections."""

    access: Access
    app: Simulator = field(repr=False)


async def serve(
    options: SimulatorOptions,
    databases: DatabaseServers | None = None,
    *,
    started: Callable[[Access], None] | None = None,
) -> None:
    """
    Run until SIGTERM or SIGINT, then stop the databases and remove `simulator.json`; *started* hears of the start.

    Raises:
        SimulatorCannotStart: A port is taken, a duration or a cloud is unknown, or database servers cannot run here.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(options, databases) as simulator:
        log.info("The Azure simulator accepts connections", **asdict(simulator.access))
        if started is not None:
            started(simulator.access)
        await ended.wait()


@contextlib.asynccontextmanager
async def running(
    options: SimulatorOptions, databases: DatabaseServers | None = None
) -> AsyncIterator[Running]:
    """
    Run in this event loop; *databases* stand behind all servers (default: real ones, as far as they are installed).

    Raises:
        SimulatorCannotStart: As in `serve`.
    """
    try:
        durations = Durations().changed(**(options.durations or {}))
        models = shipped().of_folder(options.models) if options.models else shipped()
        types = ResourceTypes(models, options.unchecked)
        lagging = Lagging(options.api_versions or {}, types)
    except (ValueError, ModelFileBroken) as error:
        raise SimulatorCannotStart(str(error)) from error
    cloud = _cloud(options)
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = CertificateAuthority()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(listening(options.host, options.port))
        plain = stack.enter_context(listening(options.host, options.http_port)) if options.http else None
        proxy = stack.enter_context(listening(options.host, 0)) if options.proxy else None
        servers = databases if databases is not None else _databases(options, authority, cloud)
        stack.push_async_callback(servers.close)
        mysql_servers = databases if databases is not None else _mysql_servers(options, authority, cloud)
        stack.push_async_callback(mysql_servers.close)
        _write_whole(options.folder / "ca.pem", authority.certificate_pem.decode())
        caches = _caches(options, authority)
        if caches is not None:
            stack.push_async_callback(caches.close)
        state = State(cloud=cloud, types=types)
        state.origin = f"https://{address(listener)}"
        if options.data_planes:
            state.storage_base = f"{state.origin}{PREFIX.rstrip('/')}"
        access = Access(
            endpoint=state.origin,
            ca_file=str(options.folder / "ca.pem"),
            token_file=str(options.folder / "token"),
            subscription_id=state.subscription,
            tenant_id=state.tenant,
            pid=os.getpid(),
            cloud=cloud.name,
            client_id=state.client_id,
            client_secret_file=str(options.folder / "client-secret"),
            http_endpoint=f"http://{address(plain)}" if plain else None,
            proxy=f"http://{address(proxy)}" if proxy else None,
        )
        sign_in = SignIn(
            state, token=_kept(Path(access.token_file)), client_secret=_kept(Path(access.client_secret_file))
        )
        app = Simulator(
            sign_in=sign_in,
            databases=servers,
            mysql_servers=mysql_servers,
            clock=Clock(options.speed),
            durations=durations,
            state=state,
            lagging=lagging,
            caches=caches,
        )
        stack.push_async_callback(app.close)
        names = [options.host, "127.0.0.1", "localhost", *(cloud.hosts if proxy else ())]
        tls = tls_context(authority, names, options.folder)
        await stack.enter_async_context(served(app, listener, tls))
        if plain is not None:
            await stack.enter_async_context(served(app, plain, None))
        if proxy is not None:
            host, port = listener.getsockname()[:2]
            await stack.enter_async_context(proxying(proxy, cloud.hosts, (host, port)))
        ready_file = options.folder / "simulator.json"
        _write_whole(ready_file, json.dumps(asdict(access), indent=2) + "\n")
        stack.callback(ready_file.unlink, missing_ok=True)
        yield Running(access, app)


def _cloud(options: SimulatorOptions) -> PlayedCloud:
    cloud = CLOUDS.get(options.cloud)
    if cloud is None:
        raise SimulatorCannotStart(f"there is no cloud '{options.cloud}'; known are {', '.join(CLOUDS)}")
    if options.proxy and not cloud.hosts:
        raise SimulatorCannotStart("a custom cloud has no names of its own to be reached by through a proxy")
    return cloud


def _databases(
    options: SimulatorOptions, authority: CertificateAuthority, cloud: PlayedCloud
) -> DatabaseServers:
    if not options.data_planes:
        return BareNames(cloud.suffixes["postgresqlServerEndpoint"])
    try:
        from broker.simulator.databases.servers import DatabaseServers as PostgresServers  # noqa: PLC0415  an extra
    except ImportError as error:
        raise SimulatorCannotStart(
            "the database servers of the simulator are not installed; install azure-service-broker[simulator], "
            "or do without data planes"
        ) from error

    return PostgresServers(
        options.folder / "databases",
        issue_certificate=_issuing(authority, by_rsa=False),
        at_most_running=options.at_most_databases,
        template_folder=options.template_folder,
    )


def _mysql_servers(
    options: SimulatorOptions, authority: CertificateAuthority, cloud: PlayedCloud
) -> DatabaseServers:
    if not options.data_planes:
        return BareNames(cloud.suffixes["mysqlServerEndpoint"])
    from broker.simulator.databases.mysql_process import NoMysqlServer, found_mysqld  # noqa: PLC0415  its driver
    from broker.simulator.databases.mysql_servers import AbsentMysqlServers, MysqlServers  # noqa: PLC0415  likewise

    try:
        program = found_mysqld(options.mysqld)
    except NoMysqlServer as error:
        raise SimulatorCannotStart(str(error)) from error
    if program is None:
        return AbsentMysqlServers()
    return MysqlServers(
        options.folder / "mysql",
        program=program,
        issue_certificate=_issuing(authority, by_rsa=True),  # older servers read no other keys
        at_most_running=options.at_most_databases,
        template_folder=options.template_folder,
    )


def _issuing(authority: CertificateAuthority, *, by_rsa: bool) -> Callable[[list[str]], tuple[bytes, bytes]]:
    def issue(names: list[str]) -> tuple[bytes, bytes]:
        issued = authority.issue(*names, by_rsa=by_rsa)
        return issued.certificate_pem, issued.key_pem

    return issue


def _caches(options: SimulatorOptions, authority: CertificateAuthority) -> Caches | None:
    if options.redis_server is None or not options.data_planes:
        return None
    from broker.simulator.databases.redis_servers import RedisServers  # noqa: PLC0415  as the other servers

    if not os.access(options.redis_server, os.X_OK):
        raise SimulatorCannotStart(f"{options.redis_server} is no program that can be run as a Redis server")
    return RedisServers(
        options.redis_server,
        issue_certificate=_issuing(authority, by_rsa=False),
        ca_file=(options.folder / "ca.pem").resolve(),
    )


def _kept(path: Path) -> str:
    """A secret in a file: kept from an earlier start in the same folder, else made."""
    if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
        return kept
    made = secrets.token_urlsafe(32)
    write_private(path, made.encode() + b"\n")
    return made


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
