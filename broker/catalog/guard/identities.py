"""Ids and names: they stand in the manifests of users and in platforms' databases, so they never change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.catalog.faults import Fault
from broker.catalog.guard.places import fault_at
from broker.domain.catalog import Catalog
from broker.domain.catalog_use import CatalogUse, PublishedId


def changed_identities(published: Catalog, proposed: Catalog, use: CatalogUse) -> Iterator[Fault]:
    """Tell which id stands for something else than ever before, and which thing has another id."""
    served = published_ids(published)
    before = {**served, **use.published}
    newer = published_ids(proposed)
    names = {one: said.name for one, said in before.items() if said.service_offering_id == one}
    by_name = {_key(one, said): one for one, said in served.items()}
    for one, now in newer.items():
        then = before.get(one)
        if then is not None and then != now:
            why = _reused(one, then, now, names)
        elif then is None and _key(one, now) in by_name:
            why = (
                f"{_kind(one, now)} '{now.name}' had the id {by_name[_key(one, now)]}; a published id never changes: "
                "put it back"
            )
        else:
            continue
        yield fault_at(proposed, one, now.name, "id" if then is None else _field(then, now), why)


def _reused(one: str, then: PublishedId, now: PublishedId, names: Mapping[str, str]) -> str:
    was = _described(one, then, names)
    if then.service_offering_id == now.service_offering_id:
        return f"{was} is now called '{now.name}'; a published name never changes: put '{then.name}' back"
    if _kind(one, then) == _kind(one, now) == "the plan" and then.name == now.name:
        return f"{was} stands in another offering now; a plan stays in its offering: make a new one, with a new id"
    return f"the id {one} was published for {was}; an id is never used again: make a new one"


def _described(one: str, said: PublishedId, names: Mapping[str, str]) -> str:
    of = "" if said.service_offering_id == one else f" of '{names.get(said.service_offering_id, '?')}'"
    return f"{_kind(one, said)} '{said.name}'{of}"


def _field(then: PublishedId, now: PublishedId) -> str:
    return "name" if then.service_offering_id == now.service_offering_id else "id"


def _kind(one: str, said: PublishedId) -> str:
    return "the service offering" if said.service_offering_id == one else "the plan"


def _key(one: str, said: PublishedId) -> tuple[str, str]:
    return ("" if said.service_offering_id == one else said.service_offering_id, said.name)


def published_ids(catalog: Catalog) -> dict[str, PublishedId]:
    """Return what each id of a catalog stands for."""
    found = {}
    for offering in catalog.offerings:
        found[offering.id] = PublishedId(offering.name, offering.id)
        for plan in offering.plans:
            found[plan.id] = PublishedId(plan.name, offering.id)
    return found
