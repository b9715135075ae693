"""Ending: tasks, so that none outlives the call that started it, and calls that are cancelled."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tta_agent_coordination.errors import MessageCoordinatorError

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncGenerator

__all__ = ("PARTING", "end", "parting")

PARTING = 0.2
"""What is undone at the end of a call may take so many seconds; beyond, the end of a lease does it.
Some calls undo two things, and must end within half a second though the server is silent."""

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


@asynccontextmanager
async def parting() -> AsyncGenerator[None]:
    """Try what a block does, but not for long, and do without it where the server is away.

    For what a call has to undo when it is cancelled: what cancelled it must arrive, and soon.

    Raises:
        CancelledError: The block was cancelled.

    Example:
        >>> async def main() -> None:
        ...     async with parting():
        ...         raise MessageCoordinatorError("the server is away")
        >>> asyncio.run(main())
    """
    with suppress(TimeoutError, MessageCoordinatorError):
        async with asyncio.timeout(PARTING):
            yield
