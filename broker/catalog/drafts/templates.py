"""What has to be changed in a template so that the broker can name, tag and place what it makes. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from broker.azure_models import Models
from broker.catalog.templates import JSON_TYPES, texts_in

SHORTEST_NAME = 20
"""A derived name has at least as many characters, of which 80 bits are its hash."""
LONGEST_NAME = 24
"""As many letters and digits fit every service known to the authors of this."""

_SCHEMA = re.compile(r"/deploymentTemplate\.json#?$", re.IGNORECASE)
_PARAMETER = re.compile(r"^parameters\('([A-Za-z][A-Za-z0-9_]{0,62})'\)$", re.IGNORECASE)
_LIST_CALL = re.compile(r"\blist[A-Za-z]*\s*\(", re.IGNORECASE)
_KEYS = re.compile(r"^\[(list[A-Za-z]*)\((.*)\)((?:\.\w+|\[\d+\])+)\]$", re.IGNORECASE | re.DOTALL)
_NEW_EACH_TIME = re.compile(r"\b(newGuid|utcNow)\s*\(", re.IGNORECASE)
_KNOWN = frozenset(
    {"$schema", "contentVersion", "metadata", "parameters", "variables", "resources", "outputs"}
)


class NotDraftable(Exception):
    """A template of which no family can be made; `reasons` says why, each with what to do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Name:
    """The name of a resource at the top, derived by the broker."""

    parameter: str
    word: str
    prefix: str
    longest: int
    type: str


@dataclass(frozen=True)
class Key:
    """A secret that an output told; a binding asks for it instead."""

    name: str
    action: str
    type: str
    pick: str


@dataclass
class DraftTemplate:
    """A template that was made fit, and what was found in it; `notes` tell the author what was changed."""

    whole: dict[str, Any]
    names: list[Name] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    default_tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        declared: dict[str, dict[str, Any]] = self.whole["parameters"]
        return declared


def drafted(template: Mapping[str, Any], models: Models) -> DraftTemplate:
    """
    Make a template fit: names and tags become parameters of the broker's, secrets leave the outputs.

    Raises:
        NotDraftable: With every reason.
    """
    reasons = list(_reasons(template, models))
    if reasons:
        raise NotDraftable(reasons)
    draft = DraftTemplate(copy.deepcopy(dict(template)))
    draft.whole.setdefault("parameters", {})
    draft.whole.pop("metadata", None)
    for number, resource in enumerate(template["resources"]):
        if resource["type"].count("/") == 1:
            _name(draft, number)
            _tags(draft, draft.whole["resources"][number])
    _outputs(draft)
    _defaults(draft)
    _unused(draft)
    if too_short := [name for name in draft.names if name.longest < SHORTEST_NAME]:
        raise NotDraftable(
            [
                f"{name.type}: its name may have {name.longest} characters; names of the broker need {SHORTEST_NAME}"
                for name in too_short
            ]
        )
    return draft


def _reasons(template: Mapping[str, Any], models: Models) -> Iterator[str]:
    resources = template.get("resources")
    if isinstance(resources, dict) or "languageVersion" in template:
        yield (
            "resources: symbolic names (languageVersion 2.0) are not supported; build the Bicep file without "
            "user-defined types, `existing` resources and extensions, so that `resources` is a list"
        )
        return
    if not isinstance(resources, list) or not resources:
        yield "resources: there are none"
        return
    if not _SCHEMA.search(str(template.get("$schema", ""))):
        yield "$schema: only deployments to a resource group are supported, whose schema is deploymentTemplate.json"
    for name in sorted(set(template) - _KNOWN):
        yield f"{name}: this section is not supported"
    for section in ("parameters", "outputs"):
        for name, said in (template.get(section) or {}).items():
            if not isinstance(said, dict) or str(said.get("type", "")).lower() not in JSON_TYPES:
                yield f"{section}.{name}: has no type that ARM knows; user-defined types are not supported"
            elif section == "parameters" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", name):
                yield f"parameters.{name}: a parameter's name has letters, digits and underscores"
            elif section == "parameters" and name in {"alias", "parentAlias"}:
                yield f"parameters.{name}: is the broker's own word; rename it"
    made = {str(one.get("type", "")).lower() for one in resources if isinstance(one, dict)}
    for number, resource in enumerate(resources):
        yield from _of_resource(f"resources[{number}]", resource, made, models)


def _of_resource(where: str, resource: Any, made: set[str], models: Models) -> Iterator[str]:
    if not isinstance(resource, dict) or not all(
        isinstance(resource.get(key), str) and resource[key] for key in ("type", "apiVersion", "name")
    ):
        yield f"{where}: has no type, apiVersion or name"
        return
    kind = resource["type"]
    if kind.lower() == "microsoft.resources/deployments":
        yield f"{where}: nested deployments (Bicep modules) are not supported; put the module's resources into the file"
        return
    if "resources" in resource:
        yield f"{where}: resources inside of {kind} are not supported; write them beside it, with their whole names"
    if "scope" in resource:
        yield f"{where}: {kind} has a scope of its own, which is not supported; a role is the verb `role` of a binding"
    if kind.count("/") > 1:
        words = kind.lower().split("/")
        if not any("/".join(words[:end]) in made for end in range(2, len(words))):
            yield (
                f"{where}: the template does not make what {kind} is in; write an offering with a `parent` by hand"
            )
        return
    for key, what in (("copy", "in a loop"), ("condition", "on a condition")):
        if key in resource:
            yield f"{where}: {kind} is made {what}, which is not supported at the top; make it one resource, always"
    model = models.load(kind, resource["apiVersion"])
    if model is not None and "tags" not in model.root.properties:
        yield f"{where}: {kind} takes no tags, so nothing would tell the broker's from somebody else's"


def _name(draft: DraftTemplate, number: int) -> None:
    """Have a resource's name come from a parameter of the broker's, wherever the template speaks of it."""
    resource = draft.whole["resources"][number]
    said, kind = resource["name"], resource["type"]
    inner = said[1:-1].strip() if said.startswith("[") and not said.startswith("[[") else None
    match = _PARAMETER.match(inner) if inner is not None else None
    parameter = match[1] if match and match[1] in draft.parameters else ""
    if shared := next((name for name in draft.names if name.parameter == parameter), None):
        draft.names.append(replace(shared, type=kind))
        return
    if parameter:
        for key in ("defaultValue", "allowedValues"):
            draft.parameters[parameter].pop(key, None)
    else:
        parameter = _free(_word(kind) + "Name", draft.parameters)
        draft.parameters[parameter] = {"type": "string"}
        resource["name"] = f"[parameters('{parameter}')]"
        old = inner if inner is not None else "'" + said.replace("'", "''") + "'"
        for section in ("variables", "resources", "outputs"):
            draft.whole[section] = _replaced(
                draft.whole.get(section) or {}, old, f"parameters('{parameter}')"
            )
        draft.notes.append(f"{kind} was called {said}; the broker derives its name now ({parameter}).")
    word = _free(_word(kind), {name.word: name for name in draft.names})
    longest = min(LONGEST_NAME, int(draft.parameters[parameter].get("maxLength", LONGEST_NAME)))
    prefix = re.sub(r"[^a-z]", "", _word(kind).lower())[:3] or "x"
    draft.names.append(Name(parameter, word, prefix, longest, kind))


def _tags(draft: DraftTemplate, resource: dict[str, Any]) -> None:
    wanted, said = "[parameters('tags')]", resource.get("tags")
    if draft.parameters.setdefault("tags", {"type": "object"})["type"].lower() != "object":
        raise NotDraftable(["parameters.tags: must be an object, for the broker's tags go through it"])
    if said == wanted:
        return
    resource["tags"] = wanted
    if isinstance(said, dict) and all(
        isinstance(value, str) and not value.startswith("[") for value in said.values()
    ):
        draft.default_tags |= said
        said = None
    if said:
        draft.notes.append(
            f"{resource['type']} had tags of its own, {said!r}; it carries those of the request now."
        )
    else:
        draft.notes.append(
            f"{resource['type']} carries the parameter `tags` now, and with it the broker's tags."
        )


def _outputs(draft: DraftTemplate) -> None:
    kept = {}
    main = draft.names[0].type
    for name, said in (draft.whole.get("outputs") or {}).items():
        text = said.get("value")
        secret = str(said["type"]).lower().startswith("secure")
        if not secret and not any(_LIST_CALL.search(each) for each in texts_in(said)):
            kept[name] = {"type": said["type"], "value": text}
            continue
        match = _KEYS.match(text) if isinstance(text, str) else None
        if match and main.lower() in match[2].lower():
            draft.keys.append(Key(name, match[1], main, f"answer{match[3]}"))
            draft.notes.append(f"The output {name} told a secret; a binding asks {match[1]} for it instead.")
        else:
            draft.notes.append(
                f"The output {name} told a secret and is left out; ask for it in `binding`, by an `action`."
            )
    draft.whole["outputs"] = kept


def _defaults(draft: DraftTemplate) -> None:
    for name, said in draft.parameters.items():
        default = said.get("defaultValue")
        secure = str(said["type"]).lower().startswith("secure")
        if (secure and default) or (isinstance(default, str) and _NEW_EACH_TIME.search(default)):
            said.pop("defaultValue")
            draft.notes.append(
                f"The default of {name} was a secret or new with each deployment and is left out."
            )


def _unused(draft: DraftTemplate) -> None:
    """Leave out what nothing uses any more: the guard takes no such parameter."""
    while True:
        texts = [text.lower() for text in texts_in(draft.whole)]
        unused = [
            (section, name)
            for section in ("parameters", "variables")
            for name in draft.whole.get(section) or {}
            if not any(f"{section}('{name.lower()}')" in text for text in texts)
        ]
        if not unused:
            return
        for section, name in unused:
            del draft.whole[section][name]
            draft.notes.append(f"Nothing uses {section[:-1]} {name}; it is left out.")


def _replaced(value: Any, old: str, new: str) -> Any:
    """Put *new* for *old* in every expression; a text that is no expression is what it is."""
    if isinstance(value, str):
        return value.replace(old, new) if value.startswith("[") else value
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    return [_replaced(item, old, new) for item in value] if isinstance(value, list) else value


def _word(kind: str) -> str:
    """`Microsoft.Storage/storageAccounts` is a storageAccount."""
    last = re.sub(r"\W", "", kind.rpartition("/")[2])
    return last[:-1] if last.endswith("s") and not last.endswith("ss") else last


def _free(word: str, taken: Mapping[str, Any]) -> str:
    used = {name.lower() for name in taken}
    return next(
        name for n in range(1, 10000) if (name := word if n == 1 else f"{word}{n}").lower() not in used
    )
