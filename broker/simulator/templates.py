"""ARM templates: from text and parameters to resources in the order they depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from broker.azure_models import UNKNOWN
from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.expressions import Call, calls, evaluate, is_expression, run
from broker.simulator.resource_ids import ResourceId
from broker.simulator.template_functions import PURE
from broker.simulator.template_parameters import SPELT, Parameter, read_parameters

OF_THE_TEMPLATE = frozenset(
    {"apiVersion", "type", "name", "dependsOn", "condition", "copy", "comments", "existing", "resources"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment happens."""

    subscription: str
    tenant: str
    group: str
    location: str
    deployment: str
    environment: Mapping[str, Any]


class Runtime(Protocol):
    """What an expression may ask of living resources while a deployment runs."""

    def reference(self, resource: ResourceId, *, full: bool) -> Any: ...

    def list_action(self, resource: ResourceId, action: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A resource of a template; *raw* still holds its expressions."""

    key: str
    id: ResourceId
    api_version: str
    raw: Mapping[str, Any]
    existing: bool
    waits_for: frozenset[str]
    loop: tuple[str, int] | None


@dataclass(slots=True)
class _Draft:
    key: str
    id: ResourceId
    api_version: str
    raw: Mapping[str, Any]
    existing: bool
    wanted: bool
    loop: tuple[str, int] | None
    batch: tuple[int, int] | None
    after: set[str] = field(default_factory=set)


class Template:
    """
    One template with the parameters of one deployment.

    Raises:
        InvalidTemplate: What ARM would refuse before it starts: unknown parameters and functions, circles,
            dependencies on nothing.
    """

    def __init__(self, template: Any, parameters: Any, place: Place) -> None:
        if not isinstance(template, Mapping):
            raise InvalidTemplate("The template is missing or no object")
        for name in ("$schema", "contentVersion", "resources"):
            if name not in template:
                raise InvalidTemplate(f"Required property '{name}' not found in the template")
        for name in ("functions", "imports", "extensions"):
            if template.get(name):
                raise InvalidTemplate(f"The template section '{name}' is not supported by this simulator")
        self._template = template
        self._place = place
        self._variables: dict[str, Any] = {}
        self._opening: list[str] = []
        # Names of copy loops: one that makes nothing may still be depended on.
        self._loops: set[str] = set()
        self.parameters: dict[str, Parameter] = {}
        # Defaults may use the parameters above them: the dictionary grows while it is read.
        self.parameters = read_parameters(
            template.get("parameters", {}),
            parameters if parameters is not None else {},
            template.get("definitions", {}),
            lambda value: evaluate(value, self._early()),
        )
        self.resources = self._plan()
        self.outputs: Mapping[str, Any] = template.get("outputs", {})
        self._check_outputs()

    def secrets(self) -> frozenset[str]:
        """The texts that no reply and no log may show."""
        found: set[str] = set()
        waiting = [parameter.value for parameter in self.parameters.values() if parameter.secure]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Mapping):
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str) and value:
                found.add(value)
        return frozenset(found)

    def body(self, planned: Planned, runtime: Runtime | None) -> dict[str, Any]:
        """The resource's body; without a *runtime* what only it can tell is UNKNOWN."""
        functions = self._early(planned.loop) if runtime is None else self._late(runtime, planned.loop)
        raw = {key: value for key, value in planned.raw.items() if key not in OF_THE_TEMPLATE}
        given = evaluate(_veiled(raw) if runtime is None else raw, {**functions, "$unknown": lambda: UNKNOWN})
        return dict(given)

    def output_values(self, runtime: Runtime) -> dict[str, Any]:
        """What the deployment shows; the value of a secure output is left out."""
        functions = self._late(runtime, None)
        shown: dict[str, Any] = {}
        for name, output in self.outputs.items():
            if not evaluate(output.get("condition", True), functions):
                continue
            kind = str(output.get("type", "")).lower()
            shown[name] = {"type": SPELT.get(kind, kind)}
            if not kind.startswith("secure"):
                shown[name]["value"] = evaluate(output.get("value"), functions)
        return shown

    # What expressions can call.

    def _early(self, loop: tuple[str, int] | None = None) -> Mapping[str, Callable[..., Any]]:
        place = self._place
        subscription = f"/subscriptions/{place.subscription}"
        return {
            **PURE,
            "parameters": self._parameter,
            "variables": self._variable,
            "resourcegroup": lambda: {
                "id": f"{subscription}/resourceGroups/{place.group}",
                "name": place.group,
                "type": "Microsoft.Resources/resourceGroups",
                "location": place.location,
            },
            "subscription": lambda: {
                "id": subscription,
                "subscriptionId": place.subscription,
                "tenantId": place.tenant,
            },
            "tenant": lambda: {"tenantId": place.tenant},
            "deployment": lambda: {
                "name": place.deployment,
                "properties": {"mode": "Incremental", "provisioningState": "Running"},
            },
            "environment": lambda: dict(place.environment),
            "resourceid": self._resource_id,
            "subscriptionresourceid": lambda kind, *names: f"{subscription}/providers/{_path(kind, names)}",
            "tenantresourceid": lambda kind, *names: f"/providers/{_path(kind, names)}",
            "extensionresourceid": lambda of, kind, *names: f"{of}/providers/{_path(kind, names)}",
            "copyindex": lambda *arguments: _copy_index(loop, arguments),
        }

    def _late(self, runtime: Runtime, loop: tuple[str, int] | None) -> Mapping[str, Callable[..., Any]]:
        def reference(name: str, _api_version: str = "", full: str = "") -> Any:
            return runtime.reference(self._named(name), full=full.lower() == "full")

        def list_action(action: str, name: str, _api_version: str = "", _body: Any = None) -> Any:
            return runtime.list_action(self._named(name), action)

        return {**self._early(loop), "reference": reference, "list*": list_action}

    def _parameter(self, name: str) -> Any:
        found = next((key for key in self.parameters if key.lower() == name.lower()), None)
        if found is None:
            raise InvalidTemplate(f"The template parameter '{name}' is not found")
        return self.parameters[found].value

    def _variable(self, name: str) -> Any:
        declared = self._template.get("variables", {})
        if name in self._variables:
            return self._variables[name]
        if name not in declared:
            raise InvalidTemplate(f"The template variable '{name}' is not found")
        if name in self._opening:
            raise InvalidTemplate(f"The template variable '{name}' depends on itself")
        self._opening.append(name)
        try:
            self._variables[name] = evaluate(declared[name], self._early())
        finally:
            self._opening.pop()
        return self._variables[name]

    def _resource_id(self, *arguments: str) -> str:
        at = next((i for i, argument in enumerate(arguments[:3]) if "/" in argument), None)
        if at is None:
            raise InvalidTemplate("The template function 'resourceId' got no fully qualified resource type")
        group = arguments[at - 1] if at >= 1 else self._place.group
        subscription = arguments[0] if at == 2 else self._place.subscription
        path = _path(arguments[at], arguments[at + 1 :])
        return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{path}"

    def _named(self, name: str) -> ResourceId:
        """A resource by its id, its symbolic name or its name in this template."""
        if name.startswith("/"):
            return _parsed(name)
        for planned in self.resources:
            if planned.key == name or planned.id.full_name.lower() == name.lower():
                return planned.id
        raise InvalidTemplate(f"The resource '{name}' is not defined in the template")

    # From declarations to a plan.

    def _plan(self) -> list[Planned]:
        declared = self._template["resources"]
        if isinstance(declared, Mapping):
            entries = list(declared.items())
        elif isinstance(declared, list):
            entries = [(f"#{index}", resource) for index, resource in enumerate(declared)]
        else:
            raise InvalidTemplate("The template's resources are neither a list nor an object")
        drafts: list[_Draft] = []
        for key, resource in entries:
            drafts += self._drafts(key, resource, None)
        self._refuse_twins(drafts)
        for draft in drafts:
            draft.after = self._dependencies(draft, drafts)
        wanted = {draft.key for draft in drafts if draft.wanted}
        plan = [
            Planned(d.key, d.id, d.api_version, d.raw, d.existing, frozenset(d.after & wanted), d.loop)
            for d in drafts
            if d.wanted
        ]
        _refuse_circles(plan)
        return plan

    def _drafts(self, key: str, resource: Any, above: ResourceId | None) -> Iterator[_Draft]:
        if not isinstance(resource, Mapping):
            raise InvalidTemplate("A resource of the template is no object")
        for unsupported in ("scope", "import", "extension", "subscriptionId", "resourceGroup"):
            if unsupported in resource:
                raise InvalidTemplate(f"'{unsupported}' of a resource is not supported by this simulator")
        copy = resource.get("copy")
        if copy is None:
            yield from self._draft(key, resource, above, None, None)
            return
        count = evaluate(copy.get("count"), self._early())
        if not isinstance(count, int) or count < 0:
            raise InvalidTemplate("The count of a copy loop is no whole number")
        self._loops |= {str(copy["name"]).lower(), key.lower()}
        serial = str(copy.get("mode", "parallel")).lower() == "serial"
        size = int(copy.get("batchSize", 1)) if serial else max(1, count)
        for index in range(count):
            batch = (index // size, size)
            yield from self._draft(f"{key}[{index}]", resource, above, (copy["name"], index), batch)

    def _draft(
        self,
        key: str,
        resource: Mapping[str, Any],
        above: ResourceId | None,
        loop: tuple[str, int] | None,
        batch: tuple[int, int] | None,
    ) -> Iterator[_Draft]:
        functions = self._early(loop)
        for name in ("type", "name", "apiVersion"):
            if not isinstance(resource.get(name), str):
                raise InvalidTemplate(f"Required property '{name}' of a resource is missing or no string")
        kind = str(evaluate(resource["type"], functions))
        name = str(evaluate(resource["name"], functions))
        if above is not None and kind.lower().partition("/")[0] != above.namespace.lower():
            kind, name = f"{above.type}/{kind}", f"{above.full_name}/{name}"
        place = self._place
        path = _path(kind, tuple(name.split("/")))
        identity = _parsed(
            f"/subscriptions/{place.subscription}/resourceGroups/{place.group}/providers/{path}"
        )
        yield _Draft(
            key=key,
            id=identity,
            api_version=str(evaluate(resource["apiVersion"], functions)),
            raw=resource,
            existing=resource.get("existing") is True,
            wanted=bool(evaluate(resource.get("condition", True), functions)),
            loop=loop,
            batch=batch,
        )
        for index, child in enumerate(resource.get("resources", [])):
            yield from self._drafts(f"{key}.{index}", child, identity)

    def _dependencies(self, draft: _Draft, drafts: list[_Draft]) -> set[str]:
        functions = self._early(draft.loop)
        after: set[str] = set()
        for text in draft.raw.get("dependsOn", []):
            wanted = str(evaluate(text, functions))
            found = {other.key for other in drafts if _is_meant(wanted, other)}
            if not found and wanted.lower() not in self._loops:
                raise InvalidTemplate(
                    f"The resource '{wanted}' is not defined in the template, "
                    f"'{draft.id.full_name}' depends on it"
                )
            after |= found
        own = {key: value for key, value in draft.raw.items() if key not in OF_THE_TEMPLATE}
        for call in calls(own):
            if _needs_runtime(call) and call.arguments:
                wanted = str(run(call.arguments[0], functions))
                after |= {other.key for other in drafts if _is_meant(wanted, other)}
        if draft.batch and draft.loop:
            stem = draft.key.rpartition("[")[0]
            before = draft.batch[0] - 1
            after |= {
                d.key for d in drafts if d.batch == (before, draft.batch[1]) and d.key.startswith(f"{stem}[")
            }
        return after - {draft.key}

    @staticmethod
    def _refuse_twins(drafts: list[_Draft]) -> None:
        seen: set[str] = set()
        for draft in drafts:
            if draft.wanted and draft.id.key in seen:
                raise InvalidTemplate(
                    f"The resource '{draft.id.full_name}' is defined multiple times in a template"
                )
            seen |= {draft.id.key} if draft.wanted else set()

    def _check_outputs(self) -> None:
        supported = self._early().keys() | {"reference", "if", "and", "or"}
        for call in [
            *calls(dict(self.outputs)),
            *calls([p.raw.get("properties", {}) for p in self.resources]),
        ]:
            if call.name.lower() not in supported and not call.name.lower().startswith("list"):
                raise InvalidTemplate(
                    f"The template function '{call.name}' is not supported by this simulator"
                )


def _parsed(text: str) -> ResourceId:
    try:
        return ResourceId.parse(text)
    except ValueError as error:
        raise InvalidTemplate(str(error).replace("'", '"')) from error


def _path(kind: str, names: tuple[str, ...]) -> str:
    namespace, *types = kind.split("/")
    if not types or len(types) != len(names):
        raise InvalidTemplate(
            f"The type '{kind}' and the name '{'/'.join(names)}' do not have the same number of segments"
        )
    return "/".join([namespace, *(part for pair in zip(types, names, strict=True) for part in pair)])


def _copy_index(loop: tuple[str, int] | None, arguments: tuple[Any, ...]) -> int:
    if loop is None:
        raise InvalidTemplate("The template function 'copyIndex' is used outside a copy loop")
    names = [argument for argument in arguments if isinstance(argument, str)]
    if names and names[0].lower() != loop[0].lower():
        raise InvalidTemplate(f"The copy loop '{names[0]}' is not the one around the resource")
    return loop[1] + sum(argument for argument in arguments if isinstance(argument, int))


def _is_meant(wanted: str, draft: _Draft) -> bool:
    names = {
        draft.key.lower(),
        draft.key.partition("[")[0].lower(),
        draft.id.key,
        draft.id.full_name.lower(),
        f"{draft.id.type}/{draft.id.full_name}".lower(),
        draft.loop[0].lower() if draft.loop else draft.key.lower(),
    }
    return wanted.lower() in names


def _needs_runtime(call: Call) -> bool:
    return call.name.lower() == "reference" or call.name.lower().startswith("list")


def _veiled(value: Any) -> Any:
    """The same with each expression that asks living resources replaced by one that gives UNKNOWN."""
    if is_expression(value):
        return "[$unknown()]" if any(_needs_runtime(call) for call in calls(value)) else value
    if isinstance(value, Mapping):
        return {key: _veiled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_veiled(item) for item in value]
    return value


def _refuse_circles(plan: list[Planned]) -> None:
    done: set[str] = set()
    waiting = list(plan)
    while waiting:
        ready = [planned for planned in waiting if planned.waits_for <= done]
        if not ready:
            names = ", ".join(planned.id.full_name for planned in waiting)
            raise InvalidTemplate(f"Circular dependency detected on resources: {names}")
        done |= {planned.key for planned in ready}
        waiting = [planned for planned in waiting if planned.key not in done]
