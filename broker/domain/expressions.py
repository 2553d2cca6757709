"""What an expression in JMESPath starts from."""

from __future__ import annotations

from typing import Any

import jmespath

_GO_DOWN = frozenset(
    {"subexpression", "index_expression", "projection", "filter_projection", "value_projection", "pipe"}
)


def roots(expression: str) -> frozenset[str]:
    """
    Return the names that an expression picks from: `parameters` and `outputs` of `parameters.a == outputs.b`.

    Raises:
        JMESPathError: It is none.
    """
    return frozenset(_roots(jmespath.compile(expression).parsed))


def _roots(node: Any) -> set[str]:
    if node["type"] == "field":
        return {node["value"]}
    children = node["children"]
    if node["type"] in _GO_DOWN:
        children = children[:1]
    return set().union(*(_roots(child) for child in children if isinstance(child, dict)))
