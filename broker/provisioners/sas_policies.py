"""A binding's stored access policy on a blob container; the account key is asked for each time and kept nowhere."""

from __future__ import annotations

from broker.azure.arm import Arm
from broker.data_planes import storage
from broker.data_planes.base import DataPlaneFailure, ServerGone, Unreachable
from broker.data_planes.storage import Container, TooManyPolicies
from broker.domain.bindings import ServiceBinding
from broker.domain.json_values import JsonObject
from broker.provisioners import databases, limits
from broker.provisioners.base import StepFailed, Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import pick
from broker.provisioners.sub_resources import picked
from broker.provisioners.verdicts import Impossible, from_azure, of_data_plane, request_id

_PREFIX = "osb-"


VERB = "sas_policy"


def described(said: JsonObject, source: JsonObject, binding: ServiceBinding) -> JsonObject:
    """Return what to write down of a policy before it is made."""
    key = said["key"]
    account = picked(key["resource"], source, "the storage account")
    return {
        "verb": VERB,
        "word": said["word"],
        "policy": f"{_PREFIX}{binding.key.hex}",
        **{
            name: picked(said[name], source, name)
            for name in ("endpoint", "account", "container", "permissions")
        },
        "key": {
            "resource": {"id": account["id"], "api_version": account["api_version"]},
            "name": key["name"],
            "pick": key["pick"],
        },
    }


async def put(
    arm: Arm, options: ProvisionerOptions, work: Work, made: JsonObject, binding: ServiceBinding
) -> str:
    """
    Make the policy, or find it, and return the token that hangs on it.

    Raises:
        Impossible: The container has as many policies as Azure allows.
        StepFailed: Azure or the storage service refused or could not be asked.
    """
    container = await _container(arm, options, work, made)
    await work.before_change()
    try:
        await storage.put_policy(
            container,
            made["policy"],
            permissions=made["permissions"],
            expires_at=binding.expires_at,
            lease=binding.key,
        )
    except TooManyPolicies as failure:
        raise Impossible(failure.message, limits.LIMIT_REACHED) from failure
    except DataPlaneFailure as failure:
        raise of_data_plane(failure, work) from failure
    return storage.sas_token(container, made["policy"])


async def remove(
    arm: Arm, options: ProvisionerOptions, work: Work, made: JsonObject, binding: ServiceBinding
) -> None:
    """
    Take the policy away; with the account it is gone as well.

    Raises:
        StepFailed: The storage service refused or could not be asked, and the account is there.
    """
    account = made["key"]["resource"]
    if not await databases.is_there(arm, work, account):
        return
    try:
        container = await _container(arm, options, work, made)
    except StepFailed:
        if await databases.is_there(arm, work, account):
            raise
        return  # It went while it was asked for its key.
    await work.before_change()
    try:
        await storage.remove_policy(container, made["policy"], lease=binding.key)
    except (ServerGone, Unreachable) as failure:
        if await databases.is_there(arm, work, account):
            raise of_data_plane(failure, work) from failure
    except DataPlaneFailure as failure:
        raise of_data_plane(failure, work) from failure


def signed(options: ProvisionerOptions, made: JsonObject, answer: JsonObject) -> str:
    """
    Return the token that hangs on a policy, signed with the key that *answer* tells.

    Raises:
        Impossible: It tells none.
    """
    return storage.sas_token(_of_key(options, made, answer), made["policy"])


async def _container(arm: Arm, options: ProvisionerOptions, work: Work, made: JsonObject) -> Container:
    key = made["key"]
    work.guard()
    answer = await from_azure(
        arm.action(
            key["resource"]["id"],
            key["name"],
            key["resource"]["api_version"],
            client_request_id=request_id(work),
        )
    )
    return _of_key(options, made, answer)


def _of_key(options: ProvisionerOptions, made: JsonObject, answer: JsonObject) -> Container:
    found = pick(made["key"]["pick"], {"answer": answer})
    if not isinstance(found, str):
        raise Impossible(
            f"Azure gave no key for the storage account '{made['account']}'. An operator has to look at its keys."
        )
    return Container(
        endpoint=made["endpoint"],
        account=made["account"],
        name=made["container"],
        key=found,
        ca_file=options.data_plane_ca_file,
    )
