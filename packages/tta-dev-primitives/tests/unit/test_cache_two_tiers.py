"""Memory first, then a store that other processes share; the call never suffers from the store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.performance import CachePrimitive, GuardedStore, MemoryStore, cached
from tta_dev_primitives.performance.keys import key_of
from tta_dev_primitives.testing import run_virtual


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, text: str) -> list[str]:
        self.calls += 1
        await asyncio.sleep(1)
        return [text, str(self.calls)]


class Broken(MemoryStore):
    def __init__(self, how: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self.how = how

    async def get(self, key: str) -> Any:
        return await self.how()

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await self.how()

    async def delete(self, key: str) -> None:
        await self.how()


async def refuse() -> None:
    raise ConnectionRefusedError


async def hang() -> None:
    await asyncio.get_running_loop().create_future()


async def lie() -> bytes:
    return b"[1]"


async def answer_in_another_type() -> list[str]:
    return ["a", "stolen"]


async def cancel_itself() -> None:
    raise asyncio.CancelledError


def pair(store: Any, **options: Any) -> tuple[Counting, CachePrimitive[str, list[str]], Any]:
    step = Counting()
    made: list[CachePrimitive[str, list[str]]] = [
        CachePrimitive(step, store=store, namespace="ns", **options) for _ in range(2)
    ]
    return step, made[0], made[1]


def test_another_process_finds_the_result() -> None:
    """Two caches, one store: the step runs once."""

    async def main() -> None:
        step, one, two = pair(MemoryStore())
        assert await one.execute("a") == await two.execute("a") == ["a", "1"]
        assert await two.execute("a") == ["a", "1"]
        assert step.calls == 1
        assert (two.cache_stats().shared_hits, two.cache_stats().hits) == (1, 1)
        assert two.cache_stats().hit_rate == 1.0

    run_virtual(main())


@pytest.mark.parametrize("how", [refuse, hang, lie, answer_in_another_type, cancel_itself])
def test_a_store_that_is_down_does_not_touch_the_call(how: Any) -> None:
    """A miss and an error, with a time bound of its own (case 74)."""

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        guarded = GuardedStore(Broken(how), namespace="ns", timeout=0.25, failures=3)
        step = Counting()
        cache = CachePrimitive(step, store=guarded)
        for text in ("a", "a", "b", "c", "d"):
            assert (await cache.execute(text))[0] == text
        assert step.calls == 4
        assert guarded.stats().errors >= 3
        assert (guarded.stats().hits, guarded.stats().misses) == (0, 4)
        stats = cache.cache_stats()
        assert (stats.misses, stats.hits, stats.errors, stats.shared_hits) == (4, 1, 0, 0)
        return asyncio.get_running_loop().time() - began

    assert run_virtual(main()) <= 4 + 3 * 0.25 + 0.01


@pytest.mark.parametrize("size", [0, 1, 20, -1])
async def test_a_half_written_value_is_a_miss(size: int) -> None:
    """Not an exception, and it is overwritten (case 74)."""
    store = MemoryStore()
    guarded = GuardedStore(store, namespace="ns")
    ran: list[str] = []

    def step(text: str) -> list[str]:
        ran.append(text)
        return [text]

    cache = CachePrimitive(step, store=guarded)
    assert await cache.execute("a") == ["a"]
    name = guarded.key_for(key_of("a"))
    assert name is not None
    whole = await store.get(name)
    assert whole is not None
    await store.set(name, whole[:size], 60)
    other = CachePrimitive(step, store=guarded)
    assert await other.execute("a") == ["a"]
    assert (len(ran), guarded.stats().rejected) == (2, 1)
    assert (await guarded.find(name)) is not None


def test_a_caller_that_is_cancelled_while_it_asks_leaves_its_turn_to_another() -> None:
    """Nobody waits for ever, and the cancellation is none of the store's failures (case 74)."""

    async def main() -> None:
        guarded = GuardedStore(Broken(hang), namespace="ns", timeout=2)
        step = Counting()
        cache = CachePrimitive(step, store=guarded)
        first, second = (asyncio.ensure_future(cache.execute("a")) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == ["a", "1"]
        assert first.cancelled()
        stats = cache.cache_stats()
        assert (stats.misses, stats.cancellations, guarded.stats().errors) == (1, 1, 2)

    run_virtual(main())


def test_those_who_wait_do_not_wait_for_the_store_to_be_written() -> None:
    """Only the one that computed does, for no longer than the store may take."""

    async def main() -> None:
        guarded = GuardedStore(Broken(hang), namespace="ns", timeout=0.25)
        cache = CachePrimitive(Counting(), store=guarded)
        loop = asyncio.get_running_loop()
        began, took = loop.time(), dict[int, float]()

        async def call(number: int) -> None:
            await cache.execute("a")
            took[number] = round(loop.time() - began, 6)

        await asyncio.gather(call(0), call(1))
        assert took == {0: 1.5, 1: 1.25}

    run_virtual(main())


def test_a_herd_asks_the_store_once() -> None:
    """Single flight covers the store as well."""

    async def main() -> None:
        guarded = GuardedStore(MemoryStore(), namespace="ns")
        step = Counting()
        cache = CachePrimitive(step, store=guarded)
        await asyncio.gather(*[cache.execute("a") for _ in range(50)])
        assert step.calls == 1
        assert (guarded.stats().misses, guarded.stats().writes) == (1, 1)

    run_virtual(main())


def test_invalidation_reaches_the_store() -> None:
    """What was dropped here is not served from there (case 63)."""

    async def main() -> None:
        step, one, _ = pair(MemoryStore())
        await one.execute("a")
        assert one.cache_invalidate("a")
        assert await one.execute("a") == ["a", "2"]
        one.cache_clear()
        assert await one.execute("a") == ["a", "3"]
        assert step.calls == 3

    run_virtual(main())


def test_a_result_lives_no_longer_for_having_come_from_the_store() -> None:
    """Memory keeps it for the time that it has left."""
    wall = [1e9]

    async def main() -> None:
        store = MemoryStore()
        step = Counting()

        def cache() -> CachePrimitive[str, list[str]]:
            guarded = GuardedStore(store, namespace="ns", unix_time=lambda: wall[0])
            return CachePrimitive(step, store=guarded, ttl=60)

        one, two = cache(), cache()
        await one.execute("a")
        for seconds, calls in ((40, 1), (15, 1), (10, 2)):
            await asyncio.sleep(seconds)
            wall[0] += seconds
            await two.execute("a")
            assert step.calls == calls

    run_virtual(main())


def test_what_was_invalidated_during_its_run_is_stored_nowhere() -> None:
    """Its callers get it (case 63)."""

    async def main() -> None:
        store = MemoryStore()
        _, one, _ = pair(store)
        running = asyncio.ensure_future(one.execute("a"))
        await asyncio.sleep(0.5)
        one.cache_invalidate("a")
        assert await running == ["a", "1"]
        assert len(store) == 0

    run_virtual(main())


async def test_arguments_of_a_function_count_in_the_store_too() -> None:
    """However they are written (case 4)."""
    store, ran = MemoryStore(), 0

    def make() -> Any:
        @cached(store=store, namespace="ask:v1")
        async def ask(prompt: str, *, temperature: float | None = None) -> str:
            nonlocal ran
            ran += 1
            return f"{prompt}{temperature}"

        return ask

    one, two = make(), make()
    assert await one("a") == await two(prompt="a", temperature=None) == "aNone"
    assert await two("a", temperature=0.0) == "a0.0"
    assert ran == 2


async def test_parameters_in_another_order_are_another_function() -> None:
    """What the old code stored under the same values is not served."""
    store = MemoryStore()

    @cached(store=store, namespace="n")
    async def move(source: str, target: str) -> str:
        return f"{source} to {target}"

    old = move

    @cached(store=store, namespace="n")
    async def swapped(target: str, source: str) -> str:
        return f"{source} to {target}"

    assert await old("a", "b") == "a to b"
    assert await swapped("a", "b") == "b to a"


async def test_a_function_and_its_step_have_one_guard() -> None:
    """What is invalidated for calls is not read by a workflow, though it is still in the store."""
    store, ran = MemoryStore(), 0

    @cached(store=store, namespace="n")
    async def ask(prompt: str) -> str:
        nonlocal ran
        ran += 1
        return f"{prompt} {ran}"

    flow = ask >> str.upper
    assert (await flow.execute("a"), await ask("a")) == ("A 1", "a 1")
    ask.cache_invalidate("a")
    assert len(store) == 1
    assert await flow.execute("a") == "A 2"


async def test_another_step_takes_nothing_from_the_store_and_gives_it_nothing() -> None:
    """A copy of a workflow with a stand-in inside shares no results with the real one."""
    store = MemoryStore()
    real = CachePrimitive(str.upper, store=store, namespace="n", name="kept")
    await real.execute("a")
    flow = real >> str.strip
    stand_in = flow.replace("sequential/kept/upper", str.lower)
    for text in ("A", "a", "B"):
        assert await stand_in.execute(text) == text.lower()
    assert len(store) == 1


async def test_what_has_a_meaning_in_one_process_stays_there() -> None:
    """Methods are kept by object; the store is not asked."""
    store = MemoryStore()

    class Model:
        calls = 0

        @cached(store=store, namespace="n")
        async def ask(self, prompt: str) -> str:
            self.calls += 1
            return prompt

    model = Model()
    assert await model.ask("a") == await model.ask("a") == "a"
    assert (model.calls, len(store)) == (1, 0)


def test_a_result_from_the_store_saves_what_it_cost() -> None:
    """As one that another caller computed does."""

    def twice(result: list[str]) -> float:
        return 2 * len(result)

    async def main() -> None:
        _, one, two = pair(MemoryStore(), cost=len, usage=twice)
        await one.execute("a")
        await two.execute("a")
        stats = two.cache_stats()
        assert (stats.saved_cost, stats.saved_tokens, stats.calls) == (2, 4, 1)

    run_virtual(main())


def test_the_record_says_that_a_result_came_from_the_store() -> None:
    """And holds no run of the step."""

    async def main() -> None:
        _, one, two = pair(MemoryStore())
        with collect_records() as records:
            for cache in (one, two, two):
                await cache.execute("a")
        noted = [r.attributes["cache"] for r in records if "cache" in r.attributes]
        assert (noted, len(records)) == (["miss", "store", "hit"], 4)

    run_virtual(main())


def test_a_renewed_result_reaches_the_store() -> None:
    """Others find the new one."""

    async def main() -> None:
        store = MemoryStore()
        step, one, two = pair(store, ttl=60, stale_ttl=60)
        await one.execute("a")
        await asyncio.sleep(61)
        assert await one.execute("a") == ["a", "1"]
        await asyncio.sleep(2)
        assert await two.execute("a") == ["a", "2"]
        assert step.calls == 2
        await one.aclose()

    run_virtual(main())


async def test_what_is_not_kept_here_is_not_kept_there() -> None:
    """`should_cache` counts for both, and failures are never shared."""
    store = MemoryStore()
    cache = CachePrimitive(
        int, store=store, namespace="n", should_cache=bool, cache_errors={ValueError: 60}
    )
    assert await cache.execute("0") == 0
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            await cache.execute("x")
    assert len(store) == 0
    assert await cache.execute("1") == 1
    assert len(store) == 1


def test_a_store_that_cannot_be_used_is_refused() -> None:
    """For a synchronous function, since it is awaited; without a namespace; without methods."""
    with pytest.raises(ConfigurationError, match="synchronous"):
        cached(store=MemoryStore(), namespace="n")(len)
    with pytest.raises(ConfigurationError, match="namespace"):
        CachePrimitive(len, store=MemoryStore())
    with pytest.raises(ConfigurationError, match="lacking get, set, delete"):
        CachePrimitive(len, store=cast("Any", object()), namespace="n")
