"""Hands on to metrics and traces what the parts of a process tell, and counts what nobody tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from broker.domain.catalog import Catalog
from broker.domain.inventory import StrayKind
from broker.domain.operations import OperationStatus
from broker.errors import StoreUnavailable
from broker.lifecycle.options import CatalogSource
from broker.metrics import Metrics
from broker.store import bindings, inventories
from broker.store.database import Database
from broker.store.overview import overview
from broker.tracing import Untraced

_EVERY = timedelta(seconds=30)


class Told:
    """Hands on to metrics and traces what a runner tells, with the plan's name instead of its id."""

    def __init__(self, metrics: Metrics, catalog: CatalogSource, traces: Untraced) -> None:
        self._metrics = metrics
        self._catalog = catalog
        self.step = traces.step

    def operation_finished(self, kind: str, state: str, plan: str) -> None:
        self._metrics.operation_finished(kind, state, plan_name(self._catalog.current(), plan))

    def claimed_late(self, by: timedelta) -> None:
        self._metrics.claimed_late(by)

    def lease_lost(self) -> None:
        self._metrics.lease_lost()


def plan_name(catalog: Catalog, plan_id: str | None) -> str:
    """Name a plan for people; those that have left the catalog share one name, so that series stay few."""
    for offering in catalog.offerings:
        for plan in offering.plans:
            if plan.id == plan_id:
                return f"{offering.name}/{plan.name}"
    return "withdrawn"


async def counting(database: Database, catalog: CatalogSource, metrics: Metrics) -> None:
    """Count what is in progress and what the last look at Azure has found, every half minute, until cancelled."""
    while True:
        try:
            await _count(database, catalog.current(), metrics)
        except StoreUnavailable:
            metrics.database_asked(answers=False)
        else:
            metrics.database_asked(answers=True)
        await asyncio.sleep(_EVERY.total_seconds())


async def _count(database: Database, catalog: Catalog, metrics: Metrics) -> None:
    now = await overview(database)
    counts: dict[tuple[str, str], int] = {}
    for (kind, plan_id, status), number in now.operations.items():
        if status == OperationStatus.IN_PROGRESS.value:
            key = kind, plan_name(catalog, plan_id)
            counts[key] = counts.get(key, 0) + number
    metrics.operations_counted(counts, oldest=now.oldest, overdue=now.lag)
    async with database.transaction(read_only=True) as tx:
        found = await inventories.read(tx)
        metrics.keys_compared(stale=await bindings.count_stale(tx))
    kinds = Counter(stray.kind for stray in found.strays)
    metrics.stock_taken(missing=len(found.missing), strays={kind.value: kinds[kind] for kind in StrayKind})
