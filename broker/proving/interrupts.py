"""Ctrl-C that ends one part of the work and lets the next one begin."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """
    While it is entered, SIGINT and SIGTERM cancel the part of the work that is being done, and nothing else.

    One that arrives between two parts ends the next one before it begins. *told* is called at each.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._part: asyncio.Task[Any] | None = None
        self._pending = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for caught in _CAUGHT:
            loop.add_signal_handler(caught, self._strike)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for caught in _CAUGHT:
            loop.remove_signal_handler(caught)

    async def through(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do a part of the work; return False if it was interrupted. Its exceptions rise."""
        self._part = asyncio.ensure_future(work)
        if self._pending:
            self._part.cancel()
        try:
            await self._part
        except asyncio.CancelledError:
            if not self._pending:
                raise
            return False
        finally:
            self._part, self._pending = None, False
        return True

    def _strike(self) -> None:
        self._pending = True
        self._told()
        if self._part is not None:
            self._part.cancel()


async def answered(request: Coroutine[Any, Any, Result]) -> Result:
    """
    Wait for the answer to a request, even when interrupted meanwhile; the interruption rises after it.

    A request that was given up may be carried out after the one that is to undo it.
    """
    sent = asyncio.ensure_future(request)
    try:
        return await asyncio.shield(sent)
    except asyncio.CancelledError:
        await asyncio.wait({sent})
        if not sent.cancelled():
            sent.exception()
        raise
