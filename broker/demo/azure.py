"""The simulated Azure as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.demo.processes import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker.demo.workplace import Workplace

# It draws a CA and answers; a database server is made only when one is ordered.
_READY_WITHIN = timedelta(seconds=60)


@contextlib.asynccontextmanager
async def simulated_azure(
    workplace: Workplace,
    environment: Mapping[str, str],
    *,
    speed: float = 1.0,
    template: Path | None = None,
    http: bool = False,
    more: Sequence[str] = (),
) -> AsyncIterator[Child]:
    """
    Have a simulated Azure run in the work folder and stop it at the end; with *http* it answers without TLS too.
    *more* are further options of `osb simulate-azure`.

    One that is still running there, since the process that started it was killed, is used as it is and left alone.
    """
    child = Child(
        name="The simulated Azure",
        arguments=["simulate-azure", "--work", str(workplace.azure), "--speed", str(speed)],
        log=workplace.folder / "azure.log",
        ready_file=workplace.azure_ready_file,
        environment={name: value for name, value in environment.items() if not name.startswith("BROKER_")},
    )
    child.arguments += [*(["--http"] if http else []), *more]
    if template is not None:
        child.arguments += ["--template", str(template.resolve())]
    if _survived(workplace):
        yield child
        return
    await child.start(within=_READY_WITHIN)
    try:
        yield child
    finally:
        await child.stop()


def _survived(workplace: Workplace) -> bool:
    try:
        where = urlsplit(workplace.simulated_azure()["endpoint"])
        socket.create_connection((where.hostname or "", where.port or 443), timeout=2).close()
    except (OSError, ValueError, KeyError):
        return False
    return True


def end_survivors(workplace: Workplace) -> None:
    """
    Ask those processes to end that an earlier run in this folder left behind because it was killed.

    Only a process whose command line names this folder is touched: its id may belong to another one by now.
    """
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError, ValueError):
            words = command.read_bytes().decode(errors="replace").split("\0")
            if "broker" in words and any(word.startswith(f"{workplace.folder}{os.sep}") for word in words):
                os.kill(int(command.parent.name), signal.SIGTERM)
