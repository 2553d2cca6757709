"""A large catalog: how long it takes to read, check and put together, and what its size costs an answer."""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.measures import Effort, Figure
from broker.api.catalog import CatalogPage
from broker.catalog.reader import read_catalog
from broker.domain.catalog import Catalog
from broker.shipped import shipped

OFFERINGS = 500
PLANS = 4
"""Of each offering."""
FAMILIES = 50
ANSWERS = 20_000
WITHIN = 2.0
"""Seconds of the processor."""


def write_catalog(folder: Path, offerings: int = OFFERINGS, plans: int = PLANS) -> None:
    """Write the shipped storage account again and again: new ids, names and a template of its own each time."""
    text = (shipped("catalog") / "storage" / "azure-storage-account.yaml").read_text(encoding="utf-8")
    template = (shipped("catalog") / "storage" / "account.json").read_text(encoding="utf-8")
    head, *kinds = text.split("\n  - id: ")[: 1 + 4]
    for number in range(offerings):
        family = folder / f"family-{number % FAMILIES:02}"
        family.mkdir(parents=True, exist_ok=True)
        name = f"service-{number:03}"
        # Descriptions and defaults of its own, so that no two offerings have the same parameters.
        words = re.sub(r"description: (?=[A-Z])", f"description: In {name}. ", _renewed(head))
        words = words.replace("max_items: 200", f"max_items: {number + 10}")
        written = [words.replace("name: azure-storage-account", f"name: {name}", 1)]
        for plan in range(plans):
            kind = (
                re.sub(r"    updates_to: .*\n", "", kinds[plan % len(kinds)])
                .split("\n", 2)[2]
                .replace("extends: standard-lrs", "extends: plan-0")
            )
            written.append(f"\n  - id: {uuid.uuid4()}\n    name: plan-{plan}\n{kind}")
        (family / f"{name}.yaml").write_text(
            "".join(written).replace("account.json", f"{name}.json"), encoding="utf-8"
        )
        own = json.loads(template)
        own["metadata"] = {"description": name}
        (family / f"{name}.json").write_text(json.dumps(own, indent=2), encoding="utf-8")


def _renewed(head: str) -> str:
    first, rest = head.split("\nid: ", 1)
    return f"{first}\nid: {uuid.uuid4()}\n{rest.split(chr(10), 1)[1]}"


def _bare(folder: Path) -> None:
    for file in folder.glob("*/*"):
        text = file.read_text(encoding="utf-8")
        # The fastest safe loader that PyYAML has.
        json.loads(text) if file.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)


def _timed(work: Callable[[Path], object], folder: Path) -> float:
    # Of the processor: it is one thread's work, and what else runs on the machine is not its affair.
    started = time.process_time()
    work(folder)
    return time.process_time() - started


class _Source:
    """Hands out one catalog, as a process does between two publications."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def current(self) -> Catalog:
        return self._catalog


def large_catalog(effort: Effort, tell: Callable[[str], None]) -> Figure:
    """
    What the broker itself does for an answer of the whole catalog, large against small.

    What remains is the transport of the bytes, which the bare server has, too.
    """
    with tempfile.TemporaryDirectory(prefix="osb-bench-") as place:
        write_catalog(Path(place))
        large = CatalogPage(_Source(read_catalog(Path(place))))
    small = CatalogPage(_Source(read_catalog(shipped("catalog"))))
    of_large, of_small = [], []
    for page in (large, small):
        page.answer("", "", None, None)  # The first one writes the bytes.
    for _ in range(effort.rounds):
        for page, values in ((large, of_large), (small, of_small)):
            started = time.perf_counter()
            for _ in range(ANSWERS):
                page.answer("", "", None, None)
            values.append((time.perf_counter() - started) / ANSWERS * 1e6)
    ratio = min(of_large) / min(of_small)
    tell(f"answering with {OFFERINGS * PLANS} plans: {statistics.median(of_large):.2f} µs")
    return Figure(
        name=f"GET /v2/catalog, {OFFERINGS * PLANS} plans: the broker's own part", unit="µs", values=of_large,
        baseline="the same with the shipped catalog", baseline_values=of_small,
        ratio=round(ratio, 2), target="ratio <= 1.5", reached=ratio <= 1.5,
    )  # fmt: skip


def catalog_load(effort: Effort, tell: Callable[[str], None]) -> Figure:
    """From files to a catalog that may be published, guard included."""
    with tempfile.TemporaryDirectory(prefix="osb-bench-") as place:
        folder = Path(place)
        write_catalog(folder)
        ours, bare = [], []
        for round_ in range(effort.rounds):
            ours.append(_timed(read_catalog, folder))
            bare.append(_timed(_bare, folder))
            tell(f"catalog of {OFFERINGS * PLANS} plans: round {round_ + 1}: {ours[-1]:.2f} s")
    return Figure(
        name=f"{OFFERINGS} offerings with {OFFERINGS * PLANS} plans loaded", unit="s of a core", values=ours,
        baseline="libyaml and json alone on the same files", baseline_values=bare,
        ratio=round(min(ours) / min(bare), 2), target=f"< {WITHIN:.0f}", reached=sorted(ours)[len(ours) // 2] < WITHIN,
    )  # fmt: skip
