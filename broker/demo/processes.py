"""Processes that are started, killed and started again, each with a log file of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LOOK_EVERY = timedelta(milliseconds=20)


class ProcessFailed(Exception):
    """A process ended, or did not become ready in time; the message ends with the last lines of its log."""


@dataclass
class Child:
    """
    One `osb` command as a process of its own.

    It leads its own process group, so that a Ctrl-C at the terminal reaches only the parent, which then stops its
    children in order.
    """

    name: str
    arguments: list[str]
    log: Path
    ready_file: Path
    environment: Mapping[str, str]
    started: Callable[[Child], None] | None = field(default=None, repr=False)
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    async def start(self, *, within: timedelta) -> dict[str, Any]:
        """
        Start the process and return what it wrote into its ready file.

        Raises:
            ProcessFailed: It ended or was not ready in time; it is not left running.
        """
        self.ready_file.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "broker",
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(within.total_seconds()):
                while not self.ready_file.exists():
                    if self._process.returncode is not None:
                        status = f"{self.name} ended with {self._process.returncode} before it was ready."
                        raise ProcessFailed(status + self._last_lines())
                    await asyncio.sleep(_LOOK_EVERY.total_seconds())
        except TimeoutError:
            await self.kill()
            raise ProcessFailed(
                f"{self.name} was not ready within {within.total_seconds():.0f} s.{self._last_lines()}"
            ) from None
        except BaseException:
            await self.kill()
            raise
        read: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return read

    async def kill(self) -> None:
        """End it with SIGKILL: it gets no chance to tidy up. Nothing happens if it has ended already."""
        await self._end(signal.SIGKILL, None)

    async def stop(self, *, within: timedelta = timedelta(seconds=30)) -> int | None:
        """Ask it to end with SIGTERM, with SIGKILL once the time is over; return its exit status."""
        await self._end(signal.SIGTERM, within)
        return self._process.returncode if self._process else None

    async def _end(self, how: signal.Signals, within: timedelta | None) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(within.total_seconds() if within else None):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _last_lines(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            return f"\nThe end of {self.log}:\n  " + "\n  ".join(lines)
        return ""
