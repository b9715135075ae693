"""`settled`: wait for work to its end, whatever the caller is told meanwhile."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("settled",)


async def settled(
    work: Coroutine[Any, Any, Any], *, limit: float = math.inf, grace: float = math.inf
) -> tuple[BaseException | None, asyncio.CancelledError | None]:
    """Run `work` in a task and wait until that has ended, whatever the caller is told meanwhile.

    Args:
        work: What to do.
        limit: Seconds until it is cancelled.
        grace: Seconds until it is cancelled once the caller is.

    Returns:
        What came out of it but its result, and the first cancellation of the caller.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    end = loop.time() + limit
    late = False
    try:
        while not task.done():
            wait = None if end == math.inf else max(0.0, end - loop.time())
            try:
                await asyncio.wait((task,), timeout=wait)
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                if not late:
                    end = min(end, loop.time() + grace)
                continue
            if not task.done() and loop.time() >= end:
                late = True
                end = math.inf
                task.cancel()
        if task.cancelled():
            return (TimeoutError() if late else asyncio.CancelledError()), cancelled
        return task.exception(), cancelled
    finally:
        del cancelled  # its traceback holds this frame
