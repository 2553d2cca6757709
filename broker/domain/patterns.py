"""Regular expressions of JSON schemas, read as the specification of JSON Schema means them. Pure."""

from __future__ import annotations

import functools
import re

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
# What Python knows and ECMA 262 does not, or reads differently.
_PYTHON_ONLY = re.compile(r"\\[AZN]|\(\?(?:P|#|\(|>|[aiLmsux-])|[*+?}]\+")


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    r"""
    Read a pattern as ECMA 262 does, which JSON Schema refers to.

    `$` is the very end, where Python lets a line break follow; `\d`, `\w`, `\s` and `\b` know ASCII alone.
    """
    return re.compile(_TOKEN.sub(lambda found: r"\Z" if found[0] == "$" else found[0], pattern), re.ASCII)


def fault_of_pattern(pattern: str) -> str | None:
    """Say why *pattern* cannot be shown to platforms and enforced here with one meaning; None if it can."""
    outside = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "[]", pattern)
    found = _PYTHON_ONLY.search(outside)
    if found is not None:
        return f"has '{found[0]}', which not all readers of JSON schemas know"
    try:
        compiled(pattern)
    except (re.error, OverflowError, RecursionError) as fault:
        return f"is no regular expression: {fault}"
    return None
