"""Each wrapper around one step on its success path, beside the libraries that do the same."""

from __future__ import annotations

import asyncio
import importlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from tta_dev_primitives import Sequential

from .beside import beside
from .measure import figure
from .observing import MODES, observed
from .peers import CONCURRENCY, PLENTY, ROOM, distribution
from .row import Measured, Row
from .subjects import bare_chain, passes, suspends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .measure import Effort, Timed
    from .observing import Mode
    from .peers import Guard, Role
    from .row import Guards, Peers

__all__ = ("rows",)

_Wrap: TypeAlias = "Callable[[Any], Any]"

_LONG = 60.0  # seconds that never pass
_HERD = 1_000
_STEPS = 10
_BY_HAND = "cachetools"
_NO_FLIGHT = (
    f"{_BY_HAND} is a mapping: the lines around it are written by hand, without single flight, so "
    "that a herd computes as often as it is large"
)


def rows() -> Iterator[Row]:
    """Yield a row for each wrapper, and those about misses of a cache."""
    bare = (passes, "one bare await")
    yield _row("retry", "Retry", _retry, bare, 3.5, role="retry")
    yield _row("retry", "Retry", _retry, bare, 5.0, mode="recorder")
    yield _row("breaker", "CircuitBreaker, closed", _breaker, bare, 4.0, role="breaker")
    yield _row("fallback", "Fallback", _fallback, bare, 3.0)
    yield _row("timeout", "Timeout", _timeout, (_with_timeout, "`asyncio.timeout`"), 1.1)
    yield _row("cache-hit", "Cache, hit", _cache, bare, 4.5, role="cache")
    yield _row(
        "bulkhead",
        "Bulkhead, a free place",
        _bulkhead,
        (_with_semaphore(), "`asyncio.Semaphore`"),
        1.2,
        role="bulkhead",
        extra={"bare await": passes},
    )
    yield _row("rate-limit", "RateLimit, within it", _rate_limit, bare, 4.0, role="rate-limit")
    yield _chained("retry", "Retry", _retry, 3.5)
    yield _chained("breaker", "CircuitBreaker, closed", _breaker, 4.0)
    yield _chained("fallback", "Fallback", _fallback, 3.0)
    yield _chained("cache-hit", "Cache, hit", _cache, 4.5)
    yield Row(
        key="wrapper.cache-miss.off",
        title=f"Cache, miss with single flight that evicts from {ROOM:,}, observers off",
        against="one bare await",
        unit="x",
        budget=18.0,
        measure=_miss,
        with_peers=True,
        role="cache",
    )
    yield Row(
        key="wrapper.cache-herd.off",
        title=f"Cache, {_HERD:,} callers of one missing key: how often the step runs",
        against="runs of the step",
        unit="",
        budget=1.0,
        measure=_herd,
    )
    yield Row(
        key="wrapper.cache-herd-cost.off",
        title=f"Cache, {_HERD:,} callers of one missing key: the time of all of them, "
        f"{MODES['off']}",
        against="a dict of tasks written by hand, one for each miss",
        unit="x",
        budget=0.6,
        measure=_herd_cost,
    )


def _row(
    key: str,
    title: str,
    wrap: _Wrap,
    baseline: tuple[Timed, str],
    budget: float,
    *,
    mode: Mode = "off",
    role: Role | None = None,
    extra: dict[str, Timed] | None = None,
) -> Row:
    bare, against = baseline

    def build(guard: Guard) -> Timed | None:
        return None if role is None else guard[role](passes)

    async def measure(effort: Effort, peers: Guards) -> Measured:
        guards: Guards = {} if role is None else peers
        try:
            wrapped = wrap(passes)
        except ModuleNotFoundError as error:
            return _absent(error)
        with observed(mode):
            return await beside(bare, wrapped.execute, effort, guards, build, extra=extra)

    return Row(
        key=f"wrapper.{key}.{mode}",
        title=f"{title}, {MODES[mode]}",
        against=against,
        unit="x",
        budget=budget,
        measure=measure,
        with_peers=role is not None,
        role=role,
    )


def _chained(key: str, title: str, wrap: _Wrap, budget: float) -> Row:
    """Return the row about a wrapper as a step, where a run's own cost is shared by ten."""

    async def measure(effort: Effort, peers: Peers) -> Measured:
        del peers
        try:
            ours: Any = Sequential([wrap(passes) for _ in range(_STEPS)])
        except ModuleNotFoundError as error:
            return _absent(error)
        with observed("off"):
            return await beside(
                bare_chain("input", _STEPS), ours.execute, effort, {}, lambda _: None
            )

    return Row(
        key=f"wrapper.{key}.chained",
        title=f"{title}, each of {_STEPS} steps of a chain, {MODES['off']}",
        against=f"the bare loop over {_STEPS} steps",
        unit="x",
        budget=budget,
        measure=measure,
    )


def _absent(error: ModuleNotFoundError) -> Measured:
    """Say that a wrapper is missing; a module that is missing elsewhere is an error.

    Raises:
        ModuleNotFoundError: It is not one of this package.
    """
    if not (error.name or "").startswith("tta_dev_primitives."):
        raise error
    return Measured(ours=None, facts=(f"there is no module {error.name} in this version",))


def _made(place: str, name: str) -> Any:
    """Return a class of ours that may not be there in every version."""
    return getattr(importlib.import_module(f"tta_dev_primitives.{place}"), name)


def _retry(inner: Any) -> Any:
    return _made("recovery.retry", "RetryPrimitive")(inner)


def _breaker(inner: Any) -> Any:
    return _made("recovery.circuit_breaker", "CircuitBreakerPrimitive")(inner)


def _fallback(inner: Any) -> Any:
    return _made("recovery.fallback", "FallbackPrimitive")(inner, fallback=passes)


def _timeout(inner: Any) -> Any:
    return _made("recovery.timeout", "TimeoutPrimitive")(inner, seconds=_LONG)


def _cache(inner: Any) -> Any:
    return _made("performance.cache", "CachePrimitive")(inner, max_size=ROOM)


def _bulkhead(inner: Any) -> Any:
    return _made("recovery.bulkhead", "BulkheadPrimitive")(inner, max_concurrency=CONCURRENCY)


def _rate_limit(inner: Any) -> Any:
    rate = _made("recovery.load.gcra", "Rate")(PLENTY, per=1.0)
    return _made("recovery.rate_limit", "RateLimitPrimitive")(inner, limiter=rate)


async def _with_timeout(value: int) -> int:
    async with asyncio.timeout(_LONG):
        return await passes(value)


def _with_semaphore() -> Timed:
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def run(value: int) -> int:
        async with semaphore:
            return await passes(value)

    return run


async def _one(value: int) -> int:
    del value
    return 1


async def _miss(effort: Effort, peers: Guards) -> Measured:
    try:
        cache = _cache(_one)
    except ModuleNotFoundError as error:
        return _absent(error)
    with observed("off"):
        ours = await _always_missing(cache.execute)
        full: dict[str, Timed | str] = {
            name: guard if isinstance(guard, str) else await _always_missing(guard["cache"](_one))
            for name, guard in peers.items()
        }
        found = await beside(_counting(_one), ours, effort, full, lambda missing: missing)
    return replace(found, facts=(_NO_FLIGHT,)) if _BY_HAND in map(distribution, full) else found


async def _always_missing(call: Timed) -> Timed:
    """Return what asks for another key with each call, once the cache is full."""
    missing = _counting(call)
    for _ in range(2 * ROOM):
        await missing(1)
    return missing


def _counting(call: Timed) -> Timed:
    numbers = itertools.count()
    return lambda _: call(next(numbers))


async def _herd(effort: Effort, peers: Peers) -> Measured:
    del effort, peers
    bodies = 0

    async def body(value: int) -> int:
        nonlocal bodies
        bodies += 1
        await asyncio.sleep(0)
        return value

    try:
        cache = _cache(body)
    except ModuleNotFoundError as error:
        return _absent(error)
    with observed("off"):
        results = await asyncio.gather(*[cache.execute(1) for _ in range(_HERD)])
    wrong = sum(result != 1 for result in results)
    return Measured(
        ours=figure([bodies]), broken=f"{wrong} callers got something else" if wrong else None
    )


async def _herd_cost(effort: Effort, peers: Peers) -> Measured:
    del peers
    try:
        cache = _cache(suspends)
    except ModuleNotFoundError as error:
        return _absent(error)
    with observed("off"):
        return await beside(
            _herd_of(_TaskPerMiss().execute),
            _herd_of(cache.execute),
            effort,
            {},
            lambda _: None,
            extra={"`gather` of bare calls": _herd_of(passes)},
        )


def _herd_of(call: Timed) -> Timed:
    """Return what asks, each time it is called, a thousand times at once for another key."""
    numbers = itertools.count()

    async def run(_: int) -> bool:
        key = next(numbers)
        return await asyncio.gather(*[call(key) for _ in range(_HERD)]) == [key] * _HERD

    return run


class _TaskPerMiss:
    """What is mostly written by hand: whoever misses starts a task, and all wait for it."""

    def __init__(self) -> None:
        self.tasks: dict[int, asyncio.Task[int]] = {}
        self.kept: dict[int, int] = {}

    async def execute(self, key: int) -> int:
        if key in self.kept:
            return self.kept[key]
        task = self.tasks.get(key)
        if task is None:
            task = self.tasks[key] = asyncio.create_task(self._compute(key))
        return await asyncio.shield(task)

    async def _compute(self, key: int) -> int:
        try:
            value = self.kept[key] = await suspends(key)
        finally:
            del self.tasks[key]
        return value
