"""Bulkhead: so many at once, the rest in one queue, and no permit is ever lost."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import install_default_observers
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import (
    BulkheadFullError,
    CompositionError,
    ConfigurationError,
    RejectedError,
)
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import (
    Bulkhead,
    BulkheadPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(params=["bare", "counted", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody, the recorder or an observer listens: nothing may differ."""
    engine.silence()
    if request.param == "counted":
        install_default_observers()
    if request.param != "observed":
        yield
    else:
        with collect_records():
            yield


async def slow(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def test_no_more_run_at_once_than_there_are_permits() -> None:
    """A thousand at once, ten at a time; each gets its own result, and all permits come back."""
    now: list[int] = [0, 0]

    async def counts(value: int) -> int:
        now[0] += 1
        now[1] = max(now)
        await asyncio.sleep(1)
        now[0] -= 1
        return value

    limited = BulkheadPrimitive(counts, max_concurrency=10)

    async def main() -> float:
        with no_leaked_tasks():
            got = await asyncio.gather(*(limited.execute(value) for value in range(1000)))
        assert got == list(range(1000))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 100.0
    assert now[1] == 10
    assert (limited.bulkhead.running, limited.bulkhead.waiting) == (0, 0)


def test_who_comes_first_runs_first() -> None:
    """Also those that come while a permit is on its way to another."""
    order: list[int] = []

    async def notes(value: int) -> None:
        order.append(value)
        await asyncio.sleep(1)

    limited = BulkheadPrimitive(notes, max_concurrency=1)

    async def main() -> None:
        first = [asyncio.create_task(limited.execute(value)) for value in range(5)]
        await asyncio.sleep(1)  # at which the first ends, and the second is woken
        await asyncio.gather(limited.execute(5), *first)

    run_virtual(main())
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_full_queue_refuses_before_anything_is_awaited() -> None:
    """With an error that has the figures and can be pickled; the step does not run (case 56)."""
    pool = Bulkhead(1, max_queue=0, name="model")
    called: list[int] = []

    async def step(value: int) -> int:
        called.append(value)
        return value

    async with pool:
        with pytest.raises(BulkheadFullError, match="'model' has no room") as caught:
            BulkheadPrimitive(step, bulkhead=pool).execute(1).send(None)
    assert isinstance(caught.value, RejectedError)
    assert "1 running of 1, 0 waiting" in str(caught.value)
    (note,) = caught.value.__notes__
    assert "in workflow step bulkhead," in note
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (type(again), again.retry_after) == (BulkheadFullError, None)
    assert (called, pool.refused, pool.running) == ([], 1, 0)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_caller_cancelled_as_its_permit_comes_passes_it_on(others: int) -> None:
    """In the very pass in which it is granted; the next in line runs (case 56)."""
    pool = Bulkhead(1)
    ran: list[int] = []

    async def step(value: int) -> None:
        ran.append(value)

    limited = BulkheadPrimitive(step, bulkhead=pool)

    async def main() -> None:
        await pool.acquire()
        unlucky = asyncio.create_task(limited.execute(0))
        rest = [asyncio.create_task(limited.execute(number)) for number in range(1, others + 1)]
        await asyncio.sleep(0)
        pool.release()
        unlucky.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unlucky
        await asyncio.gather(*rest)

    run_virtual(main())
    assert ran == list(range(1, others + 1))
    assert (pool.running, pool.waiting) == (0, 0)


def test_a_caller_cancelled_while_it_waits_leaves_the_queue() -> None:
    """Its place is free for another at once."""
    pool = Bulkhead(1, max_queue=1)

    async def main() -> None:
        async with pool:
            waits = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            with pytest.raises(BulkheadFullError):
                await pool.acquire()
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert pool.waiting == 0
            again = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
        await again
        pool.release()

    run_virtual(main())
    assert pool.running == 0


def test_a_thousand_cancelled_at_once_leave_nothing_behind() -> None:
    """Running and waiting ones."""
    limited = BulkheadPrimitive(slow, max_concurrency=7)

    async def main() -> None:
        with no_leaked_tasks():
            tasks = [asyncio.create_task(limited.execute(60.0)) for _ in range(1000)]
            await asyncio.sleep(1)
            for task in tasks[::2] + tasks[1::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in done)
        assert await limited.execute(1.0) == 1.0

    run_virtual(main())
    assert (limited.bulkhead.running, limited.bulkhead.waiting) == (0, 0)


def test_a_wait_ends_at_its_limit() -> None:
    """With an error that names it; the place in the queue is given up."""
    pool = Bulkhead(1, queue_timeout=2.0)

    async def main() -> None:
        async with pool:
            with pytest.raises(BulkheadFullError, match="no permit within 2 s"):
                await pool.acquire()
            assert asyncio.get_running_loop().time() == 2.0
            assert pool.waiting == 0

    run_virtual(main())
    assert (pool.running, pool.refused) == (0, 1)


def test_a_permit_that_comes_as_the_wait_ends_is_used_or_passed_on() -> None:
    """Whichever is first in that pass; none is lost."""
    limited = BulkheadPrimitive(slow, max_concurrency=1, queue_timeout=1.0)

    async def main() -> None:
        results = await asyncio.gather(
            *(limited.execute(1.0) for _ in range(3)), return_exceptions=True
        )
        kinds = [type(result) for result in results]
        assert kinds[0] is float
        assert set(kinds[1:]) <= {float, BulkheadFullError}
        assert await limited.execute(0.5) == 0.5

    run_virtual(main())
    assert limited.bulkhead.running == 0


@pytest.mark.parametrize("deadline", [0.5, -1.0, float("inf")])
def test_no_wait_goes_beyond_the_deadline_of_the_run(deadline: float) -> None:
    """One that has passed already lets nobody wait."""
    limited = BulkheadPrimitive(slow, max_concurrency=1)

    async def main() -> float:
        first = asyncio.create_task(limited.execute(5.0))
        await asyncio.sleep(0)
        context = WorkflowContext(deadline=deadline)
        if deadline == float("inf"):
            await limited.execute(context, 1.0)
        else:
            with pytest.raises(BulkheadFullError):
                await limited.execute(context, 1.0)
        at = asyncio.get_running_loop().time()
        await first
        return at

    assert run_virtual(main()) == {0.5: 0.5, -1.0: 0.0}.get(deadline, 6.0)


def test_a_failing_step_gives_its_permit_back() -> None:
    """Its error is its own, with its path."""

    async def fails(value: int) -> int:
        raise KeyError(value)

    limited = BulkheadPrimitive(fails, max_concurrency=1)
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            limited.run(1)
        assert "bulkhead/fails" in caught.value.__notes__[0]
    assert limited.bulkhead.running == 0


def test_steps_can_share_one_bulkhead() -> None:
    """Together they have its permits; as wrapper, decorator and block."""
    pool = Bulkhead(2)
    first, second = BulkheadPrimitive(slow, bulkhead=pool), pool(RetryPrimitive(slow))
    third = pool(slow)

    async def main() -> float:
        await asyncio.gather(first.execute(1), first.execute(1), second.execute(1), third(1))
        async with pool:
            await asyncio.gather(third(1), third(1))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 4.0
    assert pool.running == 0


def test_a_stream_holds_its_permit_until_it_has_ended() -> None:
    """Read to its end, closed early, or failed."""
    pool = Bulkhead(1)

    async def letters(word: str) -> AsyncIterator[str]:
        for letter in word:
            await asyncio.sleep(1)
            yield letter
        if word == "bad":
            raise ValueError(word)

    streams: Any = BulkheadPrimitive(letters, bulkhead=pool)

    async def main() -> None:
        async with streams.stream("abc") as stream:
            async for letter in stream:
                assert pool.running == 1, letter
        assert pool.running == 0
        async with streams.stream("abc") as stream:
            await anext(stream)
            assert pool.running == 1
        assert pool.running == 0
        with pytest.raises(ValueError, match="bad"):
            [letter async for letter in streams.stream("bad")]
        assert pool.running == 0

    run_virtual(main())


def test_more_permits_wake_those_who_wait_and_fewer_let_run_what_runs() -> None:
    """`resize`."""
    limited = BulkheadPrimitive(slow, max_concurrency=1)
    pool = limited.bulkhead

    async def main() -> None:
        tasks = [asyncio.create_task(limited.execute(1.0)) for _ in range(6)]
        await asyncio.sleep(0.5)
        pool.resize(3)
        await asyncio.sleep(0)
        assert (pool.running, pool.waiting) == (3, 3)
        pool.resize(1)
        assert pool.running == 3
        await asyncio.gather(*tasks)
        # One at 0, two at 0.5; with one permit again, the last three run one after another.
        assert asyncio.get_running_loop().time() == 4.5

    run_virtual(main())


async def test_a_permit_too_many_is_an_error() -> None:
    """A `release` without its `acquire` would let too many run."""
    with pytest.raises(ConfigurationError, match="one release too many"):
        Bulkhead(1).release()


def test_a_retry_tries_again_after_a_refusal() -> None:
    """The step has not run, so that is safe."""
    limited = BulkheadPrimitive(slow, max_concurrency=1, max_queue=0)
    patient = RetryPrimitive(limited, max_attempts=5, initial_delay=1.0, jitter="none")

    async def main() -> None:
        await asyncio.gather(patient.execute(0.5), patient.execute(0.5))

    run_virtual(main())


def test_a_timeout_around_it_ends_the_wait() -> None:
    """And leaves the queue as it was."""
    limited = BulkheadPrimitive(slow, max_concurrency=1)

    async def main() -> None:
        first = asyncio.create_task(limited.execute(5.0))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await TimeoutPrimitive(limited, seconds=1).execute(1.0)
        assert limited.bulkhead.waiting == 0
        await first

    run_virtual(main())


def test_a_step_that_takes_a_permit_of_the_bulkhead_around_it_is_refused() -> None:
    """With no permit left, both would wait for ever."""
    pool = Bulkhead(1)
    inner = RetryPrimitive(BulkheadPrimitive(slow, bulkhead=pool))
    with pytest.raises(CompositionError, match="retry/bulkhead"):
        BulkheadPrimitive(inner, bulkhead=pool)
    BulkheadPrimitive(inner, max_concurrency=1)


def test_a_copy_has_permits_of_its_own() -> None:
    """Also one that was pickled; the options are the same."""
    pool = Bulkhead(2, max_queue=5, queue_timeout=1.5, name="pool")
    assert pool.try_acquire()
    for again in (copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))):  # noqa: S301 - our own
        assert repr(again) == "<Bulkhead 'pool': 0 running of 2, 0 waiting>"
        assert (again.max_queue, again.queue_timeout) == (5, 1.5)
