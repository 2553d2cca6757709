"""`docs/azure-errors.md`, made from the table of Azure's error codes so that it cannot fall behind."""

from collections.abc import Iterable

from broker.azure.error_codes import ErrorCode, catalogue

_HEAD = """\
# Azure's error codes

This page is made by `osb azure errors` from `broker/azure/error_codes.toml`; a test holds it current.

A failed operation's description ends with Azure's innermost code and a correlation id, as in `(code SkuNotAvailable,
correlation ...)`. The code tells what happened, whose job it is, and whether the broker tries again by itself.
Azure's support finds the whole story under the correlation id; where Azure gave none, under the request id, which is
the broker's operation.

**Who** is the caller (who ordered the service instance or binding), the owner of the plan, or the operator of the
broker. **Again**: "no" ends the operation at once. "yes" is tried until the operation's deadline, with ever longer
pauses and never before Azure wants it. "a few times" is tried so often only, since a permission or a token may take
minutes to be known everywhere. A *deployment* that failed with a fault of Azure's own is started three times.

What the table does not know keeps Azure's innermost words. Its HTTP status then decides: 400 is hopeless and the
caller's, 401 and 403 are the operator's and tried a few times, 409, 429 and 5xx are tried again.

| code | what happened | what to do | who | again | known from |
|---|---|---|---|---|---|
"""


def error_codes_page() -> str:
    """Return the page as Markdown, sorted by code."""
    return _HEAD + "\n".join(_row(entry) for entry in _sorted(catalogue().values())) + "\n"


def _sorted(entries: Iterable[ErrorCode]) -> list[ErrorCode]:
    return sorted(entries, key=lambda entry: entry.code.lower())


def _row(entry: ErrorCode) -> str:
    kind = entry.kind
    again = ("yes" if kind.at_most is None else "a few times") if kind.retryable else "no"
    code, _, about = entry.code.partition(", ")
    cells = (
        f"`{code}`{about and f' ({about})'}",
        entry.cause,
        kind.default_advice if entry.advice is None else entry.advice,
        entry.job or kind.default_job,
        again,
        entry.source,
    )
    return f"| {' | '.join(cells)} |"
