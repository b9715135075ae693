"""No task outlives the call that started it, whatever comes in between."""

import asyncio
import contextlib

import pytest

from tta_agent_coordination import tasks
from tta_agent_coordination.tasks import end


async def test_a_task_is_cancelled_and_seen_to_end() -> None:
    task = asyncio.create_task(asyncio.sleep(3600))

    await end(task)

    assert task.cancelled()


async def test_one_that_has_ended_keeps_its_result() -> None:
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await asyncio.wait([task])

    await end(task)

    assert task.result() == "done"


async def test_nothing_has_ended_at_once() -> None:
    await end()


async def test_one_that_resists_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "INSIST", 0.001)
    resisted = 0

    async def resist() -> None:
        nonlocal resisted
        while resisted < 3:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            resisted += 1

    task = asyncio.create_task(resist())
    await asyncio.sleep(0)

    await end(task)

    assert resisted == 3
    assert task.done()


async def test_a_cancellation_meanwhile_waits_for_the_end_and_then_holds() -> None:
    tidied = asyncio.Event()

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):  # the second one, of our insisting
                await tidied.wait()

    task = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])

    assert ending.cancelled()
    assert task.done()
