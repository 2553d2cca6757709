"""What an operator can see of service instances."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import InstanceFilter, InstanceSummary
from broker.lifecycle.administration import plan_names
from broker.lifecycle.options import CatalogSource
from broker.store.administration import instances
from broker.store.database import Database


class InstanceAdministration:
    """Shows operators the service instances of all platforms."""

    def __init__(self, database: Database, catalog: CatalogSource) -> None:
        self._db = database
        self._catalog = catalog

    async def page(
        self, wanted: InstanceFilter, at: PageRequest, *, plan: str | None = None
    ) -> Page[InstanceSummary]:
        """
        Return a page of the living instances, the newest first; *plan* as `plan_names.meant` reads it.

        Raises:
            MalformedRequest: The plan or the cursor is unknown.
            StoreUnavailable: The database does not answer.
        """
        if plan is not None:
            wanted = replace(wanted, plans=plan_names.meant(self._catalog.current(), plan))
        async with self._db.transaction(read_only=True) as tx:
            found = await instances.page(tx, wanted, at)
        return found.of(self._named)

    def _named(self, instance: InstanceSummary) -> InstanceSummary:
        offering, plan = plan_names.named(
            self._catalog.current(), instance.service_offering_id, instance.service_plan_id
        )
        return replace(instance, offering=offering, plan=plan)
