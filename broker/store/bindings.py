"""Service bindings as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, tuple_, update

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.store import history
from broker.store.database import Transaction
from broker.store.errors import SealBroken
from broker.store.sealing import KeyRing
from broker.store.tables import external_resources
from broker.store.tables import service_bindings as table


async def get(tx: Transaction, instance_key: UUID, binding_id: str) -> ServiceBinding | None:
    """Return the living binding of that instance."""
    return await _one(tx, table.c.instance_key == instance_key, table.c.binding_id == binding_id)


async def locked(tx: Transaction, instance_key: UUID, binding_id: str) -> ServiceBinding | None:
    """Return the living binding and keep others from changing it; lock its instance first."""
    return await _one(tx, table.c.instance_key == instance_key, table.c.binding_id == binding_id, lock=True)


async def locked_by_key(tx: Transaction, key: UUID) -> ServiceBinding | None:
    return await _one(tx, table.c.key == key, lock=True)


async def by_keys(tx: Transaction, keys: Iterable[UUID]) -> dict[UUID, ServiceBinding]:
    """Return those of the bindings that live."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await tx.execute(select(table).where(table.c.key.in_(wanted)))
    return {row.key: _binding(row, tx) for row in rows}


async def of_instance(tx: Transaction, instance_key: UUID) -> list[ServiceBinding]:
    """Return the living bindings of the instance, in whatever state, oldest first."""
    rows = await tx.execute(
        select(table)
        .where(table.c.instance_key == instance_key)
        .order_by(table.c.created_at, table.c.binding_id)
    )
    return [_binding(row, tx) for row in rows]


async def with_keys(
    tx: Transaction, *, after: tuple[UUID, UUID] | None, at_most: int
) -> list[ServiceBinding]:
    """Return complete bindings that hold keys of Azure's, instance by instance, those behind *after* (both keys)."""
    place = tuple_(table.c.instance_key, table.c.key)
    query = select(table).where(
        table.c.state == BindingState.BOUND.value, table.c.keys_checked_at.is_not(None)
    )
    if after is not None:
        query = query.where(place > tuple_(*after))
    rows = await tx.execute(query.order_by(table.c.instance_key, table.c.key).limit(at_most))
    return [_binding(row, tx) for row in rows]


async def mark_keys(tx: Transaction, binding: ServiceBinding, *, is_stale: bool) -> bool:
    """
    Write down how the keys of *binding* compare; false if they were read by somebody else since it was read.

    Then what was compared is not what there is now.
    """
    marked = await tx.execute(
        update(table)
        .where(
            table.c.key == binding.key,
            table.c.state == BindingState.BOUND.value,
            table.c.keys_checked_at == binding.keys_checked_at,
        )
        .values(keys_checked_at=tx.now, stale_since=(binding.stale_since or tx.now) if is_stale else None)
    )
    return marked.rowcount == 1


async def count_stale(tx: Transaction) -> int:
    """Return of how many complete bindings the keys are known to be others in Azure."""
    found = await tx.execute(
        select(func.count())
        .select_from(table)
        .where(table.c.stale_since.is_not(None), table.c.state == BindingState.BOUND.value)
    )
    return int(found.scalar_one())


async def add(tx: Transaction, binding: ServiceBinding) -> None:
    """
    Add a new binding.

    Raises:
        Duplicate: Its id is taken on this instance; decide again in a new transaction.
    """
    await tx.execute(table.insert(), _columns(binding, tx.sealing))


async def save(tx: Transaction, binding: ServiceBinding) -> None:
    """Write all of a binding that is locked in this transaction."""
    columns = _columns(binding, tx.sealing)
    del columns["key"], columns["created_at"]
    if binding.unopened:
        # They may be opened again one day.
        del columns["asked_sealed"], columns["credentials_sealed"]
    await tx.execute(update(table).where(table.c.key == binding.key).values(columns))


async def remove(tx: Transaction, binding: ServiceBinding, instance: ServiceInstance, *, reason: str) -> None:
    """Move a binding to the history; rows of external resources that still live stay."""
    await tx.execute(
        delete(external_resources).where(
            external_resources.c.binding_key == binding.key,
            external_resources.c.gone_at.is_not(None) | ~external_resources.c.made_by_us,
        )
    )
    await history.add_binding(tx, binding, instance, reason)
    await tx.execute(delete(table).where(table.c.key == binding.key))


async def _one(tx: Transaction, *conditions: Any, lock: bool = False) -> ServiceBinding | None:
    query = select(table).where(*conditions)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _binding(row, tx)


def _columns(binding: ServiceBinding, sealing: KeyRing) -> dict[str, Any]:
    asked = {"parameters": dict(binding.parameters), "secrets": dict(binding.secrets)}
    return {
        "key": binding.key,
        "instance_key": binding.instance_key,
        "binding_id": binding.binding_id,
        "state": binding.state.value,
        "service_plan_id": binding.service_plan_id,
        "asked_sealed": sealing.seal(_text(asked), place=_place("asked", binding.key)),
        "credentials_sealed": None
        if binding.credentials is None
        else sealing.seal(_text(binding.credentials), place=_place("credentials", binding.key)),
        "endpoints": [dict(endpoint) for endpoint in binding.endpoints],
        "bind_resource": dict(binding.bind_resource),
        "context": dict(binding.context),
        "predecessor_id": binding.predecessor_id,
        "record": dict(binding.record),
        "expires_at": binding.expires_at,
        "renew_before": binding.renew_before,
        "created_at": binding.created_at,
        "keys_checked_at": binding.keys_checked_at,
        "stale_since": binding.stale_since,
    }


def _binding(row: Row[Any], tx: Transaction) -> ServiceBinding:
    asked: Any = {"parameters": {}, "secrets": {}}
    credentials = unopened = None
    try:
        asked = json.loads(tx.sealing.unseal(row.asked_sealed, place=_place("asked", row.key)))
        if row.credentials_sealed is not None:
            place = _place("credentials", row.key)
            credentials = json.loads(tx.sealing.unseal(row.credentials_sealed, place=place))
    except SealBroken as fault:
        if tx.opens_all:
            raise
        unopened = fault.key
    return ServiceBinding(
        key=row.key,
        instance_key=row.instance_key,
        binding_id=row.binding_id,
        state=BindingState(row.state),
        service_plan_id=row.service_plan_id,
        created_at=row.created_at,
        parameters=asked["parameters"],
        secrets=asked["secrets"],
        credentials=credentials,
        endpoints=tuple(row.endpoints),
        bind_resource=row.bind_resource,
        context=row.context,
        predecessor_id=row.predecessor_id,
        record=row.record,
        expires_at=row.expires_at,
        renew_before=row.renew_before,
        keys_checked_at=row.keys_checked_at,
        stale_since=row.stale_since,
        unopened=unopened,
    )


def _place(column: str, key: UUID) -> str:
    return f"service_bindings.{column}_sealed:{key.hex}"


def _text(document: JsonObject) -> bytes:
    return json.dumps(dict(document), separators=(",", ":")).encode()
