"""What a binding makes by one PUT and unbinding takes away by one DELETE: sub-resources and role assignments."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from broker.azure.arm import Arm
from broker.azure.distilling import short_resource
from broker.azure.failures import AzureFailure
from broker.azure.resource_ids import checked, parse
from broker.data_planes import secrets
from broker.domain.json_values import JsonObject
from broker.domain.operations import Refusal
from broker.provisioners import limits
from broker.provisioners.base import Work
from broker.provisioners.limits import ROLE_ASSIGNMENTS
from broker.provisioners.recipe import pick
from broker.provisioners.verdicts import Impossible, from_azure, of_azure, request_id

ASK_AGAIN_AFTER = timedelta(minutes=2)
"""A creation that was accepted and came to nothing is asked for once more."""
_ROLE_EXISTS = "RoleAssignmentExists"
_SETTLED = frozenset({"", "succeeded", "ready"})
_FAILED = frozenset({"failed", "canceled"})


def child(said: JsonObject, source: JsonObject, key: UUID, sealed: dict[str, Any]) -> JsonObject:
    """
    Return what to write down of a sub-resource before it is made.

    A password that it is to have is drawn into *sealed*, unless it was before; of it only the place in the body is
    written down, so that it stands in nothing but the binding's seal.
    """
    above = parse(picked(said["below"], source, "what the sub-resource is below")["id"])
    type_ = said["type"].rsplit("/", 1)[-1]
    if said.get("naming") == "uuid":
        name = str(uuid5(NAMESPACE_URL, "\n".join([above.key, type_.lower(), str(key)])))
    else:
        name = f"{said['prefix']}{key.hex}"
    whole = name
    if "qualifier" in said:
        whole = f"{picked(said['qualifier'], source, 'the first part of its name')}.{name}"
    body = said.get("body", {})
    made = {
        "verb": "child",
        "word": said["word"],
        "id": str(above.child(type_, whole)),
        "name": name,
        "api_version": said["api_version"],
        "body": filled(body, {**source, "child": {"name": name}}),
    }
    if "limit" in said:
        made["limit"] = limits.of_child(said["limit"], source)
    places = list(_places_of_secrets(body, ()))
    if places:
        made["secrets"] = places
        sealed.setdefault(said["word"], {"password": secrets.generated_password()})
    return made


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


async def make(arm: Arm, work: Work, made: JsonObject, password: str | None, asked: dict[str, str]) -> bool:
    """
    Make what was written down, with its *password* if it has one; False while Azure still works on it.

    *asked* is when Azure was asked for what it has not made yet, by id; this adds to it.

    Raises:
        Impossible: The principal has this role there already, by somebody else's doing, a limit is reached, or
            Azure could not make it.
        StepFailed: Azure refused or could not be asked.
    """
    found = await _found(arm, work, made)
    if found is None and _is_under_way(work, asked.get(made["id"])):
        return False
    if found is None:
        await work.before_change()
        try:
            found = await arm.put_resource(
                made["id"],
                made["api_version"],
                _with_secret(made, password),
                client_request_id=request_id(work),
                secrets=[password] if password else [],
            )
        except AzureFailure as failure:
            if failure.code.lower() == _ROLE_EXISTS.lower():
                # Sharing it would take it from the other one at the first unbind.
                raise Impossible(
                    f"{short_resource(made['id'])}: this principal has this role here already, by another binding "
                    "or by somebody else, and Azure keeps one assignment of a role only. Use that binding, or bind "
                    "another principal or access.",
                    Refusal(_ROLE_EXISTS, never=False),
                ) from failure
            if failure.status is not None:
                # Another bind may have taken the last place since it was looked at.
                await limits.check(arm, work, made)
            raise of_azure(failure) from failure
        asked[made["id"]] = work.now.isoformat()
        if "id" not in found:
            # What takes long may be answered with nothing, and not be found before it is made.
            found = await _found(arm, work, made)
    if found is not None and _state(found) in _FAILED:
        raise Impossible(
            f"Azure could not make {short_resource(made['id'])}. Nothing is handed out; bind again, and if it "
            "happens again ask an operator to look at it.",
            refusal=None,
        )
    return found is not None and _state(found) in _SETTLED


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
    """Put what is picked in the place of each object that has the one key `pick`, nothing in that of a secret."""
    if isinstance(body, Mapping):
        if set(body) == {"pick"}:
            return pick(body["pick"], source)
        if set(body) == {"secret"}:
            return None
        return {key: filled(value, source) for key, value in body.items()}
    return [filled(item, source) for item in body] if isinstance(body, list) else body


def _is_under_way(work: Work, asked: str | None) -> bool:
    """Tell whether what is not found yet was asked for: a second PUT meanwhile would be refused as a conflict."""
    return asked is not None and work.now - datetime.fromisoformat(asked) < ASK_AGAIN_AFTER


def _places_of_secrets(body: Any, path: tuple[str | int, ...]) -> Iterator[list[str | int]]:
    if isinstance(body, Mapping):
        if set(body) == {"secret"}:
            yield list(path)
        else:
            for key, value in body.items():
                yield from _places_of_secrets(value, (*path, key))
    elif isinstance(body, list):
        for number, value in enumerate(body):
            yield from _places_of_secrets(value, (*path, number))


def _with_secret(made: JsonObject, password: str | None) -> JsonObject:
    body = copy.deepcopy(made["body"])
    for *above, last in made.get("secrets", ()):
        at: Any = body
        for key in above:
            at = at[key]
        at[last] = password
    return dict(body)


async def _found(arm: Arm, work: Work, made: JsonObject) -> JsonObject | None:
    work.guard()
    return await from_azure(
        arm.get_resource(made["id"], made["api_version"], client_request_id=request_id(work))
    )


def _state(found: JsonObject) -> str:
    properties = found.get("properties") or {}
    return str(properties.get("provisioningState") or "").lower()
