"""A file of service instances that platforms hold: read strictly, sent one by one, parents first."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 10 * 1024 * 1024
"""Bytes of a file at most."""
AT_MOST_ROWS = 20_000
LONGEST = 1000
"""Characters of a cell at most."""
NEEDED = ("platform", "instance_id", "service_id", "plan_id", "resource_id")
PLACES = {
    "organization": "organization_guid",
    "space": "space_guid",
    "cluster": "clusterid",
    "namespace": "namespace",
}
"""By column: the key of the platform's context."""
OPTIONAL = ("parent", "alias", "adopt", "delete_policy", "administrator_login", "parameters")
COLUMNS = (*NEEDED, *PLACES, *OPTIONAL)
_WORDS: Mapping[str, tuple[str, ...]] = {
    "adopt": ("", "bind-only", "manage"),
    "delete_policy": ("", "retain", "delete"),
}
_NEVER = frozenset({"password", "secret", "administrator_password", "administratorloginpassword"})


class WrongFile(Exception):
    """The file cannot be imported as it is; `faults` says each reason in a line, and nothing was sent."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Row:
    """A line of the file as the body of a request; `line` is where it begins."""

    line: int
    platform: str
    instance_id: str
    body: Mapping[str, Any]

    @property
    def parent(self) -> str | None:
        parent: str | None = self.body.get("parent")
        return parent


def read(path: Path, secrets: Path | None = None) -> list[Row]:
    """
    Read a CSV file, and the JSON file of what must not stand in it; parents come before their children.

    Raises:
        WrongFile: With all that is wrong.
    """
    text = _text(path)
    known = {} if secrets is None else _secrets(secrets)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults: list[str] = []
    rows: list[Row] = []
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        begins = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                row = _row(begins, columns, cells, known, faults)
                rows += [] if row is None else [row]
            begins = reader.line_num + 1
            if len(rows) > AT_MOST_ROWS:
                raise WrongFile([f"{path}: holds more than {AT_MOST_ROWS} rows; split it"])
    except csv.Error as fault:
        raise WrongFile([f"{path}:{reader.line_num}: is no CSV: {fault}"]) from None
    faults += _twice(rows)
    unused = known.keys() - {row.instance_id for row in rows}
    faults += [f"{secrets}: no row has the instance {one!r}" for one in sorted(unused)]
    if not rows and not faults:
        faults.append(f"{path}: holds no rows")
    if faults:
        raise WrongFile([fault if fault.startswith(str(secrets)) else _in(path, fault) for fault in faults])
    return _parents_first(path, rows)


def _in(path: Path, fault: str) -> str:
    return fault if fault.startswith(str(path)) else f"{path}:{fault}"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as fault:
        raise WrongFile([f"{path}: cannot be read: {fault.strerror}"]) from None
    if len(content) > LARGEST:
        raise WrongFile([f"{path}: is larger than {LARGEST // 1024 // 1024} MiB; split it"])
    try:
        # Spreadsheets write a byte order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise WrongFile([f"{path}:{line}: is not UTF-8 text"]) from None


def _secrets(path: Path) -> dict[str, dict[str, Any]]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise WrongFile([f"{path}: others may read it; take that away (chmod 600)"])
        said = _json(_text(path))
    except OSError as fault:
        raise WrongFile([f"{path}: cannot be read: {fault.strerror}"]) from None
    except ValueError:
        # What is wrong there may be a part of a secret.
        raise WrongFile([f"{path}: is no JSON"]) from None
    if not isinstance(said, dict) or not all(isinstance(one, dict) for one in said.values()):
        raise WrongFile([f"{path}: must be an object: by instance id, an object of parameters"])
    return said


def _json(text: str) -> Any:
    """
    Read what can be sent on as it is: a request that cannot be written would end the import in its middle.

    Raises:
        ValueError: It is no JSON, has a number that none can be, half of a character, or too many levels.
    """
    try:
        said = json.loads(text)
        json.dumps(said, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError from None
    return said


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    faults = []
    for name in columns:
        if name.lower().replace("-", "_") in _NEVER:
            faults.append(f"{path}:1: {name}: no secret stands in this file; use --secrets")
        elif name not in COLUMNS:
            faults.append(f"{path}:1: there is no column {name[:80]!r}; there are {', '.join(COLUMNS)}")
    faults += [
        f"{path}:1: the column {name} is there twice" for name in {*columns} if columns.count(name) > 1
    ]
    faults += [f"{path}:1: the column {name} is missing" for name in NEEDED if name not in columns]
    if faults:
        raise WrongFile(faults)


def _row(
    line: int,
    columns: Sequence[str],
    cells: Sequence[str],
    secrets: Mapping[str, Mapping[str, Any]],
    faults: list[str],
) -> Row | None:
    if len(cells) != len(columns):
        faults.append(f"{line}: has {len(cells)} cells instead of {len(columns)}")
        return None
    said = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    found = list(_faults_of(said))
    parameters: Any = {}
    if said.get("parameters"):
        try:
            parameters = _json(said["parameters"])
        except ValueError:
            parameters = None
        if not isinstance(parameters, dict):
            found.append("parameters: is no JSON object")
    faults += [f"{line}: {fault}" for fault in found]
    if found:
        return None
    if said.get("administrator_login"):
        parameters["administratorLogin"] = said["administrator_login"]
    context = {key: said[column] for column, key in PLACES.items() if said.get(column)}
    if context:
        context["platform"] = "kubernetes" if said.get("namespace") else "cloudfoundry"
    body = {name: said[name] for name in NEEDED} | {"context": context, "parameters": parameters}
    body |= {name: said[name] for name in ("parent", "alias", "adopt", "delete_policy") if said.get(name)}
    if said["instance_id"] in secrets:
        body["secrets"] = dict(secrets[said["instance_id"]])
    return Row(line, said["platform"], said["instance_id"], body)


def _faults_of(said: Mapping[str, str]) -> Iterator[str]:
    for name, value in said.items():
        if len(value) > LONGEST:
            yield f"{name}: is longer than {LONGEST} characters"
        elif any(not sign.isprintable() for sign in value):
            yield f"{name}: holds a character that cannot be printed"
        elif name in _WORDS and value not in _WORDS[name]:
            yield f"{name}: must be {' or '.join(filter(None, _WORDS[name]))}"
    yield from (f"{name}: is empty" for name in NEEDED if not said[name])
    if (said.get("namespace") or said.get("cluster")) and (said.get("organization") or said.get("space")):
        yield "has a place on Kubernetes and one on Cloud Foundry"


def _twice(rows: Sequence[Row]) -> Iterator[str]:
    instances: dict[tuple[str, str], int] = {}
    resources: dict[str, int] = {}
    for row in rows:
        key = (row.platform, row.instance_id)
        if key in instances:
            yield f"{row.line}: the instance stands in line {instances[key]}, too"
        resource = row.body["resource_id"].rstrip("/").lower()
        if resource in resources:
            yield f"{row.line}: the resource stands in line {resources[resource]}, too"
        instances.setdefault(key, row.line)
        resources.setdefault(resource, row.line)


def _parents_first(path: Path, rows: Sequence[Row]) -> list[Row]:
    by_name: dict[tuple[str, str], Row] = {}
    for row in rows:
        by_name[row.platform, row.instance_id] = row
        if alias := row.body.get("alias"):
            by_name.setdefault((row.platform, alias), row)
    done: list[Row] = []
    placed: set[int] = set()
    for row in rows:
        way: list[Row] = []
        one: Row | None = row
        while one is not None and one.line not in placed:
            if one in way:
                raise WrongFile([f"{path}:{row.line}: is its own parent"])
            way.append(one)
            one = by_name.get((one.platform, one.parent)) if one.parent else None
        for one in reversed(way):
            placed.add(one.line)
            done.append(one)
    return done
