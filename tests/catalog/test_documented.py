"""`docs/catalog.md` names every key of the format."""

from pathlib import Path

import pytest

from broker.catalog.format import Strict

PACKAGE = "broker.catalog.format."
PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"


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
    page = PAGE.read_text()

    assert f"`{key}`" in page or f"`{key}:" in page or f"{{{key}:" in page
