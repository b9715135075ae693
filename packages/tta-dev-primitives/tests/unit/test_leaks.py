"""Tasks that nobody awaits any more are found, and it is told where they wait."""

import asyncio

import pytest

from tta_dev_primitives.testing import LeakedTaskError, no_leaked_tasks
from tta_dev_primitives.testing.leaks import describe_tasks, where


async def idle() -> None:
    await asyncio.Event().wait()


AT = f"at test_leaks.py:{idle.__code__.co_firstlineno + 1}, idle"


async def end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_task_left_behind_fails_the_block() -> None:
    """The message names the task, what it runs and where it waits."""
    started: list[asyncio.Task[None]] = []
    with pytest.raises(LeakedTaskError) as caught, no_leaked_tasks():  # noqa: PT012 - what leaks is in it
        started.append(asyncio.create_task(idle(), name="forgotten"))
        await asyncio.sleep(0)
    await end(*started)
    assert "1 task(s)" in str(caught.value)
    assert f"forgotten: idle waits in Event.wait {AT}" in str(caught.value)


async def test_tasks_that_end_inside_are_no_leak() -> None:
    """A task group leaves nothing behind."""
    with no_leaked_tasks():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))


async def test_tasks_from_before_are_left_alone() -> None:
    """What ran already is not this block's doing."""
    task = asyncio.create_task(idle())
    with no_leaked_tasks():
        await asyncio.sleep(0)
    assert not task.done()
    await end(task)


async def test_an_exception_of_the_block_is_what_is_seen() -> None:
    """A leak does not hide the error that led to it."""
    started: list[asyncio.Task[None]] = []
    with pytest.raises(ZeroDivisionError), no_leaked_tasks():  # noqa: PT012 - the leak comes first
        started.append(asyncio.create_task(idle()))
        raise ZeroDivisionError
    await end(*started)


def test_without_a_loop_it_is_an_error() -> None:
    """Outside a loop there are no tasks to look for."""
    with pytest.raises(RuntimeError, match="no running event loop"), no_leaked_tasks():
        pass


async def test_a_task_that_has_not_started_is_told_so() -> None:
    """It waits nowhere yet."""
    task = asyncio.create_task(idle())
    assert where(task) == "idle has not started"
    await asyncio.sleep(0)
    assert where(task) == f"idle waits in Event.wait {AT}"
    await end(task)
    assert where(task) == "idle has ended"


async def test_the_innermost_line_outside_asyncio_is_told() -> None:
    """Through several coroutines, the line is the one where the waiting was asked for."""

    async def outer() -> None:
        await idle()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    assert where(task).endswith(f"outer waits in Event.wait {AT}")
    await end(task)


async def test_a_crowd_is_cut_short() -> None:
    """Ten lines show a deadlock of any size."""
    tasks = [asyncio.create_task(idle(), name=f"t{i:02}") for i in range(12)]
    await asyncio.sleep(0)
    lines = describe_tasks(tasks).splitlines()
    await end(*tasks)
    assert len(lines) == 11
    assert lines[0].startswith("  t00: ")
    assert lines[-1] == "  … and 2 more"
