"""What is wrong with a catalog, said so that its author finds the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong: in which file, at which line (0: unknown) and dotted path."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class CatalogRefused(Exception):
    """A catalog that must not be served; `faults` tells why, in the order of the files."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


def shown(path: tuple[str | int, ...]) -> str:
    """Write a path into a document as people do: `plans[0].user.version`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def relative(file: Path, folder: Path) -> str:
    """Name *file* as seen from the catalog's *folder*."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
