"""What this process brings of its own: the built-in offerings that are switched on, and overlay folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from broker.catalog.faults import CatalogRefused, Fault
from broker.catalog.files import Unreadable, read_yaml
from broker.catalog.legacy import Mode
from broker.catalog.reader import with_legacy
from broker.catalog.sources import Source
from broker.domain.catalog_sources import CatalogSet, SourceKind

BUILT_IN = "built-in"
"""Name of the source of built-in offerings."""
ALL, NONE = "all", "none"


@dataclass(frozen=True)
class FileSet:
    """Sources with their kinds, in the order in which they are laid over one another; `digest` tells them apart."""

    sources: tuple[tuple[SourceKind, Source], ...]
    digest: str

    @property
    def sets(self) -> tuple[CatalogSet, ...]:
        """What is to be written down of each."""
        return tuple(set_of(kind, source) for kind, source in self.sources)


@dataclass(frozen=True)
class Files:
    """Where a process finds its files."""

    built_in: Path
    chosen: Sequence[str] = (ALL,)
    """`all`, `none`, or names of built-in offerings."""
    overlays: Sequence[Path] = ()
    legacy: Mode = "off"
    """Whether offerings of older brokers are in the catalog, and shown."""

    def read(self) -> FileSet:
        """
        Read all of it anew.

        Raises:
            CatalogRefused: A folder is not there or holds what no source may hold; names all such faults.
        """
        faults: list[Fault] = []
        sources: list[tuple[SourceKind, Source]] = []
        if list(self.chosen) != [NONE]:
            try:
                whole = Source.of_folder(BUILT_IN, self.built_in)
                sources.append((SourceKind.BUILT_IN, with_legacy(_chosen(whole, self.chosen), self.legacy)))
            except CatalogRefused as refused:
                faults += refused.faults
        for name, folder in overlay_names(self.overlays).items():
            if not os.path.isdir(folder):  # noqa: PTH112 - pathlib's raises where it may not look
                faults.append(Fault(name, 0, "", f"the overlay folder {folder} is not there"))
                continue
            try:
                source = Source.of_folder(name, folder, flat=True)
            except CatalogRefused as refused:
                faults += refused.faults
                continue
            sources.append((SourceKind.OVERLAY, source))
        faults += [fault for _, source in sources for fault in _no_text(source)]
        if faults:
            raise CatalogRefused(faults)
        told = "".join(f"{kind} {source.name} {content_digest(source.files)}\n" for kind, source in sources)
        return FileSet(tuple(sources), hashlib.sha256(told.encode()).hexdigest())


def _no_text(source: Source) -> Iterator[Fault]:
    for path, content in source.files.items():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            yield Fault(f"{source.name}/{path}", 0, "", "is not UTF-8 text")


def overlay_names(folders: Sequence[Path]) -> dict[str, Path]:
    """Name overlay folders by their last part; those that share one are counted."""
    found: dict[str, Path] = {}
    for folder in folders:
        letters = (char if char.isascii() and char.isalnum() else "-" for char in folder.name.lower())
        plain = "".join(letters).strip("-")[:50].strip("-") or "overlay"
        name, number = plain, 2
        while name in found or name == BUILT_IN:
            name, number = f"{plain}-{number}", number + 1
        found[name] = folder
    return found


def set_of(
    kind: SourceKind,
    source: Source,
    *,
    author: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
) -> CatalogSet:
    """Return what is to be written down of a source."""
    return CatalogSet(
        name=source.name,
        kind=kind,
        digest=content_digest(source.files),
        files=len(source.files),
        size=sum(len(content) for content in source.files.values()),
        author=author,
        reason=reason,
        since=since,
    )


def content_digest(files: Mapping[str, bytes]) -> str:
    """Return what tells the content of two sets of files apart: SHA-256, in hex."""
    told = hashlib.sha256()
    for path, content in sorted(files.items()):
        told.update(f"{path} {len(content)}\n".encode())
        told.update(content)
    return told.hexdigest()


def _chosen(source: Source, chosen: Sequence[str]) -> Source:
    """
    Leave out the offerings that are not switched on; templates stay.

    Raises:
        CatalogRefused: There is no such offering.
    """
    if list(chosen) == [ALL]:
        return source
    names = {path: _name_in(source, path) for path in source.offerings}
    unknown = sorted(set(chosen) - set(names.values()))
    if unknown:
        known = ", ".join(sorted(name for name in names.values() if name)) or "none"
        raise CatalogRefused(
            [
                Fault(BUILT_IN, 0, "", f"there is no built-in offering '{one}'; there are {known}")
                for one in unknown
            ]
        )
    # Files of older offerings have no name of theirs: they stay, like templates.
    kept = {path: content for path, content in source.files.items() if names.get(path, chosen[0]) in chosen}
    return Source(source.name, kept)


def _name_in(source: Source, path: str) -> str | None:
    try:
        data = read_yaml(path, source.files[path]).data
    except Unreadable as unreadable:
        raise CatalogRefused([unreadable.fault]) from unreadable
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None
