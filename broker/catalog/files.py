"""
The strict readers of YAML and JSON files: nothing that two readers could understand differently.

Both go through a file once, keep no more of it than what they return, and stop at the first thing that is not
allowed, so that no file of a permitted size takes long or much memory.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from broker.catalog.faults import Fault, shown

DEEPEST = 40
AT_MOST_VALUES = 20_000
"""In one file. Shipped offerings have a few hundred."""
LARGEST_INTEGER = 2**53 - 1
"""What every reader of JSON takes for the same number (RFC 8259, section 6)."""

Place = tuple[str | int, ...]
Lines = dict[Place, int]

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TAB_FIRST = re.compile(r" *\t")
_MARK = b"\xef\xbb\xbf"
# The words and numbers that YAML 1.1 and the core schema of YAML 1.2 agree on.
_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+")
# What one of the two takes for a number or a truth value and the other for something else. Each part is linear.
_AMBIGUOUS = re.compile(
    r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"
    r"|[-+]?[0-9][0-9_]*"
    r"|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.[0-9_]+(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?0(?:o[0-7]+|b[01_]+|x[0-9a-fA-F_]+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_MAY_BE_NO_TEXT = frozenset("~nNtTfFyYoO+-.0123456789")


@dataclass(frozen=True)
class Document:
    """A file as data; the line of each value is looked up when it is asked for."""

    file: str
    data: Any
    text: str = field(default="", repr=False)
    """Of a YAML file; without it no line is known."""

    @cached_property
    def lines(self) -> Mapping[Place, int]:
        """Lines by path, in a second pass: only faults need them."""
        lines: Lines = {}
        if self.text:
            _read(self.file, self.text, lines)
        return lines

    def line(self, path: Place) -> int:
        """Return the line of *path*, or of the nearest thing around it; 0 if no line is known."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def fault(self, path: Place, message: str) -> Fault:
        return Fault(self.file, self.line(path), shown(path), message)


class Unreadable(Exception):
    """A file is no document at all."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def read_yaml(name: str, content: bytes) -> Document:
    """
    Read one YAML document of plain values; *name* is what faults call the file.

    Raises:
        Unreadable: No YAML, too deep, several documents, a key twice, a tag, a word or number that versions of YAML
            read differently, or anchors and aliases (a few lines of them can stand for gigabytes, and a change at the
            anchor is not seen at its aliases).
    """
    text = _text(name, content)
    try:
        return Document(name, _read(name, text, None), text)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 0
        tabs = _TAB_FIRST.match(_line(text, line))
        hint = "; indent with spaces, not with tabs" if tabs else ""
        raise Unreadable(Fault(name, line, "", f"is no YAML: {fault.problem}{hint}")) from fault
    except yaml.YAMLError as fault:
        # What libyaml does not take for text, such as control characters.
        line = content.count(b"\n", 0, getattr(fault, "position", None) or 0) + 1
        raise Unreadable(Fault(name, line, "", "holds characters that YAML does not allow")) from fault


def read_json(name: str, content: bytes) -> Document:
    """
    Read a JSON file; *name* is what faults call it.

    Raises:
        Unreadable: No JSON, too deep, a key twice, NaN, or a number or text that readers of JSON take differently.
    """
    text = _text(name, content)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Unreadable(Fault(name, 0, "", f"has the key {_cut(key)} twice in one object"))
            found[key] = value
        return found

    def refuse(constant: str) -> Any:
        raise Unreadable(Fault(name, 0, "", f"holds {constant}, which is no JSON"))

    def integer(digits: str) -> int:
        if len(digits) > len(str(LARGEST_INTEGER)) + 1 or abs(int(digits)) > LARGEST_INTEGER:
            raise Unreadable(Fault(name, 0, "", f"holds the number {_cut(digits)}, which is too large"))
        return int(digits)

    def real(digits: str) -> float:
        if not math.isfinite(float(digits)):
            raise Unreadable(Fault(name, 0, "", f"holds the number {_cut(digits)}, which is too large"))
        return float(digits)

    try:
        data = json.loads(
            text, object_pairs_hook=unique, parse_constant=refuse, parse_int=integer, parse_float=real
        )
    except json.JSONDecodeError as fault:
        raise Unreadable(Fault(name, fault.lineno, "", f"is no JSON: {fault.msg}")) from fault
    except RecursionError as fault:
        raise Unreadable(Fault(name, 0, "", "is nested too deeply")) from fault
    _look_through(name, data)
    return Document(name, data)


def _text(name: str, content: bytes) -> str:
    if content.startswith(_MARK):
        raise Unreadable(Fault(name, 1, "", "begins with a byte order mark; save it as UTF-8 without one"))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise Unreadable(Fault(name, line, "", "is not UTF-8 text")) from fault


def _line(text: str, number: int) -> str:
    return next(itertools.islice(text.splitlines(), max(number - 1, 0), None), "")


def _look_through(name: str, data: Any) -> None:
    """Refuse depth and characters that JSON's own reader lets pass."""
    waiting = [(data, 1)]
    left = AT_MOST_VALUES
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise Unreadable(Fault(name, 0, "", "is nested too deeply"))
        texts: Iterable[str] = ()
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for item in value.values()]
            texts = value
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str):
            texts = (value,)
        unprintable = next((text for text in texts if _UNPRINTABLE.search(text)), None)
        if unprintable is not None:
            message = f"holds a character that cannot be printed: {_cut(unprintable)}"
            raise Unreadable(Fault(name, 0, "", message))
        left -= 1
        if left < len(waiting):
            raise Unreadable(Fault(name, 0, "", f"holds more than {AT_MOST_VALUES} values"))


def _read(name: str, text: str, lines: Lines | None) -> Any:
    """
    Build data from the parser's events, without recursion, and note the lines.

    Events rather than nodes: libyaml's parser keeps its place in a list, its composer on the stack of the process,
    which a deeply nested file overflows.
    """
    parser = yaml.CSafeLoader(text)
    try:
        return _Builder(name, parser, lines).document()
    finally:
        parser.dispose()


class _Builder:
    def __init__(self, name: str, parser: Any, lines: Lines | None) -> None:
        self._name = name
        self._next = parser.get_event
        self._lines = lines
        self._path: list[str | int] = []
        self._left = AT_MOST_VALUES

    def document(self) -> Any:
        self._next()  # The stream's start.
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        data = self._value(self._next())
        self._next()  # The document's end.
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._fault(event, "holds more than one document")
        return data

    def _value(self, event: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            line = event.start_mark.line + 1
            raise Unreadable(Fault(self._name, line, "", f"holds more than {AT_MOST_VALUES} values"))
        if self._lines is not None:
            self._lines[tuple(self._path)] = event.start_mark.line + 1
        if type(event) is yaml.ScalarEvent:
            return self._scalar(event)
        self._refuse_marks(event)
        if len(self._path) >= DEEPEST:
            raise Unreadable(Fault(self._name, event.start_mark.line + 1, "", "is nested too deeply"))
        return self._list() if type(event) is yaml.SequenceStartEvent else self._object()

    def _list(self) -> list[Any]:
        found: list[Any] = []
        path = self._path
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            path.append(len(found))
            found.append(self._value(event))
            path.pop()
        return found

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        path = self._path
        while type(event := self._next()) is not yaml.MappingEndEvent:
            key = self._key(event)
            path.append(key)
            if key in found:
                raise self._fault(event, "is there twice")
            found[key] = self._value(self._next())
            path.pop()
        return found

    def _key(self, event: Any) -> str:
        if type(event) is not yaml.ScalarEvent:
            self._refuse_marks(event)
            raise self._fault(event, "has a key that is no text; quote it")
        key = self._scalar(event)
        if key == "<<" and event.implicit[0]:
            raise self._fault(event, "merge keys are not allowed; a plan `extends` another one")
        if not isinstance(key, str):
            raise self._fault(event, "has a key that is no text; quote it")
        return key

    def _scalar(self, event: Any) -> Any:
        if event.anchor is not None or event.tag is not None:
            self._refuse_marks(event)
        value: str = event.value
        if not event.implicit[0]:
            if event.style == '"' and _UNPRINTABLE.search(value):
                raise self._fault(event, f"holds a character that cannot be printed: {_cut(value)}")
            return value
        if value and value[0] not in _MAY_BE_NO_TEXT:
            return value
        if value in _WORDS:
            return _WORDS[value]
        number: int | float
        if _INTEGER.fullmatch(value):
            if len(value) > len(str(LARGEST_INTEGER)) + 1 or abs(number := int(value)) > LARGEST_INTEGER:
                raise self._fault(event, f"{_cut(value)} is too large for a number; quote it if it is text")
            return number
        if _FLOAT.fullmatch(value):
            if not math.isfinite(number := float(value)):
                raise self._fault(event, f"{_cut(value)} is too large for a number; quote it if it is text")
            return number
        if _AMBIGUOUS.fullmatch(value):
            raise self._fault(
                event,
                f"{_cut(value)} is not the same for all readers of YAML: quote it if it is text, or write a plain "
                "decimal number, true or false",
            )
        return value

    def _refuse_marks(self, event: Any) -> None:
        if type(event) is yaml.AliasEvent or event.anchor is not None:
            line = event.start_mark.line + 1
            raise Unreadable(Fault(self._name, line, "", "anchors and aliases are not allowed"))
        if event.tag is not None:
            raise self._fault(event, f"the tag {_cut(event.tag)} is not allowed; quote what is text")

    def _fault(self, event: Any, message: str) -> Unreadable:
        line = event.start_mark.line + 1 if event.start_mark else 0
        return Unreadable(Fault(self._name, line, shown(tuple(self._path)), message))


def _cut(text: str) -> str:
    """Show the beginning of what was found, printably."""
    return "'" + text[:40].encode("unicode_escape").decode("ascii") + ("...'" if len(text) > 40 else "'")
