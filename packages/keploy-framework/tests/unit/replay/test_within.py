"""A time limit that holds, whatever the work does."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from keploy_framework.replay.within import CancelledItselfError, TookTooLongError, within

word: ContextVar[str] = ContextVar("word", default="outer")


async def test_what_is_done_in_time_is_returned() -> None:
    """The result arrives, also of work that never waits; exceptions arrive as they are."""

    async def at_once() -> int:
        return 1

    async def later() -> int:
        await asyncio.sleep(0)
        return 2

    async def broken() -> int:
        raise LookupError("no")

    assert await within(60, at_once()) == 1
    assert await within(60, later()) == 2
    with pytest.raises(LookupError, match="no"):
        await within(60, broken())


async def test_work_has_a_context_of_its_own() -> None:
    """It sees the variables of its caller, and what it sets stays with it."""

    async def work() -> str:
        before = word.get()
        word.set("inner")
        return before

    assert await within(60, work()) == "outer"
    assert word.get() == "outer"


async def test_what_takes_too_long_is_cancelled() -> None:
    """After the time it gets a cancellation, and its last words do not count."""
    ended: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("not now") from None
        return 1

    with pytest.raises(TookTooLongError):
        await within(0.001, waiting())
    assert ended == ["cancelled"]
    with pytest.raises(TookTooLongError):
        await within(0.001, stubborn())


async def test_work_that_cancels_itself_is_told_apart() -> None:
    """A cancellation from within is no cancellation of the caller."""

    async def work() -> None:
        raise asyncio.CancelledError

    async def late() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    for made in (work(), late()):
        with pytest.raises(CancelledItselfError):
            await within(60, made)


async def test_a_cancelled_caller_ends_its_work_first() -> None:
    """Whoever is cancelled leaves no task behind."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(within(60, work()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
