from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.simulator.server import Access


def simulate(
    *,
    folder: Path,
    port: int,
    speed: float,
    at_most_databases: int,
    template: Path | None,
    mysqld: Path | None,
    redis_server: Path | None,
    cloud: str,
    api_versions: dict[str, str],
    models: Path | None,
    unchecked: list[tuple[str, str]],
    data_planes: bool,
    http: bool,
    http_port: int,
    proxy: bool,
) -> None:
    """Run the simulated Azure until SIGTERM or SIGINT."""
    from broker.logs import configure_logs
    from broker.simulator.server import SimulatorCannotStart, SimulatorOptions, serve

    configure_logs("info", "json")
    options = SimulatorOptions(
        folder=folder.resolve(),
        port=port,
        speed=speed,
        at_most_databases=at_most_databases,
        template_folder=template.resolve() if template else None,
        mysqld=mysqld,
        redis_server=redis_server,
        cloud=cloud,
        api_versions=api_versions,
        models=models,
        unchecked=tuple(unchecked),
        data_planes=data_planes,
        http=http,
        http_port=http_port,
        proxy=proxy,
    )
    try:
        asyncio.run(serve(options, started=_show_page))
    except SimulatorCannotStart as reason:
        print(reason, file=sys.stderr)
        sys.exit(1)


def _show_page(access: Access) -> None:
    """Show a person at a terminal the way to the page; in a file the token would be where it does not belong."""
    if sys.stdout.isatty():
        print(
            f"Page: {access.http_endpoint or access.endpoint}/_simulator/page#token={access.token}",
            flush=True,
        )
