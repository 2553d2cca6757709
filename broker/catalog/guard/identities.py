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
    moved = {
        by_name[_key(one, now)]
        for one, now in newer.items()
        if one not in before and now.service_offering_id == one and _key(one, now) in by_name
    }
    for one, now in newer.items():
        then = before.get(one)
        if then == now or (then is not None and then.service_offering_id in moved):
            # Its plans are where they were: the offering's own id is what changed.
            continue
        if then is not None:
            field = "name" if one in served and then.service_offering_id == now.service_offering_id else "id"
            yield fault_at(
                proposed, one, now.name, field, _other(one, then, now, names, is_served=one in served)
            )
        elif _key(one, now) in by_name:
            had = f"{_kind(one, now)} '{now.name}' had the id {by_name[_key(one, now)]}"
            yield fault_at(proposed, one, now.name, "id", f"{had}; a published id never changes: put it back")


def _other(
    one: str, then: PublishedId, now: PublishedId, names: Mapping[str, str], *, is_served: bool
) -> str:
    was = _described(one, then, names)
    if is_served and then.service_offering_id == now.service_offering_id:
        return f"{was} is now called '{now.name}'; a published name never changes: put '{then.name}' back"
    if is_served and _kind(one, then) == _kind(one, now) and then.name == now.name:
        return f"{was} stands in another offering now; a plan stays in its offering: make a new one, with a new id"
    return f"the id {one} was published for {was}; an id is never used again: make a new one"


def _described(one: str, said: PublishedId, names: Mapping[str, str]) -> str:
    of = "" if said.service_offering_id == one else f" of '{names.get(said.service_offering_id, '?')}'"
    return f"{_kind(one, said)} '{said.name}'{of}"


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
