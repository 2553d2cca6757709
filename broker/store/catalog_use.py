"""How living instances use the catalog, and which of their parameters a proposed one would refuse."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func, select

from broker.domain.catalog import Catalog
from broker.domain.catalog_use import CatalogUse, Violation
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.parameters import ParameterSchema
from broker.store import catalog_ids, instances
from broker.store.database import Transaction
from broker.store.tables import service_instances as table

_AT_ONCE = 200
_BETWEEN_BREATHS = 10
"""So many instances are tried before others get their turn in this process; one takes up to a millisecond."""
_ONLY_DELETED_FROM = (InstanceState.DELETING, InstanceState.DELETE_FAILED, InstanceState.CREATE_FAILED)
"""States in which parameters are read no more."""

Plan = tuple[str, str]


async def of_proposal(tx: Transaction, published: Catalog, proposed: Catalog) -> CatalogUse:
    """
    Return what *proposed* must heed when it follows *published*.

    Reads only, and opens the parameters only of instances whose plan has another schema than before; that takes up to a
    second for a thousand of them, while others have their turns. Values stay here: the answer counts and names.
    """
    used, offerings = await _instances(tx)
    opens_all, tx.opens_all = tx.opens_all, False
    try:
        violations, unread = await _violations(tx, published, proposed)
    finally:
        tx.opens_all = opens_all
    return CatalogUse(
        instances=used,
        offerings=offerings,
        children=await _children(tx),
        violations=violations,
        unread=unread,
        published=await catalog_ids.published(tx),
    )


async def _instances(tx: Transaction) -> tuple[dict[Plan, int], dict[str, int]]:
    columns = (table.c.service_offering_id, table.c.applied_plan_id, table.c.asked_plan_id)
    plans: Counter[Plan] = Counter()
    offerings: Counter[str] = Counter()
    for row in await tx.execute(select(*columns, func.count().label("number")).group_by(*columns)):
        offerings[row.service_offering_id] += row.number
        for plan in {row.applied_plan_id, row.asked_plan_id} - {None}:
            plans[row.service_offering_id, plan] += row.number
    return dict(plans), dict(offerings)


async def _children(tx: Transaction) -> dict[str, int]:
    parents = table.alias("parents")
    found = await tx.execute(
        select(parents.c.service_offering_id.label("offering"), func.count().label("number"))
        .select_from(table.join(parents, table.c.parent_key == parents.c.key))
        .group_by(parents.c.service_offering_id)
    )
    return {row.offering: row.number for row in found}


async def _violations(
    tx: Transaction, published: Catalog, proposed: Catalog
) -> tuple[tuple[Violation, ...], dict[Plan, int]]:
    # Comparing thousands of schemas takes a tenth of a second.
    schemas = await asyncio.to_thread(_changed_schemas, published, proposed)
    violations: Counter[tuple[str, str, str]] = Counter()
    unread: Counter[Plan] = Counter()
    ids = {offering for offering, _ in schemas}
    last: UUID | None = None
    while ids:
        batch = await instances.of_offerings(tx, ids, after=last, at_most=_AT_ONCE)
        for number, instance in enumerate(batch):
            if number % _BETWEEN_BREATHS == 0:
                await asyncio.sleep(0)
            if instance.state not in _ONLY_DELETED_FROM:
                faults, unopened = _tried(instance, schemas)
                violations.update(faults)
                unread.update(unopened)
        if len(batch) < _AT_ONCE:
            break
        last = batch[-1].key
    return tuple(sorted(Violation(*of, number) for of, number in violations.items())), dict(unread)


def _changed_schemas(
    published: Catalog, proposed: Catalog
) -> dict[Plan, tuple[ParameterSchema, ParameterSchema]]:
    """Return, of the plans whose schema changes, the one of before and the one that is proposed."""
    found = {}
    for offering in proposed.offerings:
        for plan in offering.plans:
            before = published.find(offering.id, plan.id)
            if before is not None and before.create_schema != plan.create_schema:
                found[offering.id, plan.id] = (before.create_parameters, plan.create_parameters)
    return found


def _tried(
    instance: ServiceInstance, schemas: Mapping[Plan, tuple[ParameterSchema, ParameterSchema]]
) -> tuple[set[tuple[str, str, str]], set[Plan]]:
    """
    Return which parameters the proposed schemas refuse that those of before took, and what could not be opened.

    What an older revision let in and the published one refuses already is no fault of the proposal.
    """
    faults: set[tuple[str, str, str]] = set()
    unopened: set[Plan] = set()
    for configuration in filter(None, (instance.applied, instance.asked)):
        plan = (instance.service_offering_id, configuration.service_plan_id)
        if plan not in schemas:
            continue
        if configuration.unopened:
            unopened.add(plan)
            continue
        before, proposed = schemas[plan]
        if refused := proposed.names_at_fault(configuration.parameters):
            refused -= before.names_at_fault(configuration.parameters)
            faults |= {(*plan, name) for name in refused}
    return faults, unopened
