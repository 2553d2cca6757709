"""User parameters against the JSON schema of a plan."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend, validator_for

from broker.domain.json_values import JsonObject, JsonValue, same_json
from broker.domain.patterns import compiled
from broker.errors import ChangeNotSupported, InvalidParameters

_AT_MOST_FAULTS = 5
_AT_MOST_SHOWN = 400


class ParameterSchema:
    """
    A JSON schema for parameters, ready to check with.

    Descriptions of faults name the field and what is allowed there. They never show the value: it may be a
    secret that was put under the wrong name. A name of *refused* is answered with its sentence alone: what older
    brokers called otherwise is no typing error.
    """

    def __init__(self, schema: JsonObject | None, refused: Mapping[str, str] | None = None) -> None:
        self._refused = dict(refused or {})
        self._schema: dict[str, Any] = dict(schema) if schema is not None else {}
        checker = _checker(validator_for(self._schema, default=Draft4Validator))
        self._validator = checker(self._schema, format_checker=checker.FORMAT_CHECKER)
        self._open = schema is None

    @property
    def names(self) -> frozenset[str]:
        """Names of the parameters that the schema describes."""
        return frozenset(self._schema.get("properties", {}))

    @property
    def is_open(self) -> bool:
        """Whether there is no schema, so that every object fits."""
        return self._open

    def check(self, parameters: JsonObject) -> None:
        """
        Do nothing if *parameters* fit.

        Raises:
            InvalidParameters: They do not; names each field at fault (a few at most).
        """
        known = [self._refused[name] for name in sorted(self._refused.keys() & parameters.keys())]
        if known:
            raise InvalidParameters(_together(known))
        try:
            faults = sorted(
                self._validator.iter_errors(dict(parameters)), key=lambda fault: [str(x) for x in fault.path]
            )
        except (OverflowError, RecursionError):
            raise InvalidParameters(
                "The parameters hold a number or a nesting that is too large to check; send smaller ones."
            ) from None
        if not faults:
            return
        raise InvalidParameters(_together(_sentence(fault) for fault in faults))

    def names_at_fault(self, parameters: JsonObject) -> frozenset[str]:
        """
        Return the names of the parameters that do not fit, also of missing and unknown ones.

        An empty name stands for a rule that several of them break together.
        """
        names: set[str] = set()
        for fault in self._validator.iter_errors(dict(parameters)):
            if fault.absolute_path:
                names.add(str(fault.absolute_path[0]))
            elif fault.validator == "required":
                names |= set(fault.validator_value) - parameters.keys()
            elif fault.validator == "additionalProperties":
                names |= parameters.keys() - self.names
            else:
                names.add("")
        return frozenset(names)


@functools.lru_cache(maxsize=16)
def _checker(draft: Any) -> Any:
    return extend(draft, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compiled(pattern).search(instance):
        yield ValidationError("does not match")


def merged(applied: JsonObject, given: JsonObject | None) -> JsonObject:
    """Lay *given* over *applied* key by key at the top level; a null takes the key away."""
    if given is None:
        return applied
    together = {**applied, **given}
    return {key: value for key, value in together.items() if value is not None or key not in given}


def changed(applied: JsonObject, given: JsonObject | None) -> JsonObject:
    """
    Return what of *given* differs from *applied*.

    Service Catalog sends the whole set with each change, also what can never change: equal values must not
    count as attempts to change them.
    """
    if given is None:
        return {}
    return {
        key: value
        for key, value in given.items()
        if not (same_json(applied[key], value) if key in applied else value is None)
    }


def check_update(
    applied: JsonObject, change: JsonObject, *, create: ParameterSchema, update: ParameterSchema
) -> None:
    """
    Check what an update changes against the update schema.

    Raises:
        InvalidParameters: A value or a name does not fit, or a parameter can only be given at the creation.
    """
    if not update.is_open:
        fixed = sorted((create.names - update.names) & change.keys())
        if fixed:
            raise InvalidParameters(
                f"{_listed(fixed)} cannot be changed once the service instance is created. "
                f"Can be changed: {_listed(sorted(update.names)) or 'nothing'}."
            )
    known_before = {key for key, value in change.items() if value is None and key in applied}
    update.check({key: value for key, value in change.items() if key not in known_before})


def check_growth(applied: JsonObject, asked: JsonObject, grows_only: Sequence[str]) -> None:
    """
    Refuse to shrink what can only grow.

    Raises:
        ChangeNotSupported: A parameter of *grows_only* would fall below the applied value.
    """
    for name in grows_only:
        before: Any = applied.get(name)
        after: Any = asked.get(name)
        if _is_number(before) and _is_number(after) and after < before:
            raise ChangeNotSupported(f"'{name}' can only grow: at least {before} is needed.")


def _together(said: Iterable[str]) -> str:
    sentences = list(dict.fromkeys(said))
    more = len(sentences) - _AT_MOST_FAULTS
    return " ".join(sentences[:_AT_MOST_FAULTS]) + (f" And {more} more faults." if more > 0 else "")


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sentence(fault: ValidationError) -> str:
    """Say in one sentence which field is at fault and what is allowed, without its value."""
    keyword = str(fault.validator)
    allowed: Any = fault.validator_value
    field = _field(fault)
    if keyword == "additionalProperties":
        return _unknown_names(fault)
    if keyword == "required":
        missing = [
            name for name in allowed if isinstance(fault.instance, Mapping) and name not in fault.instance
        ]
        prefix = _path(fault)
        return f"{_listed([prefix + '.' + name if prefix else name for name in missing])} is missing."
    if keyword == "anyOf" and "required" in allowed[0] and isinstance(fault.instance, Mapping):
        needed = [name for name in allowed[0]["required"] if name not in fault.instance]
        return f"{_listed(needed)} is needed with what else is given."
    if keyword == "enum":
        return f"{field} must be one of {_shown(allowed)}."
    if keyword == "type":
        kinds = [allowed] if isinstance(allowed, str) else list(allowed)
        return f"{field} must be of type {' or '.join(str(kind) for kind in kinds)}."
    if keyword in {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}:
        return f"{field} must be {_range(fault.schema)}."
    said = {
        "multipleOf": "must be a multiple of",
        "minLength": "must have at least this many characters:",
        "maxLength": "must have at most this many characters:",
        "minItems": "must have at least this many entries:",
        "maxItems": "must have at most this many entries:",
        "minProperties": "must have at least this many keys:",
        "maxProperties": "must have at most this many keys:",
        "pattern": "must match the pattern",
        "format": "must have the form of",
        "const": "must be",
    }.get(keyword)
    if said is not None:
        return f"{field} {said} {_shown(allowed)}."
    if keyword == "uniqueItems":
        return f"{field} must not hold the same entry twice."
    return f"{field} has none of the forms that the plan's schema allows ({keyword})."


def _unknown_names(fault: ValidationError) -> str:
    schema = fault.schema if isinstance(fault.schema, Mapping) else {}
    known = sorted(schema.get("properties", {}))
    given = fault.instance if isinstance(fault.instance, Mapping) else {}
    prefix = _path(fault)
    sentences = []
    for name in sorted(set(given) - set(known))[:_AT_MOST_FAULTS]:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {_listed(known) or 'none'}."
        sentences.append(
            f"{_quoted(prefix + '.' + name if prefix else name)} is not a known parameter; {hint}"
        )
    return " ".join(sentences)


def _range(schema: Any) -> str:
    bounds = schema if isinstance(schema, Mapping) else {}
    parts = []
    for name, inclusive, exclusive in (
        ("inimum", "at least", "more than"),
        ("aximum", "at most", "less than"),
    ):
        short, long = ("m" + name), ("exclusiveM" + name)
        bound, strict = bounds.get(short), bounds.get(long)
        if _is_number(strict):
            parts.append(f"{exclusive} {strict}")
        if bound is not None:
            parts.append(f"{exclusive if strict is True else inclusive} {bound}")
    return " and ".join(parts) or "within the plan's range"


def _path(fault: ValidationError) -> str:
    path = ""
    for part in fault.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _field(fault: ValidationError) -> str:
    return _quoted(_path(fault)) if fault.absolute_path else "The parameters"


def _quoted(name: str) -> str:
    return "'" + name[:80].encode("unicode_escape").decode("ascii") + "'"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _shown(allowed: Any) -> str:
    text = json.dumps(allowed)
    return text if len(text) <= _AT_MOST_SHOWN else text[: _AT_MOST_SHOWN - 3] + "..."
