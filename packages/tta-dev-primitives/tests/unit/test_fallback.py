"""Fallback: another step in the place of one that failed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Filtered
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import Fallback, FallbackPrimitive, RetryPrimitive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tta_dev_primitives.core.record import Record


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield []
    else:
        with collect_records() as records:
            yield records


def fails(error: BaseException, calls: list[str] | None = None) -> Callable[[object], Any]:
    async def step(value: object) -> object:
        if calls is not None:
            calls.append(str(error))
        raise error

    step.__name__ = f"fails_{error}"
    return step


async def works(value: object) -> object:
    return value


async def test_the_primary_is_enough_when_it_succeeds() -> None:
    """No fallback runs."""
    calls: list[str] = []
    fallback = FallbackPrimitive(works, fallbacks=[fails(ConnectionError("f"), calls)])
    assert await fallback.execute("x") == "x"
    assert calls == []


async def test_fallbacks_run_in_order_until_one_succeeds() -> None:
    """All with the same input."""
    calls: list[str] = []
    fallback = FallbackPrimitive(
        fails(ConnectionError("a"), calls),
        [fails(ConnectionError("b"), calls), works, fails(ConnectionError("c"), calls)],
    )
    assert await fallback.execute("x") == "x"
    assert calls == ["a", "b"]


async def test_when_all_fail_the_primarys_error_has_all_causes_in_order() -> None:
    """In `fallback_errors`, and one line each in a note."""
    a, b, c = ConnectionError("a"), ValueError("b"), KeyError("c")
    with pytest.raises(ConnectionError) as caught:
        await Fallback(fails(a), [fails(b), fails(c)]).execute("x")
    assert caught.value is a
    assert vars(a)["fallback_errors"] == (b, c)
    where, causes = a.__notes__
    assert "fallback/fails_a" in where
    assert causes.splitlines()[1:] == [
        "  fallback/fails_b: ValueError: b",
        "  fallback/fails_'c': KeyError: 'c'",
    ]
    assert a.__context__ is None
    assert b.__context__ is None
    ours = [f for f in traceback.extract_tb(a.__traceback__) if "fallback.py" in f.filename]
    assert len([f for f in ours if "/recovery/" in f.filename]) <= 2
    again = pickle.loads(pickle.dumps(a))  # noqa: S301 - made here
    assert again.args == ("a",)


async def test_nested_fallbacks_keep_all_causes() -> None:
    """Those of the inner one first; and a second run of the same errors adds nothing."""
    a, b, c = ConnectionError("a"), ConnectionError("b"), ConnectionError("c")
    nested = Fallback(Fallback(fails(a), fallback=fails(b)), fallback=fails(c))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await nested.execute("x")
        assert vars(a)["fallback_errors"] == (b, c)
        assert len(a.__notes__) == 2


@pytest.mark.parametrize(
    "signal", [asyncio.CancelledError(), Filtered("held back")], ids=["cancelled", "filtered"]
)
async def test_what_is_no_failure_passes(signal: BaseException) -> None:
    """From the primary and from a fallback; nothing else runs."""
    calls: list[str] = []
    other = fails(ConnectionError("other"), calls)
    with pytest.raises(type(signal)):
        await Fallback(fails(signal), [other]).execute("x")
    assert calls == []
    with pytest.raises(type(signal)):
        await Fallback(other, [fails(signal), other]).execute("x")
    assert calls == ["other"]


async def test_a_cancelled_task_gets_no_fallback() -> None:
    """Though its step answers the cancellation with an error."""
    calls: list[str] = []

    async def converts(value: object) -> object:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None
        return value

    task = asyncio.create_task(
        Fallback(converts, [fails(ConnectionError("f"), calls)]).execute("x")
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ConnectionError):
        await task
    assert calls == []


async def test_an_error_that_was_made_good_leaves_no_trace() -> None:
    """Neither in later errors' context nor as a note of ours."""
    error = ConnectionError("a")
    assert await Fallback(fails(error), fallback=works).execute("x") == "x"
    assert not getattr(error, "__notes__", [])


async def test_a_frozen_exception_still_gets_its_causes() -> None:
    """Its own `__setattr__` is not asked."""

    class FrozenError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    error, other = FrozenError("a"), ConnectionError("b")
    with pytest.raises(FrozenError):
        await Fallback(fails(error), fallback=fails(other)).execute("x")
    assert vars(error)["fallback_errors"] == (other,)


async def test_failed_frames_are_freed_without_the_collector() -> None:
    """No cycle holds what failed steps held."""

    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    async def heavy(value: object) -> object:
        big = Big()
        held.append(weakref.ref(big))
        raise ConnectionError

    for observer in engine.observers():
        engine.remove_observer(observer)
    fallback = Fallback(heavy, [heavy, heavy])
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ConnectionError):
            await fallback.execute("x")
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()


async def test_a_retry_around_a_fallback_repeats_both() -> None:
    """Each attempt starts with the primary."""
    calls: list[str] = []
    fallback = Fallback(
        fails(ConnectionError("a"), calls), fallback=fails(ConnectionError("b"), calls)
    )
    with pytest.raises(ConnectionError, match="a"):
        await RetryPrimitive(fallback, max_attempts=2, initial_delay=0).execute("x")
    assert calls == ["a", "b", "a", "b"]


async def test_the_record_says_which_step_answered(listening: list[Record]) -> None:
    """Each step has a record, and the fallback notes the one it used."""
    await Fallback(fails(ConnectionError("a")), fallback=works).execute("x")
    if listening:
        assert [(r.path, r.status) for r in listening] == [
            ("fallback/fails_a", "error"),
            ("fallback/works", "ok"),
            ("fallback", "ok"),
        ]
        assert listening[-1].attributes["used"] == "works"


def test_fallback_is_the_class() -> None:
    """One constructor serves both names."""
    assert Fallback(primary=str.upper, fallback=str.lower).run("x") == "X"
    assert Fallback is FallbackPrimitive


def test_contradictory_and_empty_options_are_refused() -> None:
    """When built."""
    cases: list[tuple[Any, type[Exception], str]] = [
        ({}, ConfigurationError, "needs a fallback"),
        ({"fallbacks": []}, ConfigurationError, "empty"),
        ({"fallbacks": [works], "fallback": works}, ConfigurationError, "one of them"),
        ({"fallbacks": works}, CompositionError, "list of steps"),
        ({"fallbacks": "ab"}, CompositionError, "list of steps"),
        ({"fallbacks": [7]}, CompositionError, "fallback 1 of Fallback"),
    ]
    for options, kind, match in cases:
        with pytest.raises(kind, match=match):
            FallbackPrimitive(works, **options)
