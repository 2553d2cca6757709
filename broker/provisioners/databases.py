"""The database inside a server: where it is, who administers it, and what its plan declares of it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from broker.azure.arm import Arm
from broker.data_planes.base import DataPlaneFailure, Server, ServerGone, Unreachable
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.provisioners.base import Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.records import secrets_of
from broker.provisioners.verdicts import Impossible, from_azure, of_data_plane, request_id

Answer = TypeVar("Answer")


def described(recipe: Recipe, record: JsonObject, outputs: Mapping[str, Any]) -> JsonObject | None:
    """Return what to write down of the plan's database once its server is there; None if the plan has none."""
    said = recipe.database
    if said is None:
        return None
    source = {"outputs": dict(outputs), "names": record["names"], "record": record}
    return {
        "kind": said["kind"],
        "host": pick(said["host"], source),
        "port": said["port"],
        "database": pick(said["database"], source),
        "owner_role": pick(said["owner_role"], source) if "owner_role" in said else "",
        "server": said["server"],
    }


def kind_of(database: JsonObject) -> str:
    """Return the kind of a database, or of a login in it; what was written down before there were two has none."""
    return str(database.get("kind", "postgresql"))


def extensions(recipe: Recipe, parameters: Mapping[str, Any]) -> list[str]:
    """Return the extensions that the database is to have."""
    expression = (recipe.database or {}).get("extensions")
    return list(pick(expression, {"parameters": dict(parameters)}) or ()) if expression else []


def server_of(
    database: JsonObject,
    instance: ServiceInstance,
    parent: ServiceInstance | None,
    options: ProvisionerOptions,
) -> Server:
    """
    Return the server with its administrator, whose password is sealed with the instance that made the server.

    Raises:
        Impossible: That instance is no longer known, or its seal cannot be opened.
    """
    holder = parent if database["server"] == "parent" else instance
    secrets = secrets_of(holder) if holder else {}
    if "administrator_password" not in secrets and holder is not None and holder.unopened:
        raise Impossible(
            f"The administrator's password of the database server {database['host']} is sealed with the key "
            f"'{holder.unopened}', which the broker does not have; an operator has to put it back."
        )
    if "administrator_password" not in secrets:
        raise Impossible(
            f"The administrator of the database server {database['host']} is not known any more. "
            "An operator has to look at the service instance that made it."
        )
    return Server(
        host=database["host"],
        port=database["port"],
        administrator=secrets["administrator_login"],
        password=secrets["administrator_password"],
        ca_file=options.data_plane_ca_file,
    )


async def from_server(
    work: Work, call: Coroutine[Any, Any, Answer], *, unknown_at_most: int | None = None
) -> Answer:
    """
    Await work inside a database server; *unknown_at_most*: how often its name may be unknown before that is final.

    Raises:
        StepFailed: With the server's reason.
    """
    await _let_pass(work, call)
    try:
        return await call
    except DataPlaneFailure as failure:
        told = of_data_plane(failure, work)
        if isinstance(failure, ServerGone):
            told.at_most = unknown_at_most
        raise told from failure


async def unless_gone(arm: Arm, work: Work, main: JsonObject | None, call: Coroutine[Any, Any, None]) -> bool:
    """
    Await work inside a database server that may have been deleted; False when Azure says that it was.

    Raises:
        StepFailed: The work failed, and the server is there.
    """
    await _let_pass(work, call)
    try:
        await call
    except (ServerGone, Unreachable) as failure:
        if await is_there(arm, work, main):
            raise of_data_plane(failure, work) from failure
        return False
    except DataPlaneFailure as failure:
        raise of_data_plane(failure, work) from failure
    return True


async def is_there(arm: Arm, work: Work, main: JsonObject | None) -> bool:
    """
    Ask Azure whether a server is still there.

    Raises:
        StepFailed: Azure could not be asked.
    """
    if main is None:
        return False
    work.guard()
    found = await from_azure(
        arm.get_resource(main["id"], main["api_version"], client_request_id=request_id(work))
    )
    return found is not None


async def _let_pass(work: Work, call: Coroutine[Any, Any, object]) -> None:
    try:
        await work.before_change()
    except BaseException:
        call.close()
        raise
