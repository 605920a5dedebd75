"""How tasks are ended: cancelled until they have ended.

Waiting for something with a limit is `asyncio.timeout`, never `asyncio.wait_for`: that of Python
3.11 passes over a cancel that comes in the moment in which what it waits for is done, and a loop
around it goes on for ever. Libraries wait so too (nats-py asks with it), so one cancel is never
enough.
"""

import asyncio
from typing import Any

CANCEL_AGAIN_SECONDS = 0.2


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended; what they raise is passed over."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)
        for task in done:
            task.cancelled() or task.exception()  # seen, so that nobody is warned of it
