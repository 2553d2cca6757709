"""The resources that a template declares: each with its place, its loop and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.expressions import (
    MOST_TURNS,
    Call,
    Functions,
    NotYetKnown,
    calls,
    evaluate,
    is_loops,
    run,
    turns,
)
from broker.simulator.resource_ids import ResourceId, is_deployment
from broker.simulator.template_scopes import CopyIndex, Place, parsed, path_of

MOST_RESOURCES = 800
OF_THE_TEMPLATE = frozenset(
    {
        "apiVersion",
        "type",
        "name",
        "dependsOn",
        "condition",
        "copy",
        "comments",
        "metadata",
        "existing",
        "resources",
        "subscriptionId",
        "resourceGroup",
    }
)
UNSUPPORTED = ("scope", "import", "extension", "@options", "asserts")


@dataclass(frozen=True, slots=True)
class Planned:
    """A resource of a template; *raw* still holds its expressions."""

    key: str
    id: ResourceId
    api_version: str
    raw: Mapping[str, Any]
    existing: bool
    waits_for: frozenset[str]
    loop: CopyIndex

    @property
    def nested(self) -> bool:
        """Whether it is a deployment within the deployment."""
        return not self.existing and is_deployment(self.id.type)


@dataclass(slots=True)
class Draft:
    """A resource before its dependencies are known; *batch* is its turn and the size of a batch of its loop."""

    key: str
    id: ResourceId
    api_version: str
    raw: Mapping[str, Any]
    existing: bool
    wanted: bool
    loop: CopyIndex
    loop_name: str | None
    batch: tuple[int, int] | None
    after: set[str] = field(default_factory=set)

    def is_meant(self, wanted: str) -> bool:
        """Whether a `dependsOn` or a reference means this one: by key, id, name or loop."""
        names = {
            self.key.lower(),
            self.key.partition("[")[0].lower(),
            self.id.key,
            self.id.full_name.lower(),
            f"{self.id.type}/{self.id.full_name}".lower(),
            self.loop_name.lower() if self.loop_name else self.key.lower(),
        }
        return wanted.lower() in names


class Plan:
    """
    Reads the resources of one template.

    Args:
        template: The whole template.
        place: Where its resources go.
        functions: What expressions can call when a loop surrounds them.

    Raises:
        InvalidTemplate: A resource is not declared as ARM wants it, or dependencies lead nowhere or in circles.
        NotYetKnown: A name, condition or count depends on what only runs later.
    """

    def __init__(
        self, template: Mapping[str, Any], place: Place, functions: Callable[[CopyIndex], Functions]
    ) -> None:
        self._place = place
        self._functions = functions
        self._around: CopyIndex = functions(CopyIndex())["copyindex"]  # type: ignore[assignment]
        # Names of copy loops: one that makes nothing may still be depended on.
        self._loops: set[str] = set()
        self._symbolic = isinstance(template["resources"], Mapping)
        if self._symbolic and str(template.get("languageVersion", "1.0")) == "1.0":
            raise InvalidTemplate("Resources with symbolic names need the languageVersion '2.0'")
        drafts = [draft for key, each in _entries(template) for draft in self._drafts(key, each, None)]
        if len(drafts) > MOST_RESOURCES:
            raise InvalidTemplate(f"The template has more than {MOST_RESOURCES} resources")
        _refuse_twins(drafts)
        for draft in drafts:
            draft.after = self._dependencies(draft, drafts)
        wanted = {draft.key for draft in drafts if draft.wanted}
        self.resources = [
            Planned(d.key, d.id, d.api_version, d.raw, d.existing, frozenset(d.after & wanted), d.loop)
            for d in drafts
            if d.wanted
        ]
        _refuse_circles(self.resources)

    def _drafts(self, key: str, resource: Any, above: ResourceId | None) -> Iterator[Draft]:
        if not isinstance(resource, Mapping):
            raise InvalidTemplate("A resource of the template is no object")
        for name in UNSUPPORTED:
            if name in resource:
                raise InvalidTemplate(f"'{name}' of a resource is not supported by this simulator")
        copy = resource.get("copy")
        if copy is None:
            yield from self._draft(key, resource, above, self._around, None, None)
            return
        if not isinstance(copy, Mapping) or not isinstance(copy.get("name"), str):
            raise InvalidTemplate("The copy loop of a resource has no name")
        name = copy["name"]
        self._loops |= {name.lower(), key.lower()}
        every = list(turns(copy, name, self._functions(self._around)))
        mode = str(copy.get("mode", "parallel")).lower()
        size = evaluate(copy.get("batchSize", 1), self._functions(self._around))
        if mode not in {"serial", "parallel"} or not isinstance(size, int) or not 1 <= size <= MOST_TURNS:
            raise InvalidTemplate(f"The mode or batchSize of the copy loop '{name}' is not valid")
        size = size if mode == "serial" else max(1, len(every))
        for index in range(len(every)):
            loop = self._around.of_resource(name, index)
            yield from self._draft(f"{key}[{index}]", resource, above, loop, name, (index // size, size))

    def _draft(
        self,
        key: str,
        resource: Mapping[str, Any],
        above: ResourceId | None,
        loop: CopyIndex,
        loop_name: str | None,
        batch: tuple[int, int] | None,
    ) -> Iterator[Draft]:
        functions = self._functions(loop)
        for name in ("type", "name", "apiVersion"):
            if not isinstance(resource.get(name), str):
                raise InvalidTemplate(f"Required property '{name}' of a resource is missing or no string")
        kind = str(evaluate(resource["type"], functions))
        name = str(evaluate(resource["name"], functions))
        if above is not None and kind.lower().partition("/")[0] != above.namespace.lower():
            kind, name = f"{above.type}/{kind}", f"{above.full_name}/{name}"
        existing = resource.get("existing") is True
        if existing and not self._symbolic:
            raise InvalidTemplate("An existing resource needs the languageVersion '2.0' and a symbolic name")
        group = self._group(resource, kind, functions)
        root = f"/subscriptions/{self._place.subscription}/resourceGroups/{group}/providers"
        yield Draft(
            key=key,
            id=parsed(f"{root}/{path_of(kind, tuple(name.split('/')))}"),
            api_version=str(evaluate(resource["apiVersion"], functions)),
            raw=resource,
            existing=existing,
            wanted=_condition(resource, functions),
            loop=loop,
            loop_name=loop_name,
            batch=batch,
        )
        identity = parsed(f"{root}/{path_of(kind, tuple(name.split('/')))}")
        for index, child in enumerate(resource.get("resources", [])):
            yield from self._drafts(f"{key}.{index}", child, identity)

    def _group(self, resource: Mapping[str, Any], kind: str, functions: Functions) -> str:
        """The resource group that a resource goes to; deployments and existing ones may name another."""
        existing = resource.get("existing") is True
        named = [name for name in ("subscriptionId", "resourceGroup") if name in resource]
        if named and not existing and not is_deployment(kind):
            raise InvalidTemplate(f"'{named[0]}' of a resource is not supported by this simulator")
        if is_deployment(kind) and not existing and "location" in resource:
            raise InvalidTemplate(
                "'location' of a nested deployment is for deployments to subscriptions alone"
            )
        subscription = evaluate(resource.get("subscriptionId", self._place.subscription), functions)
        if str(subscription).lower() != self._place.subscription.lower():
            raise InvalidTemplate(
                "'subscriptionId' of a resource names another subscription; there is one here"
            )
        if "subscriptionId" in resource and "resourceGroup" not in resource:
            raise InvalidTemplate(
                "'subscriptionId' without 'resourceGroup' is not supported by this simulator"
            )
        return str(evaluate(resource.get("resourceGroup", self._place.group), functions))

    def _dependencies(self, draft: Draft, drafts: list[Draft]) -> set[str]:
        functions = self._functions(draft.loop)
        after: set[str] = set()
        for text in draft.raw.get("dependsOn", []):
            wanted = str(evaluate(text, functions))
            found = {other.key for other in drafts if other.is_meant(wanted)}
            if not found and wanted.lower() not in self._loops:
                raise InvalidTemplate(
                    f"The resource '{wanted}' is not defined in the template, "
                    f"'{draft.id.full_name}' depends on it"
                )
            after |= found
        for wanted in _referenced(_own(draft), functions):
            after |= {other.key for other in drafts if other.is_meant(wanted)}
        # A child waits for the parent around it only where it says so, as with ARM.
        if draft.batch and draft.loop_name:
            stem = draft.key.rpartition("[")[0]
            before = draft.batch[0] - 1
            after |= {
                d.key for d in drafts if d.batch == (before, draft.batch[1]) and d.key.startswith(f"{stem}[")
            }
        return after - {draft.key}


def needs_runtime(call: Call) -> bool:
    return call.name.lower() in {"reference", "references"} or call.name.lower().startswith("list")


def _entries(template: Mapping[str, Any]) -> list[tuple[str, Any]]:
    declared = template["resources"]
    if isinstance(declared, Mapping):
        return list(declared.items())
    if isinstance(declared, list):
        return [(f"#{index}", resource) for index, resource in enumerate(declared)]
    raise InvalidTemplate("The template's resources are neither a list nor an object")


def _condition(resource: Mapping[str, Any], functions: Functions) -> bool:
    wanted = evaluate(resource.get("condition", True), functions)
    if not isinstance(wanted, bool):
        raise InvalidTemplate("The condition of a resource is neither true nor false")
    return wanted


def _own(draft: Draft) -> dict[str, Any]:
    """What of a resource may refer to others: of a nested deployment with an inner scope not its template."""
    own = {key: value for key, value in draft.raw.items() if key not in OF_THE_TEMPLATE}
    if is_deployment(draft.id.type) and has_inner_scope(own.get("properties")):
        own["properties"] = {key: value for key, value in own["properties"].items() if key != "template"}
    return own


def has_inner_scope(properties: Any) -> bool:
    """Whether a nested deployment evaluates its own expressions; ARM's default is the template around it."""
    options = properties.get("expressionEvaluationOptions") if isinstance(properties, Mapping) else None
    scope = options.get("scope") if isinstance(options, Mapping) else None
    return str(scope).lower() == "inner"


def _referenced(value: Any, functions: Functions) -> Iterator[str]:
    """The names that references in a value are given, in every turn of its loops."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "copy" and is_loops(item):
                for loop in item:
                    for turn in turns(loop, str(loop["name"]), functions):
                        yield from _referenced(loop["input"], turn)
            else:
                yield from _referenced(item, functions)
    elif isinstance(value, list):
        for item in value:
            yield from _referenced(item, functions)
    else:
        for call in calls(value):
            if needs_runtime(call) and call.arguments:
                # Within a lambda a name may depend on its variables: then `dependsOn` has to say it.
                try:
                    yield str(run(call.arguments[0], functions))
                except (InvalidTemplate, NotYetKnown):
                    continue


def _refuse_twins(drafts: list[Draft]) -> None:
    seen: set[str] = set()
    for draft in drafts:
        if not draft.wanted or draft.existing:
            continue
        if draft.id.key in seen:
            raise InvalidTemplate(
                f"The resource '{draft.id.full_name}' is defined multiple times in a template"
            )
        seen.add(draft.id.key)


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
