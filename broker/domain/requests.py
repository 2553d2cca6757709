"""What a platform can ask for, read and well-formed, but not yet decided upon."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.domain.instances import Context
from broker.domain.json_values import JsonObject


@dataclass(frozen=True)
class Caller:
    """
    Who sent a request.

    `originating_identity` is the header as it came: it is kept for the audit, never read, and authorises
    nothing (Kubernetes sends its controller's own account for most requests). `view` is the catalog's view under
    whose address it came. `trace` is the `traceparent` (W3C Trace Context) by which work for this request goes on.
    """

    platform: str
    originating_identity: str | None = None
    request_identity: str | None = None
    view: str = ""
    trace: str | None = None


@dataclass(frozen=True)
class Importing:
    """An operator brings in what a platform has as a service instance already; for the audit, by whom and why."""

    actor: str
    reason: str


@dataclass(frozen=True)
class ProvisionRequest:
    """Make a service instance (spec, "Provisioning")."""

    caller: Caller
    instance_id: str
    service_offering_id: str
    service_plan_id: str
    parameters: JsonObject = field(default_factory=dict)
    context: Context = field(default_factory=Context)
    maintenance_version: str | None = None
    accepts_incomplete: bool = False
    importing: Importing | None = None
    """Only an operator's order has it: it adopts what exists, under plans that take no new orders, too."""


@dataclass(frozen=True)
class UpdateRequest:
    """
    Change a service instance (spec, "Updating a Service Instance").

    None means that the request says nothing about it. Given parameters are laid over the applied ones key
    by key; a null takes a key away.
    """

    caller: Caller
    instance_id: str
    service_offering_id: str
    service_plan_id: str | None = None
    parameters: JsonObject | None = None
    context: Context | None = None
    maintenance_version: str | None = None
    accepts_incomplete: bool = False


@dataclass(frozen=True)
class DeprovisionRequest:
    """Delete a service instance (spec, "Deprovisioning")."""

    caller: Caller
    instance_id: str
    service_offering_id: str
    service_plan_id: str
    accepts_incomplete: bool = False


@dataclass(frozen=True)
class BindRequest:
    """
    Make a service binding, or with `predecessor_binding_id` rotate one (spec, "Binding", "Binding Rotation").

    A rotation takes its parameters over from the predecessor, and needs neither offering nor plan.
    """

    caller: Caller
    instance_id: str
    binding_id: str
    service_offering_id: str | None = None
    service_plan_id: str | None = None
    parameters: JsonObject | None = None
    bind_resource: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    predecessor_binding_id: str | None = None
    accepts_incomplete: bool = False


@dataclass(frozen=True)
class UnbindRequest:
    """Delete a service binding (spec, "Unbinding")."""

    caller: Caller
    instance_id: str
    binding_id: str
    service_offering_id: str
    service_plan_id: str
    accepts_incomplete: bool = False
