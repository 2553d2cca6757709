"""The file of an offering for a template, with comments that tell its author what to decide. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from broker.azure_models import Models
from broker.catalog.drafts.templates import DraftTemplate, drafted
from broker.catalog.templates import JSON_TYPES

_PASSWORD = re.compile(r"admin.*password|password.*admin", re.IGNORECASE)
_LOGIN = re.compile(r"admin.*(login|user(name)?)$", re.IGNORECASE)


def family(
    name: str, template: Mapping[str, Any], file: str, models: Models, drawn: Callable[[], str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    Return the files of a family by their paths, and what was changed in the template.

    *file* is the template's name; *drawn* gives a GUID that nothing has yet.

    Raises:
        NotDraftable: With every reason.
    """
    draft = drafted(template, models)
    offering = "\n".join(_offering(name, file, draft, drawn)) + "\n"
    files = {f"{name}/{name}.yaml": offering, f"{name}/{file}": json.dumps(draft.whole, indent=2) + "\n"}
    return files, tuple(draft.notes)


def _offering(name: str, file: str, draft: DraftTemplate, drawn: Callable[[], str]) -> Iterator[str]:
    title = " ".join(name.replace(".", "-").split("-")).capitalize()
    yield f"# {title}: made from an ARM template. Decide what is marked DECIDE; then osb catalog check, and try."
    yield "# What was changed in the template:"
    for note in draft.notes or ["nothing"]:
        yield f"#   {_line(note)}"
    yield f"id: {drawn()}  # never changes once it is published"
    yield f"name: {_text(name)}"
    yield "# DECIDE what users read: what it is, and for whom. At most 255 characters."
    yield f"description: {_text(f'{title}.')}"
    yield "bindable: true"
    yield "# DECIDE whether the plan of a service instance can be changed, once there are several."
    yield "plan_updateable: false"
    yield "metadata:"
    yield f"  displayName: {_text(title)}"
    yield f"template: {_text(file)}"
    yield "# DECIDE where it goes: a group of the operator's (shared), or one for each service instance (own)."
    yield "placement: {group: shared}"
    yield "names:"
    yield "  # Letters and digits, and few of them, fit every service."
    for each in {each.word: each for each in draft.names}.values():
        yield f"  {each.word}: {{prefix: {each.prefix}, max_length: {each.longest}}}"
    yield "resources:"
    for each in draft.names:
        yield f"  - {{type: {_text(each.type)}, names: [{each.parameter}], tagged: true}}"
    yield "parameters:"
    yield from _parameters(draft)
    yield from _binding(draft)
    yield "plans:"
    yield f"  - id: {drawn()}"
    yield "    name: standard"
    yield "    # DECIDE what tells this plan from others: fix template parameters (`fixed`), narrow them (`user`)."
    yield f"    description: {_text(f'{title}, as its template makes it.')}"
    yield "    # DECIDE whether it costs nothing."
    yield "    free: false"
    yield "    maximum_polling_duration: 3600  # DECIDE: seconds after which an operation is given up"
    yield "    maintenance_info:"
    yield "      version: 1.0.0  # raise it when existing instances should be updated"
    yield "      description: First version."
    yield "    metadata:"
    yield f"      displayName: {_text('Standard')}"


def _parameters(draft: DraftTemplate) -> Iterator[str]:
    broker = {each.parameter: f"{{name: {each.word}}}" for each in draft.names}
    broker |= dict(_administrator(draft, broker))
    yield "  # DECIDE what users may give. Move to `fixed` (with a value) what only a plan should say."
    yield "  user:"
    for name, said in draft.parameters.items():
        if name in broker:
            continue
        if name == "location":
            yield "    location:"
            yield "      type: string"
            yield "      through: location"
            yield "      immutable: true"
            yield '      pattern: "^[a-z0-9]{1,60}$"'
            yield "      description: Azure region, such as westeurope. The broker's own region if left out."
        elif name == "tags":
            yield "    tags:"
            yield "      type: object"
            yield "      through: tags"
            yield f"      default: {json.dumps(draft.default_tags)}"
            yield "      max_properties: 40"
            yield "      additional: {type: string, maxLength: 256}"
            yield "      description: Tags besides the broker's own."
        else:
            yield from _user(name, said)
    if broker:
        yield "  broker:"
    for name, source in broker.items():
        yield f"    {name}: {source}"


def _user(name: str, said: Mapping[str, Any]) -> Iterator[str]:
    own = {}
    if str(said["type"]).lower().startswith("secure"):
        own["sensitive"] = "true"
    metadata = said.get("metadata")
    if not (isinstance(metadata, dict) and metadata.get("description")):
        own["description"] = _text(f"{name}.") + "  # DECIDE what users read"
    default = said.get("defaultValue")
    if isinstance(default, str) and default.startswith("[") and not default.startswith("[["):
        yield f"    # The template works out a default: {_line(default)}"
    elif "defaultValue" not in said:
        kind = JSON_TYPES[str(said["type"]).lower()]
        yield f"    # A user has to give it: a value of type {kind}. DECIDE on a `default`, or fix it."
    if not own:
        yield f"    {name}: {{}}"
        return
    yield f"    {name}:"
    for key, value in own.items():
        yield f"      {key}: {value}"


def _administrator(draft: DraftTemplate, broker: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A password for an administrator is drawn by the broker and shown to nobody; so is its login then."""
    secret = [
        name
        for name, said in draft.parameters.items()
        if str(said["type"]).lower() == "securestring" and _PASSWORD.search(name) and name not in broker
    ]
    if len(secret) != 1:
        return
    yield secret[0], "administrator_password"
    logins = [
        name
        for name, said in draft.parameters.items()
        if str(said["type"]).lower() == "string" and _LOGIN.search(name) and name not in broker
    ]
    if len(logins) == 1:
        draft.parameters[logins[0]].pop("defaultValue", None)
        yield logins[0], "administrator_login"


def _binding(draft: DraftTemplate) -> Iterator[str]:
    yield "# DECIDE what an app needs: keys that all bindings share, or a role for its own identity (verb `role`)."
    yield "binding:"
    actions: dict[str, dict[str, str]] = {}
    for key in draft.keys:
        actions.setdefault(key.action, {})[key.name] = key.pick
    for action, picks in actions.items():
        yield "  - action:"
        yield f"      word: {action}"
        yield "      resource: record.main"
        yield f"      type: {_text(draft.names[0].type)}"
        yield f"      name: {action}"
        yield "      pick:"
        for name, pick in picks.items():
            yield f"        {name}: {_text(pick)}"
    yield "  - compose:"
    yield "      credentials:"
    yield "        provider: {value: azure}"
    yield "        resourceId: {pick: record.main.id}"
    for name in draft.whole["outputs"]:
        if name not in {"provider", "resourceId"}:
            yield f"        {_text(name)}: {{pick: {_text(f'outputs.{_key(name)}')}}}"
    for key in draft.keys:
        yield f"        {_text(key.name)}: {{pick: {_text(f'made.{key.action}.{key.name}')}}}"


def _key(name: str) -> str:
    """Write a name as JMESPath does."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def _text(text: str) -> str:
    """Write text so that YAML reads nothing else; plain where it can be."""
    return (
        text if re.fullmatch(r"[A-Za-z][\w./-]*", text) and text.lower() not in _WORDS else json.dumps(text)
    )


_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def _line(text: str) -> str:
    """One line of a comment, whatever the template says."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
