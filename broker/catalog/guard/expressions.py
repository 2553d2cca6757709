"""Expressions of ARM templates: whether each is one, and calls what is there, where ARM allows that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from broker.catalog.faults import Fault, shown
from broker.catalog.files import Place
from broker.catalog.templates import Template

EVERYWHERE = frozenset(
    """
    add and array base64 base64tojson base64tostring bool cidrhost cidrsubnet coalesce concat contains copyindex
    createarray createobject datauri datauritostring datetimeadd datetimefromepoch datetimetoepoch deployment div
    empty endswith environment equals extensionresourceid fail false filter first flatten float format greater
    greaterorequals groupby guid if indexof int intersection items join json lambda lambdavariables last
    lastindexof length less lessorequals managementgroupresourceid map mapvalues max min mod mul not null
    objectkeys or padleft parameters parsecidr range reduce replace resourcegroup resourceid resourceinfo
    shallowmerge skip sort split startswith string sub subscription subscriptionresourceid substring take tenant
    tenantresourceid tolower toobject toupper trim true tryget union uniquestring uri uricomponent
    uricomponenttostring variables
    """.split()  # noqa: SIM905 - one word a line would be two screens
)
"""The functions that templates may call anywhere, in lower case; the simulator carries these out, and no others."""
OF_LIVING = frozenset({"reference", "references"})
"""What reads a living resource: only where a resource's properties or an output is made."""
OF_DEFAULTS = frozenset({"newguid", "utcnow"})
"""What ARM knows in defaults of parameters alone."""

_SECTIONS = ("imports", "extensions", "extensionConfigs", "asserts", "apiProfile")
_NEEDED = ("$schema", "contentVersion")
_TEXT = re.compile(r"'(?:[^']|'')*'")
_PLAIN = re.compile(r"[\w\s()\[\],.'$-]*")
_CALL = re.compile(r"(?<![\w.])([A-Za-z_$]\w*(?:\.[A-Za-z_]\w*)?)\s*\(")
_PAIRS = {")": "(", "]": "["}
_LIST = re.compile(r"list[a-z0-9]*")


class Broken(ValueError):
    """A text in brackets that is no expression."""


def faults_of_template(template: Template) -> Iterator[Fault]:
    """Tell what Azure, or the broker, would not take of a template, besides the bodies of its resources."""
    whole: Any = template.whole
    for name in _NEEDED:
        if not isinstance(whole.get(name), str):
            yield Fault(template.file, 0, name, "is missing: Azure takes no template without it")
    for name in _SECTIONS:
        if whole.get(name):
            yield Fault(template.file, 0, name, "this section is not implemented in this version")
    for resource in template.resources:
        if resource.body.get("resources"):
            text = "resources inside of a resource are not implemented: write them beside it, with their whole names"
            yield Fault(template.file, 0, shown((*resource.path, "resources")), text)
    own = _own_functions(whole.get("functions"))
    for path, text in _texts(whole, ()):
        for message in _of_text(path, text, own):
            yield Fault(template.file, 0, shown(path), message)


@lru_cache(maxsize=4096)
def calls(expression: str) -> frozenset[str]:
    """
    Return the names, in lower case, of the functions that an expression calls.

    Raises:
        Broken: It is no expression.
    """
    body = _TEXT.sub("''", expression[1:-1])
    if body.replace("''", "").count("'"):
        raise Broken("a text in it does not end")
    if not _PLAIN.fullmatch(body):
        wrong = next(sign for sign in body if not _PLAIN.fullmatch(sign))
        raise Broken(f"'{wrong}' has no meaning in it")
    opened: list[str] = []
    for sign in body:
        if sign in "([":
            opened.append(sign)
        elif sign in ")]" and (not opened or opened.pop() != _PAIRS[sign]):
            raise Broken(f"a '{sign}' closes nothing")
    if opened:
        raise Broken(f"a '{opened[-1]}' is never closed")
    found = frozenset(name.lower() for name in _CALL.findall(body))
    if not found:
        raise Broken("it calls no function; a text that begins with a bracket is written with two of them")
    return found


def is_expression(text: str) -> bool:
    """Tell whether ARM would take *text* for an expression."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


def _of_text(path: Place, text: str, own: frozenset[str]) -> Iterator[str]:
    if not is_expression(text):
        return
    try:
        found = calls(text)
    except Broken as broken:
        yield f"is no expression: {broken}"
        return
    for name in sorted(found):
        if name in EVERYWHERE or name in own:
            continue
        if name in OF_DEFAULTS:
            yield (
                f"'{name}' gives another value with each deployment, so every update would change what it stands for; "
                "take a name or a value of the broker's"
            )
        elif name in OF_LIVING:
            if not _of_living_allowed(path):
                yield f"'{name}' can be called in the properties of resources and in outputs only"
        elif _LIST.fullmatch(name):
            # In outputs it is refused for what it would tell.
            if path[:1] != ("outputs",) and not _in_properties(path):
                yield f"'{name}' can be called in the properties of resources only: its answer is a secret"
        else:
            yield f"calls '{name}', which is no template function that this version can check"


def _of_living_allowed(path: Place) -> bool:
    return path[:1] == ("outputs",) or _in_properties(path)


def _in_properties(path: Place) -> bool:
    return path[:1] == ("resources",) and len(path) > 2 and path[2] == "properties"


def _texts(value: Any, path: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if path != () or key not in {"functions", "metadata", "$schema"}:
                yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))


def _own_functions(declared: Any) -> frozenset[str]:
    """The functions that a template declares, by namespace and name."""
    return frozenset(
        f"{space.get('namespace')}.{name}".lower()
        for space in (declared if isinstance(declared, list) else ())
        if isinstance(space, Mapping) and isinstance(space.get("members"), Mapping)
        for name in space["members"]
    )
