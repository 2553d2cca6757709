"""The custom role that the broker's identity needs for a catalog, and the condition under which it assigns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from broker.azure.permissions import IN_SUBSCRIPTION, needed_actions, purging_actions
from broker.catalog.rights import Rights
from broker.provisioners.preflight import NAME_CHECKS

NAME = "Azure Service Broker"
CONDITION_VERSION = "2.0"
MAY_ASSIGN_ANYTHING = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}
"""Built-in roles that hold roleAssignments/write (Azure, "Azure built-in roles")."""

_NAMED_ROLES = re.compile(r"GuidEquals\s*\{([^}]*)\}", re.IGNORECASE)


def group_role(rights: Rights, scopes: Sequence[str], *, own_groups: bool = False) -> dict[str, Any]:
    """
    Return the role for the groups in which the broker works, in the form that `az role definition create` takes.

    With *own_groups*, plans that make a group for each instance, it is for the subscription.
    """
    actions = needed_actions(
        rights.types,
        parts=rights.parts,
        posts=sorted(rights.posts),
        group_per_instance=own_groups,
        assigns_roles=bool(rights.roles),
        tags=rights.tags,
    )
    return _role(NAME, "What the Azure Service Broker does for its catalog's plans.", actions, scopes)


def subscription_role(rights: Rights, scopes: Sequence[str]) -> dict[str, Any]:
    """
    Return the role for the subscription: reading, asking whether names are free, and purging.

    The broker works without it, but does not purge what orders want purged.
    """
    namespaces = {name.partition("/")[0].lower() for name in rights.types}
    asked = [
        f"{where.removesuffix('/{location}')}/checkNameAvailability/*"
        for of, where in sorted(NAME_CHECKS.items())
        if of.partition("/")[0] in namespaces
    ]
    actions = (*IN_SUBSCRIPTION, *dict.fromkeys(asked), *purging_actions(rights.purges))
    return _role(
        f"{NAME} (subscription)",
        "What the Azure Service Broker looks up in its subscription.",
        actions,
        scopes,
    )


def _role(name: str, description: str, actions: Sequence[str], scopes: Sequence[str]) -> dict[str, Any]:
    return {
        "Name": name,
        "IsCustom": True,
        "Description": description,
        "Actions": list(actions),
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": list(scopes),
    }


def condition(roles: Iterable[str]) -> str:
    """
    Return the condition by which whoever holds it can give and take *roles* alone (GUIDs of role definitions).

    Azure, "Examples to delegate Azure role assignment management with conditions", version 2.0.
    """
    listed = ", ".join(sorted(roles))
    return " AND ".join(
        f"((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{action}'}})) OR "
        f"(@{side}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] "
        f"ForAnyOfAnyValues:GuidEquals {{{listed}}}))"
        for action, side in (("write", "Request"), ("delete", "Resource"))
    )


def not_in_conditions(assignments: Sequence[Mapping[str, Any]], roles: Iterable[str]) -> list[str]:
    """
    Return those of *roles* that no assignment of *assignments* lets its holder assign.

    They are the holder's own. An assignment without a condition lets through what its role allows; of a condition the
    lists of GUIDs are read, and nothing else of it: that it is there and names a role is taken as leave.
    """
    named: set[str] = set()
    for assignment in assignments:
        said = str((assignment.get("properties") or {}).get("condition") or "")
        if not said:
            return []
        lists = [{each.strip().lower() for each in found.split(",")} for found in _NAMED_ROLES.findall(said)]
        named |= set.intersection(*lists) if lists else set()
    return sorted(set(roles) - named)


def may_assign(assignments: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """
    Return those of a holder's *assignments* by which it can assign roles, as far as that can be seen.

    They are those of Azure's own roles that can, and all that have a condition about role assignments.
    """
    return [
        each
        for each in assignments
        if str((said := each.get("properties") or {}).get("roleDefinitionId", "")).rpartition("/")[2].lower()
        in MAY_ASSIGN_ANYTHING
        or "Microsoft.Authorization/roleAssignments" in str(said.get("condition"))
    ]
