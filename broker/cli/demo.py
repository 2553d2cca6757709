import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.demo.steps import STEPS

_STEPS = "\n\n".join(f"{step.name}: {step.title} Sabotage: {step.sabotage}" for step in STEPS)


def demo(
    *,
    work: Annotated[
        Path, typer.Option(help="Folder for data and logs; `demo` in it is emptied first.")
    ] = Path(".work"),
    sabotage: Annotated[
        str, typer.Option("--break", metavar="STEP", help="Sabotage one step, to see that the demo notices.")
    ] = "",
    speed: Annotated[float, typer.Option(min=1, help="How many times faster than Azure.")] = 60.0,
    template: Annotated[
        Path | None,
        typer.Option(help="Take the database servers' empty data folder from here and keep it here."),
    ] = None,
) -> None:
    """Order, use and delete a PostgreSQL database, and have others than the broker say that it is so."""
    from broker.demo.story import tell
    from broker.settings import process_environment

    if sabotage and sabotage not in {step.name for step in STEPS}:
        print(
            f"There is no step {sabotage!r}; there are {', '.join(s.name for s in STEPS)}.", file=sys.stderr
        )
        sys.exit(2)
    sys.exit(
        asyncio.run(
            tell(work / "demo", process_environment(), sabotaged=sabotage, speed=speed, template=template)
        )
    )


demo.__doc__ = f"{demo.__doc__}\n\nThe steps, and what `--break` does to each:\n\n{_STEPS}"


def run(
    *,
    work: Annotated[
        Path, typer.Option(help="Folder for data, secrets and logs; kept from one run to the next.")
    ] = Path(".work"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the broker; 0 takes a free one.")
    ] = 8080,
    speed: Annotated[float, typer.Option(min=1, help="How many times faster than Azure.")] = 20.0,
) -> None:
    """Start a broker and a simulated Azure, say how to talk to them, and stay until Ctrl-C."""
    from broker.demo.playground import stay
    from broker.settings import process_environment

    sys.exit(asyncio.run(stay(work / "run", process_environment(), port=port, speed=speed)))
