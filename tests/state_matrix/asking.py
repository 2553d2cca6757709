"""Every request that a platform can send about a service instance or a binding, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.osb.offerings import LARGE, SERVICE
from tests.state_matrix.states import OTHER_PARAMETERS, Scene

INCOMPLETE = {"accepts_incomplete": "true"}


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    params: dict[str, str] | None = None
    body: dict[str, Any] | None = None

    async def to(self, client: httpx.AsyncClient) -> httpx.Response:
        return await client.request(self.method, self.path, params=self.params, json=self.body)


Ask = Callable[[Scene], Sent]


def _instance(scene: Scene) -> str:
    return f"/v2/service_instances/{scene.instance_id}"


def _binding(scene: Scene) -> str:
    return f"{_instance(scene)}/service_bindings/{scene.binding_id}"


def _order(**changes: Any) -> Ask:
    def ask(scene: Scene) -> Sent:
        body = {
            "service_id": scene.service_id,
            "plan_id": scene.plan_id,
            "organization_guid": "an-organization",
            "space_guid": "a-space",
            "parameters": scene.parameters,
        }
        if "parameters" in changes:
            body["parameters"] = {**scene.parameters, **changes["parameters"]}
        body |= {key: value for key, value in changes.items() if key not in {"parameters", "sync"}}
        return Sent("PUT", _instance(scene), {} if "sync" in changes else INCOMPLETE, body)

    return ask


def _update(**changes: Any) -> Ask:
    return lambda scene: Sent(
        "PATCH", _instance(scene), INCOMPLETE, {"service_id": scene.service_id, **changes}
    )


def _delete(where: Callable[[Scene], str], **changes: Any) -> Ask:
    def ask(scene: Scene) -> Sent:
        named = {"service_id": scene.service_id, "plan_id": scene.plan_id}
        incomplete = {} if "sync" in changes else INCOMPLETE
        wrong = {key: value for key, value in changes.items() if key != "sync"}
        return Sent("DELETE", where(scene), named | incomplete | wrong)

    return ask


def _bind(**changes: Any) -> Ask:
    return lambda scene: Sent(
        "PUT",
        _binding(scene),
        INCOMPLETE,
        {"service_id": scene.service_id, "plan_id": scene.plan_id, **changes},
    )


def _get(where: Callable[[Scene], str]) -> Ask:
    return lambda scene: Sent("GET", where(scene))


def _poll(where: Callable[[Scene], str], key: str | None = None) -> Ask:
    def ask(scene: Scene) -> Sent:
        found = str(scene.operation.id) if key == "known" and scene.operation else str(uuid4())
        return Sent("GET", where(scene) + "/last_operation", {"operation": found} if key else None)

    return ask


OF_INSTANCES: dict[str, Ask] = {
    "PUT same": _order(),
    "PUT same, sync": _order(sync=True),
    "PUT other parameters": _order(parameters=OTHER_PARAMETERS),
    "PUT other plan": _order(plan_id=LARGE, service_id=SERVICE),
    "PATCH nothing": _update(),
    "PATCH same parameters": _update(parameters={"size": 1}),
    "PATCH other parameters": _update(parameters=OTHER_PARAMETERS),
    "PATCH other plan": _update(plan_id=LARGE),
    "DELETE": _delete(_instance),
    "DELETE, sync": _delete(_instance, sync=True),
    "DELETE wrong plan": _delete(_instance, plan_id="no-such-plan"),
    "DELETE wrong offering": _delete(_instance, service_id="no-such-offering"),
    "bind": _bind(),
    "GET": _get(_instance),
    "poll with key": _poll(_instance, "known"),
    "poll": _poll(_instance),
    "poll with unknown key": _poll(_instance, "unknown"),
}
OF_BINDINGS: dict[str, Ask] = {
    "bind same": _bind(),
    "bind other parameters": _bind(parameters={"role": "writer"}),
    "unbind": _delete(_binding),
    "unbind wrong plan": _delete(_binding, plan_id="no-such-plan"),
    "unbind wrong offering": _delete(_binding, service_id="no-such-offering"),
    "GET binding": _get(_binding),
    "poll with key": _poll(_binding, "known"),
    "poll": _poll(_binding),
    "DELETE instance": _delete(_instance),
    "PATCH other parameters": _update(parameters=OTHER_PARAMETERS),
    "GET instance": _get(_instance),
}
