"""Ending tasks, so that none outlives the call that started it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ("end",)

INSIST = 1.0
"""Seconds until a task that has outlived its cancellation is cancelled again."""


async def end(*tasks: Future[Any]) -> None:
    """Cancel tasks and see them end, though they resist, and though we are cancelled meanwhile.

    What they return or raise is theirs to tell: it is not raised here.

    Raises:
        CancelledError: This call was cancelled, and all tasks have ended.
    """
    cancelled: asyncio.CancelledError | None = None
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=INSIST)
        except asyncio.CancelledError as error:
            cancelled = error  # it holds, but no task may outlive us
    if cancelled is not None:
        raise cancelled
