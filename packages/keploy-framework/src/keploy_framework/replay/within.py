"""A time limit that holds even for what does not want to be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("CancelledItselfError", "TookTooLongError", "within")

T = TypeVar("T")

_GRACE = 1.0


class TookTooLongError(Exception):
    """The time is over."""


class CancelledItselfError(Exception):
    """The work was cancelled, and not by us."""


async def within(  # noqa: C901 - one course of events, with the ways in which it can end
    seconds: float, work: Coroutine[object, object, T]
) -> T:
    """Run a coroutine in a task and a context of its own, and return what it returns.

    After the time it is cancelled; if it has not ended a second later, it is left behind.

    Raises:
        TookTooLongError: The time was over first.
        CancelledItselfError: The work was cancelled by something in it.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    async def run() -> T:
        try:
            return await work
        finally:
            end()  # from within: a callback of the task would cost one more turn of the loop

    if sys.version_info >= (3, 12):
        # What never waits is over at once, without a turn of the loop.
        task = asyncio.Task(run(), loop=loop, context=context, eager_start=True)
        if task.done():
            return _result(task)
    else:
        task = loop.create_task(run(), context=context)
    task.add_done_callback(lambda _: end())  # for one that is cancelled before it began
    late = False
    grace: asyncio.TimerHandle | None = None

    def stop() -> None:
        nonlocal late, grace
        late = True
        task.cancel()
        grace = loop.call_later(_GRACE, end)

    timer = loop.call_later(seconds, stop)
    try:
        await ended
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        raise
    finally:
        timer.cancel()
        if grace is not None:
            grace.cancel()
    if task.cancelled():
        work.close()  # it may not have begun
    if late and not (task.done() and not task.cancelled() and task.exception() is None):
        raise TookTooLongError
    return _result(task)


def _result(task: asyncio.Task[T]) -> T:
    if task.cancelled():
        raise CancelledItselfError
    return task.result()
