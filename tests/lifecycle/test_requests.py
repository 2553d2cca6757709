import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from broker.domain.requests import BindRequest
from broker.errors import ConcurrencyError, Gone, NotFound, OperationFailed, StillRunning, UnknownServicePlan
from broker.lifecycle.bindings import BindingAccepted, Bindings, Bound, Unbound
from broker.lifecycle.instances import Accepted, Instances, Unchanged
from broker.lifecycle.polling import Polling
from broker.store import instances, operations, tables
from tests.osb.offerings import SERVICE, SMALL

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=150)


async def test_twenty_identical_orders_at_once_make_one_instance(desk):
    answers = await asyncio.gather(*(desk.order("i") for _ in range(20)))
    await desk.ended("i")

    assert len({answer.operation_id for answer in answers if isinstance(answer, Accepted)}) == 1
    assert desk.external.creations["i"] == 1
    assert isinstance(await desk.order("i"), Unchanged)


async def test_twenty_bindings_at_once_are_twenty_bindings(desk):
    await desk.ready("i")

    answers = await asyncio.gather(*(desk.bind("i", f"b{n}") for n in range(20)))

    assert all(isinstance(answer, Bound) and answer.created for answer in answers)
    assert len({answer.credentials["password"] for answer in answers}) == 20
    assert {answer.credentials["password"] for answer in answers} == desk.external.passwords()


async def test_the_same_bind_twice_at_once_is_made_once_and_answered_alike(desk):
    await desk.ready("i")

    answers = await asyncio.gather(*(desk.bind("i", "b") for _ in range(8)))

    assert sum(answer.created for answer in answers) == 1
    assert len({answer.credentials["password"] for answer in answers}) == 1
    assert desk.external.creations["b"] == 1


async def test_a_bind_waits_for_an_instance_that_is_being_made(desk):
    desk.external.hold("i", "create")
    await desk.order("i")

    waiting = asyncio.create_task(desk.bind("i", "b"))
    await asyncio.sleep(0.1)
    desk.external.release("i")

    assert (await waiting).created


async def test_a_bind_that_waited_too_long_for_its_instance_is_told_so_and_leaves_nothing(desk):
    desk.options = replace(desk.options, request_wait=SHORT)
    with desk.external.holding("i", "create"):
        await desk.order("i")
        with pytest.raises(ConcurrencyError):
            await desk.bind("i", "b")

    async with desk.database.transaction(read_only=True) as tx:
        assert await operations.last_of_binding(tx, "cf", "i", "b") is None


async def test_a_bind_that_takes_too_long_is_undone_and_answered_so_that_the_platform_deletes_it(desk):
    await desk.ready("i")
    patient, desk.options = desk.options, replace(desk.options, request_wait=SHORT)

    with desk.external.holding("b", "bind"), pytest.raises(StillRunning):
        await desk.bind("i", "b")
    desk.options = patient
    answer = await desk.ended("i", "b")

    assert answer.state == "failed"
    assert desk.external.passwords() == set()
    with pytest.raises(Gone):
        await desk.unbind("i", "b")


async def test_a_bind_that_ends_just_before_it_would_be_undone_is_answered_as_made(desk):
    class LosesPatienceAtTheEnd(Bindings):
        async def _wait(self, operation_id, patience):
            await super()._wait(operation_id, patience)

    await desk.ready("i")
    bindings = LosesPatienceAtTheEnd(desk.database, desk.shop, desk.options)

    bound = await bindings.bind(BindRequest(desk.caller, "i", "b", SERVICE, SMALL))

    assert bound.created
    assert bound.credentials["password"] in desk.external.passwords()


async def test_a_poll_while_a_step_is_taken_is_not_put_off_to_the_end_of_the_lease(desk):
    with desk.external.holding("i", "create"):
        await desk.order("i")
        async with desk.database.transaction() as tx:
            operation = await operations.last_of_instance(tx, "cf", "i")
            await tx.execute(
                update(tables.operations).values(owner="somebody", due_at=tx.now + timedelta(seconds=30))
            )
        polled = await Polling(desk.database, desk.options).last_operation("cf", "i", None, str(operation.id))

    assert polled.retry_after == timedelta(seconds=1)


async def test_a_late_bind_is_polled_only_by_a_platform_that_agreed(desk):
    await desk.ready("i")
    desk.options = replace(desk.options, quick_wait=SHORT)

    with desk.external.holding("b", "bind"):
        accepted = await desk.bind("i", "b", accepts_incomplete=True)
        again = await desk.bind("i", "b", accepts_incomplete=True)
    ended = await desk.ended("i", "b")

    assert isinstance(accepted, BindingAccepted)
    assert again == accepted
    assert ended.state == "succeeded"


async def test_a_failed_bind_says_why_and_leaves_nothing(desk):
    await desk.ready("i")
    desk.external.fail("b", "bind", "The server is full.")

    with pytest.raises(OperationFailed, match="The server is full"):
        await desk.bind("i", "b")

    with pytest.raises(Gone):
        await desk.unbind("i", "b")


async def test_an_unbind_that_takes_too_long_goes_on_and_the_next_one_joins_it(desk):
    await desk.ready("i")
    await desk.bind("i", "b")
    patient, desk.options = desk.options, replace(desk.options, request_wait=SHORT)

    with desk.external.holding("b", "unbind"), pytest.raises(StillRunning):
        await desk.unbind("i", "b")
    desk.options = patient
    with contextlib.suppress(Gone):
        await desk.unbind("i", "b")

    assert desk.external.passwords() == set()


async def test_a_binding_that_is_being_made_can_be_deleted(desk):
    await desk.ready("i")
    desk.external.hold("b", "bind")
    making = asyncio.create_task(desk.bind("i", "b"))
    while await _binding_operation(desk) is None:
        await asyncio.sleep(0.01)

    deleting = asyncio.create_task(desk.unbind("i", "b"))
    with pytest.raises(ConcurrencyError):
        await making
    desk.external.release("b")

    assert await _deleted(desk, deleting) == Unbound()
    assert desk.external.passwords() == set()


async def test_what_left_the_catalog_can_still_be_unbound_and_deleted(desk):
    await desk.ready("i")
    await desk.bind("i", "b")
    desk.shop.withdraw_everything()

    with pytest.raises(UnknownServicePlan):
        await desk.bind("i", "another")
    assert isinstance(await desk.bind("i", "b"), Bound)
    assert await desk.unbind("i", "b") == Unbound()
    await desk.delete("i")
    with pytest.raises(Gone):
        await desk.ended("i")

    assert desk.external.things == {}


async def test_another_platforms_instance_looks_unknown(desk):
    other = desk.of("another")
    await desk.ready("i")
    await desk.bind("i", "b")

    with pytest.raises(NotFound):
        await other.bind("i", "b")
    with pytest.raises(NotFound):
        await Instances(desk.database, desk.shop).fetch("another", "i")
    with pytest.raises(NotFound):
        await Bindings(desk.database, desk.shop).fetch("another", "i", "b")
    with pytest.raises(NotFound):
        await Polling(desk.database).last_operation("another", "i", None, None)
    with pytest.raises(Gone):
        await other.unbind("i", "b")
    with pytest.raises(Gone):
        await other.delete("i")
    await other.ready("i")

    assert {thing.platform for thing in desk.external.living("i")} == {"cf", "another"}


async def test_an_order_repeated_during_the_clean_up_of_its_failure_makes_it_in_the_same_operation(desk):
    desk.external.fail("i", "create")
    desk.external.hold("i", "delete")
    first = await desk.order("i")
    await _stage(desk, "undoing")

    again = await desk.order("i")
    desk.external.mend("i")
    desk.external.release("i")
    ended = await desk.ended("i")

    assert again.operation_id == first.operation_id
    assert ended.state == "succeeded"
    assert [thing.generation for thing in desk.external.living("i")] == [1]


async def test_the_time_of_an_order_repeated_during_the_clean_up_counts_from_its_repetition(desk):
    desk.external.fail("i", "create")
    desk.external.hold("i", "delete")
    await desk.order("i")
    await _stage(desk, "undoing")
    first = await _instance_operation(desk)

    await desk.order("i")
    repeated = await _instance_operation(desk)
    desk.external.mend("i")
    desk.external.release("i")
    assert (await desk.ended("i")).state == "succeeded"
    ended = await _instance_operation(desk)

    assert first.deadline_at < repeated.deadline_at
    assert ended.deadline_at == repeated.deadline_at


async def test_an_order_repeated_after_the_clean_up_of_its_failure_is_a_new_operation(desk):
    desk.external.fail("i", "create")
    first = await desk.order("i")
    assert (await desk.ended("i")).state == "failed"
    desk.external.mend("i")

    again = await desk.order("i")
    ended = await desk.ended("i")

    assert again.operation_id != first.operation_id
    assert ended.state == "succeeded"
    assert len(desk.external.living("i")) == 1


async def test_an_audit_row_tells_who_asked_for_what(desk):
    from sqlalchemy import text

    desk.caller = replace(desk.caller, originating_identity="cloudfoundry e30=")
    await desk.ready("i")

    async with desk.database.transaction(read_only=True) as tx:
        rows = (await tx.execute(text("SELECT actor, originating_identity, action, object FROM audit"))).all()

    assert [tuple(row) for row in rows] == [("cf", "cloudfoundry e30=", "provision", "service instance i")]


async def _instance_operation(desk):
    async with desk.database.transaction(read_only=True) as tx:
        return await operations.last_of_instance(tx, "cf", "i")


async def _binding_operation(desk):
    async with desk.database.transaction(read_only=True) as tx:
        return await operations.last_of_binding(tx, "cf", "i", "b")


async def _deleted(desk, deleting):
    async with asyncio.timeout(60):
        return await deleting


async def _stage(desk, stage):
    async with asyncio.timeout(20):
        while True:
            async with desk.database.transaction(read_only=True) as tx:
                found = await operations.last_of_instance(tx, "cf", "i")
                assert await instances.get(tx, "cf", "i") is not None
            if found is not None and found.stage == stage:
                return
            await asyncio.sleep(0.01)
