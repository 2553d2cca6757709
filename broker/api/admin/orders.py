"""What an operator sends to have something done: a JSON object with a reason, and what the route wants besides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request

from broker.api.admin.parts import operator_of, parts_of
from broker.api.bodies import body_of
from broker.domain.json_values import JsonObject
from broker.domain.operators import Deed
from broker.errors import MalformedRequest, NotFound, shown
from broker.lifecycle.administration.deletions import InAzure

REASON_LENGTH = 500
"""Characters of a reason at most."""
MOST_TEXTS = 1000
"""Texts in a list at most."""

_DEED = frozenset({"reason", "dry_run", "only_if"})
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": REASON_LENGTH, "pattern": r"\S"}
_FLAG: dict[str, Any] = {"type": "boolean", "default": False}
IN_AZURE: dict[str, Any] = {
    "type": "string",
    "enum": [each.value for each in InAzure],
    "description": "What becomes of the resources in Azure.",
}


def body(required: dict[str, Any] | None = None, **optional: dict[str, Any]) -> dict[str, Any]:
    """Describe the body of a deed."""
    properties = {
        "reason": _TEXT | {"description": "Why; the audit keeps it."},
        "dry_run": _FLAG | {"description": "Check and tell, and change nothing."},
        "only_if": {
            "type": "string",
            "description": "What a dry run has answered as `foretold`: do it only if it still comes to that.",
        },
    }
    return {
        "type": "object",
        "required": ["reason", *(required or {})],
        "additionalProperties": False,
        "properties": properties | (required or {}) | optional,
    }


async def fields_of(request: Request, *, limit: int | None = None) -> JsonObject:
    """
    Read the body as a JSON object.

    Raises:
        MalformedRequest, BodyTooLarge: See `body_of`.
    """
    return await body_of(request, limit=limit or parts_of(request).body_limit)


class Order:
    """The body of one request for a deed, of which *names* are known besides those of every deed."""

    def __init__(self, fields: JsonObject, *names: str) -> None:
        self._fields = fields
        if unknown := sorted(set(fields) - {*_DEED, *names}):
            raise MalformedRequest(f"There is no field {shown(unknown[0])} here.")

    @classmethod
    async def read(cls, request: Request, *names: str) -> Order:
        """
        Read the body.

        Raises:
            MalformedRequest, BodyTooLarge: See `body_of`; or it has a field that is not known.
        """
        return cls(await fields_of(request), *names)

    def deed(self, request: Request) -> Deed:
        """Return who wants it, why, and whether for real."""
        reason = self._fields.get("reason")
        if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_LENGTH:
            raise MalformedRequest(
                f"reason must say why, in 1 to {REASON_LENGTH} characters; the audit keeps it."
            )
        return Deed(
            operator_of(request), reason.strip(), dry_run=self.flag("dry_run"), only_if=self.text("only_if")
        )

    def flag(self, name: str) -> bool:
        """Return a field that is true or false; absent is false."""
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            raise MalformedRequest(f"{name} must be true or false.")
        return value

    def text(self, name: str) -> str | None:
        """Return a field that is a text, if it is there."""
        value = self._fields.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > REASON_LENGTH):
            raise MalformedRequest(f"{name} must be a text of {REASON_LENGTH} characters at most.")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a field that is a list of texts; absent is empty."""
        value = self._fields.get(name, [])
        fits = isinstance(value, list) and len(value) <= MOST_TEXTS
        if not fits or not all(isinstance(one, str) and one for one in value):
            raise MalformedRequest(f"{name} must be a list of {MOST_TEXTS} texts at most.")
        return list(value)

    def in_azure(self) -> InAzure:
        """Return what becomes of the resources in Azure; there is no default for that."""
        value = self._fields.get("in_azure")
        if not isinstance(value, str) or value not in set(InAzure):
            raise MalformedRequest(
                "in_azure must be 'keep' or 'delete': what becomes of the resources in Azure."
            )
        return InAzure(value)


def operation_id_of(request: Request) -> UUID:
    """
    Return the operation that the path names.

    Raises:
        NotFound: It is no id of an operation.
    """
    text = request.path_params["operation_id"]
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"There is no operation {shown(text)}.") from None
