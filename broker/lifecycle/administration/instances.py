"""What an operator can see of service instances."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import InstanceDetails, InstanceFilter, InstanceSummary, OperationFilter
from broker.errors import Ambiguous, NotFound, shown
from broker.lifecycle.administration import plan_names
from broker.lifecycle.options import CatalogSource
from broker.store import instances as stored
from broker.store.administration import bindings, instances, operations, past
from broker.store.database import Database, Transaction

_LATEST = PageRequest(limit=10)
_BINDINGS = 100
_RESOURCES = 100


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

    async def show(self, instance_id: str, platform: str | None) -> InstanceDetails:
        """
        Return an instance with its bindings, resources and latest operations, without what is secret.

        Raises:
            NotFound, Ambiguous: There is no such living instance, or there are several.
        """
        async with self._db.transaction(read_only=True) as tx:
            tx.opens_all = False
            found = await one_named(tx, instance_id, platform)
            whole = await stored.by_key(tx, found.key)
            wanted = OperationFilter(platform=found.platform, instance_id=instance_id)
            details = InstanceDetails(
                self._named(found),
                context=whole.context.whole if whole else {},
                terms=whole.terms if whole else {},
                dashboard_url=whole.dashboard_url if whole else None,
                children=await instances.children_of(tx, found.key),
                bindings=await bindings.of_instance(tx, found.key, at_most=_BINDINGS),
                resources=await past.resources_of(tx, found.key, at_most=_RESOURCES),
                operations=(await operations.page(tx, wanted, _LATEST)).items,
            )
        made = whole.configuration if whole else None
        plan = plan_names.plan_of(self._catalog.current(), found.service_offering_id, found.service_plan_id)
        if made is not None and made.unopened is not None:
            return replace(details, missing_key=made.unopened)
        if made is None or plan is None:
            return details
        hidden = sorted(set(made.parameters) & set(plan.sensitive))
        visible = {name: value for name, value in made.parameters.items() if name not in plan.sensitive}
        return replace(details, parameters=visible, hidden=hidden)

    def _named(self, instance: InstanceSummary) -> InstanceSummary:
        offering, plan = plan_names.named(
            self._catalog.current(), instance.service_offering_id, instance.service_plan_id
        )
        return replace(instance, offering=offering, plan=plan)


async def one_named(tx: Transaction, instance_id: str, platform: str | None) -> InstanceSummary:
    """
    Return the living instance that an operator means.

    Raises:
        NotFound: There is none.
        Ambiguous: Several platforms have one of that id, and none is named.
    """
    found = await instances.named(tx, instance_id, platform)
    if not found:
        raise NotFound(
            f"There is no living service instance {shown(instance_id)}; the history may know what became of it."
        )
    if len(found) > 1:
        raise Ambiguous(f"Service instance {shown(instance_id)}", [one.platform for one in found])
    return found[0]
