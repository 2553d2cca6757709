"""What an operator can see of service bindings."""

from __future__ import annotations

from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import BindingDetails, BindingFilter, BindingSummary, OperationFilter
from broker.errors import NotFound, shown
from broker.lifecycle.administration.instances import one_named
from broker.store.administration import bindings, operations, past
from broker.store.database import Database

_LATEST = PageRequest(limit=10)
_RESOURCES = 100


class BindingAdministration:
    """Shows operators the service bindings of all platforms, without their credentials."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, wanted: BindingFilter, at: PageRequest) -> Page[BindingSummary]:
        """
        Return a page of the living bindings, the newest first.

        Raises:
            MalformedRequest: The cursor is none of this list.
        """
        async with self._db.transaction(read_only=True) as tx:
            return await bindings.page(tx, wanted, at)

    async def show(self, instance_id: str, binding_id: str, platform: str | None) -> BindingDetails:
        """
        Return a binding with its latest operations.

        Raises:
            NotFound, Ambiguous: There is no such living binding, or there are several.
        """
        async with self._db.transaction(read_only=True) as tx:
            instance = await one_named(tx, instance_id, platform)
            found = await bindings.named(tx, instance.key, binding_id)
            if found is None:
                raise NotFound(
                    f"There is no living service binding {shown(binding_id)} of the service instance "
                    f"{shown(instance_id)}; the history may know what became of it."
                )
            wanted = OperationFilter(
                platform=instance.platform, instance_id=instance_id, binding_id=binding_id
            )
            latest = await operations.page(tx, wanted, _LATEST)
            made = await past.resources_of(tx, instance.key, binding_key=found.key, at_most=_RESOURCES)
            return BindingDetails(found, resources=made, operations=latest.items)
