"""What bindings post to resources, and pick from the answers, against the provider's own model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from broker.azure_models import Models
from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.catalog.format import OfferingFile, Verb
from broker.catalog.format.bindings import PostFile
from broker.catalog.guard.bindings import verbs_of
from broker.catalog.templates import Template

_ANSWERED = re.compile(r"(?<![\w.])answer\.([A-Za-z_]\w*)")


def warnings_of_actions(
    document: Document, read: OfferingFile, template: Template, models: Models
) -> Iterator[Fault]:
    """Warn of list actions, and of what is picked from their answers, of which the provider's model does not tell."""
    for path, verb in verbs_of(read):
        for at, posted, picks in _posts(path, verb):
            version = template.api_version(posted.type) or _newest(models, posted.type)
            model = models.load(posted.type, version)
            if model is None or not posted.name.lower().startswith("list"):
                continue
            answers = {name.lower(): answer for name, answer in model.actions.items()}
            answer = answers.get(posted.name.lower())
            if answer is None:
                known = ", ".join(sorted(model.actions)) or "none that begins so"
                message = f"{posted.type} at {version} has no such action in its model; it has {known}"
                yield replace(document.fault((*at, "name"), message), severity="warning")
                continue
            told = model.models[answer.model].properties if answer.model else {}
            for field in sorted({field for pick in picks for field in _ANSWERED.findall(pick)} - told.keys()):
                message = f"{posted.name} of {posted.type} answers no '{field}', says its model; it answers "
                fault = document.fault((*at, "pick"), message + ", ".join(sorted(told)))
                yield replace(fault, severity="warning")


def _posts(path: Place, verb: Verb) -> Iterator[tuple[Place, PostFile, list[str]]]:
    if verb.action is not None:
        yield (*path, "action"), verb.action, list(verb.action.pick.values())
    if verb.sas_policy is not None:
        yield (*path, "sas_policy", "key"), verb.sas_policy.key, [verb.sas_policy.key.pick]


def _newest(models: Models, kind: str) -> str:
    return next(
        (versions[0] for name, versions in models.known().items() if name.lower() == kind.lower()), ""
    )
