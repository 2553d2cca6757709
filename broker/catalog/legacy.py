"""
Older offerings made of today's: under their own ids, with their own names of parameters and credentials. Pure.

What comes of it has the form of an offering's file, so everything that is checked there is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import ValidationError

from broker.catalog.faults import Fault, shown
from broker.catalog.files import Document, Place
from broker.catalog.form_faults import faults_of_validation
from broker.catalog.format import CredentialValue, LegacyFile, LegacyModeFile, Strict
from broker.catalog.format.legacy import LegacyOffering, LegacyParameter, LegacyPlan
from broker.catalog.overlays import Hidden
from broker.domain.adoption import RESOURCE_ID, WORDS
from broker.domain.catalog import ServiceOffering, ServicePlan
from broker.domain.json_values import JsonObject

Mode = Literal["off", "hidden", "listed"]
_OWN = frozenset({"id", "name", "description", "plans", "plan_updateable", "parent"})
_OWN_OF_PLANS = frozenset(
    {
        "id", "name", "description", "updates_to", "plan_updateable", "user", "fixed", "extends", "adopt",
        "deletes_adopted",
    }
)  # fmt: skip
_NO_SUCCESSOR = "This release has no successor for it."
_NEVER_STARTED = timedelta(hours=1)


@dataclass(frozen=True)
class LegacyDocuments:
    """The files of older offerings, and whether these are in the catalog and shown."""

    mode: Mode = "off"
    documents: Sequence[tuple[Document, LegacyFile]] = ()


@dataclass(frozen=True)
class ExpandedDocument(Document):
    """What came of an older offering; its faults are told where that is written down."""

    written: Document = field(kw_only=True)
    at: Place = field(kw_only=True)
    older: LegacyOffering = field(kw_only=True, repr=False)
    unoffered: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    """By the names of plans: what of the successor this broker does not offer."""

    def line(self, path: Place) -> int:
        return self.written.line((*self.at, *path[:2]))

    def fault(self, path: Place, message: str) -> Fault:
        place = f", at {shown(path)}" if path else ""
        return self.written.fault(self.at, f"what comes of '{self.older.name}'{place}: {message}")


def legacy_documents(documents: Sequence[Document]) -> tuple[LegacyDocuments, list[Fault]]:
    """Read the files of older offerings; without one that switches them on, they are `off`."""
    mode: Mode = "off"
    read: list[tuple[Document, LegacyFile]] = []
    faults: list[Fault] = []
    for document in documents:
        is_mode = isinstance(document.data, dict) and "legacy_catalog" in document.data
        form: type[Strict] = LegacyModeFile if is_mode else LegacyFile
        try:
            found = form.model_validate(document.data)
        except ValidationError as invalid:
            faults += faults_of_validation(document, invalid)
            continue
        if isinstance(found, LegacyModeFile):
            mode = found.legacy_catalog
        elif isinstance(found, LegacyFile):
            read.append((document, found))
    return LegacyDocuments(mode, read), [*faults, *_twice(read)]


def _twice(read: Sequence[tuple[Document, LegacyFile]]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for document, family in read:
        for number, older in enumerate(family.offerings):
            claims: list[tuple[Place, str]] = [(("id",), older.id), (("name",), older.name)]
            claims += [(("plans", place, "id"), plan.id) for place, plan in enumerate(older.plans)]
            for path, claimed in claims:
                if claimed.lower() in seen:
                    at = ("offerings", number, *path)
                    yield document.fault(at, f"'{claimed}' is used before, in {seen[claimed.lower()]}")
                seen.setdefault(claimed.lower(), document.file)


def expanded(
    legacy: LegacyDocuments, successors: Mapping[str, Document], hidden: Hidden
) -> tuple[list[tuple[ExpandedDocument, str]], list[ServiceOffering], list[Fault]]:
    """
    Make offerings' files of older offerings, each with the name of its successor.

    Those without a successor among *successors* come as they are published: they cannot be ordered, and tell why.
    """
    files: list[tuple[ExpandedDocument, str]] = []
    others: list[ServiceOffering] = []
    faults: list[Fault] = []
    for document, family in legacy.documents:
        for number, older in enumerate(family.offerings):
            at: Place = ("offerings", number)
            successor = successors.get(older.successor or "")
            if successor is None:
                others.append(_unserved(older))
                continue
            plans = {plan.get("name"): plan for plan in successor.data.get("plans", ())}
            found = list(_faults(document, at, older, plans))
            faults += found
            if found:
                continue
            if not any(plan.successor for plan in older.plans):
                others.append(_unserved(older))
                continue
            data = _data(older, successor.data, plans)
            unoffered = _unoffered(older, hidden.get(older.successor or "", frozenset()))
            one = ExpandedDocument(
                document.file, data, written=document, at=at, older=older, unoffered=unoffered
            )
            files.append((one, older.successor or ""))
    return files, others, faults


def finished(made: ServiceOffering, document: ExpandedDocument, mode: Mode) -> ServiceOffering:
    """Give an offering made of an expanded file its ids as they were published, and say what cannot be ordered."""
    older = document.older
    by_name = {plan.name: plan for plan in made.plans}
    plans = []
    for plan in older.plans:
        if plan.successor is None:
            plans.append(_unserved_plan(older, plan))
            continue
        because = _refused(older, plan, document.unoffered.get(plan.name))
        if because is None and mode == "hidden":
            because = (
                f"'{older.name}' is kept for service instances of older brokers ({_known(older)}) and takes no new "
                f"orders here. Order {older.successor}/{plan.successor} instead."
            )
        made_as = _for_operators(by_name[plan.name])
        plans.append(replace(made_as, id=plan.id, withdrawn=because is not None, refusal=because))
    return replace(made, id=older.id, plans=tuple(plans), withdrawn=all(plan.withdrawn for plan in plans))


def _for_operators(plan: ServicePlan) -> ServicePlan:
    """Let nobody but operators adopt what exists under an older plan, unless that is all that can be done with it."""
    adopt = plan.recipe.get("adopt")
    if adopt is None or adopt["only"] or plan.create_schema is None:
        return plan
    names = WORDS | adopt["parameters"].keys()
    schema = {**plan.create_schema, "properties": _without(plan.create_schema["properties"], names)}
    # Without an adoption what it could do without is needed again.
    ways = schema.pop("anyOf", ())
    needed = [name for way in ways if RESOURCE_ID not in way["required"] for name in way["required"]]
    if required := [name for name in [*schema.get("required", ()), *needed] if name not in names]:
        schema["required"] = required
    return replace(plan, create_schema=schema, import_schema=plan.create_schema)


def _laid_over(old: Any, new: Any) -> Any:
    """Lay *new* over *old* key by key; null takes a key away (RFC 7396)."""
    if not isinstance(new, dict):
        return new
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _laid_over(found.get(key), value)
    return found


def _refused(older: LegacyOffering, plan: LegacyPlan, unoffered: str | None) -> str | None:
    said = plan.refused or older.refused
    if said is not None:
        return f"{said} Order {older.successor}/{plan.successor} instead."
    if unoffered is not None:
        return f"'{older.name}/{plan.name}' is made as {unoffered}, which this broker does not offer."
    return None


def _unoffered(older: LegacyOffering, hidden: frozenset[str | None]) -> dict[str, str]:
    return {
        plan.name: f"{older.successor}/{plan.successor}"
        for plan in older.plans
        if plan.successor is not None and (None in hidden or plan.successor in hidden)
    }


def _faults(
    document: Document, at: Place, older: LegacyOffering, plans: Mapping[Any, Any]
) -> Iterator[Fault]:
    for number, plan in enumerate(older.plans):
        if plan.successor is not None and plan.successor not in plans:
            known = ", ".join(sorted(str(name) for name in plans))
            message = f"'{older.successor}' has no plan '{plan.successor}'; it has {known}"
            yield document.fault((*at, "plans", number, "successor"), message)
    seen: dict[str, str] = {}
    for name, parameter in older.parameters.items():
        place: Place = (*at, "parameters", name)
        for target in parameter.becomes:
            if target in seen:
                yield document.fault((*place, "becomes", target), f"'{seen[target]}' becomes that, too")
            seen.setdefault(target, name)
        if parameter.becomes and parameter.default is None and not parameter.required:
            yield document.fault(place, "needs a default: what it becomes is needed in any case")


def _data(older: LegacyOffering, successor: JsonObject, plans: Mapping[Any, Any]) -> dict[str, Any]:
    """Write an older offering in the form of an offering's file."""
    successor = _laid_over(successor, older.set)
    given = successor.get("parameters", {})
    targets = {target for parameter in older.parameters.values() for target in parameter.becomes}
    user = _without(given.get("user", {}), targets)
    for name, parameter in older.parameters.items():
        user[name] = {**user.get(name, {}), **_declared(parameter)}
    picks = {
        target: {"pick": _pick(name, parameter, table)}
        for name, parameter in older.parameters.items()
        for target, table in parameter.becomes.items()
    }
    parameters = {
        **given,
        "user": user,
        "fixed": _without(given.get("fixed", {}), targets),
        "broker": {**_without(given.get("broker", {}), targets), **picks},
    }
    if "refused" in given:
        parameters["refused"] = _without(given["refused"], older.parameters)
    metadata = {**successor.get("metadata", {}), "displayName": f"{older.name} (older brokers)"}
    made = {
        **_with_credentials(_without(successor, _OWN), older.credentials),
        "id": older.id.lower(),
        "name": older.name,
        "description": f"{_known(older)}: made as {older.successor}, with its ids and keys of before.",
        "plan_updateable": False,
        "metadata": metadata,
        "parameters": parameters,
        "plans": [
            _plan(older, plan, plans[plan.successor], targets, _modes(successor))
            for plan in older.plans
            if plan.successor is not None
        ],
    }
    if older.parent is not None:
        made["parent"] = older.parent
    if older.bindable is not None:
        made["bindable"] = older.bindable
    return made


def _modes(successor: JsonObject) -> Sequence[str]:
    """Return how what exists can be imported, which is as it can be adopted."""
    said = successor.get("adopt")
    if not isinstance(said, dict):
        return ()
    modes: Sequence[str] = said.get("modes", ["bind-only", "manage"])
    return modes


def _imported(modes: Sequence[str]) -> JsonObject:
    return {"adopt": list(modes), "deletes_adopted": "manage" in modes} if modes else {}


def _plan(
    older: LegacyOffering, plan: LegacyPlan, successor: JsonObject, targets: set[str], modes: Sequence[str]
) -> dict[str, Any]:
    narrowed = {name: one.model_dump(exclude_unset=True) for name, one in plan.user.items()}
    fixed = {**_without(successor.get("fixed", {}), targets), **plan.fixed}
    known = f"{', '.join(plan.known_as)}: made" if plan.known_as else "Made"
    return {
        **_without(successor, _OWN_OF_PLANS),
        **_imported(modes if older.imports else ()),
        "id": plan.id.lower(),
        "name": plan.name,
        "description": f"{known} as {older.successor}/{plan.successor}.",
        "fixed": fixed,
        "user": {**_without(successor.get("user", {}), {*targets, *plan.fixed}), **narrowed},
    }


def _declared(parameter: LegacyParameter) -> dict[str, Any]:
    said = parameter.model_dump(exclude_unset=True, by_alias=True, exclude={"becomes"})
    if "type" in said and "through" not in said:
        said["through"] = "picked" if parameter.becomes else "nothing"
    return said


def _pick(name: str, parameter: LegacyParameter, table: Mapping[str, Any]) -> str:
    """Write a table as an expression; each value in a list, since JMESPath takes false and "" for no answer."""
    if not table:
        return f"parameters.{name}"
    rows = [
        f"parameters.{name}==`{_literal(_key(parameter, key))}` && [`{_literal(value)}`]"
        for key, value in table.items()
    ]
    return f"({' || '.join(rows)})[0]"


def _key(parameter: LegacyParameter, key: str) -> Any:
    if parameter.type == "string":
        return key
    try:
        return json.loads(key)
    except ValueError:
        return key


def _literal(value: Any) -> str:
    return json.dumps(value).replace("`", "\\`")


def _with_credentials(offering: dict[str, Any], more: Mapping[str, str | CredentialValue]) -> dict[str, Any]:
    """Give every way to bind the older keys, each made as the successor's is."""
    if not more:
        return offering
    made = {**offering}
    if "binding" in made:
        made["binding"] = [_with_keys(verb, more) for verb in made["binding"]]
    modes = made.get("binding_modes")
    if isinstance(modes, dict):
        ways = {
            name: {**way, "binding": [_with_keys(verb, more) for verb in way["binding"]]}
            for name, way in modes["modes"].items()
        }
        made["binding_modes"] = {**modes, "modes": ways}
    return made


def _with_keys(verb: JsonObject, more: Mapping[str, str | CredentialValue]) -> JsonObject:
    if "compose" not in verb:
        return verb
    there = verb["compose"]["credentials"]
    older = {}
    for key, own in more.items():
        if isinstance(own, CredentialValue):
            older[key] = own.model_dump(exclude_unset=True)
        elif own in there:
            older[key] = there[own]
    return {"compose": {**verb["compose"], "credentials": {**older, **there}}}


def _unserved(older: LegacyOffering) -> ServiceOffering:
    return ServiceOffering(
        id=older.id,
        name=older.name,
        description=f"{_known(older)}: without a successor here.",
        bindable=False,
        plans=tuple(_unserved_plan(older, plan) for plan in older.plans),
        withdrawn=True,
    )


def _unserved_plan(older: LegacyOffering, plan: LegacyPlan) -> ServicePlan:
    said = plan.refused or older.refused
    if plan.successor is not None and older.successor is not None:
        # It has one, which this broker does not offer.
        because = (
            f"{said} Its successor is" if said else f"'{older.name}/{plan.name}' is made as"
        ) + f" {older.successor}/{plan.successor}, which this broker does not offer."
    else:
        said = said or f"'{older.name}/{plan.name}' ({_known(older)}) cannot be ordered."
        because = f"{said} {f'Order {older.instead} instead.' if older.instead else _NO_SUCCESSOR}"
    return ServicePlan(
        id=plan.id,
        name=plan.name,
        description="Without a successor here.",
        free=False,
        bindable=False,
        maximum_polling_duration=_NEVER_STARTED,
        withdrawn=True,
        refusal=because,
    )


def _known(older: LegacyOffering) -> str:
    return ", ".join(older.known_as)


def _without(values: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}
