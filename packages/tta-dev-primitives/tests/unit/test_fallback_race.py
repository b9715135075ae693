"""Fallback with `start_after`: the next step starts before the one before it has failed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import Filtered
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import Fallback, TimeoutPrimitive
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.recovery.fallbacks.alternatives import FallbackEvent


@pytest.fixture(params=["bare", "counted", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test where nobody listens, the recorder does, and an observer does."""
    if request.param == "counted":
        yield []
        return
    engine.silence()
    if request.param == "bare":
        yield []
    else:
        with collect_records() as records:
            yield records


class Steps:
    """Makes steps that take their time, and notes what becomes of them."""

    def __init__(self) -> None:
        self.log: list[tuple[str, float]] = []
        self.running = 0

    def note(self, what: str) -> None:
        self.log.append((what, asyncio.get_running_loop().time()))

    def step(
        self, name: str, seconds: float, error: Exception | None = None, cleanup: float = 0
    ) -> Any:
        async def run(value: str) -> str:
            self.note(f"{name} starts")
            self.running += 1
            try:
                await asyncio.sleep(seconds)
                if error is not None:
                    raise error
            except asyncio.CancelledError:
                await asyncio.sleep(cleanup)
                self.note(f"{name} cancelled")
                raise
            finally:
                self.running -= 1
            return name

        run.__name__ = name
        return run


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_a_slow_step_is_joined_by_the_next_one(steps: Steps, listening: list[Record]) -> None:
    """The first result counts; the loser has ended when the call returns (case 57)."""
    fallback = Fallback(
        steps.step("slow", 60, cleanup=1), fallback=steps.step("quick", 3), start_after=2
    )

    async def main() -> None:
        assert await fallback.execute("x") == "quick"
        assert asyncio.get_running_loop().time() == 6
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    assert steps.log == [("slow starts", 0), ("quick starts", 2), ("slow cancelled", 6)]
    assert steps.running == 0
    if listening:
        assert [(r.path, r.status) for r in listening] == [
            ("fallback/quick", "ok"),
            ("fallback/slow", "cancelled"),
            ("fallback", "ok"),
        ]
        assert listening[-1].attributes["used"] == "quick"
        assert len({r.span_id for r in listening}) == 3
        assert {r.parent_span_id for r in listening[:2]} == {listening[2].span_id}


def test_a_quick_step_is_joined_by_nobody(steps: Steps) -> None:
    """Nothing else is started, and no timer is waited for."""
    fallback = Fallback(steps.step("quick", 1), fallback=steps.step("spare", 1), start_after=2)
    assert run_virtual(fallback.execute("x")) == "quick"
    assert steps.log == [("quick starts", 0)]


def test_a_failure_starts_the_next_step_at_once(steps: Steps) -> None:
    """The pause counts anew from there."""
    fallback = Fallback(
        steps.step("a", 1, ConnectionError("a")),
        [steps.step("b", 60), steps.step("c", 1), steps.step("d", 1)],
        start_after=5,
    )
    assert run_virtual(fallback.execute("x")) == "c"
    assert steps.log == [("a starts", 0), ("b starts", 1), ("c starts", 6), ("b cancelled", 7)]


def test_the_first_failure_does_not_end_the_race__case_57(steps: Steps) -> None:
    """While others run, they may yet succeed (case 57)."""
    fallback = Fallback(
        steps.step("a", 10), fallback=steps.step("b", 1, ConnectionError()), start_after=2
    )
    assert run_virtual(fallback.execute("x")) == "a"
    assert steps.log == [("a starts", 0), ("b starts", 2)]


def test_with_no_pause_all_start_at_once(steps: Steps) -> None:
    """A race of all."""
    fallback = Fallback(steps.step("a", 3), [steps.step("b", 2), steps.step("c", 9)], start_after=0)
    assert run_virtual(fallback.execute("x")) == "b"
    assert [what for what, when in steps.log if when == 0] == ["a starts", "b starts", "c starts"]


def test_when_all_fail_the_primarys_error_has_all_causes_in_order__case_50(steps: Steps) -> None:
    """In the order in which they were started, whichever failed first (case 50)."""
    a, b, c = ConnectionError("a"), ValueError("b"), KeyError("c")
    fallback = Fallback(
        steps.step("a", 9, a), [steps.step("b", 1, b), steps.step("c", 1, c)], start_after=2
    )

    async def main() -> None:
        with pytest.raises(ConnectionError) as caught:
            await fallback.execute("x")
        assert caught.value is a

    run_virtual(main())
    assert vars(a)["fallback_errors"] == (b, c)
    assert "in workflow step fallback/a," in a.__notes__[0]
    assert a.__notes__[1].splitlines()[1:] == [
        "  fallback/b: ValueError: b",
        "  fallback/c: KeyError: 'c'",
    ]
    assert a.__context__ is b.__context__ is c.__context__ is None


@pytest.mark.parametrize("start_after", [None, 2.0])
def test_a_cancelled_primary_gets_no_fallback__case_50(
    steps: Steps, start_after: float | None
) -> None:
    """Whatever was started ends first (case 50)."""
    fallback = Fallback(
        steps.step("a", 60, cleanup=1),
        [steps.step("b", 60, cleanup=2), steps.step("c", 60)],
        start_after=start_after,
    )

    async def main() -> None:
        task = asyncio.create_task(fallback.execute("x"))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    started = [what for what, _ in steps.log if "starts" in what]
    assert started == (["a starts"] if start_after is None else ["a starts", "b starts"])
    assert steps.running == 0


def test_what_is_no_failure_ends_the_race(steps: Steps) -> None:
    """`Filtered` is an outcome: nobody else is waited for."""
    fallback = Fallback(
        steps.step("a", 60), fallback=steps.step("b", 1, Filtered("held")), start_after=2
    )
    with pytest.raises(Filtered):
        run_virtual(fallback.execute("x"))
    assert steps.log[-1] == ("a cancelled", 3)


def test_the_hook_is_told_of_a_step_that_is_only_slow(steps: Steps) -> None:
    """Without an error; of a failure with it."""
    told: list[tuple[str | None, str]] = []

    async def note(event: FallbackEvent) -> None:
        await asyncio.sleep(1)
        told.append((event.kind, event.step))

    fallback = Fallback(
        steps.step("a", 60),
        [steps.step("b", 1, ConnectionError()), steps.step("c", 1, TimeoutError())],
        value="sorry",
        start_after=3,
        on_fallback=note,
    )
    assert run_virtual(TimeoutPrimitive(fallback, seconds=500).execute("x")) == "a"
    assert told == [(None, "b"), ("network", "c")]


def test_a_losers_error_is_never_left_unretrieved__case_57(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that came before the result nor one in answer to the cancellation (case 57)."""

    async def answers(value: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError from None
        return value

    fallback = Fallback(
        answers, [steps.step("b", 2, ValueError()), steps.step("c", 3)], start_after=1
    )
    assert run_virtual(fallback.execute("x")) == "c"
    gc.collect()
    assert not caplog.records


def test_a_race_keeps_nothing_of_its_steps(steps: Steps, listening: list[Record]) -> None:
    """No cycle holds what failed steps held."""

    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    async def heavy(value: str) -> str:
        big = Big()
        held.append(weakref.ref(big))
        await asyncio.sleep(1)
        raise ConnectionError

    async def main() -> None:
        with contextlib.suppress(ConnectionError):
            await Fallback(heavy, [heavy, heavy], start_after=0.4).execute("x")

    for observer in engine.observers():
        engine.remove_observer(observer)
    gc.collect()
    gc.disable()
    try:
        run_virtual(main())
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()


def test_streams_race_to_their_first_item(steps: Steps) -> None:
    """The winner is read on; the loser is closed."""
    closed: list[str] = []

    def tokens(name: str, wait: float) -> Any:
        async def stream(prompt: str) -> AsyncIterator[str]:
            try:
                await asyncio.sleep(wait)
                yield name
                await asyncio.sleep(wait)
                yield prompt
            finally:
                closed.append(name)

        return stream

    async def main() -> None:
        fallback = Fallback(tokens("slow", 50), fallback=tokens("quick", 2), start_after=1)
        async with fallback.stream("x") as items:
            assert [item async for item in items] == ["quick", "x"]
        assert asyncio.get_running_loop().time() == 5

    run_virtual(main())
    assert sorted(closed) == ["quick", "slow"]


plans = st.lists(
    st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 2)), min_size=2, max_size=5
)


@settings(max_examples=80, deadline=None)
@given(plans, st.integers(0, 4), st.none() | st.integers(0, 10))
def test_a_race_ends_with_a_result_if_there_is_one_and_leaves_nothing(
    plan: list[tuple[int, bool, int]], pause: int, cancel: int | None
) -> None:
    """Under any durations, failures, cleanups and times of a cancellation."""
    steps = Steps()
    made = [
        steps.step(f"s{n}", seconds, None if good else ConnectionError(n), cleanup)
        for n, (seconds, good, cleanup) in enumerate(plan)
    ]
    fallback = Fallback(made[0], made[1:], start_after=pause)

    async def main() -> None:
        task: asyncio.Task[str] = asyncio.create_task(fallback.execute("x"))
        if cancel is not None:
            asyncio.get_running_loop().call_at(cancel, task.cancel)
        await asyncio.wait([task])
        assert len(asyncio.all_tasks()) == 1
        if task.cancelled():
            assert cancel is not None
        elif any(good for _, good, _ in plan):
            assert plan[int(task.result()[1:])][1]
        else:
            error = task.exception()
            assert isinstance(error, ConnectionError)
            assert error.args == (0,)
            causes = vars(error)["fallback_errors"]
            assert [cause.args for cause in causes] == [(n,) for n in range(1, len(plan))]

    run_virtual(main())
    assert steps.running == 0
