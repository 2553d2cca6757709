"""Every state times every request: the cells of docs/state-matrix.md are the expected answers."""

from pathlib import Path

import pytest
from sqlalchemy import select

from broker.domain.bindings import BindingState
from broker.domain.instances import InstanceState
from broker.domain.operations import OperationKind
from broker.store.tables import audit, external_resources, operation_events, operations
from broker.store.tables import service_bindings as bindings
from broker.store.tables import service_instances as instances
from tests.state_matrix import asking, states
from tests.state_matrix.states import Scene

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parent.parent.parent / "docs" / "state-matrix.md"
ON_BOTH_DATABASES = {"PUT same", "PATCH other parameters", "DELETE", "bind", "bind same", "unbind"}
"""The others are asked on SQLite alone: what they need of a database, these need, too."""
INSTANCE, BINDING = "state of the service instance", "state of the service binding"


def tables() -> dict[str, dict[str, dict[str, str]]]:
    """The page's cells by what the state is of, state and request."""
    found: dict[str, dict[str, dict[str, str]]] = {INSTANCE: {}, BINDING: {}}
    header: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif not cells[0].startswith("-"):
            row = found[header[0]].setdefault(cells[0], {})
            row.update(zip(header[1:], cells[1:], strict=True))
    return found


EXPECTED = tables()


def test_the_page_has_a_cell_for_every_state_and_every_request():
    for of, written, asked in (
        (INSTANCE, states.OF_INSTANCES, asking.OF_INSTANCES),
        (BINDING, states.OF_BINDINGS, asking.OF_BINDINGS),
    ):
        assert EXPECTED[of].keys() == written.keys()
        assert all(row.keys() == asked.keys() for row in EXPECTED[of].values())


@pytest.mark.parametrize("state", states.OF_INSTANCES)
async def test_a_service_instance_answers_as_the_page_says(brokers, state):
    await _ask_everything(brokers, states.OF_INSTANCES[state], asking.OF_INSTANCES, EXPECTED[INSTANCE][state])


@pytest.mark.parametrize("state", states.OF_BINDINGS)
async def test_a_service_binding_answers_as_the_page_says(brokers, state):
    await _ask_everything(brokers, states.OF_BINDINGS[state], asking.OF_BINDINGS, EXPECTED[BINDING][state])


async def _ask_everything(brokers, write, asked, expected):
    faults, scene, before = [], None, None
    for name, ask in asked.items():
        if brokers.database.kind != "sqlite" and name not in ON_BOTH_DATABASES:
            continue
        if scene is None:
            async with brokers.database.transaction() as tx:
                scene = Scene(tx)
                await write(scene)
            before = await _record(brokers.database, scene)

        response = await ask(scene).to(brokers.clients[scene.catalog])

        after = await _record(brokers.database, scene)
        body = response.json()
        answer = f"{response.status_code} {body.get('error') or body.get('state') or ''}".strip()
        if response.status_code == 410:
            answer = "410"
        if answer != expected[name]:
            faults.append(f"{name}: {answer}, not {expected[name]}: {body}")
        faults += [f"{name} ({answer}): {fault}" for fault in _faults(name, response, before, after)]
        # What has changed nothing leaves the state for the next request.
        scene, before = (scene, after) if after == before else (None, None)
    assert faults == []


def _faults(name, response, before, after):
    """What is wrong with the record, or with the description, after this answer."""
    status, body = response.status_code, response.json()
    if status >= 400 and len(body.get("description", "").split()) < 4:
        yield f"the description is of no use: {body}"
    if status != 202 and before != after:
        yield f"the record has changed: {before} -> {after}"
    if status != 202:
        return
    on_binding = "bind" in name
    running = [
        row.kind
        for row in after["operations"]
        if row.status == "in progress" and (row.binding_id is not None) == on_binding
    ]
    method = name.split(maxsplit=1)[0].strip(",")
    kind = {
        "PUT": OperationKind.PROVISION,
        "PATCH": OperationKind.UPDATE,
        "DELETE": OperationKind.DEPROVISION,
        "bind": OperationKind.BIND,
        "unbind": OperationKind.UNBIND,
    }[method]
    if running != [kind.value]:
        yield f"in progress is {running}, not one {kind}"
    state = {
        OperationKind.PROVISION: InstanceState.CREATING,
        OperationKind.UPDATE: InstanceState.READY,
        OperationKind.DEPROVISION: InstanceState.DELETING,
        OperationKind.BIND: BindingState.BINDING,
        OperationKind.UNBIND: BindingState.UNBINDING,
    }[kind]
    found = [row.state for row in after["bindings" if on_binding else "instances"]]
    if found != [state.value]:
        yield f"its state is {found}, not '{state}'"


async def _record(database, scene):
    """All that the store holds of the caller's instance, for comparison."""
    async with database.transaction(read_only=True) as tx:
        mine = (instances.c.platform == states.PLATFORM) & (instances.c.instance_id == scene.instance_id)
        homes = list(await tx.execute(select(instances).where(mine)))
        keys = [home.key for home in homes]
        work = list(
            await tx.execute(
                select(operations)
                .where(
                    operations.c.platform == states.PLATFORM, operations.c.instance_id == scene.instance_id
                )
                .order_by(operations.c.number)
            )
        )
        ids = [one.id for one in work]
        return {
            "instances": homes,
            "bindings": list(await tx.execute(select(bindings).where(bindings.c.instance_key.in_(keys)))),
            "operations": work,
            "events": list(
                await tx.execute(select(operation_events).where(operation_events.c.operation_id.in_(ids)))
            ),
            "resources": list(
                await tx.execute(
                    select(external_resources).where(external_resources.c.instance_key.in_(keys))
                )
            ),
            "audit": list(await tx.execute(select(audit).where(audit.c.object.contains(scene.instance_id)))),
        }
