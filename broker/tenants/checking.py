"""What is wrong with tenant rules beyond their form: what can never be, and what the catalog does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from broker.catalog.faults import Fault
from broker.catalog.files import Place as Path
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.globs import PlanPattern
from broker.domain.parameters import ParameterSchema
from broker.domain.tenant_rules import SCOPES, ParameterRule, Rule, TenantRules
from broker.domain.tenant_terms import LOCATION, takes
from broker.domain.tenants import PLATFORM_KINDS, When
from broker.errors import InvalidParameters
from broker.tenants.reader import ReadRules


def findings(read: ReadRules, catalog: Catalog) -> list[Fault]:
    """
    Return everything that is wrong with rules that were *read*, warnings included.

    What depends on the catalog alone, which may change any day, is a warning; but a value that its plan refuses, or
    that would be a secret, is none.
    """
    found = set(read.faults)
    for number, rule in enumerate(read.rules.rules):
        checks = [
            _whom(read.rules, rule),
            _never(read.rules, number),
            _plans(rule, catalog),
            _values(rule, catalog),
        ]
        for check in checks:
            for path, message, severity in check:
                fault = read.document.fault(("rules", number, *path), message)
                found.add(Fault(fault.file, fault.line, fault.path, message, severity))
    return sorted(found)


_Finding = tuple[Path, str, Any]


def _whom(rules: TenantRules, rule: Rule) -> Iterator[_Finding]:
    if both := rule.when.contradiction():
        yield ("when",), f"can never match: no platform tells both {both[0]} and {both[1]}", "refused"
    views = {view.name for view in rules.views}
    for pattern in rule.when.keys.get("view", ()):
        if not any(pattern.matches(view) for view in views):
            known = ", ".join(sorted(views)) or "none"
            message = f"can never match: '{pattern.text}' is no view of this file; known are: {known}"
            yield ("when", "view"), message, "refused"
    kinds = _kinds(rules, rule.when)
    for key in rule.when.keys:
        kind = key.partition(".")[0]
        if (
            kinds
            and kind not in {"platform", "view"}
            and not any(kind in PLATFORM_KINDS[one] for one in kinds)
        ):
            yield (
                ("when", kind),
                f"can never match: platforms of the kind {' and '.join(kinds)} never tell it",
                "refused",
            )
    for quota in rule.quotas:
        untold = [
            key for key in SCOPES[quota.per][1:] if kinds and not any(key in PLATFORM_KINDS[k] for k in kinds)
        ]
        if untold:
            whose = f"platforms of the kind {' and '.join(kinds)}"
            message = f"counts all together: {whose} never tell {' or '.join(untold)}"
            yield ("quotas", quota.name, "per"), message, "warning"


def _kinds(rules: TenantRules, when: When) -> list[str]:
    """Return what kinds of platforms a condition can be about; empty when the file does not say."""
    mine = when.keys.get("platform")
    if mine is None:
        return []
    found: set[str] = set()
    for pattern in mine:
        named = [(other, kind) for said, kind in rules.kinds for other in said.keys["platform"]]
        if not any(other.covers(pattern) for other, _ in named):
            return []
        found |= {kind for other, kind in named if other.covers(pattern) or pattern.covers(other)}
    return sorted(found)


def _never(rules: TenantRules, number: int) -> Iterator[_Finding]:
    """Find values that no order ever gets, since a rule above has the same for all whom this one is for."""
    rule = rules.rules[number]
    for above in rules.rules[:number]:
        if not above.when.covers(rule.when):
            continue
        said = f"is never given: the rule '{above.name}' above is for all of these, and has it"
        for word in ("place", "location", "plans"):
            if getattr(rule, word) is not None and getattr(above, word) is not None:
                yield (word,), said, "warning"
        tags = {name.lower() for name in above.tags}
        yield from ((("tags", name), said, "warning") for name in rule.tags if name.lower() in tags)
        quotas = {quota.name for quota in above.quotas}
        yield from ((("quotas", q.name), said, "warning") for q in rule.quotas if q.name in quotas)
        for mine in rule.parameters:
            for theirs in above.parameters:
                if theirs.plans.covers(mine.plans):
                    names = {*theirs.force, *theirs.default}
                    for path, name, _ in _said(mine):
                        if name in names:
                            yield path, said, "warning"


def _plans(rule: Rule, catalog: Catalog) -> Iterator[_Finding]:
    named: list[tuple[Path, PlanPattern]] = []
    if rule.plans is not None:
        named += [(("plans", "allow"), pattern) for pattern in rule.plans.allow]
        named += [(("plans", "deny"), pattern) for pattern in rule.plans.deny]
    named += [(("parameters", said.plans.text), said.plans) for said in rule.parameters]
    named += [(("quotas", quota.name, "plans"), pattern) for quota in rule.quotas for pattern in quota.plans]
    for path, pattern in named:
        if not any(pattern.matches(offering.name, plan.name) for offering, plan in _pairs(catalog)):
            yield path, f"'{pattern.text}' is no plan of the catalog", "warning"


def _values(rule: Rule, catalog: Catalog) -> Iterator[_Finding]:
    for said in rule.parameters:
        meant = [pair for pair in _pairs(catalog) if said.plans.matches(pair[0].name, pair[1].name)]
        for path, name, value in _said(said):
            secret = [_named(*pair) for pair in meant if name in pair[1].sensitive]
            if secret:
                yield (
                    path,
                    f"is a secret of {', '.join(secret)}, and rules are no place for secrets",
                    "refused",
                )
            taking = [pair for pair in meant if takes(pair[1], name)]
            without = [
                _named(*pair) for pair in meant if pair not in taking and name not in pair[1].sensitive
            ]
            if meant and not taking and not secret:
                yield path, f"no plan of '{said.plans.text}' has such a parameter", "warning"
            elif without and "force" in path:
                yield path, f"nothing is given for {', '.join(without)}: no such parameter there", "warning"
            for offering, plan in taking:
                if reason := _refusal(plan, name, value):
                    yield path, f"{_named(offering, plan)} does not take it: {reason}", "refused"
    if rule.location is not None:
        for offering, plan in _pairs(catalog):
            if takes(plan, LOCATION) and (reason := _refusal(plan, LOCATION, rule.location)):
                yield ("location",), f"{_named(offering, plan)} is not made there: {reason}", "warning"


def _said(rule: ParameterRule) -> Iterator[tuple[Path, str, Any]]:
    for word, values in (("force", rule.force), ("default", rule.default)):
        for name, value in values.items():
            yield ("parameters", rule.plans.text, word, name), name, value


def _pairs(catalog: Catalog) -> list[tuple[ServiceOffering, ServicePlan]]:
    return [(offering, plan) for offering in catalog.offerings for plan in offering.offered]


def _named(offering: ServiceOffering, plan: ServicePlan) -> str:
    return f"{offering.name}/{plan.name}"


def _refusal(plan: ServicePlan, name: str, value: Any) -> str | None:
    said = (plan.create_schema or {}).get("properties", {}).get(name)
    if said is None:
        return None
    schema = {**(plan.create_schema or {}), "properties": {name: said}}
    schema = {key: schema[key] for key in ("$schema", "type", "properties") if key in schema}
    try:
        ParameterSchema(schema).check({name: value})
    except InvalidParameters as refused:
        return refused.description
    return None
