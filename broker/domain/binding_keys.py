"""Which bindings hold keys that Azure may change later: account keys, and what is signed with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broker.domain.json_values import JsonObject

_READ_FROM_AZURE = frozenset({"action", "sas_policy"})


def reads_keys(verbs: Iterable[JsonObject]) -> bool:
    """Whether credentials that are made by *verbs* hold anything that a POST such as listKeys has told."""
    return any(_READ_FROM_AZURE & verb.keys() for verb in verbs)


def may_read_keys(recipe: JsonObject) -> bool:
    """Whether any way to bind of a plan's *recipe* does."""
    modes: Iterable[Any] = (recipe.get("binding_modes") or {"modes": {}})["modes"].values()
    return reads_keys([*recipe.get("binding", ()), *(verb for mode in modes for verb in mode["binding"])])
