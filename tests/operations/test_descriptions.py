"""Every way in which the engine itself ends an operation, and what the platform is told then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.instances import InstanceState
from broker.domain.operations import ExternalResource, OperationKind, OperationStatus, Stage
from broker.operations import stages, waiting
from broker.operations.retrying import CLAIMS_AT_MOST, Trouble
from broker.provisioners.base import Next, Outcome
from broker.store import history, operations
from broker.store.database import Database
from broker.store.operations_queue import Claim
from tests.descriptions import faults_of
from tests.operations.engine import a_runner, accept, ended
from tests.operations.imagined import Imagined
from tests.store.nouns import NOON, a_binding, an_instance, an_operation

GRACE = timedelta(minutes=30)
KINDS = list(OperationKind)
SERVER = (
    "/subscriptions/00000000-1111-2222-3333-444444444444/resourceGroups/g/providers/"
    "Microsoft.DBforPostgreSQL/flexibleServers/pg-{}"
)


def a_claim(kind=OperationKind.PROVISION, *, parent=None, **changes) -> Claim:
    instance = an_instance(parent_key=parent.key if parent else None)
    on_binding = kind in {OperationKind.BIND, OperationKind.UNBIND}
    binding = a_binding(instance) if on_binding else None
    asked = {"stage": Stage.WORKING, "deadline_at": NOON + timedelta(minutes=10), **changes}
    if binding is not None:
        asked |= {"binding_id": binding.binding_id, "binding_key": binding.key}
    operation = an_operation(instance, kind, **asked)
    return Claim(operation, instance, NOON, binding=binding, parent=parent, step="Step 1 of 3: Creating")


def told(claim: Claim, step) -> list[str]:
    """All that is said of the operation from here to its end, when its clean-up ends at once or never."""
    said = []
    for clean_up in (
        Next(Outcome.DONE),
        Next(Outcome.FAILED, description="Server 'pg-1' will not go; ask the operator."),
    ):
        changes = stages.advance(claim, step, undo_grace=GRACE, spread=0.5)
        said.append(changes.operation.description)
        if not changes.operation.finished:
            after = replace(claim, operation=changes.operation, resources=left())
            changes = stages.advance(after, clean_up, undo_grace=GRACE, spread=0.5)
            said.append(changes.operation.description)
        assert changes.operation.status is OperationStatus.FAILED
    return said


def left():
    return tuple(ExternalResource(an_instance().key, SERVER.format(n), "v", n) for n in range(9))


def ids_of(claim: Claim) -> tuple[str, ...]:
    ids = (claim.operation.instance_id, claim.operation.binding_id or "")
    return tuple(each.split("-", 1)[1] for each in ids if each)


def check(claim: Claim, said: list[str]) -> None:
    for description in said:
        assert not faults_of(description, known_ids=ids_of(claim)), description
    assert str(claim.operation.id) in said[-1] or "correlation" in said[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_that_ran_out_of_time_says_so(kind):
    claim = replace(
        a_claim(kind, last_error="Server 'pg-1' is busy; it is tried again. (code ServerIsBusy)"),
        now=NOON + timedelta(hours=2),
    )

    trouble = stages.before_step(claim, undo_grace=GRACE)

    check(claim, [trouble.description, *told(claim, trouble)])
    assert "did not end within" in trouble.description


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_that_takes_its_runners_down_says_where_to_look(kind):
    claim = a_claim(kind, claims=CLAIMS_AT_MOST + 1)

    trouble = stages.before_step(claim, undo_grace=GRACE)

    check(claim, [trouble.description, *told(claim, trouble)])


@pytest.mark.parametrize("kind", [OperationKind.PROVISION, OperationKind.BIND])
def test_a_cancelled_operation_says_so(kind):
    claim = a_claim(kind, cancel_requested_at=NOON)

    trouble = stages.before_step(claim, undo_grace=GRACE)

    check(claim, [trouble.description, *told(claim, trouble), *told(claim, Next(Outcome.DONE))])


@pytest.mark.parametrize("kind", KINDS)
def test_a_provisioner_that_gives_no_reason_does_not_leave_the_reader_without_one(kind):
    claim = a_claim(kind)

    check(claim, told(claim, Next(Outcome.FAILED)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_trouble_is_told_while_it_is_tried_again_and_at_the_end(kind):
    claim = a_claim(kind)
    azures = "flexibleServers 'pg-1': No such size. Choose another. (code SkuNotAvailable, correlation c-1)"
    passing = stages.advance(claim, Trouble(azures, retryable=True), undo_grace=GRACE, spread=0.5)

    said = told(claim, Trouble(azures, retryable=False))

    check(claim, [passing.operation.description, *said])
    assert all("SkuNotAvailable" in each for each in said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_description_without_end_is_cut_but_not_its_code(kind):
    claim = a_claim(kind)
    endless = f"Server 'pg-1'\n{'said much ' * 400} Order again. (code SkuNotAvailable, correlation c-1)"

    said = told(claim, Trouble(endless, retryable=False))

    check(claim, said)
    assert "SkuNotAvailable" in said[0]


@pytest.mark.parametrize("state", [None, InstanceState.CREATE_FAILED, InstanceState.DELETING])
@pytest.mark.anyio
async def test_a_child_without_a_usable_parent_says_so(state):
    parent = None if state is None else an_instance(state=state, alias="the-server")
    claim = a_claim(stage=Stage.WAITING, parent=parent)
    if parent is None:
        claim = replace(claim, instance=replace(claim.instance, parent_key=an_instance().key))

    changes = await waiting.look(None, claim)

    assert changes.operation.status is OperationStatus.FAILED
    check(claim, [changes.operation.description])


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [OperationKind.PROVISION, OperationKind.DEPROVISION])
async def test_an_operation_that_no_runner_can_carry_on_ends_some_day(database: Database, world, kind):
    ordered = an_instance(provisioner="of-another-release")
    async with database.transaction() as tx:
        long_ago = tx.now - timedelta(hours=3)
    lost = an_operation(ordered, kind, deadline_at=long_ago, handler_version=7)

    async with a_runner(database, Imagined(world), unhandled_after=timedelta(milliseconds=50)):
        operation = await ended(database, await accept(database, lost, instance=ordered))

    assert operation.status is OperationStatus.FAILED
    assert "provisioner 'of-another-release' in version 7" in operation.description
    assert not faults_of(operation.description, known_ids=(ordered.instance_id.split("-", 1)[1],))
    assert world.calls == []


@pytest.mark.anyio
async def test_an_operation_of_another_release_is_left_alone_while_that_may_still_come(
    database: Database, at_work
):
    ordered = an_instance(provisioner="of-another-release")
    async with database.transaction() as tx:
        just_over = tx.now - timedelta(minutes=1)
    waits = await accept(database, an_operation(ordered, deadline_at=just_over), instance=ordered)
    other = an_instance()

    await ended(database, await accept(database, an_operation(other), instance=other))

    async with database.transaction(read_only=True) as tx:
        assert (await operations.get(tx, waits.id)).status is OperationStatus.IN_PROGRESS


@pytest.mark.anyio
async def test_the_reason_of_a_failure_is_readable_after_the_platform_has_deleted_what_failed(
    database: Database, at_work, world
):
    world.tell("fail-create")
    ordered = an_instance()
    failed = await ended(database, await accept(database, an_operation(ordered), instance=ordered))

    deleted = await ended(database, await accept(database, an_operation(ordered, OperationKind.DEPROVISION)))

    assert deleted.status is OperationStatus.SUCCEEDED
    async with database.transaction(read_only=True) as tx:
        (departed,) = await history.of_instance(tx, ordered.instance_id, platform=ordered.platform)
        assert await history.of_instance(tx, ordered.instance_id, platform="another") == []
        assert await history.of_instance(tx, ordered.instance_id) == [departed]
    last, first = departed.document["operations"]
    assert (last["kind"], last["status"]) == ("deprovision", "succeeded")
    assert (first["id"], first["description"]) == (str(failed.id), failed.description)
    assert "There is no quota." in failed.description
    assert [event["what"] for event in first["events"]][-2:] == ["undoing", "failed"]
    assert "only-sealed" not in str(departed)
