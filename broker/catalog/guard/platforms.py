"""
What platforms would not take: one such thing can keep them from the whole catalog.

Service Catalog takes names of 63 characters and no empty description; that the form of the files holds. The rest is
what Cloud Foundry's Cloud Controller checks when it reads a catalog.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from broker.catalog.files import Place
from broker.catalog.format import OfferingFile, PlanFile
from broker.catalog.guard.picks import Said

LONGEST_TAGS = 2048
"""Characters of all tags of an offering together (Cloud Controller, catalog validation)."""
LONGEST_MAINTENANCE_INFO = 2000
"""Characters of maintenance_info as JSON (Cloud Controller, catalog validation)."""


def faults_for_platforms(read: OfferingFile) -> Iterator[Said]:
    """Tell what a platform would refuse of an offering and its plans."""
    yield from _of_description((), read.description)
    if sum(map(len, read.tags)) > LONGEST_TAGS:
        yield (
            ("tags",),
            f"have more than {LONGEST_TAGS} characters together: Cloud Foundry takes no such catalog",
        )
    for number, plan in enumerate(read.plans):
        path: Place = ("plans", number)
        yield from _of_description(path, plan.description)
        yield from _of_maintenance(path, plan)


def _of_description(path: Place, description: str) -> Iterator[Said]:
    if not description.strip():
        yield (
            (*path, "description"),
            "is blank: Cloud Foundry takes no such catalog, and nobody would know what it is",
        )


def _of_maintenance(path: Place, plan: PlanFile) -> Iterator[Said]:
    info = plan.maintenance_info
    if info is None:
        return
    said = json.dumps(info.model_dump(exclude_none=True), ensure_ascii=False, separators=(",", ":"))
    if len(said) > LONGEST_MAINTENANCE_INFO:
        yield (
            (*path, "maintenance_info"),
            f"has more than {LONGEST_MAINTENANCE_INFO} characters as JSON: Cloud Foundry takes no such catalog",
        )
