from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from broker.domain.bindings import BindingState
from broker.domain.instances import Configuration, InstanceState
from broker.domain.operations import OperationKind, OperationStatus, Stage
from broker.operations import stages
from broker.operations.retrying import Trouble
from broker.provisioners.base import StepFailed
from broker.store import bindings, budgets, instances, operations, resources
from broker.store.call_meter import Account, CallCost, CallMeter
from broker.store.database import Database
from broker.store.operations_queue import Claim
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import a_binding, an_instance, an_operation

pytestmark = pytest.mark.anyio

READY = {"state": InstanceState.READY, "applied": Configuration("a-plan", {"size": 1}), "asked": None}


async def _instance(database: Database, key):
    async with database.transaction(read_only=True) as tx:
        return await instances.by_key(tx, key)


async def test_a_provision_makes_what_was_asked_and_applies_it(database: Database, at_work, world: World):
    ordered = an_instance()

    operation = await ended(database, await accept(database, an_operation(ordered), instance=ordered))

    assert operation.status is OperationStatus.SUCCEEDED
    instance = await _instance(database, ordered.key)
    assert instance.state is InstanceState.READY
    assert instance.asked is None
    assert instance.applied == replace(ordered.asked, secrets={"admin": "made-up"})
    assert world.living == {f"{ordered.instance_id}-0"}
    async with database.transaction(read_only=True) as tx:
        (resource,) = await resources.of_instance(tx, ordered.key)
    assert resource.gone_at is None


async def test_what_is_about_to_be_made_is_on_record_before_it_is_made(database: Database, world: World):
    ordered = an_instance()
    seen = []

    def look():
        import sqlite3

        if database.kind == "sqlite":
            path = database._writing.url.database
            with sqlite3.connect(path) as other:
                seen.extend(other.execute("SELECT resource_id FROM external_resources").fetchall())
            other.close()

    async with a_runner(database, Imagined(world, before_call=look)):
        await ended(database, await accept(database, an_operation(ordered), instance=ordered))

    assert seen == ([(f"{ordered.instance_id}-0",)] if database.kind == "sqlite" else [])


async def test_a_failed_provision_is_cleaned_up_before_it_is_reported(
    database: Database, at_work, world: World
):
    world.tell("fail-create")
    ordered = an_instance()

    operation = await ended(database, await accept(database, an_operation(ordered), instance=ordered))

    assert operation.status is OperationStatus.FAILED
    assert operation.description.startswith("There is no quota. (operation ")
    assert (await _instance(database, ordered.key)).state is InstanceState.CREATE_FAILED
    assert world.living == set()
    assert world.count("make") == world.count("remove") == 1


async def test_the_same_order_during_the_clean_up_starts_afresh_under_the_next_generation(
    database: Database, at_work, world: World
):
    world.tell("fail-create")
    world.tell("hold-delete")
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async def undoing():
        async with database.transaction(read_only=True) as tx:
            return (await operations.get(tx, accepted.id)).stage is Stage.UNDOING

    await until(undoing)
    async with database.transaction() as tx:
        await instances.locked_by_key(tx, ordered.key)
        current = await operations.get(tx, accepted.id)
        await operations.save_request(tx, replace(current, again=True, due_at=tx.now))
    world.unsay("fail-create")
    world.unsay("hold-delete")
    operation = await ended(database, accepted)

    assert operation.status is OperationStatus.SUCCEEDED
    instance = await _instance(database, ordered.key)
    assert (instance.state, instance.generation) == (InstanceState.READY, 1)
    assert world.living == {f"{ordered.instance_id}-1"}


async def test_a_new_order_after_a_failed_one_first_removes_what_was_left(
    database: Database, at_work, world: World
):
    world.tell("fail-create")
    world.tell("fail-delete")
    ordered = an_instance()
    first = await ended(database, await accept(database, an_operation(ordered), instance=ordered))
    assert first.status is OperationStatus.FAILED
    assert f"Still there: resource group '{ordered.instance_id}-0'" in first.description
    world.unsay("fail-create")
    world.unsay("fail-delete")

    second = await ended(database, await accept(database, an_operation(ordered)))

    assert second.status is OperationStatus.SUCCEEDED
    assert world.living == {f"{ordered.instance_id}-1"}


async def test_an_update_is_applied_whole_or_not_at_all(database: Database, at_work, world: World):
    ordered = an_instance(**READY | {"asked": Configuration("b-plan", {"size": 2})})
    world.tell("fail-update")

    failed = await ended(
        database, await accept(database, an_operation(ordered, OperationKind.UPDATE), instance=ordered)
    )
    after_failure = await _instance(database, ordered.key)
    world.unsay("fail-update")
    async with database.transaction() as tx:
        await instances.save(tx, replace(after_failure, asked=Configuration("b-plan", {"size": 3})))
    succeeded = await ended(database, await accept(database, an_operation(ordered, OperationKind.UPDATE)))
    after_success = await _instance(database, ordered.key)

    assert (failed.status, failed.instance_usable, failed.update_repeatable) == (
        OperationStatus.FAILED,
        True,
        True,
    )
    assert (after_failure.applied, after_failure.asked) == (ordered.applied, None)
    assert after_failure.state is InstanceState.READY
    assert succeeded.status is OperationStatus.SUCCEEDED
    assert after_success.applied == Configuration("b-plan", {"size": 3}, {"admin": "changed"})
    assert after_success.record == {"updated": True}


async def test_a_deprovision_leaves_neither_row_nor_resource(database: Database, at_work, world: World):
    ordered = an_instance()
    await ended(database, await accept(database, an_operation(ordered), instance=ordered))

    deleted = await ended(database, await accept(database, an_operation(ordered, OperationKind.DEPROVISION)))

    assert deleted.status is OperationStatus.SUCCEEDED
    assert await _instance(database, ordered.key) is None
    assert world.living == set()
    async with database.transaction(read_only=True) as tx:
        assert (await operations.last_of_instance(tx, ordered.platform, ordered.instance_id)).id == deleted.id
        assert await resources.of_instance(tx, ordered.key) == []


async def test_a_deprovision_first_unbinds_what_is_bound_and_undoes_what_is_being_bound(
    database: Database, at_work, world: World
):
    ordered = an_instance(**READY)
    bound, half_bound = a_binding(ordered), a_binding(ordered)
    bind = an_operation(
        ordered, OperationKind.BIND, binding_id=bound.binding_id, binding_key=bound.key, stage=Stage.WORKING
    )
    await ended(database, await accept(database, bind, instance=ordered, binding=bound))
    world.tell("hold-bind")
    other = replace(bind, id=uuid4(), binding_id=half_bound.binding_id, binding_key=half_bound.key)
    other = await accept(database, other, binding=half_bound)

    async def made():
        return half_bound.binding_id in world.living

    await until(made)
    deleted = await ended(database, await accept(database, an_operation(ordered, OperationKind.DEPROVISION)))
    other = await ended(database, other)

    assert deleted.status is OperationStatus.SUCCEEDED, deleted.description
    assert other.status is OperationStatus.FAILED
    assert world.living == set()
    verbs = [verb for verb, _ in world.calls if verb in {"unbind", "delete"}]
    assert verbs.count("unbind") == 2
    assert verbs[-1] == "delete"
    assert await _instance(database, ordered.key) is None


async def test_a_deprovision_that_cannot_unbind_says_which_binding_and_the_next_one_goes_on(
    database: Database, at_work, world: World
):
    ordered = an_instance(**READY)
    bound = a_binding(ordered, state=BindingState.BOUND)
    world.tell("fail-unbind")
    async with database.transaction() as tx:
        await instances.add(tx, ordered)
        await bindings.add(tx, bound)

    failed = await ended(database, await accept(database, an_operation(ordered, OperationKind.DEPROVISION)))
    after_failure = await _instance(database, ordered.key)
    world.unsay("fail-unbind")
    succeeded = await ended(
        database, await accept(database, an_operation(ordered, OperationKind.DEPROVISION))
    )

    assert failed.status is OperationStatus.FAILED
    assert bound.binding_id in failed.description
    assert after_failure.state is InstanceState.DELETE_FAILED
    assert succeeded.status is OperationStatus.SUCCEEDED


async def test_a_failed_bind_is_undone_and_its_id_is_free_again(database: Database, at_work, world: World):
    ordered = an_instance(**READY)
    binding = a_binding(ordered)
    world.tell("fail-bind")
    bind = an_operation(ordered, OperationKind.BIND, binding_id=binding.binding_id, binding_key=binding.key)

    failed = await ended(database, await accept(database, bind, instance=ordered, binding=binding))
    world.unsay("fail-bind")
    second = replace(binding, key=uuid4())
    again = await ended(
        database, await accept(database, replace(bind, id=uuid4(), binding_key=second.key), binding=second)
    )

    assert failed.status is OperationStatus.FAILED
    assert failed.description.startswith("There is no quota. ")
    assert again.status is OperationStatus.SUCCEEDED
    async with database.transaction(read_only=True) as tx:
        (bound,) = await bindings.of_instance(tx, ordered.key)
    assert (bound.state, bound.credentials) == (BindingState.BOUND, {"password": "made-up"})
    assert bound.secrets == {"password": "only-sealed"}


async def test_an_unbind_removes_the_binding(database: Database, at_work, world: World):
    ordered = an_instance(**READY)
    binding = a_binding(ordered)
    bind = an_operation(ordered, OperationKind.BIND, binding_id=binding.binding_id, binding_key=binding.key)
    await ended(database, await accept(database, bind, instance=ordered, binding=binding))

    unbind = replace(bind, id=uuid4(), kind=OperationKind.UNBIND, stage=Stage.WORKING)
    unbound = await ended(database, await accept(database, unbind))

    assert unbound.status is OperationStatus.SUCCEEDED
    assert world.living == set()
    async with database.transaction(read_only=True) as tx:
        assert await bindings.of_instance(tx, ordered.key) == []
        last = await operations.last_of_binding(tx, ordered.platform, ordered.instance_id, binding.binding_id)
    assert last.id == unbind.id


async def test_an_update_waits_for_the_binding_operations_that_run(database: Database, at_work, world: World):
    ordered = an_instance(**READY | {"asked": Configuration("b-plan")})
    binding = a_binding(ordered)
    world.tell("hold-bind")
    bind = an_operation(ordered, OperationKind.BIND, binding_id=binding.binding_id, binding_key=binding.key)
    bind = await accept(database, bind, instance=ordered, binding=binding)
    update = await accept(database, an_operation(ordered, OperationKind.UPDATE))

    async def waits():
        async with database.transaction(read_only=True) as tx:
            return (
                "Waiting for 1 binding operation, since" in (await operations.get(tx, update.id)).description
            )

    await until(waits)
    assert world.count("update") == 0
    world.unsay("hold-bind")

    assert (await ended(database, bind)).status is OperationStatus.SUCCEEDED
    # Well before the five seconds after which it would look by itself.
    assert (await ended(database, update, within=4)).status is OperationStatus.SUCCEEDED


async def test_a_child_waits_for_its_parent_and_starts_when_that_is_ready(
    database: Database, at_work, world: World
):
    parent = an_instance(alias="main")
    child = an_instance(parent_key=parent.key)
    world.tell("hold-create")
    first = await accept(database, an_operation(parent), instance=parent)
    second = await accept(database, an_operation(child), instance=child)

    async def waits():
        async with database.transaction(read_only=True) as tx:
            return (
                "Waiting for parent 'main', creating since"
                in (await operations.get(tx, second.id)).description
            )

    await until(waits)
    world.unsay("hold-create")

    assert (await ended(database, first)).status is OperationStatus.SUCCEEDED
    assert (await ended(database, second, within=4)).status is OperationStatus.SUCCEEDED
    assert at_work.works[-1].parent.state is InstanceState.READY


async def test_a_child_of_a_parent_that_failed_fails_too(database: Database, at_work, world: World):
    parent = an_instance(state=InstanceState.CREATE_FAILED)
    child = an_instance(parent_key=parent.key)
    async with database.transaction() as tx:
        await instances.add(tx, parent)

    failed = await ended(database, await accept(database, an_operation(child), instance=child))

    assert failed.status is OperationStatus.FAILED
    assert "create failed" in failed.description
    assert world.count("create") == 0


@pytest.mark.parametrize("kind", [OperationKind.PROVISION, OperationKind.DEPROVISION])
async def test_an_operation_ends_at_its_deadline_with_the_last_reason(
    database: Database, at_work, world: World, kind
):
    world.tell("trouble-create")
    world.tell("trouble-delete")
    ordered = an_instance()
    async with database.transaction() as tx:
        deadline = tx.now + timedelta(seconds=0.5)
    late = an_operation(ordered, kind, deadline_at=deadline)

    if kind is OperationKind.PROVISION:
        accepted = await accept(database, late, instance=ordered)

        async def undoing():
            async with database.transaction(read_only=True) as tx:
                return (await operations.get(tx, accepted.id)).stage is Stage.UNDOING

        await until(undoing)
        world.unsay("trouble-delete")
    else:
        accepted = await accept(database, late, instance=ordered)
    operation = await ended(database, accepted)

    assert operation.status is OperationStatus.FAILED
    assert "did not end within" in operation.description
    assert "The cloud is tired." in operation.description


async def test_a_passing_trouble_is_shown_and_tried_again(database: Database, at_work, world: World):
    world.tell("trouble-create")
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async def told():
        answer = await operations.poll(database, ordered.platform, ordered.instance_id)
        return "The cloud is tired; trying again at" in answer.description

    await until(told)
    world.unsay("trouble-create")
    operation = await ended(database, accepted)

    assert operation.status is OperationStatus.SUCCEEDED
    assert operation.errors == 0


async def test_an_exception_nobody_foresaw_stays_within_its_operation(
    database: Database, at_work, world: World
):
    world.tell("raise-create")
    ordered, other = an_instance(), an_instance(**READY)
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async def told():
        answer = await operations.poll(database, ordered.platform, ordered.instance_id, None, accepted.id)
        return f"under operation {accepted.id}" in answer.description

    await until(told)
    update = await ended(
        database, await accept(database, an_operation(other, OperationKind.UPDATE), instance=other)
    )
    async with database.transaction(read_only=True) as tx:
        broken = await operations.get(tx, accepted.id)
    world.unsay("raise-create")

    assert update.status is OperationStatus.SUCCEEDED
    assert "secret" not in broken.description + broken.last_error
    assert (await ended(database, accepted)).status is OperationStatus.SUCCEEDED


async def test_an_operation_whose_time_is_over_ends_however_little_azure_lets_through(
    database: Database, at_work, world: World
):
    doomed = an_instance(**READY, subscription="poor")
    async with database.transaction() as tx:
        await budgets.block(tx, Account("poor"), until=tx.now + timedelta(hours=1))
        deadline = tx.now + timedelta(seconds=0.5)

    accepted = await accept(
        database,
        an_operation(doomed, OperationKind.DEPROVISION, deadline_at=deadline, subscription="poor"),
        instance=doomed,
    )
    operation = await ended(database, accepted, within=10)

    assert operation.status is OperationStatus.FAILED
    assert "did not end within" in operation.description
    assert world.calls == []


async def test_one_answer_of_azure_s_does_not_stop_everybody_for_hours(database: Database, world: World):
    class Throttled(Imagined):
        async def create(self, work):
            raise StepFailed(
                "Too many.", retryable=True, retry_after=timedelta(days=300_000), blocks_everybody=True
            )

    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered, subscription="poor"), instance=ordered)

    async def told():
        async with database.transaction(read_only=True) as tx:
            return (await operations.get(tx, accepted.id)).errors == 1

    async with a_runner(database, Throttled(world)):
        await until(told)
    async with database.transaction() as tx:
        left = await budgets.Budgets.locked(tx, {"poor"}, CallMeter())
        wait = left.debit(Account("poor"), CallCost(reads=1))

    assert timedelta(minutes=1) < wait <= timedelta(minutes=5)


def test_a_trouble_after_the_deadline_is_not_waited_for():
    ordered = an_instance()
    operation = an_operation(ordered, stage=Stage.WORKING)
    late = Claim(operation, ordered, now=operation.deadline_at + timedelta(seconds=1))
    trouble = Trouble("Too many.", retryable=True, retry_after=timedelta(hours=1))

    changes = stages.advance(late, trouble, undo_grace=timedelta(0), spread=0.5)

    assert changes.delay == timedelta(0)
