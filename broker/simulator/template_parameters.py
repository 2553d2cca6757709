"""Parameters of a deployment against the template's declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.azure_models import UNKNOWN
from broker.simulator.arm_errors import InvalidTemplate

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "securestring": str,
    "int": int,
    "bool": bool,
    "object": dict,
    "secureobject": dict,
    "array": list,
}
SPELT = {
    "string": "String",
    "securestring": "SecureString",
    "int": "Int",
    "bool": "Bool",
    "object": "Object",
    "secureobject": "SecureObject",
    "array": "Array",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's value in one deployment."""

    type: str
    value: Any

    @property
    def secure(self) -> bool:
        return self.type.startswith("secure")

    def as_stored(self) -> dict[str, Any]:
        """What the deployment keeps: the value of a secure parameter is left out."""
        kept: dict[str, Any] = {"type": SPELT[self.type]}
        return kept if self.secure else {**kept, "value": self.value}


def read_parameters(
    declared: Any,
    given: Any,
    definitions: Mapping[str, Any],
    evaluated: Callable[[Any], Any],
    *,
    into: dict[str, Parameter],
) -> None:
    """
    The value of every declared parameter; one that only runs later may be UNKNOWN and is not checked.

    Args:
        declared: The template's `parameters`.
        given: The deployment's `parameters`, each `{"value": ...}`.
        definitions: The template's `definitions`, for `$ref`.
        evaluated: Evaluates a default, which may be an expression over earlier parameters.
        into: Where each goes as soon as it is read.

    Raises:
        InvalidTemplate: One is missing, unknown, or not allowed. The text never holds a value.
    """
    if not isinstance(declared, Mapping) or not isinstance(given, Mapping):
        raise InvalidTemplate("The template parameters must be objects")
    unknown = [name for name in given if name not in declared]
    if unknown:
        listed = ", ".join(unknown)
        known = ", ".join(declared)
        raise InvalidTemplate(
            "The following parameters were supplied, but do not correspond to any parameters defined in the "
            f"template: '{listed}'. The parameters defined in the template are: '{known}'"
        )
    for name, declaration in declared.items():
        rules = resolved(declaration, definitions)
        kind = str(rules.get("type", "")).lower()
        if kind not in TYPES:
            raise InvalidTemplate(f"The template parameter '{name}' has the unknown type '{kind}'")
        value = _value(name, rules, given.get(name), evaluated)
        if value is not UNKNOWN and not (value is None and rules.get("nullable") is True):
            _check(name, kind, rules, value)
            _check_parts(name, rules, value, definitions)
        into[name] = Parameter(kind, value)


def resolved(declaration: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    A declaration of a parameter, an output or a part of one, with what its `$ref` adds.

    Raises:
        InvalidTemplate: It is no object, or refers to nothing or to itself.
    """
    if not isinstance(declaration, Mapping):
        raise InvalidTemplate("A template parameter must be an object")
    if "userDefinedConstraint" in declaration:
        raise InvalidTemplate("'userDefinedConstraint' is not supported by this simulator")
    whole, followed = dict(declaration), set[str]()
    while (pointer := whole.pop("$ref", None)) is not None:
        definition = definitions.get(str(pointer).removeprefix("#/definitions/"))
        if not isinstance(definition, Mapping) or str(pointer) in followed:
            raise InvalidTemplate(f"The template has no definition '{pointer}'")
        followed.add(str(pointer))
        whole = {**definition, **whole}
    return whole


def _value(name: str, rules: Mapping[str, Any], given: Any, evaluated: Callable[[Any], Any]) -> Any:
    if given is not None:
        if isinstance(given, Mapping) and "reference" in given:
            raise InvalidTemplate(
                f"The parameter '{name}' is a 'reference' to a key vault, which this simulator does not support"
            )
        if not isinstance(given, Mapping) or "value" not in given:
            raise InvalidTemplate(f"The template parameter '{name}' must be given as an object with 'value'")
        if given["value"] is not None or rules.get("nullable") is True:
            return given["value"]
    if "defaultValue" in rules:
        return evaluated(rules["defaultValue"])
    if rules.get("nullable") is True:
        return None
    raise InvalidTemplate(f"The value for the template parameter '{name}' is not provided")


def _check(name: str, kind: str, rules: Mapping[str, Any], value: Any) -> None:
    """The value of a parameter, or of the part of one that *name* leads to; never told in a refusal."""
    fits = isinstance(value, TYPES[kind])
    if not fits or (kind == "int" and isinstance(value, bool)):
        raise InvalidTemplate(
            f"The provided value for the template parameter '{name}' is not a {SPELT[kind]}"
        )
    allowed = rules.get("allowedValues")
    if allowed is not None:
        parts = value if kind == "array" and value not in allowed else [value]
        if any(part not in allowed for part in parts):
            listed = ", ".join(str(each) for each in allowed)
            raise InvalidTemplate(
                f"The provided value for the template parameter '{name}' is not valid. "
                f"The value is not part of the allowed value(s): '{listed}'"
            )
    if kind == "int":
        low, high, measured = rules.get("minValue"), rules.get("maxValue"), value
    elif kind in {"string", "securestring", "array"}:
        low, high, measured = rules.get("minLength"), rules.get("maxLength"), len(value)
    else:
        return
    if low is not None and measured < low:
        raise InvalidTemplate(f"The template parameter '{name}' is below its minimum of {low}")
    if high is not None and measured > high:
        raise InvalidTemplate(f"The template parameter '{name}' is above its maximum of {high}")


def _check_parts(name: str, rules: Mapping[str, Any], value: Any, definitions: Mapping[str, Any]) -> None:
    """What types of a template's own say of the properties of an object and the items of an array."""
    if isinstance(value, Mapping):
        declared = _with_variant(name, rules, value, definitions)
        more = rules.get("additionalProperties", True)
        for key, part in declared.items():
            if key in value:
                _check_part(f"{name}.{key}", part, value[key], definitions)
            elif resolved(part, definitions).get("nullable") is not True:
                raise InvalidTemplate(f"The template parameter '{name}' has no '{key}'")
        for key in value.keys() - declared.keys():
            if more is False:
                raise InvalidTemplate(f"The template parameter '{name}' has the undeclared property '{key}'")
            if isinstance(more, Mapping):
                _check_part(f"{name}.{key}", more, value[key], definitions)
    elif isinstance(value, list):
        first, rest = rules.get("prefixItems") or [], rules.get("items")
        for index, item in enumerate(value):
            part = first[index] if index < len(first) else rest
            if part is False:
                raise InvalidTemplate(f"The template parameter '{name}' has more items than are declared")
            if isinstance(part, Mapping):
                _check_part(f"{name}[{index}]", part, item, definitions)


def _with_variant(
    name: str, rules: Mapping[str, Any], value: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The properties of an object, with those of the variant that its discriminator chooses."""
    declared: dict[str, Any] = dict(rules.get("properties") or {})
    choice = rules.get("discriminator")
    if isinstance(choice, Mapping):
        key, variants = str(choice.get("propertyName")), choice.get("mapping") or {}
        variant = variants.get(value.get(key))
        if variant is None:
            listed = ", ".join(variants)
            raise InvalidTemplate(f"'{key}' of the template parameter '{name}' is not one of '{listed}'")
        declared |= resolved(variant, definitions).get("properties") or {}
    return declared


def _check_part(name: str, declaration: Any, value: Any, definitions: Mapping[str, Any]) -> None:
    rules = resolved(declaration, definitions)
    kind = str(rules.get("type", "")).lower()
    if value is UNKNOWN or (value is None and rules.get("nullable") is True):
        return
    if kind in TYPES:
        _check(name, kind, rules, value)
    _check_parts(name, rules, value, definitions)
