"""The sentence that tells a person what became of an operation. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

MOST_CHARACTERS = 1000
"""Platforms show descriptions in events and tables; Kubernetes cuts an event's message at 1,024 bytes."""

_QUOTED_CODE = re.compile(r"\((?:code|operation|correlation|request) [^()]*\)\s*$")


def one_line(text: str, *, at_most: int = MOST_CHARACTERS) -> str:
    """
    Return *text* as one printable line; what is too long loses its middle.

    The beginning says what it is about, the end what to do and under which code to ask for help.
    """
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    if len(line) <= at_most:
        return line
    tail = at_most // 2
    return f"{line[: at_most - tail - 3].rstrip()} … {line[-tail:].lstrip()}"


def usually(text: str, lasts: timedelta | None) -> str:
    """Add to the description of an operation in progress how long the whole usually takes."""
    if lasts is None:
        return text
    seconds = round(lasts.total_seconds())
    return f"{text} Usually takes about {f'{round(seconds / 60)} minutes' if seconds > 90 else f'{seconds} seconds'}."


def failure(text: str, operation_id: UUID) -> str:
    """Return the description of a failed operation: one line that ends with what to quote when asking for help."""
    line = one_line(text, at_most=MOST_CHARACTERS - 60)
    if _QUOTED_CODE.search(line):
        return line
    return f"{line} (operation {operation_id})"
