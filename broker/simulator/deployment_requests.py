"""What a deployment is asked for: its template read, and everything checked that can be before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker.simulator.arm_errors import ArmError, InvalidTemplate
from broker.simulator.expressions import NotYetKnown
from broker.simulator.resources import Resources
from broker.simulator.state import Group, State
from broker.simulator.templates import Nested, Place, Planned, Template, readable_properties

LONGEST_NAME = 64
DEEPEST = 5


class Requests:
    """Reads templates for their place and checks what they would make."""

    def __init__(self, state: State, resources: Resources) -> None:
        self._state = state
        self._resources = resources

    def read(self, group: Group, name: str, body: Any) -> tuple[Template, dict[str, Any]]:
        """
        The template of a request and its properties.

        Raises:
            ArmError: What Resource Manager or a resource provider refuses before anything is begun.
        """
        if len(name) > LONGEST_NAME:
            raise ArmError(
                400,
                "InvalidDeploymentName",
                f"The deployment name '{name}' is above {LONGEST_NAME} characters.",
            )
        properties = readable_properties(body)
        if str((properties.get("expressionEvaluationOptions") or {}).get("scope", "")).lower() == "inner":
            raise InvalidTemplate("The scope 'inner' is for nested deployments alone")
        place = Place(
            subscription=self._state.subscription,
            tenant=self._state.tenant,
            group=group.name,
            location=group.location,
            deployment=name,
            environment=self._state.cloud.environment_in_templates(self._state.origin),
            tags=group.tags,
        )
        try:
            template = Template(properties.get("template"), properties.get("parameters"), place)
        except NotYetKnown as error:
            raise InvalidTemplate("A name, condition or count depends on what only runs later") from error
        self.check(template)
        return template, properties

    def read_nested(self, nested: Nested, place: Place) -> Template:
        """
        The template of a nested deployment whose turn has come; *place* is where the one around it happens.

        Raises:
            ArmError: Its resource group is not there, or its template is not valid.
        """
        try:
            return self._inner(nested, place)
        except NotYetKnown as error:
            raise InvalidTemplate("A name, condition or count depends on what only runs later") from error

    def _inner(self, nested: Nested, place: Place) -> Template:
        group = self._state.group(nested.group)
        return nested.template(place.within(group.name, group.location, nested.name, group.tags))

    def check(self, template: Template) -> None:
        """
        Ask the resource providers about everything a template would make, nested deployments included.

        Raises:
            ArmError: All that they refuse, in one.
        """
        details: list[dict[str, Any]] = []
        for each, planned, depth in self._all(template, 0):
            if depth > DEEPEST:
                raise InvalidTemplate(f"Deployments are nested more than {DEEPEST} levels deep")
            try:
                body: Mapping[str, Any] = each.body(planned, None)
            except NotYetKnown:
                continue
            try:
                self._resources.check(planned.id, planned.api_version, body)
            except ArmError as error:
                if error.code == "InvalidTemplate" or error.status == 409:
                    raise
                target = str(self._resources.canonical(planned.id))
                details.append({"code": error.code, "target": target, "message": error.message})
        if details:
            raise ArmError(
                400,
                "InvalidTemplateDeployment",
                "The template deployment failed with error: 'The template resource is not valid: "
                f"{details[0]['message']}'.",
                details=details,
            )

    def _all(self, template: Template, depth: int) -> Iterator[tuple[Template, Planned, int]]:
        """Each resource that is written, those of nested deployments as far as they are known yet."""
        for planned in template.resources:
            if planned.existing:
                continue
            if not planned.nested:
                yield template, planned, depth
                continue
            if depth >= DEEPEST:
                yield template, planned, depth + 1
                continue
            try:
                inner = self._inner(template.nested(planned, None), template.place)
            except NotYetKnown:
                continue
            yield from self._all(inner, depth + 1)
