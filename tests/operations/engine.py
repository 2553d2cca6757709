"""Orders for the engine, and waiting for what comes of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from broker.domain.operations import Operation
from broker.operations.runner import Runner, RunnerOptions
from broker.store import bindings, instances, operations
from broker.store.database import Database


@asynccontextmanager
async def a_runner(database: Database, provisioner, name="runner-1", **options) -> AsyncIterator[Runner]:
    """A runner at work; it is stopped in order at the end."""
    runner = Runner(database, {"imagined": provisioner}, RunnerOptions(name=name, **options))
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.stop()
        await task


async def accept(database: Database, operation: Operation, *, instance=None, binding=None) -> Operation:
    """Do what a request does: one transaction with the instance or binding and the operation."""
    async with database.transaction() as tx:
        if instance is not None:
            await instances.add(tx, instance)
        if binding is not None:
            await bindings.add(tx, binding)
        operation = replace(operation, created_at=tx.now, due_at=tx.now)
        await operations.add(tx, operation)
    return operation


async def ended(database: Database, operation: Operation, *, within: float = 20) -> Operation:
    """Await the operation's end as a request does; the time is for a machine under load."""
    with database.wakeups.finished(operation.id) as awaited:
        assert await awaited.wait(timedelta(seconds=within)), "the operation did not end in time"
    async with database.transaction(read_only=True) as tx:
        return await operations.get(tx, operation.id)


async def until(condition: Callable, *, seconds: float = 20) -> None:
    """Wait for a condition, an async function; the time is for a machine under load."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)
