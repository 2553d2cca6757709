"""Wake-ups: for runners that wait for work, for requests that await an operation's end, and for a newer catalog."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.store.plain_query import PlainQuery

if TYPE_CHECKING:
    from broker.store.database import Database, Transaction

log = structlog.get_logger(__name__)

CHANNEL = "azure_service_broker"
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', :payload)")
_ENDED = PlainQuery("SELECT finished_at IS NOT NULL FROM operations WHERE id = %s")
_WORK = "work"
_CATALOG = "catalog"
_RECONNECT_AFTER_S = 0.5
_RECONNECT_AFTER_AT_MOST_S = 10.0


class Wakeups:
    """
    PostgreSQL: LISTEN on a connection of its own, NOTIFY inside the transaction. SQLite: events in the process.
    Behind a transaction pooler without a way past it there are no notifications between processes.

    Losing any of them costs latency only: both waits look at the database themselves from time to time.
    """

    def __init__(self, *, conninfo: str | None = None) -> None:
        self.count = 0
        """Rises with every wake-up; read it before looking at the queue, so that none is missed."""
        self.catalogs = 0
        """Likewise rises with every publication that is announced."""
        self._conninfo = conninfo
        self._database: Database | None = None
        self._waiting: set[asyncio.Event] = set()
        self._waiting_for_catalogs: set[asyncio.Event] = set()
        self._awaited: dict[UUID, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()

    async def start(self, database: Database) -> None:
        self._database = database
        if self._conninfo is not None:
            self._listener = asyncio.create_task(self._listen(self._conninfo), name="wake-ups")
        elif database.kind == "postgresql":
            log.warning(
                "No wake-ups through a transaction pooler: this process looks for work once a second. "
                "BROKER_LISTEN_DATABASE_URL, which leads past the pooler, spares that.",
            )

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    @property
    def fallback(self) -> timedelta:
        """How long a runner sleeps at most; spread, so that replicas do not all look at once."""
        if self._conninfo is None:
            return timedelta(seconds=random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
        return timedelta(seconds=random.uniform(2.5, 5))  # noqa: S311 - spreads load, guards nothing

    async def work(self, timeout: timedelta, *, after: int) -> None:  # noqa: ASYNC109 - being late is no error
        """Return when `count` is past *after*, or when *timeout* is over."""
        if self.count == after:
            await _told(self._waiting, timeout)

    async def catalog(self, timeout: timedelta, *, after: int) -> None:  # noqa: ASYNC109 - being late is no error
        """Return when `catalogs` is past *after*, or when *timeout* is over."""
        if self.catalogs == after:
            await _told(self._waiting_for_catalogs, timeout)

    def wake(self) -> None:
        """Wake the runners of this process."""
        self.count += 1
        for event in self._waiting:
            event.set()

    def _catalog_published(self) -> None:
        self.catalogs += 1
        for event in self._waiting_for_catalogs:
            event.set()

    @contextmanager
    def finished(self, operation_id: UUID) -> Iterator[Awaited]:
        """
        Watch for the end of an operation; enter before its acceptance is committed, so that nothing is missed.

        No database connection is held while `wait` waits.
        """
        event = asyncio.Event()
        self._awaited.setdefault(operation_id, set()).add(event)
        try:
            yield Awaited(self, operation_id, event)
        finally:
            watchers = self._awaited[operation_id]
            watchers.discard(event)
            if not watchers:
                del self._awaited[operation_id]

    async def announce(self, transaction: Transaction) -> None:
        """Put the notifications into the transaction: they go out with its commit, or not at all."""
        if self._database is None or self._database.kind == "sqlite":
            return
        if transaction.wakes:
            await transaction.connection.execute(_NOTIFY, {"payload": _WORK})
        if transaction.catalog_published:
            await transaction.connection.execute(_NOTIFY, {"payload": _CATALOG})
        for operation_id in transaction.ended:
            await transaction.connection.execute(_NOTIFY, {"payload": str(operation_id)})

    def committed(self, transaction: Transaction) -> None:
        """Tell this process at once, without the way through the server."""
        for operation_id in transaction.ended:
            self._tell(operation_id)
        if transaction.wakes:
            self.wake()
        if transaction.catalog_published:
            self._catalog_published()

    async def watch(self) -> None:
        """
        Stay for as long as the listener lives; a fault that ends it rises here.

        Whoever supervises the process awaits this: a dead listener behind a healthy API is not to last.
        """
        if self._listener is not None:
            await asyncio.shield(self._listener)
        else:
            await asyncio.Event().wait()

    def _tell(self, operation_id: UUID) -> None:
        for event in self._awaited.get(operation_id, ()):
            event.set()

    async def _listen(self, conninfo: str) -> None:
        pause = _RECONNECT_AFTER_S
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self.listening.set()
                    pause = _RECONNECT_AFTER_S
                    # What was notified while nobody listened is lost: look once.
                    self.wake()
                    for events in self._awaited.values():
                        for event in events:
                            event.set()
                    async for notice in connection.notifies():
                        self._received(notice.payload)
            except psycopg.Error as fault:
                self.listening.clear()
                log.warning(
                    "The connection for wake-ups was lost; it is made again.",
                    fault=type(fault).__name__,
                    reason=str(fault),
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RECONNECT_AFTER_AT_MOST_S)

    def _received(self, payload: str) -> None:
        if payload == _WORK:
            self.wake()
            return
        if payload == _CATALOG:
            self._catalog_published()
            return
        with contextlib.suppress(ValueError):  # somebody else's use of the channel
            self._tell(UUID(payload))

    async def _has_ended(self, operation_id: UUID) -> bool:
        if self._database is None:
            return False
        try:
            row = await self._database.fetch_one(_ENDED, operation_id)
        except StoreUnavailable:
            return False
        return row is not None and bool(row[0])


async def _told(
    waiting: set[asyncio.Event],
    timeout: timedelta,  # noqa: ASYNC109 - being late is no error
) -> None:
    event = asyncio.Event()
    waiting.add(event)
    try:
        async with asyncio.timeout(max(0.0, timeout.total_seconds())):
            await event.wait()
    except TimeoutError:
        pass
    finally:
        waiting.discard(event)


class Awaited:
    """An operation whose end somebody awaits."""

    LOOK_EVERY = timedelta(milliseconds=250)

    def __init__(self, wakeups: Wakeups, operation_id: UUID, event: asyncio.Event) -> None:
        self._wakeups = wakeups
        self._operation_id = operation_id
        self._event = event

    async def told(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - being late is no error
        """Return when anything is announced of the operation, or when *timeout* is over; look for yourself then."""
        try:
            async with asyncio.timeout(min(timeout, self.LOOK_EVERY).total_seconds()):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()

    async def wait(self, timeout: timedelta) -> bool:  # noqa: ASYNC109 - being late is an answer
        """Wait at most *timeout*; true when the operation has ended."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout.total_seconds()
        while True:
            left = end - loop.time()
            if left <= 0:
                return await self._wakeups._has_ended(self._operation_id)  # noqa: SLF001 - two halves of one thing
            try:
                async with asyncio.timeout(min(left, self.LOOK_EVERY.total_seconds())):
                    await self._event.wait()
            except TimeoutError:
                pass
            self._event.clear()
            # Told or not, the database says whether it is so.
            if await self._wakeups._has_ended(self._operation_id):  # noqa: SLF001 - likewise
                return True
