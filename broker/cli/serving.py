"""`osb serve` and `osb run-operations`: settings in, two listeners out, an orderly end on SIGTERM."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop

from broker.cli.failures import told_in_one_line
from broker.logs import configure_logs
from broker.settings import Settings, SettingsError, process_environment, read_settings

log = structlog.get_logger(__name__)

# Of an orderly stop: requests that wait for an operation may take longer than the first part and are cut off then;
# steps may go on until the second part is over, and what is left is for handing back and closing.
_FOR_REQUESTS = 0.5
_FOR_STEPS = 0.9


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to the process: two of them would take each other's handlers away."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.listener = listener
        self.is_listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    def dismiss(self) -> None:
        """Ask with each answer from now on for another connection, which leads to another process."""
        closing = (b"connection", b"close")
        self.config.encoded_headers = [*self.config.encoded_headers, closing]
        # uvicorn makes this list anew once a second only.
        self.server_state.default_headers = [*self.server_state.default_headers, closing]


def serve(*, runner: bool, simulate_azure: bool, work: Path, ready_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    with told_in_one_line():
        if simulate_azure:
            uvloop.run(_with_simulated_azure(runner=runner, work=work, ready_file=ready_file))
        else:
            uvloop.run(_serve(read_settings(), api=True, runner=runner, ready_file=ready_file))


def run_operations(*, ready_file: Path | None) -> None:
    """Carry out operations until SIGTERM or SIGINT."""
    with told_in_one_line():
        uvloop.run(_serve(read_settings(), api=False, runner=True, ready_file=ready_file))


async def _with_simulated_azure(*, runner: bool, work: Path, ready_file: Path | None) -> None:
    from broker.demo.azure import simulated_azure
    from broker.demo.witnesses import Azure
    from broker.demo.workplace import RESOURCE_GROUP, Workplace

    workplace = Workplace(work.resolve())
    async with simulated_azure(workplace, process_environment()):
        given = {
            name.removeprefix("BROKER_").lower(): value
            for name, value in workplace.azure_environment().items()
        }
        settings = read_settings(**given)
        if settings.azure_resource_group is None:
            settings = settings.model_copy(update={"azure_resource_group": RESOURCE_GROUP})
        async with Azure(workplace.simulated_azure()) as azure:
            await azure.put_group(str(settings.azure_resource_group), settings.azure_location)
        await _serve(settings, api=True, runner=runner, ready_file=ready_file)


async def _serve(settings: Settings, *, api: bool, runner: bool, ready_file: Path | None) -> None:
    from broker.app import running

    configure_logs(settings.log_level, settings.log_format)
    if api and not settings.platforms:
        raise SettingsError(["BROKER_PLATFORMS: is needed to serve: without it nobody can ask for anything"])
    listener = _listener(settings.host, settings.port, "BROKER_PORT") if api else None
    admin_listener = (
        _listener(settings.admin_host, settings.admin_port, "BROKER_ADMIN_PORT")
        if api and settings.admin_port is not None
        else None
    )
    health_listener = _listener(settings.health_host, settings.health_port, "BROKER_HEALTH_PORT")
    stopping, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        (at_once if stopping.is_set() else stopping).set()

    for caught in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(caught, told_to_stop)
    async with running(settings, with_runner=runner) as broker, asyncio.TaskGroup() as tasks:
        servers = [_Server(_uvicorn(broker.health, settings, tls=False), health_listener)]
        if listener is not None:
            servers.insert(0, _Server(_uvicorn(broker.api, settings, tls=True), listener))
        if admin_listener is not None and broker.admin is not None:
            servers.append(_Server(_uvicorn(broker.admin, settings, tls=True), admin_listener))
        serving = [tasks.create_task(server.serve(sockets=[server.listener])) for server in servers]
        for server in servers:
            await server.is_listening.wait()
        where = {
            "url": _url(listener, settings) if listener else None,
            "health_url": _url(health_listener, None),
            "admin_url": _admin_url(settings, admin_listener or listener),
            "pid": os.getpid(),
        }
        log.info("Ready.", **where)
        if ready_file is not None:
            _announce(ready_file, where)
        await stopping.wait()
        if listener is not None and settings.stop_after:
            log.info("Not ready any more; serving on.", for_seconds=settings.stop_after.total_seconds())
            broker.stopping.set()
            for server in servers:
                server.dismiss()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(at_once.wait(), settings.stop_after.total_seconds())
        log.info("Stopping.", within=settings.stop_within.total_seconds())
        steps_end_at = loop.time() + settings.stop_within.total_seconds() * _FOR_STEPS
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        if broker.runner is not None:
            broker.runner.stop(within=timedelta(seconds=steps_end_at - loop.time()))
    log.info("Stopped.")


def _uvicorn(app: Any, settings: Settings, *, tls: bool) -> uvicorn.Config:
    from broker.api.protocol import JsonHttpProtocol

    return uvicorn.Config(
        app,
        http=JsonHttpProtocol,
        loop="none",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.stop_within.total_seconds() * _FOR_REQUESTS)),
        ssl_certfile=settings.tls_certificate_file if tls else None,
        ssl_keyfile=settings.tls_key_file if tls else None,
    )


def _listener(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named does asyncio turn Nagle's delay off: 40 ms for each answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise SettingsError([f"{variable}: cannot listen on {host} port {port}: {fault.strerror}"]) from None
    listener.set_inheritable(False)
    return listener


def _url(listener: socket.socket, settings: Settings | None) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - names the wildcard, binds nothing
    scheme = "https" if settings and settings.tls_certificate_file else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _admin_url(settings: Settings, listener: socket.socket | None) -> str | None:
    return _url(listener, settings) if settings.operators and listener else None


def _announce(path: Path, where: dict[str, Any]) -> None:
    """Write the ready file in one go: whoever sees it can read it whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(where) + "\n", encoding="utf-8")
    draft.replace(path)
