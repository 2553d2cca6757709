"""
What the broker says to its database while it accepts one order.

Run as `python -m bench.recording ORDER.json STATEMENTS`, with a broker's environment: it accepts the order in this
process, writes the statements and values down (pickled: values are times, UUIDs and bytes), and leaves the order there.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.engine import Engine

from broker.app import running
from broker.settings import read_settings


async def _record(order: dict[str, Any]) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        said.append((statement, values))

    async with running(read_settings(), with_runner=False) as broker:
        transport = httpx.ASGITransport(broker.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://broker") as client:
            event.listen(Engine, "before_cursor_execute", listen)
            answer = await client.put(order["path"], headers=order["headers"], json=order["body"])
            event.remove(Engine, "before_cursor_execute", listen)
    answer.raise_for_status()
    return said


if __name__ == "__main__":
    order_file, statements_file = map(Path, sys.argv[1:])
    said = asyncio.run(_record(json.loads(order_file.read_text(encoding="utf-8"))))
    statements_file.write_bytes(pickle.dumps(said))
