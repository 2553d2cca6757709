"""The checker finds what is wrong: planted in real stores, in Azure and on a real database server."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, insert, make_url, select, text, update

from broker.provisioners.records import secrets_of
from broker.store.budgets import BURST, REFILL_PER_SECOND
from broker.store.sealing import KeyRing
from broker.store.tables import (
    audit,
    external_resources,
    operation_events,
    service_bindings,
    service_instances,
)
from broker.store.tables import operations as operations_table
from tests.chaos import engine_rules
from tests.chaos.checker import put_again, violations
from tests.chaos.engine_rules import Bounds
from tests.chaos.evidence import Beliefs, Evidence, Promise, Put, gather
from tests.chaos.stored import stored, unsealed
from tests.chaos.violations import Kind
from tests.end_to_end.conftest import a_world
from tests.end_to_end.orders import DATABASE, SHARED_SERVER, Ordered
from tests.end_to_end.world import World
from tests.osb.platform import an_id
from tests.postgresql import dsn_of
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

BLOB = Ordered.of("azure-storage-blob")
BOUNDS = Bounds(lease=timedelta(seconds=1.5))
BUDGET = {kind: (BURST[kind], REFILL_PER_SECOND[kind]) for kind in BURST}
STORAGE = "2026-09-01"
CANARY = "a-canary-that-nobody-else-sings"


@dataclass
class Lived:
    """A world after a short life: a server with a bound database, a blob container, one failure, one deletion."""

    world: World
    url: str
    database: str
    blob: str
    binding: str
    credentials: dict[str, str]
    promises: list[Promise]
    beliefs: Beliefs
    planted: list[int] = field(default_factory=list)
    """Numbers of the calls that a test has made itself: Azure never forgets them."""

    def evidence(self, **changes) -> Evidence:
        world = self.world
        made = gather(
            world.azure,
            self.url,
            KeyRing([("k1", world.key)]),
            world.group,
            logs=[world.log],
            secrets={"the canary": CANARY, "a binding's password": self.credentials["password"]},
            promises=self.promises,
            beliefs=self.beliefs,
        )
        ledger = [call for call in made.ledger if call["sequence"] not in self.planted]
        return replace(made, **{"ledger": ledger, **changes})

    def found(self, **changes) -> dict[Kind, str]:
        """The kinds of violation that the checker finds, each with all that it says."""
        kinds: dict[Kind, str] = {}
        for violation in violations(self.evidence(**changes), BOUNDS, BUDGET):
            kinds[violation.kind] = f"{kinds.get(violation.kind, '')}{violation.what}\n"
        return kinds

    def write(self, *statements) -> None:
        """Change the store behind the broker's back."""
        url = make_url(self.url)
        engine = create_engine(
            url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg")
        )
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)
        engine.dispose()


def a_life(world: World) -> Lived:
    promises, instances = [], {}
    world.azure.fault(
        "deployment_failed", method="PUT", path=f"/{world.group}/.*/deployments/", code="QuotaExceeded"
    )
    broker = world.start()
    platform = broker.platform

    def ordered(name: str, body, expected: str) -> None:
        instances[name] = an_id()
        answer = platform.provision(instances[name], body)
        promises.append(Promise(instances[name], operation=answer.json()["operation"]))
        assert platform.settle(instances[name]).json()["state"] == expected

    ordered("failed", BLOB.order(), "failed")
    ordered("server", SHARED_SERVER.order(alias="shared"), "succeeded")
    ordered("database", DATABASE.order(parentAlias="shared"), "succeeded")
    ordered("blob", BLOB.order(), "succeeded")
    ordered("deleted", BLOB.order(), "succeeded")
    platform.gone(instances["deleted"], BLOB.plan_id, BLOB.service_id)
    binding, bound = platform.bound(instances["database"], DATABASE.body())
    promises.append(Promise(instances["database"], binding=binding))
    broker.stop()
    return Lived(
        world,
        world.database_url,
        instances["database"],
        instances["blob"],
        binding,
        bound["credentials"],
        promises,
        Beliefs(
            alive=frozenset({instances["server"], instances["database"], instances["blob"], binding}),
            gone=frozenset({instances["deleted"]}),
        ),
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def life(request, simulator_with_databases, tmp_path_factory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("lived")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), folder / "broker.db")
        with a_world(simulator_with_databases, f"sqlite:///{folder / 'broker.db'}", folder) as world:
            yield a_life(world)
        return
    dsn, template = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("migrated_template")
    with (
        _copied(dsn, template) as url,
        a_world(simulator_with_databases, url, folder) as world,
    ):
        yield a_life(world)


@contextlib.contextmanager
def _copied(dsn: str, template: str) -> Iterator[str]:
    name = f"lived_{uuid4().hex}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(copy)
    yield dsn_of(dsn, name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def lived(life, tmp_path, request) -> Iterator[Lived]:
    """The same life with a copy of its store that the test may spoil."""
    if life.url.startswith("sqlite"):
        file = life.world.folder / "broker.db"
        for path in file.parent.glob("broker.db*"):
            shutil.copy(path, tmp_path / path.name)
        yield replace(life, url=f"sqlite:///{tmp_path / 'broker.db'}")
        return
    dsn = request.getfixturevalue("postgres_dsn")
    with _copied(dsn, make_url(life.url).database) as url:
        yield replace(life, url=url)


def operation(lived: Lived, kind: str, status: str = "succeeded"):
    found = [op for op in stored(lived.url).operations if (op["kind"], op["status"]) == (kind, status)]
    return found[-1]


def change(row, **values):
    return update(operations_table).where(operations_table.c.id == row["id"]).values(**values)


def in_progress(row, **values):
    return change(row, status="in progress", finished_at=None, **values)


def test_a_world_in_which_all_went_well_has_no_violation(lived):
    evidence = lived.evidence()

    assert violations(evidence, BOUNDS, BUDGET) == []
    assert len(evidence.stored.operations) == 7
    assert len(evidence.resources()) == 5
    assert [len(server.roles) for server in evidence.servers] == [2]


def test_an_accepted_operation_that_is_on_no_record_is_lost(lived):
    gone = operation(lived, "provision", "failed")

    lived.write(f"DELETE FROM operations WHERE number = {gone['number']}")

    assert str(gone["id"]) in lived.found()[Kind.LOST]


def test_an_instance_that_was_made_and_is_not_there_is_lost(lived):
    beliefs = Beliefs(alive=frozenset({an_id()}), gone=frozenset({lived.blob}))

    told = lived.found(beliefs=beliefs)[Kind.LOST]

    assert "was made, and is: None" in told
    assert f"deletion of {lived.blob} was confirmed" in told


def test_an_operation_that_should_long_have_ended_is_stuck(lived):
    bind = operation(lived, "bind")

    lived.write(
        in_progress(bind, deadline_at=datetime.now(UTC) - timedelta(hours=1)),
        update(service_bindings).values(state="binding"),
    )

    told = lived.found()[Kind.STUCK]
    assert "should have ended" in told
    assert "is still in progress" in told


def test_a_deployment_that_was_started_a_second_time_is_found(lived):
    (name,) = {
        call["deployment"]
        for call in lived.world.calls("PUT", "/deployments/")
        if operation(lived, "provision")["id"].hex[:8] in call["deployment"]
    }
    empty = {"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"}
    template = {**empty, "contentVersion": "1.0.0.0", "resources": []}
    path = f"/resourceGroups/{lived.world.group}/providers/Microsoft.Resources/deployments/{name}"
    started = lived.world.azure.call(
        "PUT", path, {"properties": {"mode": "Incremental", "template": template}}
    )
    found = lived.found()
    lived.planted.append(max(call["sequence"] for call in lived.world.calls("PUT", name)))

    assert started.status_code in {200, 201}, started.text
    assert f"{name} was started 2 times, 1 expected" in found.pop(Kind.SECOND_DEPLOYMENT)
    assert found == {}


def put_twice(lived, *, overlapping, fences, stood_still=False):
    """The evidence of a deployment that another claim's PUT started once more, and how its two PUTs met."""
    evidence = lived.evidence()
    name = next(
        call["deployment"]
        for call in evidence.ledger
        if operation(lived, "provision")["id"].hex[:8] in (call["deployment"] or "")
        if call["method"] == "PUT"
    )
    first = next(call for call in evidence.ledger if call["deployment"] == name and call["method"] == "PUT")
    began, ended = (datetime.fromisoformat(first[end]) for end in ("time", "ended"))
    # Half-way, for a PUT may be answered within the millisecond.
    arrived = began + (ended - began) / 2 if overlapping else ended + timedelta(seconds=0.3)
    second = {**first, "sequence": 10**6, "time": arrived.isoformat(), "ended": arrived.isoformat()}
    puts = tuple(Put(name, fence, 1, first["time"], stood_still) for fence in fences)
    return {"ledger": [*evidence.ledger, second], "puts": puts}


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"overlapping": True, "fences": [2, 4]}, False),
        ({"overlapping": False, "fences": [2, 4], "stood_still": True}, False),
        ({"overlapping": False, "fences": [2, 4]}, True),
        ({"overlapping": True, "fences": [2, 2]}, True),
        ({"overlapping": True, "fences": []}, True),
    ],
)
def test_only_a_put_that_was_on_its_way_when_its_successor_asked_excuses_a_second_one(lived, how, found):
    kinds = lived.found(**put_twice(lived, **how))

    assert (Kind.SECOND_DEPLOYMENT in kinds) is found
    assert put_again(lived.evidence(**put_twice(lived, **how))) == (0 if found else 1)


def test_a_deployment_of_an_operation_that_never_was_is_found(lived):
    gone = operation(lived, "provision", "failed")

    lived.write(f"DELETE FROM operations WHERE number = {gone['number']}")

    assert gone["id"].hex[:8] in lived.found()[Kind.ROLLED_BACK]


def test_a_resource_that_nobody_wrote_down_is_found(lived):
    world = lived.world
    orphan = f"{world.azure.subscription}/resourceGroups/{world.group}/providers/Microsoft.Storage/storageAccounts/lost"
    world.azure.plant(id=orphan, location="westeurope", tags={})

    found = lived.found()
    world.azure.call("DELETE", orphan, version=STORAGE)
    wait_until(lambda: all(one["id"] != orphan for one in world.azure.state()["resources"]))

    assert orphan.lower() in found[Kind.RESOURCE_WITHOUT_RECORD]


def test_a_resource_whose_record_says_that_it_is_gone_is_found(lived):
    lived.write(update(external_resources).values(gone_at=datetime.now(UTC)))

    assert lived.found()[Kind.RESOURCE_WITHOUT_RECORD].count("\n") == 5


def test_a_login_that_no_binding_knows_is_found(lived):
    (server,) = lived.world.servers()
    instances = unsealed(lived.url, KeyRing([("k1", lived.world.key)])).values()
    (administrator,) = (secrets_of(one) for one in instances if one.alias == "shared")
    with psycopg.connect(
        host=lived.credentials["hostname"],
        user=administrator["administrator_login"],
        password=administrator["administrator_password"],
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=lived.world.azure.access.ca_file,
        autocommit=True,
    ) as connection:
        connection.execute("CREATE ROLE app_left_behind LOGIN")
        found = lived.found()
        connection.execute("DROP ROLE app_left_behind")

    assert found[Kind.USER_WITHOUT_RECORD] == f"app_left_behind on {server['name']}\n"


def test_a_login_that_a_binding_needs_and_the_server_lacks_is_found(lived):
    lived.write(
        update(service_bindings).values(record={"made": [{"verb": "database_user", "username": "app_gone"}]})
    )

    assert "login app_gone" in lived.found()[Kind.RECORD_WITHOUT_RESOURCE]


def test_a_record_whose_resource_is_not_in_azure_is_found(lived):
    there = lived.evidence().resources()[0]["id"]
    row = select(external_resources).where(external_resources.c.resource_id == there)

    lived.write(
        update(external_resources)
        .where(external_resources.c.number == row.subquery().c.number)
        .values(resource_id=f"{there}-of-old")
    )

    assert f"{there}-of-old".lower() in lived.found()[Kind.RECORD_WITHOUT_RESOURCE]


@pytest.mark.parametrize("description", ["", "It failed.", "Reason: None", "KeyError('x') in File \"a.py\""])
def test_a_failure_that_tells_nobody_anything_is_found(lived, description):
    lived.write(change(operation(lived, "provision", "failed"), description=description))

    assert repr(description) in lived.found()[Kind.WITHOUT_REASON]


def test_two_operations_in_progress_on_one_instance_are_found(lived):
    lived.write(
        "DROP INDEX uq_operations_one_per_instance",
        in_progress(operation(lived, "provision"), deadline_at=datetime.now(UTC) + timedelta(hours=1)),
    )
    one = operation(lived, "provision", "in progress")
    copy = {name: value for name, value in one.items() if name != "number"}

    lived.write(insert(operations_table).values(**{**copy, "id": uuid4()}))

    assert str(one["instance_key"]) in lived.found()[Kind.TWO_IN_PROGRESS]


@pytest.mark.parametrize(
    "spoilt",
    [
        update(service_instances).where(service_instances.c.state == "ready").values(state="creating"),
        update(service_instances).where(service_instances.c.state == "ready").values(applied_sealed=None),
        update(service_bindings).values(credentials_sealed=None),
        "DELETE FROM service_bindings",
    ],
)
def test_half_of_a_commit_is_found(lived, spoilt):
    lived.write(spoilt)

    assert Kind.HALF_A_COMMIT in lived.found()


def test_what_happens_after_an_end_is_found(lived):
    ended = operation(lived, "bind")

    lived.write(
        insert(operation_events).values(
            operation_id=ended["id"], at=datetime.now(UTC), what="failed", detail="After all.", owner=None
        )
    )

    assert "['succeeded', 'failed']" in lived.found()[Kind.ENDED_TWICE]


def test_a_change_of_what_has_ended_is_found(lived):
    before = stored(lived.url)

    lived.write(change(operation(lived, "bind"), status="failed", fence=99))

    (violation,) = engine_rules.between(before, stored(lived.url))
    assert violation.kind is Kind.ENDED_TWICE


@pytest.mark.parametrize("spoilt", [{"fence": 0}, {"phase": "elsewhere"}])
def test_a_write_by_somebody_who_does_not_hold_the_claim_is_found(lived, spoilt):
    running = operation(lived, "bind")
    lived.write(in_progress(running))
    before = stored(lived.url)

    lived.write(change(running, **spoilt))

    (violation,) = engine_rules.between(before, stored(lived.url))
    assert violation.kind is Kind.FENCE


def test_a_timer_that_nobody_will_live_to_see_is_found(lived):
    later = datetime.now(UTC) + timedelta(days=1)

    lived.write(in_progress(operation(lived, "bind"), due_at=later, deadline_at=later))

    assert "is due in" in lived.found()[Kind.TIMER]


def test_a_step_back_is_found(lived):
    events = [("step", "Step 3 of 3: Cleaning up."), ("step", "Step 1 of 3: Looking."), ("succeeded", "")]
    deleted = operation(lived, "deprovision")

    lived.write(
        f"DELETE FROM operation_events WHERE detail = '{deleted['description']}'",
        *(
            insert(operation_events).values(
                operation_id=deleted["id"], at=datetime.now(UTC), what=what, detail=detail, owner=None
            )
            for what, detail in events
        ),
    )

    assert "goes from 3 to 1" in lived.found()[Kind.PHASES]


def test_an_end_long_after_the_deadline_is_found(lived):
    lived.write(change(operation(lived, "bind"), finished_at=datetime.now(UTC) + timedelta(hours=2)))

    assert "too late" in lived.found()[Kind.LATE]


def test_more_calls_than_the_budget_has_are_found(lived):
    evidence = lived.evidence()

    found = violations(evidence, BOUNDS, {**BUDGET, "write": (1.0, 0.1)})

    assert [violation.kind for violation in found] == [Kind.BUDGET]
    assert re.match(r"calls of the kind write: \d+ from", found[0].what)


def test_a_secret_in_the_open_is_found_wherever_and_however_it_is_written(lived):
    lived.write(
        insert(audit).values(at=datetime.now(UTC), actor="x", action="y", object=CANARY.encode().hex())
    )
    log = lived.credentials["password"].encode()

    found = lived.found(texts={**lived.evidence().texts, "a log": log})

    assert set(found[Kind.SECRET].splitlines()) == {
        "the canary, in the store",
        "a binding's password, in a log",
    }


def test_a_fault_that_nobody_foresaw_is_found_in_a_log(lived):
    line = '{"event": "A step failed in a way that nobody foresaw.", "exception": "Trace\\nKeyError: 1"}'

    found = lived.found(logs=line)

    assert found[Kind.UNFORESEEN] == "1 times: A step failed in a way that nobody foresaw. KeyError: 1\n"
