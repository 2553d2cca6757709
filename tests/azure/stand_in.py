"""A scripted Resource Manager: it answers what a test told it to, and remembers what it was asked."""

import json
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from broker.azure.arm import Arm
from broker.azure.calls import Call
from broker.azure.clouds import custom
from broker.azure.credentials import FileToken
from broker.azure.transport import http_client

HEADERS = {"x-ms-request-id": "req-1", "x-ms-correlation-request-id": "corr-1"}


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class StandIn:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.calls: list[Call] = []
        self._replies: dict[tuple[str, str], deque] = defaultdict(deque)

    def will_answer(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> None:
        """Answer the next such request so; the last answer told stays."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._replies[method, path.lower()].append((status, {**HEADERS, **named}, raw))

    async def __call__(self, scope, receive, send) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode()))
        self.asked.append(
            Asked(scope["method"], scope["path"], query, headers, json.loads(raw) if raw else None)
        )
        replies = self._replies[scope["method"], scope["path"].lower()]
        missing = (404, HEADERS, b'{"error": {"code": "ResourceNotFound", "message": "Not told."}}')
        status, headers, body = (
            missing if not replies else replies[0] if len(replies) == 1 else replies.popleft()
        )
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})


CLOUD = custom("https://arm.test")


@asynccontextmanager
async def arm_over(stand_in: StandIn, token_file: Path, **options: Any):
    token_file.write_text("first-token")
    async with http_client(transport=httpx.ASGITransport(stand_in)) as client:
        yield Arm(
            cloud=CLOUD,
            credential=FileToken(token_file),
            client=client,
            on_call=stand_in.calls.append,
            **options,
        )
