"""Finding tasks that nobody awaits any more, and telling where a task waits.

A task that outlives the call that started it keeps connections open, hides its exception and
disturbs the next test.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from types import FrameType

__all__ = ("LeakedTaskError", "describe_tasks", "no_leaked_tasks", "where")

_SHOWN = 10  # a deadlock of a thousand workers is understood from ten
_CREATED = inspect.CORO_CREATED
_LIBRARY = str(PurePath(asyncio.__file__).parent)


class LeakedTaskError(AssertionError):
    """A task was started and still runs where it should have ended."""


@contextmanager
def no_leaked_tasks() -> Generator[None]:
    """Fail if a task that starts inside the block still runs at its end.

    Tasks that ran before the block began are left alone. A block that ends with an exception is
    not checked, so that the exception is what the test shows. Leaked tasks are not cancelled.

    Raises:
        LeakedTaskError: Tasks are left; the message says which and where each of them waits.
        RuntimeError: No event loop is running.

    Example:
        >>> import asyncio
        >>> async def main() -> None:
        ...     with no_leaked_tasks():
        ...         async with asyncio.TaskGroup() as group:
        ...             group.create_task(asyncio.sleep(0))
        >>> asyncio.run(main())
    """
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before
    if left:
        message = f"{len(left)} task(s) still run after their block:\n{describe_tasks(left)}"
        raise LeakedTaskError(message)


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return one line for each task: its name, what it runs and where it waits.

    Args:
        tasks: The tasks, in any order; shown by name, and no more than ten of them.
    """
    lines = sorted(f"  {task.get_name()}: {where(task)}" for task in tasks)
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"  … and {len(lines) - _SHOWN} more"]
    return "\n".join(lines)


def where(task: asyncio.Task[Any]) -> str:
    """Tell what a task runs and at which line it waits.

    The line is the innermost one outside asyncio; what it awaits is named besides.

    Example:
        >>> import asyncio
        >>> async def main() -> str:
        ...     task = asyncio.create_task(asyncio.Event().wait(), name="waiter")
        ...     await asyncio.sleep(0)
        ...     found = where(task)
        ...     task.cancel()
        ...     return found
        >>> asyncio.run(main())
        'Event.wait waits in Event.wait'
    """
    coroutine: Any = task.get_coro()
    frames = list(_frames(coroutine))
    what = getattr(coroutine, "__qualname__", None) or type(coroutine).__name__
    if not frames:
        return f"{what} has ended"
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == _CREATED:
        return f"{what} has not started"
    inner = frames[-1].f_code
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(_LIBRARY)]
    parts = [f"{what} waits"]
    if inner.co_filename.startswith(_LIBRARY):
        parts.append(f"in {inner.co_qualname}")
    if own:
        code = own[-1].f_code
        parts.append(f"at {PurePath(code.co_filename).name}:{own[-1].f_lineno}, {code.co_name}")
    return " ".join(parts)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, outermost first, through all that it awaits."""
    while awaited is not None:
        frame = None
        inner = None
        for prefix, follow in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = frame or getattr(awaited, f"{prefix}_frame", None)
            inner = inner or getattr(awaited, follow, None)
        if frame is not None:
            yield frame
        awaited = inner
