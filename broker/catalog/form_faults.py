"""What is wrong with the form of an offering's file, in sentences for its author."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import ValidationError

from broker.catalog import format as form
from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.catalog.form_schema import form_schema, keys_at

AT_MOST_NAMED = 8

_MISSING: Mapping[str, str] = {
    "free": "is missing: platforms differ in what they take a plan for that does not say it, so say true or false",
    "description": "is missing: Service Catalog takes no catalog in which one is, and nobody would know what it is",
}
_PATTERNS: Mapping[object, str] = {
    form.GUID: "must be a GUID in lower case; make a new one for each offering and plan",
    form.NAME: "must be a name that Kubernetes takes: up to 63 lower-case letters, digits, dots and hyphens",
    form.CREDENTIAL_KEY: "must have letters, digits, dots, hyphens and underscores only: it is a key of a Secret",
    form.VERSION: "must be a semantic version, such as 1.2.0",
}


def faults_of_validation(document: Document, invalid: ValidationError) -> list[Fault]:
    """Tell each fault that the reading of an offering's file has found, with its place."""
    faults = []
    for error in invalid.errors(include_url=False):
        path = tuple(part for part in error["loc"] if part not in {"word", "derived", "[key]"})
        name = path[-1] if path and isinstance(path[-1], str) else ""
        said = _said(name, error["type"], error["msg"], error.get("ctx") or {})
        if error["type"] == "extra_forbidden" and invalid.title == form.OfferingFile.__name__:
            said += _meant(path)
        faults.append(document.fault(path, said))
    return faults


def _meant(path: Place) -> str:
    """Name the key that was probably meant; or all there are, where there are few."""
    known = sorted(keys_at(form_schema(), path[:-1]))
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known here: {', '.join(known)}" if 0 < len(known) <= AT_MOST_NAMED else ""


def _said(name: str, kind: str, message: str, context: Mapping[str, object]) -> str:
    if kind == "extra_forbidden":
        return "is not known to this version"
    if kind == "missing":
        return _MISSING.get(name, "is missing")
    if kind in {"dict_type", "model_type"}:
        return "must be an object: keys with values"
    if kind == "bool_type":
        return "must be true or false"
    if kind == "value_error":
        return str(context.get("error", message))
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    return message[:1].lower() + message[1:]
