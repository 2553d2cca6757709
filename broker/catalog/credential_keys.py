"""Every key of the credentials that a catalog hands out: what it means, and who hands it out."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources

from broker.domain.catalog import Catalog
from broker.domain.json_values import JsonObject

BEGIN = "<!-- table: made by `osb catalog docs --credentials`; change the catalog, not this table -->"
END = "<!-- end of table -->"


@functools.cache
def meanings() -> Mapping[str, str]:
    """Return what each key means that a shipped offering hands out."""
    text = resources.files("broker.catalog").joinpath("credential_keys.toml").read_text("utf-8")
    said: dict[str, str] = tomllib.loads(text)["meanings"]
    return said


def handed_out(recipe: JsonObject) -> dict[str, JsonObject]:
    """Return by the way to bind ("" if there is one alone) what its credentials are composed of."""
    modes = (recipe.get("binding_modes") or {}).get("modes") or {"": {"binding": recipe.get("binding", ())}}
    return {
        mode: verb["compose"]["credentials"]
        for mode, said in modes.items()
        for verb in said["binding"]
        if "compose" in verb
    }


def credentials_table(catalog: Catalog) -> str:
    """Return the table of all keys, with the kinds of service (`type`) and ways to bind (`auth`) that have each."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    whole: dict[str, dict[str, None]] = {}
    for kind, way, keys in _ways(catalog):
        whole.setdefault(kind, {})[way] = None
        for key in keys:
            found.setdefault(key, {}).setdefault(kind, {})[way] = None
    rows = [
        f"| `{key}` | {meanings().get(key, '')} | {_told(kinds, whole)} |"
        for key, kinds in sorted(found.items(), key=lambda item: (-len(item[1]), item[0].lower()))
    ]
    return "\n".join(["| key | meaning | in credentials of |", "|---|---|---|", *rows])


def with_table(page: str, table: str) -> str:
    """
    Return *page* with *table* between its two marks.

    Raises:
        ValueError: The marks are not there, or not in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it needs the two lines '{BEGIN}' and '{END}', between which the table stands")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _ways(catalog: Catalog) -> Iterator[tuple[str, str, Sequence[str]]]:
    for offering in catalog.offerings:
        for plan in offering.offered:
            for mode, credentials in handed_out(plan.recipe).items() if plan.bindable else ():
                kind = str((credentials.get("type") or {}).get("value") or offering.name)
                way = mode or str((credentials.get("auth") or {}).get("value") or "")
                yield kind, way, list(credentials)


def _told(kinds: Mapping[str, Mapping[str, None]], whole: Mapping[str, Mapping[str, None]]) -> str:
    if {kind: set(ways) for kind, ways in kinds.items()} == {kind: set(ways) for kind, ways in whole.items()}:
        return "all"
    return ", ".join(
        f"`{kind}`" + ("" if set(ways) == set(whole[kind]) else f" ({', '.join(sorted(ways))})")
        for kind, ways in sorted(kinds.items())
    )
