"""What becomes of an exception: a JSON object in every case, a trace in none."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker.api.answers import refused
from broker.errors import BrokerError, MalformedRequest, MethodNotAllowed, NotFound, Unforeseen

log = structlog.get_logger(__name__)


async def on_refusal(_request: Request, refusal: Exception) -> Response:
    """Answer a refusal that the broker decided upon."""
    assert isinstance(refusal, BrokerError), "registered for this class only"
    return refused(refusal)


async def on_http_exception(request: Request, fault: Exception) -> Response:
    """Answer what routing refuses, in the specification's form."""
    assert isinstance(fault, HTTPException), "registered for this class only"
    if fault.status_code == 405:
        allowed = (fault.headers or {}).get("Allow", "")
        return refused(
            MethodNotAllowed("This path has no such method.", allowed=[m for m in allowed.split(", ") if m])
        )
    if fault.status_code == 404:
        return refused(
            NotFound(f"There is no such path; those of this API begin with {request.app.state.root}.")
        )
    return refused(MalformedRequest("The request cannot be read."))


async def on_fault(request: Request, fault: Exception) -> Response:
    """Log an unforeseen exception once, whole, and tell the client only where to find it."""
    caller = request.scope.get("osb.caller") or request.scope.get("osb.operator")
    log.error(
        "A request met an unforeseen fault.",
        method=request.method,
        route=getattr(request.scope.get("route"), "path", None),
        request_identity=getattr(caller, "request_identity", None),
        exc_info=fault,
    )
    return refused(Unforeseen())


def install(app: FastAPI, *, root: str) -> None:
    """Let every exception of *app*, whose paths begin with *root*, end here."""
    app.state.root = root
    app.add_exception_handler(BrokerError, on_refusal)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_fault)
