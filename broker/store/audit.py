"""Who did what, when and why; written in the transaction that does it."""

from __future__ import annotations

from broker.store.database import Transaction
from broker.store.tables import audit


async def add(
    tx: Transaction,
    actor: str,
    originating_identity: str | None,
    action: str,
    object: str,  # noqa: A002 - the audit's own word
    reason: str | None = None,
) -> None:
    """
    Write one audit row.

    Args:
        tx: The transaction of the action itself.
        actor: The platform or operator that asked.
        originating_identity: The header as it was sent; never decoded here.
        action: What was asked for: `provision`, `unbind`, `abandon`.
        object: Whose it was: `service instance <id>`.
        reason: What an operator gave as the reason.
    """
    await tx.execute(
        audit.insert(),
        {
            "at": tx.now,
            "actor": actor,
            "originating_identity": originating_identity,
            "action": action,
            "object": object,
            "reason": reason,
        },
    )
