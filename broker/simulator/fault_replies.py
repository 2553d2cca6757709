"""What a fault answers in place of a reply, and what it makes of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from broker.simulator.arm_errors import ArmError, group_not_found, resource_not_found
from broker.simulator.faults import Fault
from broker.simulator.resource_ids import ResourceId

# Status, code and message where the fault does not say.
USUAL: Mapping[str, tuple[int, str, str]] = {
    "throttle": (429, "TooManyRequests", "The request is being throttled."),
    "error": (500, "InternalServerError", "The server encountered an error."),
    "delete_refused": (409, "AnotherOperationInProgress", "Another operation is in progress."),
}


def retry_after(value: Any) -> dict[str, str]:
    """A `Retry-After` of seconds, or of text as it is, such as a date."""
    return {} if value is None else {"Retry-After": str(value)}


async def instead(fault: Fault, method: str, path: str, challenge: str) -> Response | None:
    """
    The reply in place of the handler's; None when the call goes on to it.

    Raises:
        ArmError: What the fault refuses as Azure does.
    """
    options = fault.options
    match fault.kind:
        case "slow":
            await asyncio.sleep(float(options.get("seconds", 1)))
            return None
        case "unseen" if method != "PUT":
            raise not_there(path)
        case "expired_token":
            raise expired(challenge)
        case "throttle" | "error" | "delete_refused":
            return _asked_for(fault)
        case _:
            return None


def _asked_for(fault: Fault) -> Response:
    options = fault.options
    status, code, message = USUAL[fault.kind]
    status = int(options.get("status", status))
    headers = retry_after(options.get("retry_after", 1 if fault.kind == "throttle" else None))
    if options.get("html"):
        page = f"<html><head><title>{status}</title></head><body><h1>Service unavailable</h1></body></html>"
        return Response(page, status, headers, "text/html")
    error = {"code": str(options.get("code", code)), "message": options.get("message", message)}
    return Response(json.dumps({"error": error}), status, headers, "application/json")


def code_of(fault: Fault) -> str | None:
    """The error code of the reply that `instead` gives; None for a page of HTML."""
    usual = USUAL.get(fault.kind)
    return str(fault.options.get("code", usual[1])) if usual and not fault.options.get("html") else None


def not_there(path: str) -> ArmError:
    """The 404 that Azure gives for something at this path."""
    parts = path.strip("/").split("/")
    if len(parts) == 4:
        return group_not_found(parts[3])
    if parts[-2].lower() == "deployments":
        return ArmError(404, "DeploymentNotFound", f"Deployment '{parts[-1]}' could not be found.")
    try:
        identity = ResourceId.parse(path)
    except ValueError:
        return ArmError(404, "NotFound", f"There is nothing at '{path}'.")
    return resource_not_found(identity.type, identity.full_name, identity.group)


def expired(challenge: str) -> ArmError:
    """The 401 of a token that was good once."""
    now = datetime.now(UTC)
    return ArmError(
        401,
        "ExpiredAuthenticationToken",
        f"The access token expiry UTC time is earlier than current UTC time '{now:%m/%d/%Y %I:%M:%S %p}'.",
        headers={"WWW-Authenticate": challenge},
    )


def changed(fault: Fault, response: Response) -> Response:
    """The handler's reply as the fault lets it out: another header, another type, no body."""
    options = fault.options
    match fault.kind:
        case "empty":
            kept = {
                name: value
                for name, value in response.headers.items()
                if name not in {"content-type", "content-length"}
            }
            return Response(None, response.status_code, kept)
        case "wrong_type":
            response.headers["content-type"] = str(options.get("content_type", "text/html"))
        case "retry_after":
            response.headers.update(retry_after(options.get("value", 0)))
        case _:
            pass
    return response
