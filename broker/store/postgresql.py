"""The production database: any number of processes share it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import URL, ExceptionContext, Select, event, func, literal_column, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from broker.store.columns import UtcTime
from broker.store.errors import CROWDED, FULL, LOCKED, READ_ONLY, SLOW

CONNECT_TIMEOUT_S = 5
_LIMITS_MS = {
    "statement_timeout": 15_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 60_000,
}
POOL_TIMEOUT_S = 5.0
READING_POOL_TIMEOUT_S = 2.0


class Server:
    """
    What the broker's PostgreSQL is reached with.

    `pgbouncer=true` in the URL's query (taken out before the driver sees it) says that a transaction pooler
    stands in between: no prepared statements then, limits set by each transaction instead of by the session,
    and no LISTEN through it.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.pooled = str(parsed.query.get("pgbouncer", "")).lower() in {"true", "1", "yes"}
        self.url: URL = parsed.difference_update_query(["pgbouncer"]).set(drivername="postgresql+psycopg")

    @property
    def conninfo(self) -> str:
        return make_conninfo(
            self.url.set(drivername="postgresql").render_as_string(hide_password=False),
            **self._parameters,
        )

    @property
    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "azure-service-broker",
        }
        if not self.pooled:
            settings = {"timezone": "UTC", **_LIMITS_MS}
            parameters["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return {name: value for name, value in parameters.items() if name not in self.url.query}

    @property
    def beginning(self) -> Select[Any]:
        """The first statement of each transaction; its first column is the time."""
        now = literal_column("clock_timestamp()", UtcTime())
        if not self.pooled:
            return select(now)
        # The pooler knows no session to set them for; without them a statement could wait for ever.
        return select(now, *(func.set_config(name, f"{limit}ms", True) for name, limit in _LIMITS_MS.items()))

    def engine(self, pool_size: int) -> AsyncEngine:
        """Return the engine of all transactions."""
        arguments = dict(self._parameters)
        if self.pooled:
            arguments["prepare_threshold"] = None
        engine = create_async_engine(
            self.url,
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            # The latest returned connection first: few stay busy, the rest idle.
            pool_use_lifo=True,
        )
        event.listen(engine.sync_engine, "handle_error", _leave_a_server_that_takes_no_writes)
        return engine

    def reading_pool(self, size: int) -> AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]:
        """Return a pool of bare connections in autocommit, for reads that must cost next to nothing."""
        return AsyncConnectionPool(
            self.conninfo,
            kwargs={"autocommit": True, "prepare_threshold": None if self.pooled else 0},
            min_size=1,
            max_size=size,
            timeout=READING_POOL_TIMEOUT_S,
            open=False,
            name="broker-reads",
        )


def _leave_a_server_that_takes_no_writes(context: ExceptionContext) -> None:
    # It may have become a standby: the next connection is to look for the one that has taken its place.
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def is_unavailable(fault: BaseException) -> bool:
    """Whether the server, and not the statement, is at fault: away, restarting, full, read-only, or too slow."""
    return isinstance(
        fault, psycopg.OperationalError | psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction
    )


def waited_for_a_lock(fault: BaseException | None) -> bool:
    """Whether a statement gave up waiting for what somebody else holds."""
    return isinstance(fault, psycopg.errors.LockNotAvailable)


def why_unavailable(fault: BaseException) -> str | None:
    """Return what is wrong with the server, if the fault tells."""
    match fault:
        case psycopg.errors.DiskFull():
            return FULL
        case psycopg.errors.ReadOnlySqlTransaction():
            return READ_ONLY
        case psycopg.errors.TooManyConnections():
            return CROWDED
        case psycopg.errors.LockNotAvailable():
            return LOCKED
        case psycopg.errors.QueryCanceled():
            return SLOW
    return None


def is_duplicate(fault: BaseException) -> bool:
    """Whether a unique constraint refused a row."""
    return isinstance(fault, psycopg.errors.UniqueViolation)
