"""Work of drivers that block, in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

# Threads of our own: a server that does not answer is not to hold up those that resolve names.
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="database")


async def in_a_thread(work: Callable[[threading.Event], Result]) -> Result:
    """
    Do *work* in a thread. It is handed what tells it that nobody awaits it any more, and begins nothing after that.

    What is under way when the awaiting task is cancelled goes on, for its own time-out at most.
    """
    loop, given_up = asyncio.get_running_loop(), threading.Event()
    try:
        return await loop.run_in_executor(_THREADS, work, given_up)
    except asyncio.CancelledError:
        # The operation may be another's by now: what a thread did on its own would come after what that one does.
        given_up.set()
        raise
