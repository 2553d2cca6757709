"""All that a broker's store holds, read past the broker: as rows, and as bytes."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, literal_column, make_url, select

from broker.domain.instances import ServiceInstance
from broker.store import instances, tables
from broker.store.columns import UtcTime
from broker.store.database import Database, is_sqlite
from broker.store.sealing import KeyRing

Record = dict[str, Any]

_NOW = {
    "postgresql": literal_column("clock_timestamp()", UtcTime()),
    "sqlite": literal_column("strftime('%Y-%m-%d %H:%M:%f000', 'now')", UtcTime()),
}


@dataclass(frozen=True)
class Stored:
    """The tables at one moment, `now` by the database's clock."""

    now: datetime
    instances: list[Record] = field(default_factory=list)
    bindings: list[Record] = field(default_factory=list)
    operations: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    resources: list[Record] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)

    def events_of(self, operation: UUID) -> list[Record]:
        """What is noted of an operation, the oldest first."""
        return [event for event in self.events if event["operation_id"] == operation]

    def running(self) -> list[Record]:
        return [operation for operation in self.operations if operation["status"] == "in progress"]


class Reader:
    """Looks at a store again and again."""

    def __init__(self, url: str) -> None:
        if is_sqlite(url):
            self._engine = create_engine(f"sqlite:///file:{make_url(url).database}?mode=ro&uri=true")
        else:
            self._engine = create_engine(
                make_url(url).set(drivername="postgresql+psycopg"), isolation_level="REPEATABLE READ"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def read(self, *, now: datetime | None = None) -> Stored:
        """Read it in one transaction; *now* is for a clock that only the broker's own connections see."""
        with self._engine.connect() as connection:
            measured = connection.execute(select(_NOW[connection.dialect.name])).scalar_one()

            def rows(table: Any) -> list[Record]:
                found = connection.execute(select(table).order_by(*table.primary_key.columns))
                return [dict(row) for row in found.mappings()]

            return Stored(
                now or measured,
                rows(tables.service_instances),
                rows(tables.service_bindings),
                rows(tables.operations),
                rows(tables.operation_events),
                rows(tables.external_resources),
                rows(tables.history),
            )


def stored(url: str) -> Stored:
    """Read it once."""
    with Reader(url) as reader:
        return reader.read()


def unsealed(url: str, keys: KeyRing) -> dict[UUID, ServiceInstance]:
    """The service instances by key, with what is sealed in their rows; no broker may have a SQLite file then."""

    async def read() -> dict[UUID, ServiceInstance]:
        database = await Database.open(url, sealing=keys)
        try:
            async with database.transaction(read_only=True) as tx:
                every = (await tx.execute(select(tables.service_instances.c.key))).scalars()
                return dict(await instances.by_keys(tx, set(every)))
        finally:
            await database.close()

    return asyncio.run(read())


def dump(url: str) -> bytes:
    """Everything in the store: the files themselves, or all tables as text."""
    if is_sqlite(url):
        file = Path(make_url(url).database or "")
        return b"".join(path.read_bytes() for path in sorted(file.parent.glob(f"{file.name}*")))
    lines: list[str] = []
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
            lines += [row for (row,) in connection.execute(query)]
    return "\n".join(lines).encode()
