"""The expression language of ARM templates: parsing and evaluation of `[...]` strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from broker.azure_models import UNKNOWN
from broker.simulator.arm_errors import InvalidTemplate

TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+)|(?P<name>[A-Za-z_$]\w*)|'(?P<text>(?:[^']|'')*)'|(?P<mark>[()\[\].,]))"
)


# Microsoft's documentation of copy loops.
MOST_TURNS = 800


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Member:
    of: Node
    name: Node


Node: TypeAlias = Literal | Call | Member
Functions: TypeAlias = Mapping[str, Callable[..., Any]]

# Functions that ARM knows at some places of a template only.
ELSEWHERE = frozenset({"reference", "references", "newguid", "utcnow", "copyindex", "lambdavariables"})


class NotYetKnown(Exception):
    """An expression needs what only a running deployment can tell."""


class Loop(Protocol):
    """`copyIndex()`: knows the loops around an expression."""

    def inside(self, name: str | None, index: int) -> Loop:
        """The same within one more loop."""

    def __call__(self, *arguments: Any) -> int: ...


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[") and value.endswith("]") and value[1:2] != "["


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """
    The tree of an expression, brackets included.

    Raises:
        InvalidTemplate: It cannot be parsed.
    """
    reader = _Reader(text)
    node = reader.expression()
    if not reader.at_end:
        raise reader.fault()
    return node


class _Reader:
    """A recursive-descent parser over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        body, at = text[1:-1].rstrip(), 0
        while at < len(body):
            match = TOKEN.match(body, at)
            if match is None or match.lastgroup is None:
                raise InvalidTemplate(f"Unable to parse language expression '{text}': at character {at + 1}")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def fault(self) -> InvalidTemplate:
        seen = "the end" if self.at_end else f"'{self._tokens[self._at][1]}'"
        return InvalidTemplate(f"Unable to parse language expression '{self._text}': unexpected {seen}")

    def expression(self) -> Node:
        node = self._primary()
        while True:
            if self._skip("."):
                node = Member(node, Literal(self._take("name")))
            elif self._skip("["):
                node = Member(node, self.expression())
                self._expect("]")
            else:
                return node

    def _primary(self) -> Node:
        kind = "" if self.at_end else self._tokens[self._at][0]
        if kind == "number":
            return Literal(int(self._take("number")))
        if kind == "text":
            return Literal(self._take("text").replace("''", "'"))
        name = self._take("name")
        if self._skip("."):
            # Functions of the template's own have a namespace.
            name = f"{name}.{self._take('name')}"
        self._expect("(")
        arguments: list[Node] = []
        while not self._skip(")"):
            if arguments:
                self._expect(",")
            arguments.append(self.expression())
        return Call(name, tuple(arguments))

    def _take(self, kind: str) -> str:
        if self.at_end or self._tokens[self._at][0] != kind:
            raise self.fault()
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _skip(self, mark: str) -> bool:
        if self.at_end or self._tokens[self._at] != ("mark", mark):
            return False
        self._at += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._skip(mark):
            raise self.fault()


def calls(value: Any) -> Iterator[Call]:
    """Every function call in the expressions of a JSON value."""
    if is_expression(value):
        yield from _calls_of(parse(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from calls(key)
            yield from calls(item)
    elif isinstance(value, list):
        for item in value:
            yield from calls(item)


def _calls_of(node: Node) -> Iterator[Call]:
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from _calls_of(argument)
    elif isinstance(node, Member):
        yield from _calls_of(node.of)
        yield from _calls_of(node.name)


def evaluate(value: Any, functions: Functions, *, lenient: bool = False) -> Any:
    """
    A JSON value with its expressions replaced by what they give; names of functions in lower case.

    Loops over properties (`copy`) are unrolled. What is not yet known is UNKNOWN where *lenient*.

    Raises:
        InvalidTemplate: An expression cannot be parsed or evaluated, or names an unsupported function.
        NotYetKnown: Only a running deployment can tell.
    """
    if is_expression(value):
        try:
            return run(parse(value), functions)
        except NotYetKnown:
            if lenient:
                return UNKNOWN
            raise
    if isinstance(value, str):
        return value[1:] if value.startswith("[[") else value
    if isinstance(value, Mapping):
        plain = {
            str(evaluate(key, functions)): evaluate(item, functions, lenient=lenient)
            for key, item in value.items()
            if not (key == "copy" and is_loops(item))
        }
        return plain | unrolled(value, functions, lenient=lenient)
    if isinstance(value, list):
        return [evaluate(item, functions, lenient=lenient) for item in value]
    return value


def is_loops(value: Any) -> bool:
    """Whether the `copy` of an object is a list of loops over properties."""
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and {"name", "count", "input"} <= each.keys() for each in value
    )


def turns(loop: Mapping[str, Any], name: str | None, functions: Functions) -> Iterator[Functions]:
    """The functions of each turn of a loop over properties, variables or outputs."""
    count = evaluate(loop.get("count"), functions)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_TURNS:
        raise InvalidTemplate(f"The count of a copy loop is no whole number from 0 to {MOST_TURNS}")
    around: Loop = functions["copyindex"]  # type: ignore[assignment]
    for index in range(count):
        yield {**functions, "copyindex": around.inside(name, index)}


def unrolled(value: Mapping[str, Any], functions: Functions, *, lenient: bool = False) -> dict[str, Any]:
    """What the loops of an object add to it."""
    loops = value.get("copy")
    if not is_loops(loops):
        return {}
    return {
        str(loop["name"]): [
            evaluate(loop["input"], each, lenient=lenient)
            for each in turns(loop, str(loop["name"]), functions)
        ]
        for loop in loops or ()
    }


def run(node: Node, functions: Functions) -> Any:
    """What a parsed expression gives."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Member):
        return _member(run(node.of, functions), run(node.name, functions))
    name = node.name.lower()
    # Of `if`, ARM evaluates the chosen branch alone: the other may name what does not exist.
    if name == "if" and len(node.arguments) == 3:
        chosen = node.arguments[1] if run(node.arguments[0], functions) is True else node.arguments[2]
        return run(chosen, functions)
    if name in {"and", "or"}:
        wanted = name == "or"
        return wanted if any(run(each, functions) is wanted for each in node.arguments) else not wanted
    if name == "lambda" and node.arguments:
        return Lambda(node.arguments, functions)
    function = functions.get(name) or (functions.get("list*") if name.startswith("list") else None)
    if function is None:
        raise unsupported(node.name)
    arguments = [run(argument, functions) for argument in node.arguments]
    try:
        return function(*arguments) if function is not functions.get("list*") else function(name, *arguments)
    except InvalidTemplate:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise InvalidTemplate(f"The template function '{node.name}' got arguments it cannot use") from error


class Lambda:
    """`lambda('x', body)`: called with as many values as it has names, the rest is left out."""

    def __init__(self, arguments: Sequence[Node], functions: Functions) -> None:
        self._names = [str(run(name, functions)).lower() for name in arguments[:-1]]
        self._body = arguments[-1]
        self._functions = functions

    def __call__(self, *values: Any) -> Any:
        if len(values) < len(self._names):
            raise InvalidTemplate("A lambda expression has more parameters than it is given")
        bound = dict(zip(self._names, values, strict=False))
        around = self._functions.get("lambdavariables")

        def variable(name: str) -> Any:
            if name.lower() in bound:
                return bound[name.lower()]
            if around is None:
                raise InvalidTemplate(f"The lambda variable '{name}' is not found")
            return around(name)

        return run(self._body, {**self._functions, "lambdavariables": variable})


def unsupported(name: str) -> InvalidTemplate:
    """Why a function cannot be called at a place."""
    if name.lower() in ELSEWHERE or name.lower().startswith("list"):
        return InvalidTemplate(f"The template function '{name}' is not expected at this location")
    return InvalidTemplate(f"The template function '{name}' is not supported by this simulator")


def _member(of: Any, name: Any) -> Any:
    if isinstance(of, Mapping) and isinstance(name, str):
        found = next((key for key in of if key.lower() == name.lower()), None)
        if found is not None:
            return of[found]
        known = ", ".join(of)
        raise InvalidTemplate(
            f"The language expression property '{name}' doesn't exist, available properties are '{known}'"
        )
    if isinstance(of, Sequence) and not isinstance(of, str) and isinstance(name, int):
        if 0 <= name < len(of):
            return of[name]
        raise InvalidTemplate(f"The language expression property array index '{name}' is out of bounds")
    raise InvalidTemplate(f"The language expression property '{name}' can't be evaluated")
