"""What is no longer there: nothing goes that living instances use."""

from __future__ import annotations

from collections.abc import Iterator

from broker.catalog.faults import Fault, Severity
from broker.catalog.guard.places import fault_at
from broker.domain.catalog import Catalog, ServiceOffering
from broker.domain.catalog_use import CatalogUse

_INSTEAD = "withdraw it instead: then nobody can order it any more"


def removed(published: Catalog, proposed: Catalog, use: CatalogUse) -> Iterator[Fault]:
    """
    Tell which offerings and plans are missing in *proposed* though they are in use, or may be.

    What was withdrawn before gets a warning where the use is not known.
    """
    offerings = {offering.id: offering for offering in proposed.offerings}
    names = {offering.name for offering in proposed.offerings}
    for old in published.offerings:
        new = offerings.get(old.id)
        if new is None:
            # Under another id, it has changed that: which is another fault.
            if old.name not in names:
                yield from _offering(old, use)
            continue
        kept = {plan.id for plan in new.plans} | {plan.name for plan in new.plans}
        for plan in old.plans:
            if plan.id in kept or plan.name in kept:
                continue
            gone = f"the plan '{plan.name}' ({plan.id}) of '{old.name}' is no longer there"
            withdrawn = plan.withdrawn or old.withdrawn
            said = _said(gone, use.of_plan(old.id, plan.id), known=use.known, withdrawn=withdrawn)
            if said:
                yield fault_at(proposed, old.id, old.name, "plans", *said)


def _offering(old: ServiceOffering, use: CatalogUse) -> Iterator[Fault]:
    gone = f"the service offering '{old.name}' ({old.id}) is no longer there"
    children = use.children.get(old.id, 0)
    if children:
        yield Fault("catalog", 0, old.name, f"{gone}, but is the parent of {living(children)}; {_INSTEAD}")
        return
    said = _said(gone, use.of_offering(old.id), known=use.known, withdrawn=old.withdrawn)
    if said:
        yield Fault("catalog", 0, old.name, *said)


def _said(gone: str, instances: int, *, known: bool, withdrawn: bool) -> tuple[str, Severity] | None:
    if instances:
        return (
            f"{gone}, but {living(instances)} of it {'is' if instances == 1 else 'are'} left; {_INSTEAD}",
            "refused",
        )
    if known:
        return None
    if withdrawn:
        return f"{gone}; a broker takes that only once nobody uses it", "warning"
    return f"{gone}, and may be in use; {_INSTEAD}, or ask a broker whether it is in use", "refused"


def living(number: int) -> str:
    """Write a number of instances."""
    return "1 living instance" if number == 1 else f"{number} living instances"
