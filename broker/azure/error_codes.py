"""
What Azure's error codes mean: looked up in `error_codes.toml`, judged by the HTTP status where the table ends.

Codes are compared without regard to case.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from broker.azure import failures
from broker.azure.failures import (
    AzureFailure,
    Invalid,
    Job,
    NotAuthorized,
    NotFound,
    OutcomeUnknown,
    ServerFault,
    Throttled,
    TokenRefused,
    TransientConflict,
    UnknownFailure,
)


@dataclass(frozen=True)
class ErrorCode:
    """
    What one code means.

    `cause` says what happened, for answers that come without a message. `advice` and `job` of None are those of
    `kind`, which also decides whether it is tried again. `source` is where this is known from.
    """

    code: str
    kind: type[AzureFailure]
    cause: str = ""
    advice: str | None = None
    job: Job | None = None
    source: str = ""


BY_STATUS: dict[int, type[AzureFailure]] = {
    400: Invalid,
    401: TokenRefused,
    403: NotAuthorized,
    404: NotFound,
    408: OutcomeUnknown,
    409: TransientConflict,
    412: TransientConflict,
    413: Invalid,
    422: Invalid,
    423: TransientConflict,
    429: Throttled,
}

_QUOTA = "operationnotallowed, quota"


@cache
def catalogue() -> Mapping[str, ErrorCode]:
    """Return all codes of the table by their code in lower case, in the table's order."""
    table = tomllib.loads(resources.files(__package__).joinpath("error_codes.toml").read_text("utf-8"))

    def told(section: str, said: str | None) -> str | None:
        return table[section][said[1:]] if said is not None and said.startswith("@") else said

    return {
        code.lower(): ErrorCode(
            code=code,
            kind=getattr(failures, entry["kind"]),
            cause=entry["cause"],
            advice=told("advice", entry.get("advice")),
            job=entry.get("job"),
            source=told("source", entry["source"]) or "",
        )
        for code, entry in table["code"].items()
    }


def verdict(code: str, message: str, status: int | None, *, under: str = "") -> ErrorCode:
    """
    Return what *code* means; the HTTP *status*, when there is one, decides about codes that are not in the table.

    429 is throttling whatever the code. *message* is looked at for one code only. *under* is the word of the wrapper
    around it, all that is known of the status of a resource that failed within a deployment.
    """
    if status == 429:
        return ErrorCode(code, Throttled)
    lowered = code.lower()
    # Compute reports an exceeded quota under the same code as any other forbidden operation; only its
    # text tells them apart (Microsoft's own page on quota errors says to look there).
    if lowered == "operationnotallowed" and "quota" in message.lower():
        return catalogue()[_QUOTA]
    if known := catalogue().get(lowered):
        return known
    if status is None:
        # "Conflict" may be anything from a taken name to a busy server: nothing is said about trying again.
        return ErrorCode(code, Invalid if under.lower() == "badrequest" else UnknownFailure)
    if status >= 500:
        return ErrorCode(code, ServerFault)
    return ErrorCode(code, BY_STATUS.get(status, UnknownFailure))
