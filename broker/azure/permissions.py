"""What the broker's identity must be allowed to do, and what of that it is not. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from broker.azure.distilling import JsonObject

ALWAYS = (
    "Microsoft.Resources/deployments/read",
    "Microsoft.Resources/deployments/write",
    "Microsoft.Resources/deployments/delete",
    "Microsoft.Resources/deployments/validate/action",
    "Microsoft.Resources/deployments/cancel/action",
    "Microsoft.Resources/deployments/operations/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/resources/read",
)
"""What every plan needs."""

GROUP_PER_INSTANCE = (
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Resources/subscriptions/resourceGroups/delete",
)
"""What a plan needs besides, if it makes a resource group for each instance."""


IN_SUBSCRIPTION = (
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/locations/read",
    "Microsoft.Resources/subscriptions/providers/read",
    "Microsoft.Resources/providers/read",
    "Microsoft.Resources/subscriptions/resources/read",
    "Microsoft.Authorization/permissions/read",
)
"""What helps in the subscription: regions, providers and lost resources are looked up; nothing is made or changed."""

ASSIGNS_ROLES = (
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/delete",
)
"""What a plan needs besides, if its bindings assign roles."""


TAGS = ("Microsoft.Resources/tags/read", "Microsoft.Resources/tags/write")
"""What a plan needs besides, if something that exists can be adopted under it to be managed."""


def purging_actions(collections: Iterable[str]) -> tuple[str, ...]:
    """Return what is needed in the subscription to purge from *collections*, where Azure keeps what was deleted."""
    return tuple(
        action for each in sorted(collections) for action in (f"{each}/read", f"{each}/purge/action")
    )


def needed_actions(
    resource_types: Iterable[str],
    *,
    parts: Iterable[str] = (),
    posts: Iterable[str] = (),
    group_per_instance: bool = False,
    assigns_roles: bool = False,
    tags: bool = False,
) -> tuple[str, ...]:
    """
    Return the actions that a plan with these resource types needs, each once.

    *parts* are types that are written, but go with what they are part of: some cannot be deleted by themselves, and
    Azure takes no role with an action that does not exist. *posts* are what is posted to resources, with the
    type: "Microsoft.Storage/storageAccounts/listKeys".
    """
    actions = [
        *ALWAYS,
        *(GROUP_PER_INSTANCE if group_per_instance else ()),
        *(ASSIGNS_ROLES if assigns_roles else ()),
        *(TAGS if tags else ()),
        *(f"{type_}/{verb}" for type_ in resource_types for verb in ("read", "write", "delete")),
        *(f"{type_}/{verb}" for type_ in parts for verb in ("read", "write")),
        *(f"{post}/action" for post in posts),
    ]
    return tuple(dict.fromkeys(actions))


def missing_actions(granted: Iterable[JsonObject], needed: Iterable[str]) -> tuple[str, ...]:
    """
    Return those of *needed* that no entry of *granted* allows.

    *granted* is Azure's answer about permissions. An entry allows what one of its `actions` matches and none of
    its `notActions` does; what one entry leaves out another may still allow. `*` stands for anything, case
    does not count (Azure, "Understand Azure role definitions").
    """
    entries = [(_patterns(entry.get("actions")), _patterns(entry.get("notActions"))) for entry in granted]
    return tuple(
        action
        for action in needed
        if not any(
            _matches(allowed, action) and not _matches(left_out, action) for allowed, left_out in entries
        )
    )


def _patterns(said: object) -> list[re.Pattern[str]]:
    wildcards = said if isinstance(said, list) else []
    return [
        re.compile(".*".join(map(re.escape, str(one).split("*"))), re.IGNORECASE | re.DOTALL)
        for one in wildcards
    ]


def _matches(patterns: Iterable[re.Pattern[str]], action: str) -> bool:
    return any(pattern.fullmatch(action) for pattern in patterns)
