"""What a binding makes by one PUT and unbinding takes away by one DELETE: sub-resources and role assignments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from broker.azure.arm import Arm
from broker.azure.distilling import short_resource
from broker.azure.failures import AzureFailure
from broker.azure.resource_ids import checked, parse
from broker.domain.json_values import JsonObject
from broker.provisioners.base import Work
from broker.provisioners.recipe import pick
from broker.provisioners.verdicts import Impossible, from_azure, of_azure, request_id

ROLE_ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
_ROLE_EXISTS = "roleassignmentexists"
_SETTLED = frozenset({"", "succeeded", "ready", "failed", "canceled"})


def child(said: JsonObject, source: JsonObject, key: UUID) -> JsonObject:
    """Return what to write down of a sub-resource before it is made."""
    above = parse(picked(said["below"], source, "what the sub-resource is below")["id"])
    return {
        "verb": "child",
        "word": said["word"],
        "id": str(above.child(said["type"].rsplit("/", 1)[-1], f"{said['prefix']}{key.hex}")),
        "api_version": said["api_version"],
        "body": filled(said.get("body", {}), source),
    }


def role(said: JsonObject, source: JsonObject, key: UUID, *, api_version: str) -> JsonObject:
    """
    Return what to write down of a role assignment before it is made.

    Its name follows from scope, principal, role and binding, so that a repeated bind makes no second one. Naming
    the kind of principal spares Azure a look into a directory that may not know a new one yet.
    """
    scope = checked(picked(said["scope"], source, "the scope of the role"))
    principal = str(picked(said["principal"], source, "the principal")).lower()
    definition = str(picked(said["definition"], source, "the role")).lower()
    name = uuid5(NAMESPACE_URL, "\n".join([scope.lower(), principal, definition, str(key)]))
    kind = pick(said["principal_type"], source) if "principal_type" in said else None
    definitions = (
        f"/subscriptions/{parse(scope).subscription}/providers/Microsoft.Authorization/roleDefinitions"
    )
    return {
        "verb": "role",
        "id": f"{scope}/providers/{ROLE_ASSIGNMENTS}/{name}",
        "api_version": api_version,
        "body": {
            "properties": {
                "roleDefinitionId": f"{definitions}/{definition}",
                "principalId": principal,
                "principalType": kind or "ServicePrincipal",
            }
        },
    }


async def make(arm: Arm, work: Work, made: JsonObject) -> bool:
    """
    Make what was written down; False while Azure still works on it.

    Raises:
        Impossible: The principal has this role there already, by somebody else's doing.
        StepFailed: Azure refused or could not be asked.
    """
    found = await _found(arm, work, made)
    if found is None:
        await work.before_change()
        try:
            found = await arm.put_resource(
                made["id"], made["api_version"], made["body"], client_request_id=request_id(work)
            )
        except AzureFailure as failure:
            if failure.code.lower() == _ROLE_EXISTS:
                # Sharing it would take it from the other one at the first unbind.
                raise Impossible(
                    f"{short_resource(made['id'])}: this principal has this role here already, by another binding "
                    "or by somebody else, and Azure keeps one assignment of a role only. Use that binding, or bind "
                    "another principal or access."
                ) from failure
            raise of_azure(failure) from failure
    return _state(found) in _SETTLED


async def remove(arm: Arm, work: Work, made: JsonObject) -> bool:
    """
    Ask for its deletion unless that is on its way; True once it is seen to be gone.

    Raises:
        StepFailed: Azure refused or could not be asked.
    """
    found = await _found(arm, work, made)
    if found is None or _state(found) != "deleting":
        # Asked for also when it is not found: what is new is not found everywhere at once, and its id is ours.
        await work.before_change()
        await from_azure(
            arm.delete_resource(made["id"], made["api_version"], client_request_id=request_id(work))
        )
        return await _found(arm, work, made) is None
    return False


def picked(expression: str, source: JsonObject, what: str) -> Any:
    """
    Pick what must be there.

    Raises:
        Impossible: There is nothing.
    """
    value = pick(expression, source)
    if value is None:
        raise Impossible(
            f"This binding cannot be made: {what} is not known of its service instance. Its plan's owner has to look "
            "at what the plan's bindings pick."
        )
    return value


def filled(body: Any, source: JsonObject) -> Any:
    """Put what is picked in the place of each object that has the one key `pick`."""
    if isinstance(body, Mapping):
        if set(body) == {"pick"}:
            return pick(body["pick"], source)
        return {key: filled(value, source) for key, value in body.items()}
    return [filled(item, source) for item in body] if isinstance(body, list) else body


async def _found(arm: Arm, work: Work, made: JsonObject) -> JsonObject | None:
    work.guard()
    return await from_azure(
        arm.get_resource(made["id"], made["api_version"], client_request_id=request_id(work))
    )


def _state(found: JsonObject) -> str:
    properties = found.get("properties") or {}
    return str(properties.get("provisioningState") or "").lower()
