"""Where a deployment happens, and the functions of its template that tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.resource_ids import ResourceId


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment happens."""

    subscription: str
    tenant: str
    group: str
    location: str
    deployment: str
    environment: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)

    def within(self, group: str, location: str, deployment: str, tags: Mapping[str, str]) -> Place:
        """Where a nested deployment happens."""
        return replace(self, group=group, location=location, deployment=deployment, tags=tags)

    def functions(self) -> dict[str, Callable[..., Any]]:
        subscription = f"/subscriptions/{self.subscription}"
        return {
            "resourcegroup": lambda: {
                "id": f"{subscription}/resourceGroups/{self.group}",
                "name": self.group,
                "type": "Microsoft.Resources/resourceGroups",
                "location": self.location,
                "tags": dict(self.tags),
                "properties": {"provisioningState": "Succeeded"},
            },
            "subscription": lambda: {
                "id": subscription,
                "subscriptionId": self.subscription,
                "tenantId": self.tenant,
                "displayName": "Simulated subscription",
            },
            "tenant": lambda: {"tenantId": self.tenant},
            "deployment": lambda: {
                "name": self.deployment,
                "properties": {"mode": "Incremental", "provisioningState": "Running"},
            },
            "environment": lambda: dict(self.environment),
            "resourceid": self._resource_id,
            "subscriptionresourceid": self._subscription_resource_id,
            "tenantresourceid": lambda kind, *names: f"/providers/{path_of(kind, names)}",
            "managementgroupresourceid": lambda group, kind, *names: (
                f"/providers/Microsoft.Management/managementGroups/{group}/providers/{path_of(kind, names)}"
            ),
            "extensionresourceid": lambda of, kind, *names: f"{of}/providers/{path_of(kind, names)}",
        }

    def _subscription_resource_id(self, *arguments: str) -> str:
        subscription = self.subscription
        if arguments and "/" not in arguments[0]:
            subscription, *arguments = arguments  # type: ignore[assignment]
        kind, *names = arguments
        return f"/subscriptions/{subscription}/providers/{path_of(kind, tuple(names))}"

    def _resource_id(self, *arguments: str) -> str:
        at = next((i for i, argument in enumerate(arguments[:3]) if "/" in argument), None)
        if at is None:
            raise InvalidTemplate("The template function 'resourceId' got no fully qualified resource type")
        group = arguments[at - 1] if at >= 1 else self.group
        subscription = arguments[0] if at == 2 else self.subscription
        path = path_of(arguments[at], arguments[at + 1 :])
        return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{path}"


class Runtime(Protocol):
    """What an expression may ask of living resources while a deployment runs."""

    def reference(self, resource: ResourceId, *, full: bool) -> Any: ...

    def list_action(self, resource: ResourceId, action: str, body: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """`copyIndex()`: the turns of the loops around an expression, by their names; None is the nearest."""

    turns: Mapping[str | None, int] = field(default_factory=dict)

    def inside(self, name: str | None, index: int) -> CopyIndex:
        return CopyIndex({**self.turns, (name.lower() if name else None): index})

    def of_resource(self, name: str, index: int) -> CopyIndex:
        """Within the loop of a resource, which needs no name."""
        return self.inside(name, index).inside(None, index)

    def __call__(self, *arguments: Any) -> int:
        named = next((argument for argument in arguments if isinstance(argument, str)), None)
        key = named.lower() if named is not None else None
        if key not in self.turns:
            if named is None:
                raise InvalidTemplate("The template function 'copyIndex' is used outside a copy loop")
            raise InvalidTemplate(f"The copy loop '{named}' is not one around the expression")
        return self.turns[key] + sum(argument for argument in arguments if isinstance(argument, int))


def parsed(text: str) -> ResourceId:
    """
    Raises:
        InvalidTemplate: It is not the id of a resource in a group.
    """
    try:
        return ResourceId.parse(text)
    except ValueError as error:
        raise InvalidTemplate(str(error).replace("'", '"')) from error


def path_of(kind: str, names: tuple[str, ...]) -> str:
    """`NS/TYPE/NAME[/TYPE/NAME...]` of a type and its names."""
    namespace, *types = kind.split("/")
    if not types or len(types) != len(names):
        raise InvalidTemplate(
            f"The type '{kind}' and the name '{'/'.join(names)}' do not have the same number of segments"
        )
    return "/".join([namespace, *(part for pair in zip(types, names, strict=True) for part in pair)])
