"""Service instances as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, update

from broker.domain.instances import Configuration, Context, InstanceState, ServiceInstance
from broker.store import bindings, history
from broker.store.database import Transaction
from broker.store.errors import SealBroken
from broker.store.sealing import KeyRing
from broker.store.tables import external_resources
from broker.store.tables import service_instances as table

# Any number that all releases share.
_ADOPTING = 2_017_021_702


async def get(tx: Transaction, platform: str, instance_id: str) -> ServiceInstance | None:
    """Return the living instance of that platform."""
    return await _one(tx, table.c.platform == platform, table.c.instance_id == instance_id)


async def locked(tx: Transaction, platform: str, instance_id: str) -> ServiceInstance | None:
    """Return the living instance and keep others from changing it until the transaction ends."""
    return await _one(tx, table.c.platform == platform, table.c.instance_id == instance_id, lock=True)


async def by_key(tx: Transaction, key: UUID) -> ServiceInstance | None:
    return await _one(tx, table.c.key == key)


async def locked_by_key(tx: Transaction, key: UUID) -> ServiceInstance | None:
    return await _one(tx, table.c.key == key, lock=True)


async def by_keys(tx: Transaction, keys: Iterable[UUID]) -> dict[UUID, ServiceInstance]:
    """Return those of the instances that live."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await tx.execute(select(table).where(table.c.key.in_(wanted)))
    return {row.key: _instance(row, tx) for row in rows}


async def by_alias(tx: Transaction, platform: str, scope: str, alias: str) -> ServiceInstance | None:
    """Return the instance that bears the alias in that scope of the platform."""
    return await _one(tx, table.c.platform == platform, table.c.scope == scope, table.c.alias == alias)


async def has_resource(tx: Transaction, resource_id: str) -> bool:
    """
    Tell whether a living instance has adopted the resource, or made it; *resource_id* is in lower case.

    Nobody else adopts anything until the transaction ends. SQLite has one writing transaction at a time anyway.
    """
    if tx.database.kind == "postgresql":
        await tx.execute(select(func.pg_advisory_xact_lock(_ADOPTING)))
    adopted = select(table.c.key).where(table.c.adopts == resource_id)
    made = (
        select(external_resources.c.number)
        .join(table, table.c.key == external_resources.c.instance_key)
        .where(
            func.lower(external_resources.c.resource_id) == resource_id,
            external_resources.c.gone_at.is_(None),
            external_resources.c.made_by_us,
        )
    )
    found = await tx.execute(select(adopted.exists() | made.exists()))
    return bool(found.scalar())


async def children(tx: Transaction, key: UUID) -> list[ServiceInstance]:
    """Return the instances whose parent this one is, oldest first."""
    rows = await tx.execute(select(table).where(table.c.parent_key == key).order_by(table.c.created_at))
    return [_instance(row, tx) for row in rows]


async def of_offerings(
    tx: Transaction, offerings: Iterable[str], *, after: UUID | None = None, at_most: int
) -> list[ServiceInstance]:
    """Return the next living instances of these offerings, in the order of their keys."""
    wanted = select(table).where(table.c.service_offering_id.in_(list(offerings)))
    if after is not None:
        wanted = wanted.where(table.c.key > after)
    rows = await tx.execute(wanted.order_by(table.c.key).limit(at_most))
    return [_instance(row, tx) for row in rows]


async def add(tx: Transaction, instance: ServiceInstance) -> None:
    """
    Add a new instance.

    Raises:
        Duplicate: Its id, or its alias in this scope, is taken; decide again in a new transaction.
    """
    await tx.execute(table.insert(), _columns(instance, tx.sealing))


async def save(tx: Transaction, instance: ServiceInstance) -> None:
    """
    Write all of an instance that is locked in this transaction.

    Raises:
        Duplicate: Its alias is taken.
    """
    columns = _columns(instance, tx.sealing)
    del columns["key"], columns["created_at"], columns["terms"]
    for name, configuration in (("applied", instance.applied), ("asked", instance.asked)):
        if configuration is not None and configuration.unopened:
            # It may be opened again one day.
            del columns[f"{name}_sealed"]
    await tx.execute(update(table).where(table.c.key == instance.key).values(columns))


async def save_terms(tx: Transaction, instance: ServiceInstance) -> None:
    """Write what tenant rules gave; `save` leaves it as it is."""
    await tx.execute(
        update(table).where(table.c.key == instance.key).values(terms=dict(instance.terms) or None)
    )


async def remove(tx: Transaction, instance: ServiceInstance, *, reason: str) -> None:
    """
    Move an instance, with what is left of its bindings, to the history.

    Rows of external resources that still live stay, so that what an operator abandons is not forgotten.
    """
    for binding in await bindings.of_instance(tx, instance.key):
        await bindings.remove(tx, binding, instance, reason=reason)
    await tx.execute(
        delete(external_resources).where(
            external_resources.c.instance_key == instance.key,
            external_resources.c.gone_at.is_not(None) | ~external_resources.c.made_by_us,
        )
    )
    await history.add_instance(tx, instance, reason)
    await tx.execute(delete(table).where(table.c.key == instance.key))


async def forget(tx: Transaction, instance: ServiceInstance) -> None:
    """Delete an instance for which nothing was made; its operation alone tells that it was ordered."""
    await tx.execute(delete(table).where(table.c.key == instance.key))


async def next_generation(tx: Transaction, platform: str, instance_id: str) -> int:
    """Return the generation for a new instance under this id: 0, or one more than any before it ever had."""
    last = await history.last_generation(tx, platform, instance_id)
    return 0 if last is None else last + 1


async def _one(tx: Transaction, *conditions: Any, lock: bool = False) -> ServiceInstance | None:
    query = select(table).where(*conditions)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _instance(row, tx)


def _columns(instance: ServiceInstance, sealing: KeyRing) -> dict[str, Any]:
    context = instance.context
    return {
        "key": instance.key,
        "platform": instance.platform,
        "instance_id": instance.instance_id,
        "generation": instance.generation,
        "state": instance.state.value,
        "service_offering_id": instance.service_offering_id,
        "provisioner": instance.provisioner,
        "applied_plan_id": instance.applied.service_plan_id if instance.applied else None,
        "applied_sealed": _sealed(instance.applied, sealing, _place("applied", instance.key)),
        "asked_plan_id": instance.asked.service_plan_id if instance.asked else None,
        "asked_sealed": _sealed(instance.asked, sealing, _place("asked", instance.key)),
        "platform_kind": context.platform_kind,
        "cluster": context.cluster,
        "namespace": context.namespace,
        "organization": context.organization,
        "space": context.space,
        "instance_name": context.instance_name,
        "context": dict(context.whole),
        "scope": instance.scope,
        "alias": instance.alias,
        "parent_key": instance.parent_key,
        "subscription": instance.subscription,
        "region": instance.region,
        "resource_group": instance.resource_group,
        "record": dict(instance.record),
        "dashboard_url": instance.dashboard_url,
        "catalog_revision": instance.catalog_revision,
        "created_at": instance.created_at,
        "terms": dict(instance.terms) or None,
        "adopts": instance.adopts,
    }


def _instance(row: Row[Any], tx: Transaction) -> ServiceInstance:
    return ServiceInstance(
        key=row.key,
        platform=row.platform,
        instance_id=row.instance_id,
        generation=row.generation,
        state=InstanceState(row.state),
        service_offering_id=row.service_offering_id,
        created_at=row.created_at,
        provisioner=row.provisioner,
        applied=_unsealed(tx, row.applied_sealed, row.applied_plan_id, _place("applied", row.key)),
        asked=_unsealed(tx, row.asked_sealed, row.asked_plan_id, _place("asked", row.key)),
        context=Context(
            platform_kind=row.platform_kind,
            cluster=row.cluster,
            namespace=row.namespace,
            organization=row.organization,
            space=row.space,
            instance_name=row.instance_name,
            whole=row.context,
        ),
        scope=row.scope,
        alias=row.alias,
        parent_key=row.parent_key,
        subscription=row.subscription,
        region=row.region,
        resource_group=row.resource_group,
        record=row.record,
        dashboard_url=row.dashboard_url,
        catalog_revision=row.catalog_revision,
        terms=row.terms or {},
        adopts=row.adopts,
        missing_since=row.missing_since,
    )


def _place(column: str, key: UUID) -> str:
    return f"service_instances.{column}_sealed:{key.hex}"


def _sealed(configuration: Configuration | None, sealing: KeyRing, place: str) -> bytes | None:
    if configuration is None:
        return None
    document: Sequence[Any] = (
        configuration.service_plan_id,
        dict(configuration.parameters),
        dict(configuration.secrets),
        configuration.maintenance_version,
    )
    return sealing.seal(json.dumps(document, separators=(",", ":")).encode(), place=place)


def _unsealed(tx: Transaction, sealed: bytes | None, plan_id: str | None, place: str) -> Configuration | None:
    if sealed is None:
        return None
    try:
        plan, parameters, secrets, version = json.loads(tx.sealing.unseal(sealed, place=place))
    except SealBroken as fault:
        if tx.opens_all:
            raise
        return Configuration(plan_id or "", unopened=fault.key)
    return Configuration(plan, parameters, secrets, version)
