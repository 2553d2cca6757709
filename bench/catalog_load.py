"""How long it takes to read, check and put together a large catalog, against bare readers of the same files."""

from __future__ import annotations

import json
import re
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.measures import Effort, Figure
from broker.catalog.reader import read_catalog
from broker.shipped import shipped

OFFERINGS = 500
PLANS = 4
"""Of each offering."""
FAMILIES = 50
WITHIN = 2.0
"""Seconds."""


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
                kinds[plan % len(kinds)].split("\n", 2)[2].replace("extends: standard-lrs", "extends: plan-0")
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
    started = time.perf_counter()
    work(folder)
    return time.perf_counter() - started


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
        name=f"{OFFERINGS} offerings with {OFFERINGS * PLANS} plans loaded", unit="s", values=ours,
        baseline="libyaml and json alone on the same files", baseline_values=bare,
        ratio=round(min(ours) / min(bare), 2), target=f"< {WITHIN:.0f}", reached=sorted(ours)[len(ours) // 2] < WITHIN,
    )  # fmt: skip
