"""What must not change from one published catalog to the next, because living instances and manifests hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.catalog.faults import Fault
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.catalog_use import CatalogUse, PublishedId


def refusals(published: Catalog, proposed: Catalog, use: CatalogUse) -> list[Fault]:
    """
    Tell why *proposed* must not follow *published*, and of what nobody knows whether it may (warnings).

    Ids and names stand in the manifests of users and in platforms' databases: they never change, and an id stands for
    the same thing for ever (spec, "Updating the Catalog"). What living instances use never goes; where *use* is not
    known, everything counts as used.
    """
    return sorted([*_of_ids(published, proposed, use), *_of_removals(published, proposed, use)])


def _of_ids(published: Catalog, proposed: Catalog, use: CatalogUse) -> Iterator[Fault]:
    before = {**published_ids(published), **use.published}
    newer = published_ids(proposed)
    names = {one: said.name for one, said in before.items() if said.service_offering_id == one}
    for one, stands_for in newer.items():
        then = before.get(one)
        if then is None or then == stands_for:
            continue
        what = "service offering" if stands_for.service_offering_id == one else "plan"
        was = "service offering" if then.service_offering_id == one else "plan"
        of = "" if was == "service offering" else f" of '{names.get(then.service_offering_id, '?')}'"
        name = f"the {was} '{then.name}'{of}"
        if was == what and then.service_offering_id == stands_for.service_offering_id:
            why = f"{name} is now called '{stands_for.name}'; a published name never changes: keep it"
        elif was == what:
            why = f"{name} ({one}) belongs to another offering now; give the one here a new id"
        else:
            why = f"the id {one} was published for {name}; it is never used again: make a new one"
        yield _fault(proposed, one, why)
    gone = {(was.service_offering_id == one, _owner(was, one), was.name): one for one, was in before.items()}
    for one, stands_for in newer.items():
        key = (stands_for.service_offering_id == one, _owner(stands_for, one), stands_for.name)
        then_id = gone.get(key)
        if one not in before and then_id is not None and then_id in published_ids(published):
            kind = "service offering" if key[0] else "plan"
            yield _fault(
                proposed,
                one,
                f"the {kind} '{stands_for.name}' had the id {then_id}; a published id never changes",
            )


def _owner(of: PublishedId, one: str) -> str:
    return "" if of.service_offering_id == one else of.service_offering_id


def _of_removals(published: Catalog, proposed: Catalog, use: CatalogUse) -> Iterator[Fault]:
    for old in published.offerings:
        new = proposed.offering(old.id)
        if new is None:
            if not any(offering.name == old.name for offering in proposed.offerings):
                yield from _of_removed_offering(old, use)
            continue
        kept = {plan.id for plan in new.plans} | {plan.name for plan in new.plans}
        for plan in old.plans:
            if plan.id not in kept and plan.name not in kept:
                yield from _of_removed_plan(proposed, old, plan, use)


def _of_removed_offering(old: ServiceOffering, use: CatalogUse) -> Iterator[Fault]:
    gone = f"the service offering '{old.name}' ({old.id}) is no longer there"
    instances, children = use.of_offering(old.id), use.children.get(old.id, 0)
    if not use.known:
        yield Fault("catalog", 0, old.name, f"{gone}, and may be in use; withdraw it instead")
    elif children:
        yield Fault(
            "catalog", 0, old.name, f"{gone}, but {_living(children)} of it as parent; withdraw it instead"
        )
    elif instances:
        yield Fault("catalog", 0, old.name, f"{gone}, but {_living(instances)} of it; withdraw it instead")


def _of_removed_plan(
    proposed: Catalog, old: ServiceOffering, plan: ServicePlan, use: CatalogUse
) -> Iterator[Fault]:
    gone = f"the plan '{plan.name}' ({plan.id}) of '{old.name}' is no longer there"
    instances = use.of_plan(old.id, plan.id)
    if not use.known:
        yield _fault(proposed, old.id, f"{gone}, and may be in use; withdraw it instead")
    elif instances:
        yield _fault(proposed, old.id, f"{gone}, but {_living(instances)} of it; withdraw it instead")


def published_ids(catalog: Catalog) -> Mapping[str, PublishedId]:
    """Return what each id of a catalog stands for."""
    found = {}
    for offering in catalog.offerings:
        found[offering.id] = PublishedId(offering.name, offering.id)
        for plan in offering.plans:
            found[plan.id] = PublishedId(plan.name, offering.id)
    return found


def _fault(catalog: Catalog, one: str, message: str) -> Fault:
    for offering in catalog.offerings:
        for plan in offering.plans:
            if plan.id == one:
                return Fault(f"{offering.name}/{plan.name}", 0, "id", message)
        if offering.id == one:
            return Fault(offering.name, 0, "id", message)
    return Fault("catalog", 0, "", message)


def _living(number: int) -> str:
    return "1 living instance makes use" if number == 1 else f"{number} living instances make use"
