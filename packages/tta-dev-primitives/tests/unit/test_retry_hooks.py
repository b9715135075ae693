"""What a Retry tells: hooks, results that are not good enough, the note of the error."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.notes import path_of
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery import RetryPrimitive
from tta_dev_primitives.recovery.retries.budget import RetryBudget
from tta_dev_primitives.recovery.retries.schedules import constant, listed
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.retries.options import RetryEvent


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> None:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "observed":
        engine.add_observer(NullObserver())


class Answers:
    """Gives one answer after the other; an exception is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self, value: object) -> object:
        del value
        self.calls += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_a_hook_is_told_of_each_retry_before_its_pause() -> None:
    """The attempt, what it gave, the pause, the time since the start."""
    told: list[tuple[object, ...]] = []
    first, second = ConnectionError("1"), ConnectionError("2")

    def on_retry(event: RetryEvent) -> None:
        now = asyncio.get_running_loop().time()
        told.append((now, event.name, event.attempt, event.error, event.delay, event.elapsed))

    async def main() -> None:
        retry = RetryPrimitive(
            Answers(first, second, "fine"), schedule=listed(3, 4), on_retry=on_retry, name="ask"
        )
        assert await retry.execute("x") == "fine"

    run_virtual(main())
    assert told == [(0.0, "ask", 1, first, 3.0, 0.0), (3.0, "ask", 2, second, 4.0, 3.0)]


async def test_an_asynchronous_hook_is_awaited() -> None:
    """Before the next attempt (case 44)."""
    order: list[str] = []

    async def on_retry(event: RetryEvent) -> None:
        await asyncio.sleep(0)
        order.append(f"hook {event.attempt}")

    async def step(value: object) -> object:
        order.append("step")
        if len(order) < 4:
            raise ConnectionError
        return value

    await RetryPrimitive(step, initial_delay=0, on_retry=on_retry).execute("x")
    assert order == ["step", "hook 1", "step", "hook 2", "step"]


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_a_hook_that_raises_keeps_the_original_as_context(form: str) -> None:
    """Its error comes out in place of a retry, and nothing is lost or spent (case 44)."""
    original = ConnectionError("original")
    step = Answers(original, "fine")
    budget = RetryBudget(floor=3)

    def broken(event: RetryEvent) -> None:
        raise ZeroDivisionError

    async def broken_later(event: RetryEvent) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    retry = RetryPrimitive(
        step, on_retry=broken if form == "sync" else broken_later, budget=budget, name="ask"
    )
    with pytest.raises(ZeroDivisionError) as caught:
        await retry.execute("x")
    assert caught.value.__context__ is original
    assert path_of(caught.value) == "ask"
    assert (step.calls, budget.left) == (1, 3)


async def test_cancelling_a_hook_ends_the_retry() -> None:
    """As any await of the Retry."""

    async def hangs(event: RetryEvent) -> None:
        await asyncio.Event().wait()

    step = Answers(ConnectionError(), "fine")
    task = asyncio.create_task(RetryPrimitive(step, on_retry=hangs).execute("x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert step.calls == 1


async def test_the_last_failure_and_a_success_are_no_retries() -> None:
    """The hook hears of neither."""
    told: list[int] = []

    def on_retry(event: RetryEvent) -> None:
        told.append(event.attempt)

    options: Any = {"initial_delay": 0, "on_retry": on_retry}
    await RetryPrimitive(Answers("fine"), **options).execute("x")
    with pytest.raises(ConnectionError):
        await RetryPrimitive(Answers(*[ConnectionError()] * 3), **options).execute("x")
    assert told == [1, 2]


# --- results --------------------------------------------------------------------------------------


async def test_a_result_that_is_not_good_enough_is_tried_again() -> None:
    """`until` says what is."""
    step = Answers("pending", ConnectionError(), "done")
    retry = RetryPrimitive(step, until=lambda r: r == "done", initial_delay=0)
    assert await retry.execute("x") == "done"
    assert step.calls == 3


async def test_the_last_result_comes_out_when_no_attempt_is_left() -> None:
    """A result is a result; whoever needs more asks it."""
    step = Answers("a", "b", "c")
    budget = RetryBudget(ratio=1.0, floor=5)
    retry = RetryPrimitive(step, until=lambda _: False, initial_delay=0, budget=budget)
    assert await retry.execute("x") == "c"
    assert budget.left == 3


def test_a_refused_result_respects_the_time_too() -> None:
    """It comes out now, not after a pause that would be too long."""

    async def main() -> None:
        retry = RetryPrimitive(
            Answers("a", "b"), until=lambda _: False, schedule=constant(5), max_elapsed=3
        )
        assert await retry.execute("x") == "a"
        assert asyncio.get_running_loop().time() == 0

    run_virtual(main())


async def test_a_refused_result_of_a_cancelled_task_comes_out() -> None:
    """A step that answers cancellation with a result is not run again for it."""
    calls = 0

    async def swallows(value: object) -> object:
        nonlocal calls
        calls += 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return value

    retry = RetryPrimitive(swallows, until=lambda _: False, initial_delay=0)
    task = asyncio.create_task(retry.execute("partial"))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "partial"
    assert calls == 1


async def test_a_hook_gets_the_refused_result() -> None:
    """In place of an error."""
    told: list[tuple[object, object]] = []
    retry = RetryPrimitive(
        Answers("a", "b"),
        until=lambda r: r == "b",
        initial_delay=0,
        on_retry=lambda event: told.append((event.error, event.result)),
    )
    await retry.execute("x")
    assert told == [(None, "a")]


async def test_what_until_raises_comes_out() -> None:
    """It is not the step that failed, so the step is not run again."""
    step = Answers("a", "b")

    def broken(result: object) -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await RetryPrimitive(step, until=broken).execute("x")
    assert step.calls == 1


async def test_an_until_that_answers_with_a_coroutine_is_refused() -> None:
    """A coroutine is true, and would accept everything."""

    async def later() -> bool:
        return False

    with pytest.raises(ConfigurationError, match="until"):
        await RetryPrimitive(Answers("a"), until=lambda _: later()).execute("x")


# --- the note -------------------------------------------------------------------------------------


def test_the_note_tells_what_was_tried_before() -> None:
    """One note: the place and the attempt, then a line for each one before."""
    errors = [ConnectionError("1"), TimeoutError("2"), ConnectionError("3")]

    async def main() -> None:
        inner = RetryPrimitive(Answers(*errors), schedule=listed(1, 2), name="ask")
        with pytest.raises(ConnectionError) as caught:
            await (inner >> str).execute("x")
        assert caught.value is errors[2]

    run_virtual(main())
    (note,) = errors[2].__notes__
    first, *lines = note.splitlines()
    assert "/ask/answers, attempt 3, after 3.000000 s" in first
    assert lines == [
        "  attempt 1: ConnectionError, after 0.000 s, then a pause of 1.000 s",
        "  attempt 2: TimeoutError, after 1.000 s, then a pause of 2.000 s",
    ]
    assert not getattr(errors[0], "__notes__", [])


def test_the_note_tells_why_no_attempt_followed() -> None:
    """Where the reader could wonder."""
    error = ConnectionError()

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await RetryPrimitive(Answers(error), schedule=constant(5), max_elapsed=3).execute("x")

    run_virtual(main())
    assert (
        "no further attempt: a pause of 5.000 s after ConnectionError, does not fit into the "
        "3.000 s that are left"
    ) in error.__notes__[0]


async def test_nothing_is_held_after_a_retry() -> None:
    """Neither by a hook's event nor by a refused result, with the collector off (case 7)."""

    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    async def step(value: object) -> object:
        big = Big()
        held.append(weakref.ref(big))
        if len(held) % 2:
            raise ConnectionError
        return big

    retry = RetryPrimitive(
        step,
        max_attempts=4,
        until=lambda _: False,
        initial_delay=0,
        on_retry=lambda _: None,
        budget=RetryBudget(),
        max_elapsed=60,
    )
    gc.collect()
    gc.disable()
    try:
        await retry.execute("x")
        assert [ref() for ref in held] == [None] * 4
    finally:
        gc.enable()
