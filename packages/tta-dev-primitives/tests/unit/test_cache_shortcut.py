"""A cache that has run before answers sooner, and in all else as the first time."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest

from tta_dev_primitives import Sequential, WorkflowContext
from tta_dev_primitives.errors import NestedAwaitableError, ReentryError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.observability.metrics import get_metrics
from tta_dev_primitives.performance import CachePrimitive, MemoryStore
from tta_dev_primitives.performance.flights import leading
from tta_dev_primitives.performance.keys import LONGEST

pytestmark = pytest.mark.usefixtures("mode")


async def echo(value: Any) -> Any:
    return value


async def warmed(step: Any = echo, **options: Any) -> CachePrimitive[Any, Any]:
    """Return a cache that has answered texts before, with its figures at zero."""
    cache: CachePrimitive[Any, Any] = CachePrimitive(step, **options)
    for _ in range(3):
        assert await cache.execute("warm") == "warm"
    cache.cache_stats(reset=True)
    return cache


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Gated:
    """A step that lets `warm` through, and all else once its gate is open."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.gate = asyncio.Event()

    async def __call__(self, key: str) -> str:
        if key != "warm":
            self.runs.append(key)
            await self.gate.wait()
        return key


async def test_inputs_of_any_class_are_told_apart_in_any_order() -> None:
    """A text, a number and a list that look alike have three results."""
    cache = await warmed()
    inputs: list[Any] = ["1", 1, True, 1.0, [1], "1", None, (), {"a": 1}, b"1", 1]
    for _ in range(3):
        for value in inputs:
            got = await cache.execute(value)
            assert (type(got), got) == (type(value), value)
            assert await cache.execute(input_data=value) == value
            assert await cache.execute(WorkflowContext(), value) == value
    assert cache.cache_stats().misses == 9


async def test_a_long_text_is_kept_under_its_digest_and_found_again() -> None:
    """The key does not hold it."""
    cache = await warmed()
    for _ in range(3):
        assert len(await cache.execute("x" * (LONGEST + 1))) == LONGEST + 1
    stats = cache.cache_stats()
    assert (stats.misses, stats.hits, stats.size) == (1, 2, 2)
    assert not any(isinstance(key, str) and len(key) > LONGEST for key in cache.store.entries)


async def test_an_input_without_a_key_goes_through_each_time() -> None:
    """Also when the one before it was of its class."""
    cache = await warmed()
    given = object()
    for _ in range(3):
        assert await cache.execute(given) is given
    stats = cache.cache_stats()
    assert (stats.bypasses, stats.misses, stats.size) == (3, 0, 1)


async def test_a_context_without_an_input_stays_an_error() -> None:
    """So do no arguments, and two in the wrong order."""
    cache = await warmed()
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((), "needs the input"),
        ((WorkflowContext(),), "no input"),
        (("warm", WorkflowContext()), "wrong order"),
        (("warm", "data"), "as its context"),
    ]
    for arguments, said in wrong * 2:
        with pytest.raises(TypeError, match=said):
            await cache.execute(*arguments)
        assert await cache.execute("warm") == "warm"


async def test_a_failure_is_told_where_it_was_and_is_not_kept() -> None:
    """With one note, and a traceback as short as the first time."""

    async def step(value: str) -> str:
        if value != "warm":
            raise OSError(value)
        return value

    cache = await warmed(step)
    for _ in range(3):
        with pytest.raises(OSError, match="bad") as raised:
            await cache.execute("bad")
        assert len(raised.value.__notes__) == 1
        assert "in workflow step cache/step" in raised.value.__notes__[0]
        assert len(raised.traceback) <= 5
    assert cache.cache_stats().errors == 3
    assert not cache.store.flights


async def test_a_forgotten_await_is_told_on_every_run() -> None:
    """A coroutine is no result."""

    async def step(value: str) -> Any:
        return echo(value) if value == "lazy" else value

    cache = await warmed(step)
    for _ in range(2):
        with pytest.raises(NestedAwaitableError):
            await cache.execute("lazy")


async def test_those_who_wait_get_the_one_result() -> None:
    """A run that began on the short way is shared."""
    step = Gated()
    cache = await warmed(step)
    tasks = [asyncio.create_task(cache.execute("k")) for _ in range(50)]
    await settle()
    step.gate.set()
    assert await asyncio.gather(*tasks) == ["k"] * 50
    stats = cache.cache_stats()
    assert (step.runs, stats.misses, stats.waiters) == (["k"], 1, 49)
    assert leading.get() is None


async def test_a_cancelled_leader_hands_over_and_a_cancelled_waiter_leaves() -> None:
    """In whichever order, the rest get a value (cases 6 and 14)."""
    step = Gated()
    cache = await warmed(step)
    tasks = [asyncio.create_task(cache.execute("k")) for _ in range(6)]
    await settle()
    for gone in (0, 3, 1):  # the leader, one who waits, the next leader
        tasks[gone].cancel()
        await settle()
    step.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(got[gone]) for gone in (0, 1, 3)] == [asyncio.CancelledError] * 3
    assert [got[left] for left in (2, 4, 5)] == ["k"] * 3
    stats = cache.cache_stats()
    assert (len(step.runs), stats.cancellations, stats.misses, stats.waiters) == (3, 3, 1, 2)
    assert not cache.store.flights


async def test_when_all_are_cancelled_nothing_is_left() -> None:
    """The next call runs anew (case 10)."""
    step = Gated()
    cache = await warmed(step)
    tasks = [asyncio.create_task(cache.execute("k")) for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not cache.store.flights
    step.gate.set()
    assert await cache.execute("k") == "k"
    assert cache.cache_stats().calls == 4


async def test_a_call_that_needs_itself_is_told_so() -> None:
    """Directly, and through a task of its own (case 11)."""

    async def step(key: str) -> str:
        if key == "direct":
            return str(await cache.execute(key))
        if key == "gathered":
            return str((await asyncio.gather(cache.execute(key)))[0])
        return key

    cache = await warmed(step)
    for key in ("direct", "gathered"):
        with pytest.raises(ReentryError, match=key):
            await asyncio.wait_for(cache.execute(key), 5)
    assert not cache.store.flights


async def test_a_result_that_is_past_its_time_is_computed_anew() -> None:
    """And handed out until then."""
    now = 0.0
    runs = 0

    async def step(value: str) -> str:
        nonlocal runs
        runs += 1
        return value

    cache = await warmed(step, ttl=10, clock=lambda: now)
    for moment in (1.0, 9.0, 10.0, 11.0, 20.5):
        now = moment
        assert await cache.execute("warm") == "warm"
    stats = cache.cache_stats()
    assert (runs, stats.hits, stats.expirations) == (3, 3, 2)


async def test_a_stale_result_stands_in_when_the_step_fails() -> None:
    """The short way does not go past it."""
    now = 0.0
    down = False

    async def step(value: str) -> str:
        if down:
            raise OSError(value)
        return value

    cache = await warmed(step, ttl=10, stale_if_error=60, clock=lambda: now)
    now, down = 30.0, True
    assert await cache.execute("warm") == "warm"
    assert cache.cache_stats().stale_hits == 1


async def test_a_store_that_is_shared_is_asked_before_the_step() -> None:
    """By a cache that has nothing in memory."""
    store, runs = MemoryStore(), 0

    async def step(value: str) -> str:
        nonlocal runs
        runs += 1
        return value

    first = await warmed(step, store=store, namespace="n:v1")
    second = await warmed(step, store=store, namespace="n:v1")
    assert await first.execute("new") == "new"
    assert await second.execute("new") == "new"
    assert (runs, second.cache_stats().shared_hits) == (2, 1)


async def test_an_observer_that_comes_later_hears_of_every_call() -> None:
    """With what became of it; and when it has gone, nothing is missing."""
    cache = await warmed()
    with collect_records() as records:
        for value in ("warm", "new"):
            assert await cache.execute(value) == value
    told = [record.attributes.get("cache") for record in records if record.name == "cache"]
    assert told == ["hit", "miss"]
    assert await cache.execute("new") == "new"
    assert cache.cache_stats().hits == 2


async def test_the_recorder_counts_every_call(mode: str) -> None:
    """Hits for the cache alone, misses for its step as well."""
    cache = await warmed()
    for value in ("warm", "a", "a", "b"):
        await cache.execute(value)
    counted = {found.name: found.total for found in get_metrics()}
    assert counted == ({"cache": 7, "echo": 3} if mode == "recorder" else {})


async def test_a_copy_begins_with_nothing_of_its_own() -> None:
    """Copied, pickled, renamed or with another step inside, it answers as it should."""
    cache = await warmed()

    async def other(value: str) -> str:
        return value.upper()

    changed = cache.replace("cache/echo", other)
    for _ in range(3):
        assert await changed.execute("warm") == "WARM"
    for made in (copy.copy(cache), pickle.loads(pickle.dumps(cache)), cache.named("mine")):  # noqa: S301 - our own
        assert await made.execute("warm") == "warm"
        assert await made.execute("new") == "new"
    assert await cache.execute("warm") == "warm"


async def test_in_a_chain_it_is_bound_without_its_own_way() -> None:
    """As any step: it counts and observes there what it does alone."""
    cache = await warmed()
    chain = Sequential([cache, echo])
    for value in ("warm", "new", "new"):
        assert await chain.execute(value) == value
    stats = cache.cache_stats()
    assert (stats.hits, stats.misses) == (2, 1)


async def test_a_subclass_with_a_run_of_its_own_keeps_it() -> None:
    """The short way is no way around it."""

    class Loud(CachePrimitive[str, str]):
        async def _execute_impl(self, context: WorkflowContext | None, input_data: str) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            del context
            return f"{input_data}!"

    loud = Loud(echo)
    for _ in range(3):
        assert await loud.execute("a") == "a!"


def test_threads_with_loops_of_their_own_share_a_run_on_the_short_way() -> None:
    """Whoever is in another loop waits there (case 73)."""
    runs: list[str] = []
    together = threading.Barrier(4)

    async def step(key: str) -> str:
        runs.append(key)
        await asyncio.sleep(0.05)
        return key

    cache: CachePrimitive[str, str] = CachePrimitive(step)

    async def ask() -> list[str]:
        first = await cache.execute("warm")
        together.wait()
        return [first, await cache.execute("k"), await cache.execute("k")]

    got: list[list[str]] = []
    threads = [threading.Thread(target=lambda: got.append(asyncio.run(ask()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [["warm", "k", "k"]] * 4
    assert sorted(runs) == ["k", "warm"]
