"""Where a catalog comes from: named sets of files in memory, bounded and with harmless names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from broker.azure_models import TEAMS_FOLDER
from broker.catalog.faults import CatalogRefused, Fault

LARGEST_FILE = 256 * 1024
"""In bytes; a template of ARM's own may have 4 MiB, but nobody reviews that."""
LARGEST_SOURCE = 32 * 1024 * 1024
"""In bytes, all files together."""
AT_MOST_FILES = 2_000
AT_MOST_ENTRIES = 20_000
"""Files and folders that are looked at before a folder is given up: somebody named the wrong one."""

LEGACY = "legacy/"
"""The family whose files describe offerings of older brokers."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_FILE = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.(yaml|json)"
    r"|models/[A-Za-z0-9.]{1,200}@[0-9a-z-]{10,30}\.json"
)
_READ = frozenset({".yaml", ".yml", ".json"})
_DEEPEST = 8


@dataclass(frozen=True)
class Source:
    """
    A named set of files: `<family>/<offering>.yaml` and `<family>/<template>.json`, by these paths, and model files
    below `models/`.

    There is no source with a file that is too large, at another place, or under a name that leads elsewhere.

    Raises:
        CatalogRefused: With every such fault.
    """

    name: str
    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))
        faults = list(_of_files(self.name, self.files))
        if faults:
            raise CatalogRefused(faults)

    @classmethod
    def of_folder(cls, name: str, folder: Path, *, flat: bool = False) -> Self:
        """
        Read *folder*, such as a checkout or a mounted ConfigMap.

        A *flat* one may also have its files at the top, as a ConfigMap has: they are of a family called *name*.

        Entries whose names begin with a dot, and files that are neither YAML nor JSON, are passed over. Links count
        as what they lead to, if that lies within the folder.

        Raises:
            CatalogRefused: A file cannot be read, is no file, leads outside or breaks a bound; names all of these.
        """
        files: dict[str, bytes] = {}
        faults: list[Fault] = []
        root = folder.resolve()
        left = LARGEST_SOURCE
        for path in _found(folder, faults):
            shown = path.relative_to(folder).as_posix()
            if flat and "/" not in shown:
                shown = f"{name}/{shown}"
            if path.suffix == ".json" and shown.count("/") != 1:
                continue
            try:
                files[shown] = _content(path, root)
            except OSError as fault:
                faults.append(Fault(shown, 0, "", f"cannot be read: {fault.strerror}"))
            except _NotTaken as refused:
                faults.append(Fault(shown, 0, "", str(refused)))
            else:
                left -= len(files[shown])
            if left < 0 or len(files) > AT_MOST_FILES:
                break
        if faults:
            raise CatalogRefused([*faults, *_of_files(name, files)])
        return cls(name, files)

    @property
    def models(self) -> dict[str, bytes]:
        """Model files by name: what its own resource types look like."""
        before = f"{TEAMS_FOLDER}/"
        return {
            path.removeprefix(before): content
            for path, content in self.files.items()
            if path.startswith(before) and path.endswith(".json")
        }

    @property
    def offerings(self) -> tuple[str, ...]:
        """Paths of the files that describe an offering, in their order."""
        return tuple(path for path in self._described if not path.startswith(LEGACY))

    @property
    def legacy(self) -> tuple[str, ...]:
        """Paths of the files that describe offerings of older brokers, in their order."""
        return tuple(path for path in self._described if path.startswith(LEGACY))

    @property
    def _described(self) -> list[str]:
        return sorted(path for path in self.files if path.endswith(".yaml"))


class _NotTaken(Exception):
    pass


def _of_files(name: str, files: Mapping[str, bytes]) -> Iterator[Fault]:
    if not _NAME.fullmatch(name):
        yield Fault(
            name[:80], 0, "", "is no name for a source: up to 63 lower-case letters, digits and dashes"
        )
    if len(files) > AT_MOST_FILES:
        yield Fault(name, 0, "", f"holds more than {AT_MOST_FILES} files")
        return
    if sum(len(content) for content in files.values()) > LARGEST_SOURCE:
        yield Fault(name, 0, "", f"is larger than {LARGEST_SOURCE // 1024 // 1024} MiB")
    for path, content in files.items():
        if not _FILE.fullmatch(path):
            wanted = "<family>/<template>.json" if path.endswith(".json") else "<family>/<offering>.yaml"
            yield Fault(_printable(path), 0, "", f"is not at {wanted}")
        if len(content) > LARGEST_FILE:
            yield Fault(_printable(path), 0, "", f"is larger than {LARGEST_FILE // 1024} KiB")


def _found(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """Walk through *folder* without following a link out of it or round in circles."""
    looked_at = 0
    root = folder.resolve()
    waiting = [(folder, 0)]
    while waiting:
        place, depth = waiting.pop()
        try:
            entries = []
            with os.scandir(place) as scanned:
                for entry in scanned:
                    looked_at += 1
                    if looked_at > AT_MOST_ENTRIES:
                        faults.append(
                            Fault(str(folder), 0, "", f"holds more than {AT_MOST_ENTRIES} files and folders")
                        )
                        return
                    if not entry.name.startswith("."):
                        entries.append(entry)
        except FileNotFoundError:
            continue
        except OSError as fault:
            faults.append(Fault(_printable(str(place)), 0, "", f"cannot be read: {fault.strerror}"))
            continue
        for entry in sorted(entries, key=lambda found: found.name):
            path = place / entry.name
            try:
                is_folder = path.is_dir()
            except OSError as fault:
                shown = path.relative_to(folder).as_posix()
                faults.append(Fault(_printable(shown), 0, "", f"cannot be read: {fault.strerror}"))
                continue
            if is_folder:
                if path.is_symlink() and not _within(path, root):
                    shown = path.relative_to(folder).as_posix()
                    faults.append(Fault(_printable(shown), 0, "", "leads out of the catalog's folder"))
                elif depth < _DEEPEST:
                    waiting.append((path, depth + 1))
            elif path.suffix in _READ:
                yield path


def _content(path: Path, root: Path) -> bytes:
    """Read a file up to one byte more than is allowed; a pipe or a device is not waited for."""
    if not _within(path, root):
        raise _NotTaken("leads out of the catalog's folder")
    # Not blocking: opening a pipe to which nobody writes would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _NotTaken("is no file")
        return opened.read(LARGEST_FILE + 1)


def _within(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        # A link that leads nowhere or round in circles: opening it tells.
        return True


def _printable(path: str) -> str:
    return path[:200].encode("unicode_escape").decode("ascii")
