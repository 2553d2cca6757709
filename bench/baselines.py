"""
The bare servers that the broker is compared with: uvicorn and the least that could answer at all.

Run as `python -m bench.baselines PLAN.json`: serves until SIGTERM what the plan says, behind the broker's own
check of credentials, with the same loop and parser.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg_pool
import uvicorn
import uvloop

from broker.api.authentication import Authentication
from broker.setting_values import PlatformCredentials

SELECT = (
    b"SELECT status, kind, description, instance_usable, update_repeatable, finished_at, due_at FROM operations "
    b"WHERE platform = %s AND instance_id = %s AND binding_id IS NULL ORDER BY number DESC LIMIT 1"
)


class Statements:
    """What the broker said to its database for one order, to be said again for others in one transaction."""

    def __init__(self, said: list[tuple[str, Any]], instance_id: str) -> None:
        self._said = said
        self._instance_id = instance_id

    async def say(self, connection: Any, instance_id: str) -> UUID:
        """Say them for another instance: its id and each key that was drawn are new, all other values the same."""
        drawn: dict[UUID, UUID] = {}
        operation = uuid4()

        def renewed(value: Any) -> Any:
            if isinstance(value, UUID):
                return drawn.setdefault(value, uuid4())
            return value.replace(self._instance_id, instance_id) if isinstance(value, str) else value

        async with connection.transaction(), connection.cursor() as cursor:
            for statement, values in self._said:
                fresh = {name: renewed(value) for name, value in values.items()} if values else None
                await cursor.execute(statement, fresh)
        return operation


class Bare:
    """Three paths: bytes known from the start, one SELECT, and one order's statements."""

    def __init__(self, plan: dict[str, Any]) -> None:
        platform = plan["platform"]
        self._authentication = Authentication(
            [
                PlatformCredentials(
                    name=platform["name"], username=platform["name"], passwords=platform["passwords"]
                )
            ]
        )
        self._platform = platform["name"]
        self._body = Path(plan["body_file"]).read_bytes()
        self._etag = plan["etag"].encode()
        self._headers = [(name.encode(), value.encode()) for name, value in plan["headers"]]
        self._short = [
            (name, value) for name, value in self._headers if name not in {b"content-length", b"content-type"}
        ]
        self._statements: Statements | None = None
        if "statements_file" in plan:
            # Written a moment ago by the same user's own process, in its own folder.
            said = pickle.loads(Path(plan["statements_file"]).read_bytes())
            self._statements = Statements(said, plan["recorded_id"])
        self.pool: psycopg_pool.AsyncConnectionPool[Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = dict(scope["headers"])
        if self._authentication.platform(head.get(b"authorization")) is None:
            await _send(send, 401, [(b"content-length", b"0")], b"")
        elif scope["path"] == "/v2/catalog":
            if head.get(b"if-none-match") == self._etag:
                await _send(send, 304, self._short, b"")
            else:
                await _send(send, 200, self._headers, self._body)
        elif scope["method"] == "PUT":
            await self._accept(scope["path"].split("/")[3], receive, send)
        else:
            await self._poll(scope["path"].split("/")[3], send)

    async def _accept(self, instance_id: str, receive: Any, send: Any) -> None:
        assert self.pool is not None
        assert self._statements is not None
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        json.loads(body)
        async with self.pool.connection() as connection:
            operation = await self._statements.say(connection, instance_id)
        answer = json.dumps({"operation": str(operation)}, separators=(",", ":")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await _send(send, 202, headers, answer)

    async def _poll(self, instance_id: str, send: Any) -> None:
        assert self.pool is not None
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SELECT, (self._platform, instance_id))
            row = await cursor.fetchone()
        assert row is not None
        body = json.dumps({"state": row[0], "description": row[2]}, separators=(",", ":")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await _send(send, 200, headers, body)


async def _send(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve(plan: dict[str, Any]) -> None:
    app = Bare(plan)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", plan["port"]))
    config = uvicorn.Config(
        app, http="httptools", loop="none", lifespan="off", ws="none", log_config=None, access_log=False,
        server_header=False,
    )  # fmt: skip
    pool = psycopg_pool.AsyncConnectionPool(
        plan["database_url"],
        min_size=plan["pool"],
        max_size=plan["pool"],
        kwargs={"autocommit": True},
        open=False,
    )
    async with pool:
        app.pool = pool
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    asyncio.set_event_loop(None)
