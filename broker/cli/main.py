"""
The `osb` command. Its parts import what they need when they run, so that `osb --help` answers at once.

Exit status: 0 done, 1 failed, 2 wrong usage or wrong settings; `cli/client.py` has those of the admin API's client.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli import (
    azure,
    binding,
    catalog,
    config,
    demo,
    instance,
    key,
    operation,
    past,
    preflight,
    resource,
    tenants,
)

app = typer.Typer(
    name="osb",
    help="An Open Service Broker for Azure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config.app, name="config")
app.add_typer(catalog.app, name="catalog")
app.add_typer(tenants.app, name="tenants")
app.add_typer(azure.app, name="azure")
app.add_typer(instance.app, name="instance")
app.add_typer(binding.app, name="binding")
app.add_typer(operation.app, name="operation")
app.add_typer(resource.app, name="resource")
app.add_typer(key.app, name="key")
app.add_typer(past.audit, name="audit")
app.add_typer(past.history, name="history")
app.command("preflight")(preflight.preflight)
app.command("demo")(demo.demo)
app.command("run")(demo.run)


@app.command()
def serve(
    *,
    runner: Annotated[bool, typer.Option(help="Carry out operations in this process too.")] = True,
    simulate_azure: Annotated[
        bool, typer.Option("--simulate-azure", help="Start a simulated Azure in the work folder and use it.")
    ] = False,
    work: Annotated[Path, typer.Option(help="Folder of the simulated Azure.")] = Path(".work"),
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, as JSON, once requests are answered.")
    ] = None,
) -> None:
    """Serve the Open Service Broker API, and health and metrics on a second port."""
    from broker.cli import serving

    serving.serve(runner=runner, simulate_azure=simulate_azure, work=work, ready_file=ready_file)


@app.command("run-operations")
def run_operations(
    *,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, as JSON, once operations are taken.")
    ] = None,
) -> None:
    """Carry out operations without serving the API; health and metrics have their port all the same."""
    from broker.cli import serving

    serving.run_operations(ready_file=ready_file)


@app.command()
def remaining() -> None:
    """
    Tell what this broker still answers for, straight from its database; status 1 while service instances live.

    Look before you remove a broker: what it made goes on in Azure without it.
    """
    from broker.cli.remaining import remaining as tell

    tell()


@app.command("simulate-azure")
def simulate_azure(
    *,
    work: Annotated[Path, typer.Option(help="Folder for its certificates, token and databases.")] = Path(
        ".work/azure"
    ),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the management API; 0 takes a free one.")
    ] = 0,
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than Azure.")] = 1.0,
    at_most_databases: Annotated[int, typer.Option(min=1, help="Database servers running at once.")] = 8,
    template: Annotated[
        Path | None, typer.Option(help="Folder for the data folder that servers are copied from.")
    ] = None,
    mysqld: Annotated[
        Path | None,
        typer.Option(
            envvar="OSB_MYSQLD",
            help="Program of a MySQL server, 8.0 or later; left out, the system's mysqld, if there is one.",
        ),
    ] = None,
    redis_server: Annotated[
        Path | None,
        typer.Option(
            help="The program redis-server, to stand behind each cache; without, caches cannot be reached."
        ),
    ] = None,
    cloud: Annotated[
        str, typer.Option(help="Which Azure to play: public, china, usgov or custom.")
    ] = "public",
    api_version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=VERSION",
            help="Serve a resource type at this api-version only, as a cloud that lags.",
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of model files, for more types than the shipped ones.")
    ] = None,
    unchecked: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=VERSION", help="Take any body for this type, of which there is no model."),
    ] = None,
    data_planes: Annotated[
        bool,
        typer.Option(
            help="Real database servers and blobs; without, host names as in the cloud and no more."
        ),
    ] = True,
    http: Annotated[
        bool, typer.Option("--http", help="Also answer without TLS, for tools that cannot be given a CA.")
    ] = False,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of that; 0 takes a free one.")] = 0,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy",
            help="Also run a forward proxy that leads the cloud's own names (management.azure.com) here.",
        ),
    ] = False,
) -> None:
    """
    Run a simulated Azure Resource Manager with real database servers, on loopback only.

    Once it answers, simulator.json in the work folder tells all that a client needs: endpoint, CA file, token file,
    subscription, tenant, client id and the file of its secret. A page to look at and to arm faults with is at the
    endpoint itself. Everything is in memory and gone at the end (SIGTERM or Ctrl-C).
    """
    from broker.cli import simulating

    versions = dict(_versions("--api-version", api_version or []))
    simulating.simulate(
        folder=work,
        port=port,
        speed=speed,
        at_most_databases=at_most_databases,
        template=template,
        mysqld=mysqld,
        redis_server=redis_server,
        cloud=cloud,
        api_versions=versions,
        models=models,
        unchecked=_versions("--unchecked", unchecked or []),
        data_planes=data_planes,
        http=http,
        http_port=http_port,
        proxy=proxy,
    )


def _versions(option: str, pairs: list[str]) -> list[tuple[str, str]]:
    versions = []
    for pair in pairs:
        kind, _, version = pair.partition("=")
        if not version:
            raise typer.BadParameter(f"{option} {kind}: write TYPE=VERSION")
        versions.append((kind, version))
    return versions


@app.command()
def migrate() -> None:
    """Bring the database's tables to this release; does nothing if they are there already."""
    from broker.cli import migrating

    migrating.migrate()


def main() -> None:
    """Run the command line."""
    from broker.settings import SettingsError

    try:
        app()
    except SettingsError as wrong:
        for fault in wrong.faults:
            print(fault, file=sys.stderr)
        sys.exit(2)
