"""How a reply goes over the wire: whole, cut off in the middle, a few bytes at a time, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.simulator.faults import Fault

PIECES = 10


async def deliver(
    response: Response, fault: Fault | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send a reply as its fault wants it sent."""
    if fault is not None and fault.kind == "truncated" and response.body:
        await _truncated(response, receive, send)
    elif fault is not None and fault.kind == "trickle":
        await _trickled(response, float(fault.options.get("seconds", 1)), send)
    else:
        await response(scope, receive, send)


def abort(send: Send) -> None:
    """Cut the connection without a byte of reply."""
    _transport(send).abort()


async def _truncated(response: Response, receive: Receive, send: Send) -> None:
    """Half the body below a Content-Length of the whole; then the connection ends."""
    body = bytes(response.body)
    await _start(response, send)
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    # Closed and not aborted: what was sent is to arrive.
    _transport(send).close()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _trickled(response: Response, seconds: float, send: Send) -> None:
    body = bytes(response.body)
    size = max(1, -(-len(body) // PIECES))
    await _start(response, send)
    for at in range(0, len(body), size):
        await asyncio.sleep(seconds / PIECES)
        await send({"type": "http.response.body", "body": body[at : at + size], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(response: Response, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )


def _transport(send: Send) -> Any:
    """Uvicorn offers no public way to its connection."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the simulator cut the connection, as a fault asked for")
    return transport
