"""Hedge: a second attempt beside a slow one, under a budget, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import install_default_observers
from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import CompositionError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import (
    Hedge,
    HedgeBudget,
    HedgePrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(params=["bare", "counted", "observed"])
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test where nobody, the recorder or an observer listens: nothing may differ."""
    engine.silence()
    if request.param == "counted":
        install_default_observers()
    if request.param != "observed":
        yield
    else:
        with collect_records():
            yield


pytestmark = pytest.mark.usefixtures("listening")


class Step:
    """A step whose attempts take, and end, as they are told; it notes what became of each."""

    def __init__(self, *plan: float | tuple[float, BaseException]) -> None:
        self.plan = list(plan)
        self.started: list[float] = []
        self.ended: dict[int, str] = {}

    async def __call__(self, value: str) -> str:
        number = len(self.started)
        self.started.append(asyncio.get_running_loop().time())
        entry = self.plan[number]
        seconds, error = entry if isinstance(entry, tuple) else (entry, None)
        try:
            await asyncio.sleep(seconds)
            if error is not None:
                raise error
        except BaseException as error:
            self.ended[number] = type(error).__name__
            raise
        self.ended[number] = "ok"
        return f"{value}{number}"


def hedged(step: Step, **options: Any) -> HedgePrimitive[str, str]:
    given: dict[str, Any] = {"delay": 1.0, "budget": None, **options}
    made: HedgePrimitive[str, str] = HedgePrimitive(step, **given)
    return made


def timed(hedge: HedgePrimitive[str, str]) -> tuple[str, float]:
    """Return the result of one call, and when it was there."""

    async def main() -> tuple[str, float]:
        with no_leaked_tasks():
            result = await hedge.execute("a")
        return result, asyncio.get_running_loop().time()

    return run_virtual(main())


def test_a_quick_attempt_stays_alone() -> None:
    """Nothing is sent before the delay."""
    step = Step(0.9)
    assert timed(hedged(step)) == ("a0", 0.9)
    assert step.started == [0]


def test_the_first_success_wins_and_the_loser_is_cancelled() -> None:
    """It is over when the call returns (case 57)."""
    step = Step(60, 0.5)
    assert timed(hedged(step)) == ("a1", 1.5)
    assert step.started == [0, 1]
    assert step.ended == {0: "CancelledError", 1: "ok"}
    step = Step(1.2, 5)
    assert timed(hedged(step)) == ("a0", 1.2)
    assert step.ended == {0: "ok", 1: "CancelledError"}


def test_a_loser_may_clean_up_before_the_call_returns() -> None:
    """It is awaited, however long that takes (case 57)."""
    cleaned: list[float] = []

    async def tidy(value: str) -> str:
        if cleaned or value == "second":
            return value
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            cleaned.append(asyncio.get_running_loop().time())
        return value

    calls = iter(["first", "second"])

    async def step(_: str) -> str:
        return await tidy(next(calls))

    assert timed(HedgePrimitive(step, delay=1, budget=None)) == ("second", 3)
    assert cleaned == [3]


def test_a_failure_does_not_end_the_race_while_another_runs() -> None:
    """Whichever attempt it is of (case 57)."""
    assert timed(hedged(Step((1.5, OSError("first")), 2))) == ("a1", 3)
    assert timed(hedged(Step(3, (0.5, OSError("hedge"))))) == ("a0", 3)


def test_where_all_have_failed_the_first_error_comes_out() -> None:
    """As itself, with a note where it arose and one for each other (case 57)."""
    first, second = OSError("first"), ValueError("second")
    step = Step((5, first), (1, second))
    with pytest.raises(ValueError, match="second") as caught:
        timed(hedged(step))
    assert caught.value is second
    place, *others = caught.value.__notes__
    assert "attempt 1 failed too: OSError: first" in (place, *others)
    (place,) = [note for note in caught.value.__notes__ if "in workflow step" in note]
    assert "hedge/Step" in place or "hedge/step" in place
    assert "attempt 2" in place


def test_a_failure_with_no_other_attempt_under_way_ends_the_call_at_once() -> None:
    """A hedge is against slowness: no attempt is sent for a failure."""
    step = Step((0.5, OSError("down")))
    with pytest.raises(OSError, match="down"):
        timed(hedged(step))
    assert step.started == [0]


def test_a_losers_exception_is_never_logged_as_unretrieved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor lost where it would be raised: it answers the cancellation with an error (case 57)."""

    async def stubborn(value: str) -> str:
        if started:
            return value
        started.append(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("late") from None
        return value

    started: list[int] = []
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        assert timed(HedgePrimitive(stubborn, delay=1, budget=None)) == ("a", 1)
        gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_hedges_follow_one_another_up_to_their_number() -> None:
    """Each after a further delay."""
    step = Step(60, 60, 60, 0.5)
    assert timed(hedged(step, max_hedges=3)) == ("a3", 3.5)
    assert step.started == [0, 1, 2, 3]
    step = Step(60, 60, 9)
    assert timed(hedged(step, max_hedges=2)) == ("a2", 11)


def test_the_result_of_two_that_succeed_in_one_pass_is_that_of_the_first() -> None:
    """The other's is dropped."""
    assert timed(hedged(Step(2, 1))) == ("a0", 2)


def test_no_hedge_is_sent_while_a_breaker_says_no() -> None:
    """`allow` is asked each time; only True allows, and nothing is spent otherwise (case 57)."""
    budget = HedgeBudget(1.0)
    for answer in (False, None, 1):
        step = Step(5, 5)
        timed(hedged(step, allow=lambda answer=answer: answer, budget=budget))
        assert step.started == [0]
    assert budget.left > 3
    step = Step(5, 5)
    timed(hedged(step, allow=lambda: True, budget=budget))
    assert step.started == [0, 1]


def test_an_allow_that_raises_ends_the_call_with_its_error() -> None:
    """Nothing runs on."""
    step = Step(5, 5)
    with pytest.raises(ZeroDivisionError):
        timed(hedged(step, allow=lambda: bool(1 // 0)))
    assert step.ended == {0: "CancelledError"}


@pytest.mark.parametrize("at", [0.5, 1.0, 1.5])
def test_a_cancelled_call_cancels_all_its_attempts(at: float) -> None:
    """And ends when they have."""
    step = Step(60, 60)

    async def main() -> None:
        with no_leaked_tasks():
            task = asyncio.create_task(hedged(step).execute("a"))
            await asyncio.sleep(at)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_virtual(main())
    assert set(step.ended.values()) == {"CancelledError"}
    assert len(step.ended) == len(step.started)


def test_a_timeout_around_it_cuts_all_attempts() -> None:
    """And the first of two retries' worth of attempts ends before the second begins."""
    step = Step(60, 60, 60, 0.1)
    inner = TimeoutPrimitive(hedged(step), seconds=2)
    assert run_virtual(RetryPrimitive(inner, initial_delay=0).execute("a")) == "a3"
    assert step.started == [0, 1, 2, 3]


def test_control_flow_of_an_attempt_ends_the_call() -> None:
    """`KeyboardInterrupt` comes out; the other attempt is cancelled."""

    class Stop(BaseException):
        """As `KeyboardInterrupt`, which would end the loop of the test as well."""

    step = Step(60, (0.5, Stop()))

    async def main() -> None:
        with no_leaked_tasks(), pytest.raises(Stop):
            await hedged(step).execute("a")

    run_virtual(main())
    assert step.ended == {0: "CancelledError", 1: "Stop"}


@pytest.mark.slow
def test_ten_thousand_runs_leave_no_task_behind() -> None:
    """With winners of both kinds, failures and cancellations among them (case 57)."""
    rng = random.Random(7)

    async def varied(value: int) -> int:
        await asyncio.sleep(rng.choice([0, 0.5, 1.0, 1.5, 3.0]))
        if rng.random() < 0.2:
            raise OSError(value)
        return value

    hedge = HedgePrimitive(varied, delay=1.0, max_hedges=2, budget=None)

    async def main() -> None:
        with no_leaked_tasks():
            for _ in range(10):
                tasks = [asyncio.create_task(hedge.execute(number)) for number in range(1000)]
                await asyncio.sleep(1.0)
                for task in tasks[::10]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(result) for result in results} <= {
                    int,
                    OSError,
                    asyncio.CancelledError,
                }

    run_virtual(main())


def test_a_failed_call_leaves_no_cycle_behind() -> None:
    """What its frames hold is freed at once (case 7)."""
    if engine.listening is not None:
        return  # the records hold the errors

    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    async def fails(value: str) -> str:
        local = Held()
        held.append(weakref.ref(local))
        await asyncio.sleep(2 if len(held) == 1 else 0.5)
        raise OSError(value)

    async def main() -> None:
        gc.disable()
        try:
            with suppress(OSError):
                await HedgePrimitive(fails, delay=1, budget=None).execute("a")
            assert [ref() for ref in held] == [None, None]
        finally:
            gc.enable()

    run_virtual(main())


async def test_a_step_that_streams_is_refused() -> None:
    """When built where that can be seen, else by the call."""

    async def letters(word: str) -> AsyncIterator[str]:
        for letter in word:
            yield letter

    with pytest.raises(CompositionError, match="generator function"):
        HedgePrimitive(letters, delay=1)
    inside: Any = HedgePrimitive(TimeoutPrimitive(letters, seconds=1), delay=1)
    with pytest.raises(CompositionError, match="streams"):
        await inside.execute("abc")


def test_as_a_decorator_it_keeps_the_function() -> None:
    """And is a step."""

    @Hedge(delay=0.5)
    async def shout(text: str, mark: str = "!") -> str:
        return text.upper() + mark

    async def main() -> None:
        assert await shout("a", mark="?") == "A?"
        assert await (shout >> str.lower).execute("B") == "b!"

    run_virtual(main())
    assert isinstance(Hedge(RetryPrimitive(shout), delay=1), HedgePrimitive)


def test_records_tell_the_attempts_apart() -> None:
    """Each has its number and a span of its own below the hedge; the loser was cancelled."""
    with collect_records() as heard:
        timed(hedged(Step(60, 0.5)).named("ask"))
    inner = sorted(heard[:-1], key=lambda record: record.attempt)
    assert [(r.attempt, r.status, r.path) for r in inner] == [
        (1, "cancelled", inner[0].path),
        (2, "ok", inner[0].path),
    ]
    outer = heard[-1]
    assert (outer.path, outer.status, dict(outer.attributes)) == ("ask", "ok", {"attempts": 2})
    assert {record.parent_span_id for record in inner} == {outer.span_id}
    assert len({record.span_id for record in heard}) == 3
