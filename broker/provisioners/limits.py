"""Azure's hard limits on what bindings make: asked about right before, and told by name when one is reached."""

from __future__ import annotations

from broker.azure.arm import Arm
from broker.azure.distilling import short_resource
from broker.azure.failures import AzureFailure, NotAuthorized
from broker.azure.resource_ids import parse
from broker.domain.json_values import JsonObject
from broker.domain.operations import Refusal
from broker.provisioners.base import Work
from broker.provisioners.recipe import pick
from broker.provisioners.verdicts import Impossible, of_azure, request_id

LIMIT_REACHED = Refusal("LimitReached", never=False)
ROLE_ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
OF_ROLES: JsonObject = {
    "at_most": 4000,
    "counted": "role assignments",
    "remedy": "Azure raises this limit for nobody: unbind what is no longer used, or give roles to groups.",
}
"""Of a subscription and all in it (https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits)."""


def of_child(said: JsonObject, source: JsonObject) -> JsonObject:
    """
    Return what to write down of a sub-resource's limit.

    Raises:
        Impossible: What the limit is cannot be picked.
    """
    at_most = said["at_most"]
    number = pick(at_most, source) if isinstance(at_most, str) else at_most
    if not isinstance(number, int) or isinstance(number, bool):
        raise Impossible(
            f"This binding cannot be made: how many {said['counted']} there may be is not known of its service "
            "instance. Its plan's owner has to look at what the plan's bindings pick."
        )
    return {"at_most": number, "counted": said["counted"], "remedy": said["remedy"]}


async def check(arm: Arm, work: Work, made: JsonObject) -> None:
    """
    Refuse what would be one too many; what is made already is refused no longer.

    A list that the broker's identity may not read is left to Azure, which refuses by itself.

    Raises:
        Impossible: The limit is reached. Nothing was made.
        StepFailed: Azure could not be asked.
    """
    if made["verb"] == "role":
        limit = OF_ROLES
        above = f"/subscriptions/{parse(made['id'].rpartition('/providers/')[0]).subscription}"
        place, told = f"{above}/providers/{ROLE_ASSIGNMENTS}", "The subscription"
    elif "limit" in made:
        limit, place = made["limit"], made["id"].rpartition("/")[0]
        above = place.rpartition("/")[0]
        told = short_resource(above)
    else:
        return
    there = await _there(arm, work, place, made["api_version"], above)
    if there is not None and made["id"].lower() not in there and len(there) >= limit["at_most"]:
        raise Impossible(
            f"{told} has {len(there)} {limit['counted']}, and Azure allows {limit['at_most']}; bind again "
            f"when there is room. {limit['remedy']}",
            LIMIT_REACHED,
        )


async def _there(arm: Arm, work: Work, place: str, api_version: str, above: str) -> set[str] | None:
    """The ids, in small letters, of what counts; None where the broker's identity may not look."""
    work.guard()
    try:
        listed = await arm.listed(place, api_version, client_request_id=request_id(work))
    except NotAuthorized:
        return None
    except AzureFailure as failure:
        raise of_azure(failure) from failure
    # A subscription's list also has what stands on its management groups, which does not count.
    return {str(one["id"]).lower() for one in listed if _stands_at(one).startswith(above.lower())}


def _stands_at(one: JsonObject) -> str:
    return str((one.get("properties") or {}).get("scope") or one["id"]).lower()
