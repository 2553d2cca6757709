"""`docs/catalog.md` names every key of the format, and `docs/legacy.md` those of older offerings."""

from pathlib import Path

import pytest

from broker.catalog.format import Strict

PACKAGE = "broker.catalog.format."
DOCS = Path(__file__).parents[2] / "docs"
PAGES = "".join((DOCS / page).read_text() for page in ("catalog.md", "legacy.md"))


def models(above: type[Strict]) -> list[type[Strict]]:
    return [
        model
        for below in above.__subclasses__()
        if below.__module__.startswith(PACKAGE)
        for model in [below, *models(below)]
    ]


KEYS = sorted({field.alias or name for model in models(Strict) for name, field in model.model_fields.items()})


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_described(key):
    assert f"`{key}`" in PAGES or f"`{key}:" in PAGES or f"{{{key}:" in PAGES
