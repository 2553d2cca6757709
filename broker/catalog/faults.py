"""What is wrong with a catalog, said so that its author finds the place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from broker.domain.json_values import JsonObject

AT_MOST_OF_A_FILE = 50

Severity = Literal["refused", "warning"]


@dataclass(frozen=True, order=True)
class Fault:
    """
    One thing that is wrong: in which file, at which line (0: unknown) and dotted path.

    A warning tells what was not checked or may surprise; it never stops a publication.
    """

    file: str
    line: int
    path: str
    message: str
    severity: Severity = "refused"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        message = f"warning: {self.message}" if self.severity == "warning" else self.message
        return f"{place}: {self.path}: {message}" if self.path else f"{place}: {message}"

    def as_document(self) -> JsonObject:
        """Return it as JSON; an unknown line is null."""
        return {**vars(self), "line": self.line or None}


class CatalogRefused(Exception):
    """A catalog that must not be served; `faults` tells why, in the order of the files."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


def refused(faults: Iterable[Fault]) -> list[Fault]:
    """Return those of *faults* that stop a publication, in the order of the files."""
    return sorted(fault for fault in faults if fault.severity == "refused")


def shown(path: tuple[str | int, ...]) -> str:
    """Write a path into a document as people do: `plans[0].user.version`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def bounded(faults: Iterable[Fault]) -> list[Fault]:
    """Sort them, and of a file with very many tell only the first and how many more there are."""
    kept: list[Fault] = []
    for file, found in itertools.groupby(sorted(set(faults)), key=lambda fault: fault.file):
        of_file = list(found)
        kept += of_file[:AT_MOST_OF_A_FILE]
        if rest := of_file[AT_MOST_OF_A_FILE:]:
            severity: Severity = "refused" if refused(rest) else "warning"
            kept.append(
                Fault(file, of_file[-1].line, "", f"and {len(rest)} more faults in this file", severity)
            )
    return kept
