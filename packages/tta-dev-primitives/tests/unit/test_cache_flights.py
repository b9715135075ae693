"""Single flight: callers of one key share a run, whoever is cancelled, fails or comes late."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import ReentryError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.performance import CachePrimitive, cached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield
    else:
        with collect_records():
            yield


class Gated:
    """A step that waits for its gate, then fails with what it was told to, or gives its run."""

    def __init__(self, *errors: Exception) -> None:
        self.runs = 0
        self.gate = asyncio.Event()
        self.errors = list(errors)

    async def __call__(self, key: str) -> str:
        self.runs += 1
        run = self.runs
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return f"{key} by run {run}"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def callers(cache: CachePrimitive[str, str], count: int) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(cache.execute("k")) for _ in range(count)]


async def test_when_the_leader_is_cancelled_the_others_get_a_value() -> None:
    """It alone is cancelled; one more run at most (case 6)."""
    step = Gated()
    tasks = callers(CachePrimitive(step), 5)
    await settle()
    tasks[0].cancel()
    await settle()
    step.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(got[0], asyncio.CancelledError)
    assert got[1:] == ["k by run 2"] * 4


async def test_when_a_waiter_is_cancelled_the_run_goes_on() -> None:
    """The rest get its value (case 14)."""
    step = Gated()
    tasks = callers(CachePrimitive(step), 5)
    await settle()
    tasks[3].cancel()
    await settle()
    step.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [g for g in got if g == "k by run 1"] == ["k by run 1"] * 4
    assert isinstance(got[3], asyncio.CancelledError)


async def test_when_all_are_cancelled_nothing_runs_on_and_the_next_run_is_fresh() -> None:
    """The body is cancelled too (case 10)."""
    ended: list[str] = []

    async def step(key: str) -> str:
        try:
            await asyncio.sleep(3600 if not ended else 0)
        except asyncio.CancelledError:
            ended.append(key)
            raise
        return key

    cache = CachePrimitive(step)
    tasks = callers(cache, 3)
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == ["k"]
    assert await cache.execute("k") == "k"
    stats = cache.cache_stats()
    assert (stats.cancellations, stats.misses, stats.calls) == (3, 1, 4)


async def test_a_cold_key_is_computed_once() -> None:
    """A thousand callers in one tick (case 34)."""
    step = Gated()
    cache = CachePrimitive(step)
    tasks = callers(cache, 1_000)
    await settle()
    step.gate.set()
    assert set(await asyncio.gather(*tasks)) == {"k by run 1"}
    assert not cache.store.flights


async def test_a_failure_reaches_every_waiter_and_the_next_call_runs_again() -> None:
    """Exceptions are not values (case 24)."""
    step = Gated(OSError("once"))
    cache = CachePrimitive(step)
    tasks = callers(cache, 5)
    await settle()
    step.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in got] == ["once"] * 5
    assert await cache.execute("k") == "k by run 2"


async def test_no_waiter_sees_the_frames_of_another() -> None:
    """Fifty tracebacks, each as short as the first (case 23)."""
    step = Gated(OSError("broken"))
    tasks = callers(CachePrimitive(step), 50)
    await settle()
    step.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    depths = [len(traceback.extract_tb(e.__traceback__)) for e in errors if isinstance(e, OSError)]
    assert len(depths) == 50
    assert max(depths) <= 5
    assert len({id(error) for error in errors}) == 50


@pytest.mark.parametrize("listening", ["bare"], indirect=True)  # a record holds the error
async def test_a_failed_run_leaves_no_frame_alive() -> None:
    """Reference counting frees what it held, also where nobody waited."""

    class Big:
        pass

    seen: list[weakref.ref[Big]] = []

    async def step(key: str) -> str:
        big = Big()
        seen.append(weakref.ref(big))
        raise OSError(key)

    cache = CachePrimitive(step)
    gc.disable()
    try:
        with suppress(OSError):
            await cache.execute("k")
        assert seen[0]() is None
    finally:
        gc.enable()


async def test_a_call_that_needs_itself_is_told_so_within_one_pass() -> None:
    """Directly and through `gather`; the error names the input (case 11)."""

    async def direct(key: str) -> str:
        return await cache.execute(key)

    async def gathered(key: str) -> str:
        return (await asyncio.gather(cache.execute(key)))[0]

    for step in (direct, gathered):
        cache: CachePrimitive[str, str] = CachePrimitive(step)
        with pytest.raises(ReentryError, match="'own key'"):
            await asyncio.wait_for(cache.execute("own key"), 5)
        assert not cache.store.flights


async def test_two_keys_that_need_each_other_are_told_so() -> None:
    """In one cache: a needs b, b needs a (case 11)."""

    async def step(key: str) -> str:
        await asyncio.sleep(0)
        return await cache.execute("b" if key == "a" else "a")

    cache: CachePrimitive[str, str] = CachePrimitive(step)
    both = asyncio.gather(cache.execute("a"), cache.execute("b"), return_exceptions=True)
    got = await asyncio.wait_for(both, 5)
    assert [type(error) for error in got] == [ReentryError, ReentryError]


def test_a_synchronous_function_that_needs_itself_is_told_so() -> None:
    """Not a deadlock of the thread with itself (case 11)."""

    @cached
    def own(n: int) -> int:
        return own(n)

    with pytest.raises(ReentryError):
        own(1)


async def test_invalidating_during_a_run_keeps_its_result_out() -> None:
    """Its callers get it; the next one gets a new one (case 63)."""
    for how in ("invalidate", "clear"):
        step = Gated()
        cache = CachePrimitive(step)
        tasks = callers(cache, 2)
        await settle()
        if how == "invalidate":
            assert cache.cache_invalidate("k")
        else:
            cache.cache_clear()
        late = callers(cache, 2)
        await settle()
        step.gate.set()
        assert await asyncio.gather(*tasks, *late) == ["k by run 1"] * 2 + ["k by run 2"] * 2
        assert await cache.execute("k") == "k by run 2"


async def test_eviction_during_a_run_harms_nobody() -> None:
    """Room for one, two keys under way (case 64)."""
    step = Gated()
    cache = CachePrimitive(step, max_size=1)
    tasks = [asyncio.create_task(cache.execute(key)) for key in ("a", "b", "a", "b")]
    await settle()
    step.gate.set()
    got = await asyncio.gather(*tasks)
    assert [text[0] for text in got] == ["a", "b", "a", "b"]
    assert cache.cache_stats().size == 1


async def test_an_iterator_is_not_shared_by_those_who_wait() -> None:
    """Each gets one of its own."""
    runs = 0

    async def letters(text: str) -> AsyncIterator[str]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)

        async def each() -> AsyncIterator[str]:
            for letter in text:
                yield letter

        return each()

    cache = CachePrimitive(letters)
    streams = await asyncio.gather(*[cache.execute("ab") for _ in range(3)])
    assert [[letter async for letter in stream] for stream in streams] == [["a", "b"]] * 3
    assert runs == 3
