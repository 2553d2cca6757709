"""Reads a file of tenant rules; every fault with its line and place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from broker.catalog.faults import CatalogRefused, Fault, refused
from broker.catalog.files import Document, Unreadable, read_yaml
from broker.catalog.form_faults import faults_of_validation
from broker.domain.globs import Pattern, PlanPattern
from broker.domain.tenant_rules import ParameterRule, Place, Quota, Rule, TenantRules, View, Visible
from broker.domain.tenants import When
from broker.tenants.format import QuotaFile, RuleFile, RulesFile, VisibleFile, WhenFile

LARGEST_FILE = 1024 * 1024
"""In bytes; as much as a ConfigMap holds."""

_RESERVED_TAGS = "osb-"
_NO_VIEWS = frozenset({"v2", "admin", "healthz", "readyz", "metrics"})


class TenantRulesRefused(CatalogRefused):
    """Tenant rules that must not be in force; `faults` tells why."""


def read_rules(file: Path) -> TenantRules:
    """
    Read and check the file of tenant rules, by itself.

    Raises:
        TenantRulesRefused: With every fault that was found.
    """
    read = parsed(file.name, content_of(file))
    if refusals := refused(read.faults):
        raise TenantRulesRefused(refusals)
    return read.rules


def content_of(file: Path) -> bytes:
    """
    Return what the file holds, up to one byte more than is allowed.

    Raises:
        TenantRulesRefused: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE + 1)
    except OSError as fault:
        raise TenantRulesRefused([Fault(file.name, 0, "", f"cannot be read: {fault.strerror}")]) from fault


@dataclass(frozen=True)
class ReadRules:
    """Rules with the document that they stand in; with faults there may be none."""

    rules: TenantRules
    document: Document
    faults: tuple[Fault, ...] = ()


def parsed(name: str, content: bytes) -> ReadRules:
    """Read the rules in *content*; *name* is what faults call the file."""
    document = Document(name, None)
    if len(content) > LARGEST_FILE:
        return ReadRules(
            TenantRules(), document, (Fault(name, 0, "", f"is larger than {LARGEST_FILE // 1024} KiB"),)
        )
    try:
        document = read_yaml(name, content)
        file = RulesFile.model_validate(document.data)
    except Unreadable as unreadable:
        return ReadRules(TenantRules(), document, (unreadable.fault,))
    except ValidationError as invalid:
        return ReadRules(TenantRules(), document, tuple(faults_of_validation(document, invalid)))
    rules = TenantRules(
        rules=tuple(_rule(rule) for rule in file.rules),
        views=tuple(
            View(name, When({"platform": _patterns(view.platforms)})) for name, view in file.views.items()
        ),
        kinds=tuple((When({"platform": (Pattern(name),)}), kind) for name, kind in file.platforms.items()),
        digest=hashlib.sha256(content).hexdigest(),
    )
    return ReadRules(rules, document, tuple(sorted(_faults(document, file))))


def _rule(read: RuleFile) -> Rule:
    return Rule(
        name=read.name,
        when=_when(read.when),
        place=Place(read.place.subscription, read.place.resource_group) if read.place else None,
        location=read.location,
        tags=read.tags,
        plans=_visible(read.plans) if read.plans else None,
        parameters=tuple(
            ParameterRule(PlanPattern(plans), said.force, said.default)
            for plans, said in read.parameters.items()
        ),
        quotas=tuple(_quota(read.name, name, said) for name, said in read.quotas.items()),
    )


def _when(read: WhenFile) -> When:
    keys: dict[str, tuple[Pattern, ...]] = {}
    for key, value in read:
        if isinstance(value, dict):
            keys.update({f"{key}.{name}": _patterns(said) for name, said in value.items()})
        elif value is not None:
            keys[key] = _patterns(value)
    return When(keys)


def _visible(read: VisibleFile) -> Visible:
    return Visible(
        tuple(map(PlanPattern, read.allow if read.allow is not None else ["*"])),
        tuple(map(PlanPattern, read.deny or ())),
    )


def _quota(rule: str, name: str, read: QuotaFile) -> Quota:
    return Quota(name, rule, tuple(map(PlanPattern, read.plans)), read.per, read.limit, read.ask or "")


def _patterns(read: Sequence[str]) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, read))


def _faults(document: Document, file: RulesFile) -> Iterator[Fault]:
    names = [rule.name for rule in file.rules]
    for number, rule in enumerate(file.rules):
        if names.index(rule.name) != number:
            yield document.fault(("rules", number, "name"), f"there is a rule '{rule.name}' above")
        seen: set[str] = set()
        for name in rule.tags:
            path = ("rules", number, "tags", name)
            if name.lower().startswith(_RESERVED_TAGS):
                yield document.fault(
                    path, f"tags whose names begin with '{_RESERVED_TAGS}' are the broker's own"
                )
            if name.lower() in seen:
                yield document.fault(path, "is there twice: Azure keeps no case in the names of tags")
            seen.add(name.lower())
    for name in file.views:
        if name in _NO_VIEWS:
            yield document.fault(("views", name), "is an address of the broker's own; choose another name")
