"""From Azure's nested error documents to what really went wrong, fit to be shown. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as `json.loads` gives it."""

WRAPPERS = frozenset(
    {
        "badrequest",
        "canceled",
        "conflict",
        "deploymentfailed",
        "forbidden",
        "internalservererror",
        "invalidtemplatedeployment",
        "multipleerrorsoccurred",
        "notfound",
        "resourcedeploymentfailure",
        "resourceoperationfailure",
    }
)
"""Codes that say only that something below went wrong. Without anything below they stand for themselves."""

_NO_CODE = "Unknown"

MAX_LEAVES = 3
MAX_MESSAGE = 300
MAX_DEPTH = 20
MAX_READ = 4000
"""How much of a message is looked at: the patterns below take time with the square of it."""


@dataclass(frozen=True)
class Leaf:
    """
    One innermost error: Azure's code, its message (redacted, one line), what it is about.

    `resource` is a type and a name ("Microsoft.DBforPostgreSQL/flexibleServers 'pg-abc'") or empty. `policies` are the
    display names of the policies that forbade it. `under` is the code of the nearest wrapper around it, or empty.
    """

    code: str
    message: str
    resource: str = ""
    policies: tuple[str, ...] = ()
    under: str = ""


def distil(error: Any, *, secrets: Iterable[str] = ()) -> tuple[Leaf, ...]:
    """
    Return the innermost errors of *error*, the first three that differ, outermost message redacted.

    `details` and `innererror` are walked depth first; a message that is itself JSON is opened; wrappers with
    something below them are skipped. An inner code that says nothing ("Target" without a message) does not
    displace an outer one that does. Some providers begin keys with a capital. Nothing usable gives an empty tuple.
    """
    hidden = tuple(secrets)
    leaves: dict[tuple[str, str], Leaf] = {}
    for leaf in _leaves(error, 0):
        shown = replace(leaf, message=redact(leaf.message, secrets=hidden))
        leaves.setdefault((shown.code.lower(), shown.message), shown)
    return tuple(leaves.values())[:MAX_LEAVES]


def _leaves(node: Any, depth: int) -> Iterator[Leaf]:
    if depth > MAX_DEPTH or not isinstance(node, Mapping):
        return
    node = {key.lower(): value for key, value in node.items() if isinstance(key, str)}
    if isinstance(node.get("error"), Mapping):
        yield from _leaves(node["error"], depth + 1)
        return
    code, message = _text(node.get("code")), _text(node.get("message"))
    opened = _opened(message)
    message, identified = _policy_identifiers("" if opened is not None else message)
    resource, policies = _resource(node), _policies(node) or identified
    wrapping = is_wrapper(code)
    below = [
        replace(
            leaf,
            resource=leaf.resource or resource,
            policies=leaf.policies or policies,
            under=leaf.under or (code if wrapping else ""),
        )
        for child in (opened, *_list(node.get("details")), node.get("innererror"))
        for leaf in _leaves(child, depth + 1)
        if leaf.message or (wrapping and leaf.code != _NO_CODE)
    ]
    if below:
        yield from below
    elif code or message:
        yield Leaf(code or _NO_CODE, message, resource, policies)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _opened(message: str) -> Any:
    """Return the document inside *message*, or None when it is prose."""
    if not message.startswith("{"):
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


_IDENTIFIERS = re.compile(r"\s*Policy identifiers: '(\[.*\])'\.?", re.DOTALL)


def _policy_identifiers(message: str) -> tuple[str, tuple[str, ...]]:
    """Take the list of policies out of a message, which has their names where `additionalInfo` is missing."""
    found = _IDENTIFIERS.search(message[:MAX_READ])
    if found is None:
        return message, ()
    try:
        listed = json.loads(found[1])
    except (ValueError, RecursionError):
        listed = []
    names = [
        redact(name)
        for entry in _list(listed)
        if isinstance(entry, Mapping)
        for said in (entry.get("policyAssignment"), entry.get("policyDefinition"))
        if isinstance(said, Mapping) and (name := _text(said.get("name")))
    ]
    return message[: found.start()] + message[found.end() :], tuple(dict.fromkeys(names[:1]))


def _resource(node: Mapping[str, Any]) -> str:
    target = _text(node.get("target"))
    return short_resource(target) if target.startswith("/") else ""


def _policies(node: Mapping[str, Any]) -> tuple[str, ...]:
    names = []
    for extra in _list(node.get("additionalinfo")):
        info = extra.get("info") if isinstance(extra, Mapping) else None
        if isinstance(info, Mapping):
            for key in (
                "policyAssignmentDisplayName",
                "policyDefinitionDisplayName",
                "policySetDefinitionDisplayName",
            ):
                if name := _text(info.get(key)):
                    names.append(redact(name))
                    break
    return tuple(dict.fromkeys(names))


def is_wrapper(code: str) -> bool:
    """Tell whether *code* alone says nothing about the cause."""
    return code.lower() in WRAPPERS


def short_resource(resource_id: str) -> str:
    """Return type and name of a resource id, without subscription and group; empty when it is none."""
    segments = [segment for segment in resource_id.split("/") if segment]
    lowered = [segment.lower() for segment in segments]
    if "providers" not in lowered:
        if len(segments) == 4 and lowered[2] == "resourcegroups":
            return f"resource group '{segments[3]}'"
        return ""
    last = len(lowered) - 1 - lowered[::-1].index("providers")
    namespace, pairs = segments[last + 1 : last + 2], segments[last + 2 :]
    if not namespace:
        return ""
    if not pairs:
        return f"provider '{namespace[0]}'"
    return f"{'/'.join(namespace + pairs[0::2])} '{'/'.join(pairs[1::2])}'"


_POLICY_ID = re.compile(
    r"(?:/[\w.()-]+)*/providers/Microsoft\.Authorization/policy\w+/[\w.()-]+", re.IGNORECASE
)
_RESOURCE_ID = re.compile(r"/subscriptions/[\w-]+(?:/[\w.()~-]+)*", re.IGNORECASE)
_GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"(?i)\b(\w*(?:password|passwd|pwd|secret|accesskey|accountkey|apikey|primarykey|secondarykey|sharedaccesskey|token)"
    r"\w*|sig)(\\?[\"']?\s*[=:]\s*\\?[\"']?)([^\s\"'&;,\\]{3,})"
)
_BEARER = re.compile(r"(?i)\bbearer\s+[\w.~+/=-]+")
_USERINFO = re.compile(r"(?<=://)[^\s/@]+@")
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_-]{40,}")


def redact(text: str, *, secrets: Iterable[str] = (), at_most: int = MAX_MESSAGE) -> str:
    """
    Return *text* as one line of at most *at_most* characters, without what nobody else should see.

    Resource ids become type and name; policy ids, other GUIDs (subscriptions, principals), bearer tokens, named
    secrets, long random-looking words and each of *secrets* (of four characters and more) are taken out.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    text = " ".join(text.split())[:MAX_READ]
    text = _USERINFO.sub("***@", text)
    text = _BEARER.sub("Bearer ***", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    text = _POLICY_ID.sub("(policy)", text)
    text = _RESOURCE_ID.sub(lambda found: short_resource(found[0]) or "(scope)", text)
    text = _GUID.sub("(id)", text)
    text = _OPAQUE.sub(lambda found: "***" if _looks_random(found[0]) else found[0], text)
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= at_most else text[: at_most - 1].rstrip() + "…"


def _looks_random(word: str) -> bool:
    return (
        any(c.islower() for c in word) and any(c.isupper() for c in word) and any(c.isdigit() for c in word)
    )
