"""How to order and bind a plan, for each kind of platform: manifests for Service Catalog, `cf`, curl. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from broker.domain.catalog import ServiceOffering, ServicePlan

RUN = "<!-- run: broker -->\n"
"""A mark for tests: this example is run as it stands."""
ALIAS = "my-parent"
AN_ID = "11111111-2222-3333-4444-555555555555"
"""What stands for an id of the user's own, such as a principal's."""


@dataclass(frozen=True)
class Chosen:
    """A plan of an offering in an example."""

    offering: ServiceOffering
    plan: ServicePlan

    @property
    def name(self) -> str:
        """A name for a service instance of it."""
        return f"my-{self.offering.name}"[:50].rstrip("-.")


def examples(chain: Sequence[Chosen]) -> Iterator[tuple[str, str, str, str]]:
    """Give each example of the last of *chain*, after its parents: title, language, mark, text."""
    yield "Kubernetes with Service Catalog", "yaml", "", _manifests(chain)
    yield "Cloud Foundry", "sh", "", _cf(chain)
    yield "curl", "sh", RUN, _curl(chain)


def parameters_of(chain: Sequence[Chosen], place: int) -> dict[str, Any]:
    """Choose parameters for an order: what is needed, and one with a default, to show its place."""
    plan = chain[place].plan
    schema = plan.create_schema or {}
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    found = {}
    for name in schema.get("required", ()):
        found[name] = _alias(place - 1) if name == "parentAlias" else sample(properties.get(name, {}))
    if place < len(chain) - 1 and plan.takes_alias:
        found["alias"] = _alias(place)
    with_default = [
        name
        for name, said in properties.items()
        if isinstance(said.get("default"), str | int | bool) and name not in found
    ]
    if place == len(chain) - 1 and with_default:
        found[with_default[0]] = properties[with_default[0]]["default"]
    return found


def bind_parameters_of(plan: ServicePlan) -> dict[str, Any]:
    """Choose parameters for a binding: what is needed."""
    schema = plan.bind_schema or {}
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    return {name: sample(properties.get(name, {})) for name in schema.get("required", ())}


def _alias(place: int) -> str:
    return ALIAS if place == 0 else f"{ALIAS}-{place + 1}"


def sample(schema: Mapping[str, Any]) -> Any:
    """Return a value for what has no default, to be replaced by its user's own."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "string" and "pattern" in schema and re.search(schema["pattern"], AN_ID):
        return AN_ID
    if kind == "string":
        return "<yours>"[: schema.get("maxLength", 7)].ljust(schema.get("minLength", 0), "x")
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    return {"boolean": False, "array": [], "object": {}}.get(str(kind))


def _manifests(chain: Sequence[Chosen]) -> str:
    documents: list[dict[str, Any]] = []
    for place, one in enumerate(chain):
        spec: dict[str, Any] = {
            "clusterServiceClassExternalName": one.offering.name,
            "clusterServicePlanExternalName": one.plan.name,
        }
        if parameters := parameters_of(chain, place):
            spec["parameters"] = parameters
        documents.append(_object("ServiceInstance", one.name, spec))
    last = chain[-1]
    if last.plan.bindable:
        spec = {"instanceRef": {"name": last.name}, "secretName": f"{last.name}-credentials"}
        if parameters := bind_parameters_of(last.plan):
            spec["parameters"] = parameters
        documents.append(_object("ServiceBinding", f"{last.name}-app", spec))
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "servicecatalog.k8s.io/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def _cf(chain: Sequence[Chosen]) -> str:
    lines = []
    for place, one in enumerate(chain):
        words = ["cf", "create-service", one.offering.name, one.plan.name, one.name, "--wait"]
        if parameters := parameters_of(chain, place):
            words += ["-c", _json(parameters)]
        lines.append(shlex.join(words))
    last = chain[-1]
    if last.plan.bindable:
        needed = bind_parameters_of(last.plan)
        more = ["-c", _json(needed)] if needed else []
        lines.append(shlex.join(["cf", "bind-service", "my-app", last.name, *more]))
        lines.append(shlex.join(["cf", "unbind-service", "my-app", last.name]))
    lines += [shlex.join(["cf", "delete-service", "-f", one.name, "--wait"]) for one in reversed(chain)]
    return "\n".join(lines)


def _curl(chain: Sequence[Chosen]) -> str:
    lines = [
        ": ${B:=http://127.0.0.1:8080} ${A:=platform:password}  # where the broker is, and a platform's credentials",
        "ask() { method=$1 path=$2; shift 2",
        '  curl -sS --fail-with-body -u "$A" -H "X-Broker-API-Version: 2.17" \\',
        '    -X "$method" "$B/v2/service_instances/$path" "$@"; }',
        'wait_for() { while ask GET "$1/last_operation" | grep -q \'"in progress"\'; do sleep ${EVERY:-5}; done; }',
    ]
    for place, one in enumerate(chain):
        body = {**_ids(one), "organization_guid": "me", "space_guid": "me"}
        if parameters := parameters_of(chain, place):
            body["parameters"] = parameters
        lines += [
            "",
            f"# Order {one.offering.name}",
            f"ask PUT {shlex.quote(f'{one.name}?accepts_incomplete=true')} -d {shlex.quote(_json(body))}",
            f"wait_for {shlex.quote(one.name)}",
        ]
    last = chain[-1]
    binding = f"{last.name}/service_bindings/my-app"
    if last.plan.bindable:
        needed = bind_parameters_of(last.plan)
        asked = {**_ids(last), "parameters": needed} if needed else _ids(last)
        lines += [
            "",
            "# Credentials for an app, and their end",
            f"ask PUT {shlex.quote(binding)} -d {shlex.quote(_json(asked))}",
            f"ask DELETE {shlex.quote(f'{binding}?{_query(last)}')}",
        ]
    for one in reversed(chain):
        lines += [
            "",
            f"# Delete {one.offering.name}; it is gone when this is answered with 410",
            f"ask DELETE {shlex.quote(f'{one.name}?{_query(one)}&accepts_incomplete=true')}",
            f"wait_for {shlex.quote(one.name)}",
        ]
    return "\n".join(lines)


def _ids(one: Chosen) -> dict[str, Any]:
    return {"service_id": one.offering.id, "plan_id": one.plan.id}


def _query(one: Chosen) -> str:
    return f"service_id={one.offering.id}&plan_id={one.plan.id}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
