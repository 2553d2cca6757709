"""What a resource type does beyond being stored."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State


class Kind:
    """
    The behaviour of one resource type; this one only stores.

    `check` and `settled` run while the request is answered, `apply` and `remove` at the end of the work.
    """

    type: str = ""
    deletable = True
    # What a call is answered with that begins the work, and which work is done before the answer.
    begun: ClassVar[Mapping[str, int]] = {"create": 201, "update": 200, "delete": 202}
    at_once: ClassVar[frozenset[str]] = frozenset()
    # Actions that are answered before they are done, with 202.
    long_actions: ClassVar[frozenset[str]] = frozenset()
    # What is being created is answered with nothing but that it was queued, and not found before it is made.
    unseen_until_made = False
    # A write to a child holds the top-level parent, and the other way round.
    holds_family = False
    working: ClassVar[Mapping[str, str]] = {
        "create": "Creating",
        "update": "Updating",
        "delete": "Deleting",
        "done": "Succeeded",
    }

    def __init__(self, state: State, durations: Durations) -> None:
        self.state = state
        self.durations = durations

    def duration(self, what: str) -> timedelta:
        """How long *what* (create, update, delete or action) takes in simulated time."""
        return timedelta(0) if what in self.at_once else timedelta(seconds=1)

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        """
        Refuse what the model cannot tell. Also part of a deployment's validation: values may be UNKNOWN.

        Raises:
            ArmError: 400, what is wrong.
        """

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        """
        Refuse what only the cloud's present state forbids, such as a name that is taken.

        Raises:
            ArmError: Usually 409.
        """

    def check_number(self, identity: ResourceId, at_most: int | None, counted: str) -> None:
        """
        Refuse one more than the parent may have, those included that it has from the start.

        Raises:
            ArmError: 400. Which code Azure gives is told nowhere: the broker looks at the number, not at the code.
        """
        parent = identity.parent
        if parent is None or at_most is None:
            return
        prefix = identity.key.rpartition("/")[0] + "/"
        made = {key.removeprefix(prefix) for key in self.state.resources if key.startswith(prefix)}
        there = {name for name in made if "/" not in name} | {name.lower() for name in self.always(parent)}
        if len(there) >= at_most:
            raise ArmError(
                400, "BadRequest", f"'{parent.name}' has {len(there)} {counted}; {at_most} are allowed."
            )

    def check_delete(self, resource: Resource) -> None:
        """
        Refuse a deletion.

        Raises:
            ArmError: Why.
        """

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        """The body as a GET will show it: defaults filled in; secrets were already taken out."""
        del identity, existing
        return copy.deepcopy(dict(body))

    def shown(self, resource: Resource) -> dict[str, Any]:
        """The body of a GET, its state included."""
        properties = {**resource.body.get("properties", {}), "provisioningState": resource.state}
        return {**resource.body, "properties": properties}

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        """Make it real; *sent* is the whole request with its secrets."""

    async def remove(self, resource: Resource) -> None:
        """Undo `apply`. The resource itself is forgotten afterwards by the caller."""

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        """The body of a resource that is there without ever having been put; None for most types."""
        del identity
        return None

    def always(self, parent: ResourceId) -> tuple[str, ...]:
        """The names of those that each parent has from the start; `absent` gives their bodies."""
        del parent
        return ()

    def check_action(self, resource: Resource, name: str, body: Mapping[str, Any] | None) -> None:
        """
        Refuse an action that takes long before it is begun.

        Raises:
            ArmError: 400, what is wrong.
        """

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Answer a POST action such as listKeys; *name* in lower case, *body* what was posted.

        Raises:
            ArmError: 400, this type has no such action.
        """
        del body
        raise ArmError(400, "InvalidResourceAction", f"'{resource.id.type}' has no action '{name}'.")

    async def acted(self, resource: Resource, name: str) -> None:
        """Make real what an action that takes long has changed; *name* in lower case."""
