"""
The specification's messages, read letter by letter, and written.

Where a living client needs tolerance the letter does not give, a comment says which and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request

from broker.domain.instances import Context
from broker.domain.json_values import JsonObject
from broker.domain.requests import (
    BindRequest,
    Caller,
    DeprovisionRequest,
    ProvisionRequest,
    UnbindRequest,
    UpdateRequest,
)
from broker.errors import MalformedRequest
from broker.lifecycle.bindings import Bound
from broker.lifecycle.instances import Accepted, FetchedInstance, Unchanged
from broker.lifecycle.polling import LastOperation

PLACE_BYTES = 255
"""An organization, space, cluster or namespace at most; they are in an index."""

_BLANK = re.compile(r"\s*")


def caller_of(request: Request) -> Caller:
    """Return who sent the request; the front has put it there."""
    caller: Caller = request.scope["osb.caller"]
    return caller


def provision(body: JsonObject, request: Request) -> ProvisionRequest:
    """Read the body of a provision (spec, "Provisioning / Body")."""
    # Both are deprecated and still mandatory by the letter; Korifi and Service Catalog send them.
    organization = _place(_text(body, "organization_guid"), "organization_guid")
    space = _place(_text(body, "space_guid"), "space_guid")
    return ProvisionRequest(
        caller=caller_of(request),
        instance_id=request.path_params["instance_id"],
        service_offering_id=_text(body, "service_id"),
        service_plan_id=_text(body, "plan_id"),
        parameters=_object(body, "parameters") or {},
        context=context_of(_object(body, "context") or {}, organization, space),
        maintenance_version=_maintenance_version(body),
        accepts_incomplete=accepts_incomplete(request),
    )


def update(body: JsonObject, request: Request) -> UpdateRequest:
    """Read the body of an update; `previous_values` must be an object, and nobody reads it."""
    _object(body, "previous_values")
    context = _object(body, "context")
    return UpdateRequest(
        caller=caller_of(request),
        instance_id=request.path_params["instance_id"],
        service_offering_id=_text(body, "service_id"),
        service_plan_id=_text(body, "plan_id") if "plan_id" in body else None,
        parameters=_object(body, "parameters"),
        context=context_of(context, None, None) if context is not None else None,
        maintenance_version=_maintenance_version(body),
        accepts_incomplete=accepts_incomplete(request),
    )


def deprovision(fields: JsonObject, request: Request) -> DeprovisionRequest:
    """Read a deprovision from the fields that `deletion_fields` found."""
    return DeprovisionRequest(
        caller=caller_of(request),
        instance_id=request.path_params["instance_id"],
        service_offering_id=_text(fields, "service_id"),
        service_plan_id=_text(fields, "plan_id"),
        accepts_incomplete=accepts_incomplete(request),
    )


def bind(body: JsonObject, request: Request) -> BindRequest:
    """Read the body of a bind, or of a rotation, which by the letter has `predecessor_binding_id` alone."""
    predecessor = (
        _text(body, "predecessor_binding_id") if body.get("predecessor_binding_id") is not None else None
    )
    rotates = predecessor is not None
    resource = dict(_object(body, "bind_resource") or {})
    # The top-level app_guid is deprecated; Korifi sends both.
    app = body.get("app_guid") if body.get("app_guid") is not None else resource.get("app_guid")
    if app is not None:
        if not isinstance(app, str):
            raise MalformedRequest("app_guid must be a string.")
        resource["app_guid"] = app
    return BindRequest(
        caller=caller_of(request),
        instance_id=request.path_params["instance_id"],
        binding_id=request.path_params["binding_id"],
        service_offering_id=_text(body, "service_id") if not rotates or "service_id" in body else None,
        service_plan_id=_text(body, "plan_id") if not rotates or "plan_id" in body else None,
        parameters=_object(body, "parameters"),
        bind_resource=resource,
        context=_object(body, "context") or {},
        predecessor_binding_id=predecessor,
        accepts_incomplete=accepts_incomplete(request),
    )


def unbind(fields: JsonObject, request: Request) -> UnbindRequest:
    """Read an unbind from the fields that `deletion_fields` found."""
    return UnbindRequest(
        caller=caller_of(request),
        instance_id=request.path_params["instance_id"],
        binding_id=request.path_params["binding_id"],
        service_offering_id=_text(fields, "service_id"),
        service_plan_id=_text(fields, "plan_id"),
        accepts_incomplete=accepts_incomplete(request),
    )


def deletion_fields(request: Request) -> dict[str, str] | None:
    """Return `service_id` and `plan_id` from the query; None if it has neither."""
    query = request.query_params
    fields = {name: query[name] for name in ("service_id", "plan_id") if name in query}
    return fields or None


def accepts_incomplete(request: Request) -> bool:
    """
    Read `accepts_incomplete` from the query; absent is false.

    Raises:
        MalformedRequest: It is neither true nor false, or both.
    """
    values = {value.lower() for value in request.query_params.getlist("accepts_incomplete")}
    if not values <= {"true", "false"} or len(values) > 1:
        raise MalformedRequest("accepts_incomplete must be true or false.")
    return values == {"true"}


def provisioned(outcome: Accepted | Unchanged) -> dict[str, Any]:
    """Write the answer to a provision, an update or a deprovision."""
    operation = str(outcome.operation_id) if isinstance(outcome, Accepted) else None
    return {"dashboard_url": outcome.dashboard_url, "operation": operation}


def fetched_instance(instance: FetchedInstance) -> dict[str, Any]:
    """Write a service instance (spec, "Fetching a Service Instance")."""
    version = instance.maintenance_version
    return {
        "service_id": instance.service_offering_id,
        "plan_id": instance.service_plan_id,
        "dashboard_url": instance.dashboard_url,
        "parameters": dict(instance.parameters),
        "maintenance_info": {"version": version} if version else None,
        "metadata": {"labels": {}, "attributes": dict(instance.attributes)},
    }


def bound(binding: Bound, *, fetched: bool = False) -> dict[str, Any]:
    """Write a service binding; a fetch shows its parameters, too."""
    times = {"expires_at": binding.expires_at, "renew_before": binding.renew_before}
    metadata = {name: timestamp(value) for name, value in times.items() if value is not None}
    return {
        "credentials": dict(binding.credentials),
        "endpoints": [dict(endpoint) for endpoint in binding.endpoints] or None,
        "metadata": metadata or None,
        "parameters": dict(binding.parameters) if fetched else None,
    }


def last_operation(answer: LastOperation) -> dict[str, Any]:
    """Write the state of an operation (spec, "Polling Last Operation")."""
    return {
        "state": str(answer.state),
        "description": answer.description or None,
        "instance_usable": answer.instance_usable,
        "update_repeatable": answer.update_repeatable,
    }


def timestamp(time: datetime) -> str:
    """Write a time as the specification wants it: UTC with a fraction of a second and a Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def context_of(whole: JsonObject, organization: str | None, space: str | None) -> Context:
    # A context is opaque: what is not the text it would be on a known platform is kept, and means nothing.
    def known(*names: str) -> str | None:
        value = next(
            (whole[name] for name in names if isinstance(whole.get(name), str) and whole[name]), None
        )
        return _place(value, names[0]) if value is not None else None

    return Context(
        platform_kind=known("platform"),
        cluster=known("clusterid"),
        namespace=known("namespace"),
        organization=known("organization_guid") or organization,
        space=known("space_guid") or space,
        instance_name=known("instance_name"),
        whole=whole,
    )


def _place(value: str, name: str) -> str:
    if len(value.encode()) > PLACE_BYTES:
        raise MalformedRequest(f"{name} is longer than {PLACE_BYTES} bytes.")
    return value


def _maintenance_version(body: JsonObject) -> str | None:
    info = _object(body, "maintenance_info")
    if info is None or info.get("version") is None:
        return None
    return _text(info, "version", shown="maintenance_info.version")


def _text(fields: Mapping[str, Any], name: str, *, shown: str = "") -> str:
    shown = shown or name
    if name not in fields:
        raise MalformedRequest(f"{shown} is missing in the request.")
    value = fields[name]
    if not isinstance(value, str) or _BLANK.fullmatch(value):
        raise MalformedRequest(f"{shown} must be a string that is not empty.")
    return value


def _object(fields: Mapping[str, Any], name: str) -> JsonObject | None:
    # Korifi sends "parameters": null when there are none; null is absence for every optional object.
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise MalformedRequest(f"{name} must be a JSON object.")
    return value
