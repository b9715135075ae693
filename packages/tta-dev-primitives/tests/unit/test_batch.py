"""A batch runs one step for every item, several at a time, and reads no faster than it works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import Batch, Outcome, add_observer
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODES = ["bare", "counted", "framed"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Run with nobody, the default recorder, or an observer listening."""
    if request.param == "bare":
        engine.install_defaults()
    elif request.param == "framed":
        add_observer(NullObserver())
    return str(request.param)


class Source:
    """An async iterable that tells how far it was read, and whether it was closed."""

    def __init__(self, items: int, fail_at: int | None = None) -> None:
        self.items = items
        self.fail_at = fail_at
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for item in range(self.items):
                if item == self.fail_at:
                    message = "source broke"
                    raise OSError(message)
                self.read += 1
                yield item
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def double(value: int) -> int:
    """Double, the larger the sooner."""
    await asyncio.sleep(100 - value)
    return value * 2


def test_results_stand_in_the_order_of_the_items_or_as_completed(mode: str) -> None:
    """By choice."""
    assert run_virtual(Batch(double).execute(range(5))) == [0, 2, 4, 6, 8]
    assert run_virtual(Batch(double, ordered=False).execute(range(5))) == [8, 6, 4, 2, 0]
    assert run_virtual(Batch(double).execute([])) == []


@given(st.integers(1, 8), st.integers(0, 30))
def test_no_more_items_are_under_way_than_allowed_and_none_is_lost(limit: int, count: int) -> None:
    """The source is read just as far."""
    running = peak = 0
    source = Source(count)

    async def work(value: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        assert source.read - value <= limit
        await asyncio.sleep(1)
        running -= 1
        return value

    result = run_virtual(Batch(work, max_concurrency=limit).execute(source))
    assert (result, peak) == (list(range(count)), min(limit, count))
    assert source.closed


def test_the_first_error_is_raised_as_itself_with_its_item(mode: str) -> None:
    """Nothing runs on, and the source is closed."""
    source = Source(1_000)
    started: list[int] = []

    async def work(value: int) -> int:
        started.append(value)
        await asyncio.sleep(1 if value == 3 else 50)
        if value == 3:
            message = "three"
            raise ValueError(message)
        return value

    async def main() -> None:
        with pytest.raises(ValueError, match="three") as raised:
            await Batch(work, max_concurrency=5).execute(source)
        assert "item 3 of 'batch', counted from 0" in raised.value.__notes__
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())
    assert started == [0, 1, 2, 3, 4]
    assert source.closed


def test_collected_errors_stand_beside_results(mode: str) -> None:
    """Each item has an outcome."""
    error = ValueError("odd")

    async def work(value: int) -> int:
        if value % 2:
            raise error
        return value

    outcomes = run_virtual(Batch(work, on_error="collect").execute(range(3)))
    assert outcomes == [Outcome(value=0), Outcome(error=error), Outcome(value=2)]


def test_an_error_of_the_source_ends_the_batch(mode: str) -> None:
    """As itself, with the items cancelled."""
    with pytest.raises(OSError, match="source broke"):
        run_virtual(Batch(double).execute(Source(10, fail_at=4)))


def test_cancelling_a_batch_closes_its_source_and_leaves_no_task(mode: str) -> None:
    """Also while it waits for the source."""
    source = Source(10_000)

    async def main() -> None:
        task = asyncio.create_task(Batch(double, max_concurrency=3).execute(source))
        await asyncio.sleep(150)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())
    assert source.closed
    assert 3 <= source.read < 10


def test_progress_is_reported_with_the_total_where_it_is_known() -> None:
    """After each item."""
    seen: list[tuple[int, int | None]] = []
    batch = Batch(str, on_progress=lambda done, total: seen.append((done, total)))
    batch.run([1, 2])
    batch.run(iter([1]))
    assert seen == [(1, 2), (2, 2), (1, None)]


def test_a_progress_hook_that_raises_is_the_users_error() -> None:
    """It is not swallowed, and nothing hangs."""

    def broken(done: int, total: int | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Batch(str, on_progress=broken).run(range(100))


def test_finished_items_are_let_go() -> None:
    """The tasks of a long batch do not pile up."""
    peak = 0

    async def work(value: int) -> None:
        nonlocal peak
        if not value % 500:
            peak = max(peak, len(asyncio.all_tasks()))

    asyncio.run(Batch(work, max_concurrency=4).execute(range(5_000)))
    assert peak < 20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_concurrency": 0}, "at least 1"),
        ({"max_concurrency": None}, "must be a number"),
        ({"on_error": "first"}, "'fail_fast' or 'collect'"),
        ({"on_progress": 5}, "on_progress"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: Any, told: str) -> None:
    """When built."""
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match=told):
        Batch(len, **options)
    with pytest.raises(CompositionError, match="step of Batch"):
        Batch(wrong)


@pytest.mark.parametrize("wrong", [5, None, "text", b"bytes"], ids=str)
def test_an_input_that_is_no_collection_is_named(wrong: Any) -> None:
    """A text is one value, not a collection of letters."""
    with pytest.raises(TypeError, match="'batch' takes a collection"):
        Batch(len).run(wrong)
