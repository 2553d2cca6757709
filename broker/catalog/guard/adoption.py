"""What must be true of what can be adopted."""

from __future__ import annotations

from collections.abc import Iterator

from broker.catalog.files import Place
from broker.catalog.format import AdoptFile, OfferingFile, PlanFile
from broker.catalog.guard.picks import Said, faults_of_clear_pick, faults_of_pick
from broker.catalog.guard.plans import faults_of_secret
from broker.catalog.templates import Template
from broker.domain.adoption import RESOURCE_ID, WORDS
from broker.domain.databases import DATABASE_KINDS

_RESOURCE = frozenset({"resource", "below"})
"""What only the picks of `adopt` may pick from, besides what all may."""


def faults_of_adoption(read: OfferingFile, template: Template) -> Iterator[Said]:
    """Tell what is wrong with what an offering and its plans let be adopted."""
    for number, plan in enumerate(read.plans):
        for key, message in _of_plan(read, plan):
            yield ("plans", number, key), message
    for name in read.parameters.user:
        if name in WORDS:
            yield ("parameters", "user", name), "is the broker's own word"
    said = read.adopt
    if said is None:
        return
    yield from _of_picks(said)
    yield from _of_secrets(read, said)
    if read.resources[0].each is not None:
        yield ("resources", 0), "is a list: only what comes first in it can be adopted"
    for word in said.names:
        if word not in read.names:
            yield ("adopt", "names", word), f"there is no '{word}' among the names"
    declared = template.whole.get("outputs") or {}
    for name in said.outputs:
        if name not in declared:
            yield ("adopt", "outputs", name), "the template has no such output"
    for name in declared:
        if name not in said.outputs:
            yield ("adopt", "outputs"), f"'{name}' is missing: the template has such an output"
    for name in said.kept:
        if name not in template.parameters and name not in read.parameters.user:
            yield ("adopt", "kept", name), "there is no such parameter"
    for word, one in said.below.items():
        if not one.type.lower().startswith(f"{read.resources[0].type.lower()}/"):
            yield ("adopt", "below", word, "type"), f"is not below a '{read.resources[0].type}'"
        elif one.type not in {str(body["type"]) for body in template.whole["resources"]}:
            yield ("adopt", "below", word, "type"), "the template makes none of this type"
    if said.resource is not None and not said.only:
        yield ("adopt", "resource"), f"is for offerings that `only` adopt; users of others give {RESOURCE_ID}"
    yield from _of_parameters(read, said)
    if read.database is not None and DATABASE_KINDS[read.database.kind].owned and not said.owned:
        yield (
            ("adopt",),
            "a database of this kind has an owner, which the broker would have to change; adopt its server",
        )


def _of_plan(read: OfferingFile, plan: PlanFile) -> Iterator[tuple[str, str]]:
    if plan.adopt and read.adopt is None:
        yield "adopt", "the offering does not say what can be adopted"
    if read.adopt is not None and read.adopt.only and not plan.adopt:
        yield "adopt", "is needed: instances of this offering can only be adopted"
    allowed = read.adopt.modes if read.adopt is not None else plan.adopt
    for mode in (mode for mode in plan.adopt if mode not in allowed):
        yield "adopt", f"what exists cannot be adopted by `{mode}` under this offering"
    if len(set(plan.adopt)) < len(plan.adopt):
        yield "adopt", "says a mode twice"
    if plan.deletes_adopted and "manage" not in plan.adopt:
        yield "deletes_adopted", "is for plans that adopt by `manage`"


def _of_picks(said: AdoptFile) -> Iterator[Said]:
    picks: list[tuple[Place, str]] = [(("names", word), pick) for word, pick in said.names.items()]
    picks += [(("outputs", name), pick) for name, pick in _outputs(said).items()]
    picks += [(("kept", name), pick) for name, pick in said.kept.items()]
    picks += [(("below", word, "name"), one.name) for word, one in said.below.items()]
    picks += [(("require", number, "that"), one.that) for number, one in enumerate(said.require)]
    if said.resource is not None:
        yield from faults_of_pick(("adopt", "resource"), said.resource)
    if said.administrator is not None:
        picks += [
            (("administrator", key), getattr(said.administrator, key))
            for key in ("host", "login", "password")
        ]
    for path, pick in picks:
        yield from faults_of_pick(("adopt", *path), pick, more=_RESOURCE)


def _outputs(said: AdoptFile) -> dict[str, str]:
    return {name: one if isinstance(one, str) else one.of for name, one in said.outputs.items()}


def _of_secrets(read: OfferingFile, said: AdoptFile) -> Iterator[Said]:
    """Keep what users give in confidence out of what is written down of an instance."""
    declared = {**read.parameters.user, **said.parameters}
    for plan in read.plans:
        declared |= {name: parameter for name, parameter in plan.user.items() if parameter.sensitive}
    secrets = {"parameters": frozenset(name for name, one in declared.items() if one.sensitive)}
    for section, picks in (("names", said.names), ("outputs", _outputs(said)), ("kept", said.kept)):
        for word, pick in picks.items():
            yield from faults_of_clear_pick(("adopt", section, word), pick, secrets)


def _of_parameters(read: OfferingFile, said: AdoptFile) -> Iterator[Said]:
    for name, parameter in said.parameters.items():
        path: Place = ("adopt", "parameters", name)
        if parameter.type is None:
            yield (*path, "type"), "is needed, since no template says it"
        if parameter.through is not None:
            yield (*path, "through"), "is for what goes into the template"
        if name in read.parameters.user or name in WORDS | {"alias", "parentAlias"}:
            yield path, "is declared twice, or the broker's own word"
        if name in read.parameters.refused:
            yield path, "is refused, too"
        if parameter.sensitive:
            yield from faults_of_secret(path, parameter)
