"""What must not change from one published catalog to the next, because living instances and manifests hold it."""

from __future__ import annotations

from broker.catalog.faults import Fault
from broker.catalog.guard.identities import changed_identities
from broker.catalog.guard.plan_changes import changed_plans
from broker.catalog.guard.removals import removed
from broker.domain.catalog import Catalog
from broker.domain.catalog_use import CatalogUse


def refusals(published: Catalog, proposed: Catalog, use: CatalogUse) -> list[Fault]:
    """
    Tell why *proposed* must not follow *published*, and of what nobody knows whether it may (warnings).

    An id stands for the same thing for ever, and a name never changes (spec, "Updating the Catalog"). What living
    instances use never goes, and nothing changes by which they were made or are found. Where *use* is not known,
    everything counts as used.
    """
    found = [
        *changed_identities(published, proposed, use),
        *removed(published, proposed, use),
        *changed_plans(published, proposed, use),
    ]
    return sorted(set(found))
