"""
Catalogs that are refused: a folder each below `refused/`, with the one sentence that says why in `expected.txt`.

What is wrong in itself is the whole folder; what is wrong as a change has `old` and `new`, and in `use.yaml` what of
the old one is in use. Without that file nothing is known of the use.
"""

from pathlib import Path

import yaml

from broker.catalog import guard
from broker.catalog.faults import Fault
from broker.catalog.reader import FOLDER, check, read_catalog, read_sources
from broker.catalog.sources import Source
from broker.domain.catalog import Catalog
from broker.domain.catalog_use import UNKNOWN_USE, CatalogUse, PublishedId, Violation

REFUSED = Path(__file__).parent / "refused"
CASES = sorted(folder.name for folder in REFUSED.iterdir())


def faults_of(case: Path) -> list[Fault]:
    """Return what is wrong with one of them."""
    if not (case / "new").exists():
        return check(case)
    published = read_catalog(case / "old")
    proposed, faults = read_sources([Source.of_folder(FOLDER, case / "new")])
    return [*faults, *guard.refusals(published, proposed, use_of(case, published))]


def use_of(case: Path, published: Catalog) -> CatalogUse:
    file = case / "use.yaml"
    if not file.exists():
        return UNKNOWN_USE
    said = yaml.safe_load(file.read_text())
    offerings = {plan.id: offering.id for offering in published.offerings for plan in offering.plans}
    instances = said.get("instances", {})
    return CatalogUse(
        instances={(offerings[plan], plan): number for plan, number in instances.items()},
        offerings={offerings[plan]: number for plan, number in instances.items()},
        children=said.get("children", {}),
        violations=tuple(
            Violation(offerings[v["plan"]], v["plan"], v["parameter"], v["instances"])
            for v in said.get("violations", ())
        ),
        published={one: PublishedId(**stands_for) for one, stands_for in said.get("published", {}).items()},
    )
