"""`docs/catalog.md` names every key of the format."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from broker.catalog import format as form

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"
MODELS = [
    kind
    for kind in vars(form).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == form.__name__
]
KEYS = sorted({name for model in MODELS for name in model.model_fields})


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_described(key):
    page = PAGE.read_text()

    assert f"`{key}`" in page or f"`{key}:" in page or f"{{{key}:" in page
