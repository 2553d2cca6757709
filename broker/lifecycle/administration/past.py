"""What an operator can see of what was done, and of what is gone."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import AuditFilter, AuditRow, PastFilter, PastRecord
from broker.errors import NotFound, shown
from broker.store.administration import operations, past
from broker.store.database import Database

_LIVES = 20
_OPERATIONS = 20
_RESOURCES = 100


class PastAdministration:
    """Shows operators the audit and the history."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def audit(self, wanted: AuditFilter, at: PageRequest) -> Page[AuditRow]:
        """
        Return a page of the audit, the newest first.

        Raises:
            MalformedRequest: The cursor is none of this list.
        """
        async with self._db.transaction(read_only=True) as tx:
            return await past.audit_page(tx, wanted, at)

    async def page(self, wanted: PastFilter, at: PageRequest) -> Page[PastRecord]:
        """
        Return a page of what is gone, the latest first.

        Raises:
            MalformedRequest: The cursor is none of this list.
        """
        async with self._db.transaction(read_only=True) as tx:
            return await past.page(tx, wanted, at)

    async def show(self, instance_id: str, binding_id: str | None, platform: str | None) -> list[PastRecord]:
        """
        Return each former life of an id, the latest first, with operations, events and what was left in Azure.

        Raises:
            NotFound: Nothing of that id is in the history (any more).
        """
        async with self._db.transaction(read_only=True) as tx:
            lives = await past.named(tx, instance_id, binding_id, platform, at_most=_LIVES)
            if not lives:
                what = (
                    f"service binding {shown(binding_id)}"
                    if binding_id
                    else f"service instance {shown(instance_id)}"
                )
                raise NotFound(
                    f"The history has no {what} (any more); one that lives is shown among the living."
                )
            return [
                replace(
                    life,
                    resources=await past.resources_of(
                        tx,
                        life.key,
                        binding_key=life.key if binding_id is not None else None,
                        at_most=_RESOURCES,
                    ),
                    operations=await operations.of_key(
                        tx, life.key, of_binding=binding_id is not None, at_most=_OPERATIONS
                    ),
                )
                for life in lives
            ]
