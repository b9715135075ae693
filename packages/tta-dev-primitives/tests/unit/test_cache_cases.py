"""Cache: the hard cases of keys, values, methods and figures that libraries get wrong."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.performance import CachePrimitive, CacheStats, cached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def counted() -> tuple[list[Any], Any]:
    """Return a list of the inputs that were computed, and a function that gives new lists."""
    runs: list[Any] = []

    @cached
    async def f(a: Any, b: Any = 2) -> list[Any]:
        runs.append((a, b))
        return [a, b]

    return runs, f


# --- keys ---------------------------------------------------------------------------------------


async def test_the_keyword_form_does_not_split_the_cache() -> None:
    """By position, by name, in any order, with the default spelt out or not (case 4)."""
    runs, f = counted()
    for call in (f(1, b=2), f(a=1, b=2), f(b=2, a=1), f(1, 2), f(1), f(a=1)):
        assert await call == [1, 2]
    assert len(runs) == 1


async def test_messages_are_arguments_like_any_other() -> None:
    """A list of dicts, with the keys in another order (case 5)."""
    runs, f = counted()
    await f([{"role": "user", "content": "hi"}])
    await f([{"content": "hi", "role": "user"}])
    assert len(runs) == 1


async def test_types_are_part_of_the_key() -> None:
    """Alone and nested, in calls and in steps (case 9)."""
    runs, f = counted()
    for value in (1, 1.0, True, (1,), (True,), [1.0], {"a": 1}, {"a": True}):
        await f(value)
    assert len(runs) == 8
    steps: list[Any] = []
    cache = CachePrimitive(steps.append)
    alone: Any
    for alone in (1, 1.0, True, "1", b"1", None):
        await cache.execute(alone)
    assert len(steps) == 6


async def test_equal_reprs_do_not_make_equal_keys() -> None:
    """Two unequal objects whose repr is the same are two entries (case 13)."""

    class Named:
        def __init__(self, value: int) -> None:
            self.value = value

        def __repr__(self) -> str:
            return "<Named>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and other.value == self.value

        def __hash__(self) -> int:
            return hash(self.value)

    runs, f = counted()
    for value in (Named(1), Named(2), Named(1)):
        await f(value)
    assert len(runs) == 2


@pytest.mark.parametrize(
    "value", [None, 0, "", False, (), NotImplemented, ..., CacheStats], ids=repr
)
async def test_none_and_its_like_are_values(value: object) -> None:
    """The second call is a hit (case 20)."""
    cache: CachePrimitive[Any, Any] = CachePrimitive(lambda _: value)
    assert await cache.execute("k") is value
    assert await cache.execute("k") is value
    assert cache.cache_stats().hits == 1


def test_generators_are_refused_when_decorated() -> None:
    """Both kinds, by both forms (case 12)."""

    async def stream(n: int) -> AsyncIterator[int]:
        yield n

    def items(n: int) -> Iterator[int]:
        yield n

    bad: Any
    for bad in (stream, items):
        with pytest.raises(CompositionError):
            cached(bad)
        with pytest.raises(CompositionError):
            CachePrimitive(bad)


async def test_a_cached_function_is_a_coroutine_function() -> None:
    """For `inspect`, and for `create_task` (case 22)."""
    _, f = counted()
    assert inspect.iscoroutinefunction(f)
    assert await asyncio.create_task(f(1)) == [1, 2]


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("eviction", ["s3-fifo", "lru", "lfu", "fifo"])
async def test_the_bound_bounds_whatever_is_done_to_the_cache(eviction: Any) -> None:
    """Ten results live after a thousand keys, drops, renewals and cancelled runs (case 21)."""

    class Big:
        pass

    alive: weakref.WeakSet[Big] = weakref.WeakSet()

    async def step(n: int) -> Big:
        await asyncio.sleep(0)
        big = Big()
        alive.add(big)
        return big

    cache = CachePrimitive(step, max_size=10, eviction=eviction)
    for n in range(1_000):
        await cache.execute(n % 300)
        if n % 3 == 0:
            cache.cache_invalidate(n % 300)
        if n % 7 == 0:
            task = asyncio.create_task(cache.execute(-n))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    gc.collect()
    assert len(alive) <= 10
    assert not cache.store.flights


def xs(n: int) -> str:
    return "x" * n


async def test_results_can_be_bounded_by_what_they_weigh() -> None:
    """What is heavier than all the room is handed out, and not kept."""
    cache = CachePrimitive(xs, max_weight=100, weigh=len, eviction="fifo")
    for n in (40, 50, 60, 200):
        assert len(await cache.execute(n)) == n
    stats = cache.cache_stats()
    assert (stats.weight, stats.size, stats.evictions) == (60, 1, 2)
    await cache.execute(30)
    assert cache.cache_stats().weight == 90
    cache.cache_clear()
    assert cache.cache_stats().weight == 0


def same(n: int) -> int:
    return n


def broken(_: object) -> float:
    raise ZeroDivisionError


def of(weight: Any) -> Callable[[object], float]:
    return lambda _: weight


@pytest.mark.parametrize(
    "bad",
    [broken, of(0), of(-1), of("heavy")],
    ids=["raises", "zero", "negative", "text"],
)
async def test_what_cannot_be_weighed_is_handed_out_and_not_kept(bad: Any) -> None:
    """The call goes through as if there were no cache."""
    cache = CachePrimitive(same, max_weight=10, weigh=bad)
    assert [await cache.execute(3), await cache.execute(3)] == [3, 3]
    assert cache.cache_stats().size == 0


@pytest.mark.parametrize(
    "options",
    [
        {"max_weight": 10},
        {"weigh": len},
        {"max_weight": 0, "weigh": len},
        {"max_weight": float("nan"), "weigh": len},
        {"max_weight": True, "weigh": len},
        {"max_weight": 10, "weigh": 3},
        {"eviction": "random"},
        {"eviction": None},
        {"copy": "shallow"},
        {"should_cache": True},
        {"cost": 0.5},
        {"usage": "tokens"},
        {"rng": 7},
    ],
    ids=repr,
)
def test_an_option_that_makes_no_sense_is_refused_at_once(options: dict[str, Any]) -> None:
    """By both forms."""
    with pytest.raises(ConfigurationError):
        CachePrimitive(len, **options)
    with pytest.raises(ConfigurationError):
        cached(**options)


# --- methods ------------------------------------------------------------------------------------


class Model:
    """Slots, no hash: as awkward as a class can be."""

    __slots__ = ("__weakref__", "name")
    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - as Python says it

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return True

    @cached
    async def ask(self, question: str) -> str:
        return f"{self.name}: {question}"

    @staticmethod
    @cached
    async def shout(text: str) -> str:
        return text.upper()


class Child(Model):
    __slots__ = ()


async def test_objects_do_not_share_entries_and_are_not_kept_alive() -> None:
    """Equal, unhashable, slotted, of a subclass (case 72)."""
    Model.ask.cache_clear()
    Model.ask.cache_stats(reset=True)
    a, b, c = Model("a"), Model("b"), Child("c")
    for _ in range(2):
        assert [await m.ask("q") for m in (a, b, c)] == ["a: q", "b: q", "c: q"]
    assert (Model.ask.cache_stats().hits, Model.ask.cache_stats().misses) == (3, 3)
    gone = weakref.ref(a)
    del a
    gc.collect()
    assert gone() is None


async def test_a_method_called_on_its_class_is_the_same_method() -> None:
    """Its results can be forgotten either way (case 72)."""
    model = Model("m")
    await model.ask("class?")
    assert await Model.ask(model, "class?") == "m: class?"
    assert Model.ask.cache_invalidate(model, "class?")
    assert not model.ask.cache_invalidate("class?")
    unbound: Any = model  # checkers bind what a static method gives once more
    assert await unbound.shout("a") == "A"


# --- figures ------------------------------------------------------------------------------------


async def test_the_figures_add_up_to_the_calls() -> None:
    """Hits, waiters, misses, errors, cancellations, and calls without a key (case 76)."""
    fail = False

    async def step(value: object) -> object:
        await asyncio.sleep(0)
        if fail:
            raise OSError
        return value

    cache = CachePrimitive(step, max_size=2)
    await asyncio.gather(*[cache.execute("a") for _ in range(4)])
    await cache.execute("a")
    for key in ("b", "c", "d", object(), object()):
        await cache.execute(key)
    fail = True
    await asyncio.gather(*[cache.execute("e") for _ in range(3)], return_exceptions=True)
    task = asyncio.create_task(cache.execute("f"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    stats = cache.cache_stats()
    figures = (stats.hits, stats.waiters, stats.misses, stats.errors, stats.cancellations)
    assert figures == (1, 3, 4, 3, 1)
    assert (stats.bypasses, stats.evictions, stats.calls) == (2, 2, 14)
    assert stats.hit_rate == pytest.approx(4 / 11)


def test_the_hit_rate_of_an_unused_cache_is_zero() -> None:
    """Not an error (case 76)."""
    assert CachePrimitive(len).cache_stats().hit_rate == 0.0


def test_a_reset_while_others_count_loses_nothing() -> None:
    """All that was read between resets, and the rest, are all calls (case 76)."""

    @cached(max_size=16)
    def f(n: int) -> int:
        return n

    stop = threading.Event()
    read: list[int] = []

    def reset() -> None:
        while not stop.is_set():
            read.append(f.cache_stats(reset=True).calls)

    def call(seed: int) -> None:
        for n in range(5_000):
            f((n * seed) % 40)

    resetting = threading.Thread(target=reset)
    calling = [threading.Thread(target=call, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in (resetting, *calling):
        thread.start()
    for thread in calling:
        thread.join()
    stop.set()
    resetting.join()
    assert sum(read) + f.cache_stats().calls == 20_000


async def test_what_hits_have_saved_is_added_up() -> None:
    """Cost, tokens and time, of kept and of evicted results."""

    async def ask(prompt: str) -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return {"text": prompt, "tokens": 10 * len(prompt)}

    cache = CachePrimitive(
        ask,
        max_size=1,
        cost=lambda result: result["tokens"] * 0.01,
        usage=lambda result: result["tokens"],
    )
    for prompt in ("a", "a", "a", "bb", "bb"):
        await cache.execute(prompt)
    stats = cache.cache_stats()
    assert stats.saved_tokens == 2 * 10 + 20
    assert stats.saved_cost == pytest.approx(0.4)
    assert stats.saved_seconds >= 0.003
    assert cache.cache_stats(reset=True).saved_tokens == 40
    assert cache.cache_stats().saved_tokens == 0


def test_figures_that_do_not_exist_are_refused() -> None:
    """A typing error must not read as zero."""
    with pytest.raises(TypeError, match="hit_count"):
        CacheStats(hit_count=1)
    assert "hits=3" in repr(CacheStats(hits=3))


async def test_a_copied_or_pickled_cache_is_empty_and_works() -> None:
    """Results of another process are none of this one."""
    cache = CachePrimitive(str.upper, max_size=5, jitter=0.1)
    assert await cache.execute("a") == "A"
    for other in (pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)):  # noqa: S301 - made right here
        assert other.cache_stats().size == 0
        assert await other.execute("a") == "A"
