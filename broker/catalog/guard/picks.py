"""Expressions in JMESPath: whether they are any, and whether what they pick from is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from broker.catalog.files import Place
from broker.domain.expressions import roots

Said = tuple[Place, str]
"""What is wrong at a place of an offering's file."""
_PICKED_FROM = frozenset(
    {"parameters", "names", "parent", "outputs", "record", "database", "user", "binding", "made", "azure"}
)


def faults_of_pick(path: Place, expression: str, more: frozenset[str] = frozenset()) -> Iterator[Said]:
    """Tell whether something is wrong with one expression; *more* is what only this one may pick from."""
    try:
        parsed = jmespath.compile(expression).parsed
    except JMESPathError:
        yield path, f"'{expression}' is no JMESPath expression"
        return
    if _negates_a_root(parsed):
        yield path, "'!' binds closer than a dot, so this picks from true or false; write !(a.b)"
    unknown = sorted(roots(expression) - _PICKED_FROM - more)
    if unknown:
        yield path, f"there is no '{unknown[0]}' to pick from; there are {', '.join(sorted(_PICKED_FROM))}"


def faults_of_clear_pick(
    path: Place, expression: str, secrets: Mapping[str, frozenset[str]]
) -> Iterator[Said]:
    """Refuse what picks a secret where it would be written down unsealed; *secrets* are names by their root."""
    try:
        parsed = jmespath.compile(expression).parsed
    except JMESPathError:
        return
    for root, names in secrets.items():
        below = _below(parsed, root)
        for name in sorted(names if _ALL in below else names & below):
            yield path, f"{root}.{name} is sensitive, and what is picked here is kept in clear; leave it out"


_ALL = "*"


def _below(node: Any, root: str) -> set[str]:
    """The names that are picked right below *root*, or a star where it is taken as a whole."""
    if node["type"] == "field":
        return {_ALL} if node["value"] == root else set()
    children = [child for child in node["children"] if isinstance(child, dict)]
    if node["type"] == "subexpression" and children[0] == {"type": "field", "children": [], "value": root}:
        return {str(children[1]["value"])} if children[1]["type"] == "field" else {_ALL}
    return set().union(*(_below(child, root) for child in children))


def _negates_a_root(node: Any) -> bool:
    children = [child for child in node["children"] if isinstance(child, dict)]
    closer = node["type"] == "subexpression" and children[0]["type"] == "not_expression"
    return closer or any(_negates_a_root(child) for child in children)
