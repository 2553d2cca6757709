"""ARM templates: from text and parameters to resources in the order they depend on each other, and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.azure_models import UNKNOWN
from broker.simulator.arm_errors import ArmError, InvalidTemplate
from broker.simulator.expressions import Functions, NotYetKnown, evaluate, turns
from broker.simulator.resource_ids import ResourceId
from broker.simulator.template_checks import own_functions, refuse_what_is_unsupported
from broker.simulator.template_functions import PURE
from broker.simulator.template_parameters import SPELT, Parameter, read_parameters, resolved
from broker.simulator.template_resources import OF_THE_TEMPLATE, Plan, Planned, has_inner_scope
from broker.simulator.template_scopes import CopyIndex, Place, Runtime, parsed
from broker.simulator.template_texts import OF_DEFAULTS

__all__ = ["Nested", "Place", "Planned", "Runtime", "Template", "readable_properties"]


@dataclass(frozen=True, slots=True)
class Nested:
    """What a nested deployment asks for; its template is read once its resource group is known."""

    group: str
    name: str
    properties: Mapping[str, Any]
    outer: Functions | None
    secrets: frozenset[str]

    def template(self, place: Place) -> Template:
        """
        Raises:
            InvalidTemplate: As `Template`.
            NotYetKnown: What it makes depends on what runs before it.
        """
        return Template(
            self.properties.get("template"),
            self.properties.get("parameters"),
            place,
            outer=self.outer,
            secrets=self.secrets,
        )


class Template:
    """
    One template with the parameters of one deployment.

    Args:
        template: The template.
        parameters: The deployment's `parameters`.
        place: Where it is deployed.
        outer: The functions of the template around it, where that one evaluates the expressions of this.
        secrets: What the template around it keeps secret.

    Raises:
        InvalidTemplate: What ARM would refuse before it starts: unknown parameters and functions, circles,
            dependencies on nothing.
        NotYetKnown: A nested one whose resources depend on what runs before it.
    """

    def __init__(
        self,
        template: Any,
        parameters: Any,
        place: Place,
        *,
        outer: Functions | None = None,
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        refuse_what_is_unsupported(template)
        self._template = template
        self.place = place
        self._outer = outer
        self._outer_secrets = secrets
        self._variables: dict[str, Any] = {}
        self._opening: list[str] = []
        self._own = {name: self._own_function(each) for name, each in own_functions(template).items()}
        self.resources: list[Planned] = []
        self.parameters: dict[str, Parameter] = {}
        # Defaults may use the parameters above them: the dictionary grows while it is read.
        read_parameters(
            template.get("parameters", {}),
            parameters if parameters is not None else {},
            template.get("definitions", {}),
            lambda value: evaluate(value, {**self._early(), **OF_DEFAULTS}),
            into=self.parameters,
        )
        self.resources = Plan(template, place, self._early).resources
        self.outputs: Mapping[str, Any] = template.get("outputs", {})
        self._check_outputs()

    def secrets(self) -> frozenset[str]:
        """The texts that no reply and no log may show."""
        found: set[str] = set(self._outer_secrets)
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
        raw = {key: value for key, value in planned.raw.items() if key not in OF_THE_TEMPLATE}
        return dict(evaluate(raw, self._late(runtime, planned.loop), lenient=runtime is None))

    def nested(self, planned: Planned, runtime: Runtime | None) -> Nested:
        """
        What a planned nested deployment asks for; without a *runtime* some of its parameters are UNKNOWN.

        Raises:
            ArmError: It is of a kind that is not supported.
        """
        functions = self._late(runtime, planned.loop)
        raw = planned.raw.get("properties")
        given = (
            {key: value for key, value in raw.items() if key != "template"}
            if isinstance(raw, Mapping)
            else {}
        )
        properties = {
            **evaluate(given, functions, lenient=runtime is None),
            "template": (raw or {}).get("template"),
        }
        inner = has_inner_scope(properties)
        if not inner:
            _refuse_outer_references(properties["template"])
        return Nested(
            group=planned.id.group,
            name=planned.id.name,
            properties=readable_properties({"properties": properties}),
            outer=None if inner else functions,
            secrets=self.secrets(),
        )

    def output_values(self, runtime: Runtime) -> dict[str, Any]:
        """
        What the deployment shows; the value of a secure output is left out.

        Raises:
            ArmError: 400, naming the output that cannot be evaluated.
        """
        functions = self._late(runtime, self._loops)
        shown: dict[str, Any] = {}
        for name, output in self.outputs.items():
            try:
                if not evaluate(output.get("condition", True), functions):
                    continue
                kind = self._output_type(output)
                shown[name] = {"type": SPELT.get(kind, kind)}
                if not kind.startswith("secure"):
                    shown[name]["value"] = _output_value(output, functions)
            except InvalidTemplate as error:
                raise _unevaluated(name, error.problem) from error
            except ArmError as error:
                raise _unevaluated(name, error.message) from error
        return shown

    # What expressions can call.

    @property
    def _loops(self) -> CopyIndex:
        around = (self._outer or {}).get("copyindex")
        return around if isinstance(around, CopyIndex) else CopyIndex()

    def _early(self, loop: CopyIndex | None = None) -> Functions:
        given: Functions = self._outer or {
            **PURE,
            **self.place.functions(),
            **self._own,
            "parameters": self._parameter,
            "variables": self._variable,
        }
        return {**given, "copyindex": loop or self._loops, "resourceinfo": self._resource_info}

    def _late(self, runtime: Runtime | None, loop: CopyIndex) -> Functions:
        def reference(name: str, _api_version: str = "", full: str = "") -> Any:
            if runtime is None:
                raise NotYetKnown
            return runtime.reference(self._named(name), full=full.lower() == "full")

        def references(name: str, full: str = "") -> Any:
            if runtime is None:
                raise NotYetKnown
            every = [each.id for each in self.resources if each.key.partition("[")[0].lower() == name.lower()]
            return [runtime.reference(each, full=full.lower() == "full") for each in every]

        def list_action(action: str, name: str, _api_version: str = "", body: Any = None) -> Any:
            if runtime is None:
                raise NotYetKnown
            return runtime.list_action(self._named(name), action, body)

        living: Functions = {"reference": reference, "references": references, "list*": list_action}
        return {
            **self._early(loop),
            **living,
            **{k: v for k, v in (self._outer or {}).items() if k in living},
        }

    def _own_function(self, declared: Mapping[str, Any]) -> Any:
        names = [str(each.get("name")) for each in declared.get("parameters") or ()]

        def call(*values: Any) -> Any:
            if len(values) != len(names):
                raise InvalidTemplate(f"A function of the template wants {len(names)} arguments")
            bound = {name.lower(): value for name, value in zip(names, values, strict=True)}
            functions = {**PURE, **self._own, "parameters": lambda name: bound[name.lower()]}
            return evaluate(declared["output"].get("value"), functions)

        return call

    def _parameter(self, name: str) -> Any:
        found = next((key for key in self.parameters if key.lower() == name.lower()), None)
        if found is None:
            raise InvalidTemplate(f"The template parameter '{name}' is not found")
        value = self.parameters[found].value
        if _has_unknown(value):
            raise NotYetKnown
        return value

    def _variable(self, name: str) -> Any:
        declared = self._template.get("variables", {})
        loop = next((each for each in declared.get("copy") or () if each.get("name") == name), None)
        if name in self._variables:
            return self._variables[name]
        if name not in declared and loop is None:
            raise InvalidTemplate(f"The template variable '{name}' is not found")
        if name in self._opening:
            raise InvalidTemplate(f"The template variable '{name}' depends on itself")
        self._opening.append(name)
        try:
            if loop is None:
                self._variables[name] = evaluate(declared[name], self._early())
            else:
                every = turns(loop, name, self._early())
                self._variables[name] = [evaluate(loop.get("input"), each) for each in every]
        finally:
            self._opening.pop()
        return self._variables[name]

    def _named(self, name: str) -> ResourceId:
        """A resource by its id, its symbolic name or its name in this template."""
        if name.startswith("/"):
            return parsed(name)
        return self._planned(name).id

    def _planned(self, name: str) -> Planned:
        for planned in self.resources:
            if planned.key.lower() == name.lower() or planned.id.full_name.lower() == name.lower():
                return planned
        raise InvalidTemplate(f"The resource '{name}' is not defined in the template")

    def _resource_info(self, name: str) -> dict[str, Any]:
        planned = self._planned(name)
        identity = planned.id
        return {
            "id": str(identity),
            "name": identity.full_name,
            "type": identity.type,
            "apiVersion": planned.api_version,
        }

    # Outputs.

    def _output_type(self, output: Mapping[str, Any]) -> str:
        return str(resolved(output, self._template.get("definitions", {})).get("type", "")).lower()

    def _check_outputs(self) -> None:
        if not isinstance(self.outputs, Mapping):
            raise InvalidTemplate("The template's outputs are no object")
        for name, output in self.outputs.items():
            if not isinstance(output, Mapping) or not ({"value", "copy"} & output.keys()):
                raise InvalidTemplate(f"The template output '{name}' has no value")
            if self._output_type(output) not in SPELT:
                raise InvalidTemplate(f"The template output '{name}' has an unknown type")


def readable_properties(body: Any) -> dict[str, Any]:
    """
    The properties of a deployment's request.

    Raises:
        ArmError: 400, it is no deployment, or of a kind that is not supported, named.
    """
    properties = body.get("properties") if isinstance(body, Mapping) else None
    if not isinstance(properties, Mapping):
        raise ArmError(400, "InvalidRequestContent", "The request content has no 'properties'.")
    unsupported = properties.keys() & {
        "templateLink",
        "parametersLink",
        "onErrorDeployment",
        "extensionConfigs",
    }
    if unsupported:
        listed = ", ".join(sorted(unsupported))
        raise ArmError(400, "InvalidRequestContent", f"This simulator does not support {listed}.")
    if properties.get("mode") != "Incremental":
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"This simulator knows the mode 'Incremental' only, and not '{properties.get('mode')}'.",
        )
    return dict(properties)


def _output_value(output: Mapping[str, Any], functions: Functions) -> Any:
    loop = output.get("copy")
    if loop is None:
        return evaluate(output.get("value"), functions)
    return [evaluate(loop.get("input"), each) for each in turns(loop, None, functions)]


def _unevaluated(name: str, problem: str) -> ArmError:
    return ArmError(
        400,
        "DeploymentOutputEvaluationFailed",
        f"Unable to evaluate template outputs: '{name}'. Please see error details and deployment operations. "
        "Please see https://aka.ms/arm-debug for usage details.",
        details=[{"code": "DeploymentOutputEvaluationFailed", "target": name, "message": problem}],
    )


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(_has_unknown(each) for each in value)
    return value is UNKNOWN


def _refuse_outer_references(template: Any) -> None:
    """With an outer scope ARM evaluates the outputs before the nested resources are there."""
    outputs = template.get("outputs") if isinstance(template, Mapping) else None
    if "reference(" in str(outputs).lower():
        raise InvalidTemplate(
            "The template function 'reference' is not expected in the outputs of a nested deployment of outer scope"
        )
