"""A service binding: credentials of their own for one consumer of a service instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from broker.domain.json_values import JsonObject


class BindingState(StrEnum):
    """Where a service binding is in its life."""

    BINDING = "binding"
    BOUND = "bound"
    BIND_FAILED = "bind failed"
    UNBINDING = "unbinding"
    UNBIND_FAILED = "unbind failed"


@dataclass(frozen=True)
class ServiceBinding:
    """
    One service binding of one service instance.

    `parameters`, `secrets` (generated before they are set anywhere) and `credentials` (the answer) are
    sealed in the store. `record` holds, without secrets, what was made for this binding. `unopened` names the key
    without which the sealed ones are not known; what is stored of them stays as it is.
    `keys_checked_at`, of credentials with keys of Azure's, is when they were last read and compared; `stale_since`
    is since when Azure's are known to be others.
    """

    key: UUID
    instance_key: UUID
    binding_id: str
    state: BindingState
    service_plan_id: str
    created_at: datetime
    parameters: JsonObject = field(default_factory=dict)
    secrets: JsonObject = field(default_factory=dict)
    credentials: JsonObject | None = None
    endpoints: tuple[JsonObject, ...] = ()
    bind_resource: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    predecessor_id: str | None = None
    record: JsonObject = field(default_factory=dict)
    expires_at: datetime | None = None
    renew_before: datetime | None = None
    keys_checked_at: datetime | None = None
    stale_since: datetime | None = None
    unopened: str | None = None
