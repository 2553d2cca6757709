"""The one reader of request bodies, stricter than `json.loads`."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import ClientDisconnect, Request

from broker.domain.json_values import JsonObject
from broker.errors import BodyTooLarge, MalformedRequest

DEPTH = 64
"""Objects and lists within each other at most; more is no honest parameter."""
DIGITS = 100
"""Characters of one number at most; more cannot be checked or kept exactly."""


async def body_of(request: Request, *, limit: int) -> JsonObject:
    """
    Read the request's body as one JSON object, whatever Content-Type says (Korifi sends none).

    Raises:
        MalformedRequest: It is empty, no UTF-8, no JSON, no object, holds NaN, Infinity, a repeated key, a
            lone surrogate or a NUL character, or nests too deep.
        BodyTooLarge: It has more than *limit* bytes.
    """
    raw = await raw_body_of(request, limit=limit)
    if not raw.strip():
        raise MalformedRequest("The request has no body; a JSON object is needed.")
    return parsed(raw)


async def raw_body_of(request: Request, *, limit: int) -> bytes:
    """
    Read the whole body.

    Raises:
        BodyTooLarge: It has more than *limit* bytes, whatever Content-Length said.
        MalformedRequest: The client went away in the middle.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(f"The request's body is larger than {limit} bytes.")
            chunks.append(chunk)
    except ClientDisconnect:
        raise MalformedRequest("The request's body ended too early.") from None
    return b"".join(chunks)


def parsed(raw: bytes) -> JsonObject:
    """
    Read one JSON object.

    Raises:
        MalformedRequest: See `body_of`.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The request's body is not UTF-8.") from None
    try:
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_decimal,
            object_pairs_hook=_without_repeats,
        )
    except json.JSONDecodeError as fault:
        raise MalformedRequest(
            f"The request's body is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}."
        ) from None
    except RecursionError:
        raise MalformedRequest(_TOO_DEEP) from None
    if not isinstance(value, dict):
        raise MalformedRequest("The request's body must be a JSON object.")
    _check(value)
    return value


_TOO_DEEP = f"The request's body nests deeper than {DEPTH} levels."


def _no_constant(name: str) -> Any:
    raise MalformedRequest(f"The request's body holds {name}, which is no JSON.")


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise MalformedRequest(f"The request's body holds a number of more than {DIGITS} digits.")
    return int(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if len(digits) > DIGITS or math.isinf(value):
        raise MalformedRequest("The request's body holds a number that is too large or too long.")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequest("The request's body holds an object with the same key twice.")
    return found


def _check(root: dict[str, Any]) -> None:
    """Check depth and characters, without recursion."""
    rest: list[tuple[Any, int]] = [(root, 1)]
    while rest:
        value, depth = rest.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, (dict, list)):
            if depth > DEPTH:
                raise MalformedRequest(_TOO_DEEP)
            if isinstance(value, dict):
                for key in value:
                    _check_text(key)
                rest.extend((each, depth + 1) for each in value.values())
            else:
                rest.extend((each, depth + 1) for each in value)


def _check_text(text: str) -> None:
    # Neither can be kept: PostgreSQL's text has no NUL, and half a character has no UTF-8.
    if "\0" in text:
        raise MalformedRequest("The request's body holds a NUL character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedRequest("The request's body holds half of a surrogate pair.") from None
