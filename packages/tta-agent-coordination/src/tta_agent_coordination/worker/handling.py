"""`Handling`: a handler that runs in the task of its message, and can be told to give up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tta_agent_coordination import tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tta_agent_coordination.messaging import Lease

__all__ = ("Handling",)


class Handling:
    """A handler at work, in the current task.

    To give it up is to cancel the task while the handler runs, and to take the cancellation back
    when it has ended: the task goes on, and settles the message.

    Args:
        lease: What it works on.
        seconds: It is given up after so many; None is never.

    Attributes:
        lease: What it works on.
        given_up: Whether it was told to give up.
    """

    __slots__ = ("_cancelled", "_loop", "_task", "_timer", "given_up", "lease")

    def __init__(self, lease: Lease, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._cancelled = 0
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.give_up)
        self.lease: Lease = lease
        self.given_up: bool = False

    async def run(self, work: Awaitable[object]) -> object:
        """Await the handler, and return what it returns; once."""
        try:
            return await work
        finally:
            if self._timer is not None:
                self._timer.cancel()
            task, self._task = self._task, None
            if task is not None:
                for _ in range(self._cancelled):
                    task.uncancel()

    def give_up(self) -> None:
        """Cancel the handler, and again where it outlives that; nothing if it has ended."""
        if self._task is None:
            return
        self.given_up = True
        self._cancelled += 1
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(tasks.INSIST, self.give_up)
        self._task.cancel()
