"""Cache: equal inputs are answered once, and never with another input's result."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import CompositionError, ConfigurationError, ReentryError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.performance import Cache, CachePrimitive, CacheStats, cached
from tta_dev_primitives.performance.keys import Unkeyable, key_of
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tta_dev_primitives.core.record import Record


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    """Run a test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield []
    else:
        with collect_records() as records:
            yield records


class Counting:
    """Counts its runs; may wait for a gate, and may fail."""

    def __init__(self, *, gated: bool = False, errors: list[BaseException] | None = None) -> None:
        self.inputs: list[Any] = []
        self.gate = asyncio.Event()
        self.errors = errors or []
        if not gated:
            self.gate.set()

    async def __call__(self, value: Any) -> Any:
        self.inputs.append(value)
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return ("result", value)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- hits and misses ----------------------------------------------------------------------------


async def test_an_equal_input_is_answered_from_the_cache() -> None:
    """The step runs once."""
    step = Counting()
    cache = CachePrimitive(step)
    assert await cache.execute([1]) is await cache.execute([1])
    assert len(step.inputs) == 1
    assert cache.cache_stats().hits == 1


@pytest.mark.parametrize("value", [None, 0, "", False, ()], ids=repr)
async def test_an_empty_result_is_a_result(value: object) -> None:
    """None and its like are kept as well."""
    runs = 0

    async def step(_: object) -> object:
        nonlocal runs
        runs += 1
        return value

    cache = CachePrimitive(step)
    assert await cache.execute("x") == await cache.execute("x") == value
    assert runs == 1


async def test_an_error_is_not_kept() -> None:
    """The next call runs the step again."""
    step = Counting(errors=[OSError("once")])
    cache = CachePrimitive(step)
    with pytest.raises(OSError, match="once"):
        await cache.execute("x")
    assert await cache.execute("x") == ("result", "x")
    stats = cache.cache_stats()
    assert (stats.errors, stats.misses) == (1, 1)


def one_shot(n: int) -> Iterator[int]:
    return iter(range(n))


async def test_an_iterator_is_not_kept() -> None:
    """A spent generator is no hit."""
    cache = CachePrimitive(one_shot)
    assert list(await cache.execute(2)) == list(await cache.execute(2)) == [0, 1]


def test_a_result_is_good_until_its_time_is_up() -> None:
    """To the second, in the loop's virtual time."""
    step = Counting()
    cache = CachePrimitive(step, ttl=10)

    async def main() -> None:
        await cache.execute("x")
        await asyncio.sleep(9.9)
        await cache.execute("x")
        assert len(step.inputs) == 1
        await asyncio.sleep(0.1)
        await asyncio.gather(*(cache.execute("x") for _ in range(20)))
        assert len(step.inputs) == 2

    run_virtual(main())
    assert cache.cache_stats().expirations == 1


async def test_the_clock_can_be_given() -> None:
    """Time passes when the test says so."""
    now = 0.0
    step = Counting()
    cache = CachePrimitive(step, ttl_seconds=5, clock=lambda: now)
    await cache.execute("x")
    now = 5.0
    await cache.execute("x")
    assert len(step.inputs) == 2


async def test_the_bound_bounds_and_the_least_recently_used_goes_first() -> None:
    """A hit renews; what makes room is counted."""
    step = Counting()
    cache = CachePrimitive(step, max_size=2, eviction="lru")
    for value in ("a", "b", "a", "c", "a", "b"):
        await cache.execute(value)
    assert step.inputs == ["a", "b", "c", "b"]
    stats = cache.cache_stats()
    assert (stats.size, stats.evictions, stats.hits, stats.misses) == (2, 2, 2, 4)


# --- single flight ------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [[0], [3], [0, 1], [0, 1, 2, 3], [4, 0]], ids=str)
async def test_cancelled_callers_do_not_harm_the_others(gone: list[int]) -> None:
    """Those who are cancelled see it, the rest get the result, with at most one run per leader."""
    step = Counting(gated=True)
    cache = CachePrimitive(step)
    tasks = [asyncio.create_task(cache.execute("x")) for _ in range(5)]
    await settle()
    for index in gone:
        tasks[index].cancel()
    await settle()
    step.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for index, result in enumerate(results):
        if index in gone:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert result == ("result", "x")
    assert len(step.inputs) <= 2


async def test_a_caller_cancelled_as_it_takes_over_passes_the_turn_on() -> None:
    """One after the other, in the pass in which each was woken."""
    step = Counting(gated=True)
    cache = CachePrimitive(step)
    tasks = [asyncio.create_task(cache.execute("x")) for _ in range(4)]
    await settle()
    tasks[0].cancel()
    await asyncio.sleep(0)  # the turn goes to the second, which has not run yet
    tasks[1].cancel()
    await settle()
    step.gate.set()
    assert await tasks[2] == await tasks[3] == ("result", "x")


async def test_an_exception_that_cannot_be_copied_is_shared() -> None:
    """Its constructor wants more than its arguments say."""

    class OddError(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} {b}")

    step = Counting(gated=True, errors=[OddError(1, 2)])
    cache = CachePrimitive(step)
    tasks = [asyncio.create_task(cache.execute("x")) for _ in range(3)]
    await settle()
    step.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["1 2"] * 3


async def test_two_steps_that_need_each_other_are_told_so() -> None:
    """Whichever comes second; the other gets the error, not a hang."""

    async def a(value: str) -> Any:
        await asyncio.sleep(0)
        return await second.execute(value)

    async def b(value: str) -> Any:
        await asyncio.sleep(0)
        return await first.execute(value)

    first: CachePrimitive[str, Any] = CachePrimitive(a)
    second: CachePrimitive[str, Any] = CachePrimitive(b)
    errors = await asyncio.wait_for(
        asyncio.gather(first.execute("k"), second.execute("k"), return_exceptions=True), 5
    )
    assert [type(error) for error in errors] == [ReentryError, ReentryError]


async def test_a_cached_step_may_call_itself_with_another_input() -> None:
    """Recursion is no re-entry."""

    @cached
    async def factorial(n: int) -> int:
        return n * await factorial(n - 1) if n else 1

    assert await factorial(10) == math.factorial(10)


def test_two_loops_do_not_wait_for_each_other() -> None:
    """A run under way in one loop is not shared with another."""
    step = Counting(gated=True)
    cache = CachePrimitive(step)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        task = first.create_task(cache.execute("x"))
        first.run_until_complete(asyncio.sleep(0))
        step.gate.set()
        assert second.run_until_complete(cache.execute("x")) == ("result", "x")
        assert first.run_until_complete(task) == ("result", "x")
    finally:
        first.close()
        second.close()


# --- keys ---------------------------------------------------------------------------------------


class ById:
    def __init__(self, value: int) -> None:
        self.value = value


def cyclic() -> list[Any]:
    own: list[Any] = []
    own.append(own)
    return own


class Unhashable(ById):
    def __hash__(self) -> int:
        raise ZeroDivisionError

    def __eq__(self, other: object) -> bool:
        return self is other


class Text(str):
    __slots__ = ("hidden",)


@pytest.mark.parametrize(
    "make",
    [object, lambda: ById(1), cyclic, lambda: Unhashable(1), lambda: Text("x"), lambda: iter([])],
    ids=["object", "by identity", "cyclic", "hash raises", "subclass", "iterator"],
)
async def test_an_input_without_a_key_goes_through(make: Any) -> None:
    """Uncached and counted; what is compared by identity may have changed since."""
    value = make()
    step = Counting()
    cache = CachePrimitive(step)
    with pytest.raises(Unkeyable):
        key_of([value])
    for _ in range(2):
        await cache.execute(value)
    stats = cache.cache_stats()
    assert len(step.inputs) == 2
    assert (stats.bypasses, stats.hits, stats.misses, stats.size) == (2, 0, 0, 0)


# --- the decorator ------------------------------------------------------------------------------


def tenant(context: WorkflowContext, question: str) -> str:
    return f"{context.data.get('tenant')}: {question}"


def of(**data: object) -> WorkflowContext:
    return WorkflowContext(data=data)


async def test_arguments_count_however_they_are_written() -> None:
    """By position, by name, in any order, or by default."""
    runs = 0

    @cached(max_size=1000, ttl=3600)
    async def f(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple[object, ...]:
        nonlocal runs
        runs += 1
        return a, b, rest, c, more

    for call in (f(1), f(1, 2), f(a=1), f(b=2, a=1), f(1, c=3), f(1, 2, c=3)):
        assert await call == (1, 2, (), 3, {})
    assert runs == 1
    for call in (f(1, 2, 3), f(1, c=4), f(1, d=5), f(1, d=5, e=6), f(1, e=6, d=5), f(True)):
        await call
    assert runs == 6
    assert f.cache_stats().hit_rate == pytest.approx(6 / 12)


async def test_a_function_and_its_step_share_results() -> None:
    """Called directly or in a workflow."""

    @cached
    async def f(text: str) -> int:
        return len(text)

    assert await f("four") == 4
    assert await (f >> str).execute("four") == "4"
    assert f.cache_stats().hits == 1


async def test_a_function_of_the_context_is_kept_by_its_data() -> None:
    """Directly and as a step."""

    @cached
    async def f(context: WorkflowContext, question: str) -> str:
        return tenant(context, question)

    assert await f(of(tenant="a"), "q") == "a: q"
    assert await f(of(tenant="b"), "q") == "b: q"
    assert await f.execute(of(tenant="b"), "q") == "b: q"
    assert f.cache_stats().hits == 1


def test_a_synchronous_function_stays_synchronous() -> None:
    """Kept as well; an error is not."""
    runs: list[int] = []

    @cached
    def half(n: int) -> int:
        runs.append(n)
        if n % 2:
            raise ValueError(n)
        return n // 2

    assert half(4) == half(n=4) == half.run(4) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match="3"):
            half(3)
    assert runs == [4, 3, 3]


async def test_methods_keep_results_apart_by_object_and_objects_die() -> None:
    """Unhashable objects as well."""

    class Model:
        __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - how Python itself says it

        def __init__(self, name: str) -> None:
            self.name = name

        @cached
        async def ask(self, question: str) -> str:
            return f"{self.name}: {question}"

    a, b = Model("a"), Model("b")
    assert [await a.ask("q"), await b.ask("q"), await a.ask("q")] == ["a: q", "b: q", "a: q"]
    assert Model.ask.cache_stats().hits == 1
    gone = weakref.ref(a)
    del a
    gc.collect()
    assert gone() is None


def test_what_cannot_be_cached_is_refused_when_decorated() -> None:
    """Generators, primitives, numbers."""

    def items(n: int) -> Iterator[int]:
        yield n

    async def stream(n: int) -> AsyncIterator[int]:
        yield n

    with pytest.raises(CompositionError, match="generator function"):
        CachePrimitive(items)
    bad: Any
    for bad in (items, stream, CachePrimitive(len), 7):
        with pytest.raises(CompositionError):
            cached(bad)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("max_size", v) for v in (0, -1, 1.5, True, "9", None)),
        *(("ttl", v) for v in (0, -1, float("nan"), "9", True)),
        *(("ttl_seconds", v) for v in (0, -1, float("nan"), "9", True)),
        *(("context_fields", v) for v in ("tenant", [1])),
        ("clock", 7),
    ],
)
def test_a_bad_option_is_named_at_once(option: str, value: object) -> None:
    """Construction and decoration both refuse it."""
    bad: Any = {option: value}
    with pytest.raises(ConfigurationError, match=option.removesuffix("_seconds")):
        CachePrimitive(len, **bad)
    with pytest.raises(ConfigurationError, match=option.removesuffix("_seconds")):
        cached(**bad)


def test_both_names_of_the_time_to_live_are_one_too_many() -> None:
    """As with all options that have two names."""
    with pytest.raises(ConfigurationError, match="one of them"):
        CachePrimitive(len, ttl=1, ttl_seconds=1)


def test_a_time_to_live_without_end_is_allowed() -> None:
    """For as long as there is room."""
    assert Cache(len, ttl=math.inf).run("four") == 4
    assert Cache is CachePrimitive


# --- statistics and eviction, without a loop ----------------------------------------------------


def test_the_hit_rate_of_an_unused_cache_is_zero() -> None:
    """Not an error; else it is a fraction from 0 to 1."""
    assert CacheStats().hit_rate == 0.0
    assert CacheStats(hits=3, misses=1).hit_rate == 0.75
    assert f"{CachePrimitive(len).cache_stats().hit_rate:.2%}" == "0.00%"
