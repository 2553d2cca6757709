"""States that a running engine passes through too fast to be met: what stepping in does to the row itself."""

import itertools
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from broker.domain.catalog import Catalog
from broker.domain.instances import InstanceState
from broker.domain.operations import OperationKind, OperationStatus, Stage
from broker.domain.operators import Deed, Operator
from broker.domain.pages import PageRequest
from broker.domain.summaries import (
    CLAIMS_OF_THE_STUCK,
    ERRORS_OF_THE_STUCK,
    LATE,
    STILL,
    InstanceFilter,
    OperationFilter,
)
from broker.errors import Gone, WrongState
from broker.lifecycle.administration.deletions import DeletionAdministration, InAzure
from broker.lifecycle.administration.instances import InstanceAdministration
from broker.lifecycle.administration.operations import OperationAdministration
from broker.store import instances, operations
from broker.store.tables import operations as table
from broker.store.tables import service_instances
from tests.osb.offerings import SERVICE
from tests.osb.serving import FixedCatalog
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio

CATALOG = FixedCatalog(Catalog(()))
DEED = Deed(Operator("alice", may_act=True), "A test.")


async def written(database, kind=OperationKind.PROVISION, state=InstanceState.CREATING, **columns):
    """An instance with an operation whose row is as *columns* say; times are distances from now."""
    instance = an_instance(state=state, key=uuid4())
    operation = an_operation(instance, kind)
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await operations.add(tx, replace(operation, created_at=tx.now, due_at=tx.now))
        times = {
            name: tx.now + value if isinstance(value, timedelta) else value for name, value in columns.items()
        }
        if times:
            await tx.execute(update(table).where(table.c.id == operation.id).values(**times))
    return operation


async def row_of(database, operation):
    async with database.transaction(read_only=True) as tx:
        return (await tx.execute(select(table).where(table.c.id == operation.id))).one(), tx.now


async def test_what_waits_long_after_many_errors_is_due_now_with_a_clean_slate(database):
    operation = await written(database, errors=19, claims=4, due_at=timedelta(minutes=1), last_error="Tired.")

    done = await OperationAdministration(database, CATALOG).retry(operation.id, DEED)

    row, now = await row_of(database, operation)
    assert (row.errors, row.claims, row.last_error) == (0, 0, "Tired.")
    assert row.due_at <= now
    assert row.fence == 0
    assert done.operations == [operation.id]


async def test_what_a_living_runner_holds_is_not_hurried(database):
    operation = await written(database, owner="runner-1", due_at=timedelta(seconds=20), claims=1, errors=3)

    with pytest.raises(WrongState) as refused:
        await OperationAdministration(database, CATALOG).retry(operation.id, DEED)

    row, _ = await row_of(database, operation)
    assert "runner-1" in refused.value.description
    assert row.errors == 3


async def test_what_a_dead_runner_held_begins_with_a_clean_slate(database):
    operation = await written(database, owner="runner-1", due_at=-timedelta(seconds=20), claims=5)

    await OperationAdministration(database, CATALOG).retry(operation.id, DEED)

    row, _ = await row_of(database, operation)
    assert (row.claims, row.status) == (0, "in progress")


@pytest.mark.parametrize(
    ("kind", "longer"),
    [(OperationKind.DEPROVISION, True), (OperationKind.PROVISION, False), (OperationKind.UPDATE, False)],
)
async def test_only_a_deletion_gets_its_time_anew(database, kind, longer):
    operation = await written(database, kind, InstanceState.DELETING, deadline_at=timedelta(seconds=5))
    before, _ = await row_of(database, operation)

    await OperationAdministration(database, CATALOG).retry(operation.id, DEED)

    row, now = await row_of(database, operation)
    assert (row.deadline_at > now + timedelta(minutes=30)) == longer
    assert (row.deadline_at == before.deadline_at) != longer


async def test_cancelling_what_a_runner_holds_leaves_its_lease_alone(database):
    operation = await written(
        database, owner="runner-1", due_at=timedelta(seconds=20), claims=1, stage="working"
    )
    before, _ = await row_of(database, operation)

    await OperationAdministration(database, CATALOG).cancel(operation.id, DEED)

    row, _ = await row_of(database, operation)
    assert row.cancel_requested_at is not None
    assert (row.due_at, row.owner) == (before.due_at, "runner-1")


MOMENT = timedelta(seconds=10)
NEAR = {
    "due_at": [MOMENT, -LATE + MOMENT, -LATE - MOMENT],
    "deadline_at": [timedelta(hours=1), MOMENT, -MOMENT],
    "claims": [0, CLAIMS_OF_THE_STUCK - 1, CLAIMS_OF_THE_STUCK],
    "errors": [0, ERRORS_OF_THE_STUCK - 1, ERRORS_OF_THE_STUCK],
    "step_since": [None, -STILL + MOMENT, -STILL - MOMENT],
    "status": ["in progress", "failed"],
}


async def test_the_database_and_the_summary_agree_on_what_is_stuck(database):
    ids = {}
    first = {name: values[0] for name, values in NEAR.items()}
    cases = [first | {name: value} for name, values in NEAR.items() for value in values]
    cases += [
        dict(zip(NEAR, values, strict=True))
        for values in itertools.islice(itertools.product(*NEAR.values()), 0, None, 11)
    ]
    for case in cases:
        operation = await written(database, **case)
        ids[operation.id] = case
    administration = OperationAdministration(database, CATALOG)
    at = PageRequest(limit=500)

    found = (await administration.page(OperationFilter(), at)).items
    stuck = (await administration.page(OperationFilter(stuck=True), at)).items
    of_instances = (
        await InstanceAdministration(database, CATALOG).page(InstanceFilter(stuck=True), at)
    ).items

    assert len(found) == len(cases)
    assert {one.id for one in stuck} == {one.id for one in found if one.stuck}
    assert {one.instance_id for one in of_instances} == {one.instance_id for one in stuck}
    assert 10 < len(stuck) < len(found) - 3
    for one in found:
        case = ids[one.id]
        worst = any(case[name] == values[-1] for name, values in NEAR.items() if name != "status")
        assert bool(one.stuck) == (case["status"] == "in progress" and worst), case
    # The stuck ones come first, what has ended comes last.
    ranks = [0 if one.stuck else 1 if one.status == "in progress" else 2 for one in found]
    assert ranks == sorted(ranks)


async def test_a_binding_that_cannot_be_removed_leaves_time_to_delete_the_rest(desk):
    # The whole deletion may take 7.6 seconds, each of its unbindings a quarter of that.
    offering = desk.shop.catalog.offering(SERVICE)
    plans = tuple(replace(plan, maximum_polling_duration=timedelta(seconds=8)) for plan in offering.plans)
    await desk.ready("i")
    await desk.bind("i", "b")
    desk.shop.catalog = Catalog((replace(offering, plans=plans),), revision=2)
    desk.external.throttle("b", "unbind")
    deletions = DeletionAdministration(desk.database, desk.shop)

    await deletions.abandon("i", None, DEED, in_azure=InAzure.DELETE)

    with pytest.raises(Gone):
        await desk.ended("i")
    assert desk.external.living("i") == []


async def test_what_is_missing_in_azure_is_listed_as_such(database):
    gone = await written(database)
    there = await written(database)
    async with database.transaction() as tx:
        await tx.execute(
            update(service_instances)
            .where(service_instances.c.key == gone.instance_key)
            .values(missing_since=tx.now)
        )
    administration = InstanceAdministration(database, CATALOG)

    missing = (await administration.page(InstanceFilter(missing=True), PageRequest())).items
    every = (await administration.page(InstanceFilter(), PageRequest())).items

    assert [one.instance_id for one in missing] == [gone.instance_id]
    assert {one.instance_id: one.missing_since is None for one in every} == {
        gone.instance_id: False,
        there.instance_id: True,
    }


async def test_an_operation_that_ended_before_the_lock_is_not_stepped_into(database):
    operation = await written(database, status=OperationStatus.FAILED.value, stage=Stage.WORKING.value)

    with pytest.raises(WrongState):
        await OperationAdministration(database, CATALOG).cancel(operation.id, DEED)
