"""Recovery, caching, mocks, validation, streams: wrapper and decorator forms that must pass."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tta_dev_primitives import StreamPrimitive, Validate
from tta_dev_primitives.observability import trace_operation, track_metrics
from tta_dev_primitives.performance import Cache, CachePrimitive, cached
from tta_dev_primitives.recovery import (
    Breaker,
    BreakerConfig,
    CircuitBreaker,
    CircuitBreakerPrimitive,
    Fallback,
    FallbackPrimitive,
    MemoryBreakerStore,
    Retry,
    RetryPrimitive,
    Timeout,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import ChaosPrimitive, MockPrimitive, inject_chaos

from ..steps import *

# --- Retry, Timeout, Cache: around a step ---------------------------------------------------------
reveal_type(Retry(length, max_attempts=3))  # RetryPrimitive[str, int]
reveal_type(RetryPrimitive(length))  # RetryPrimitive[str, int]
reveal_type(RetryPrimitive(async_length, backoff_factor=2.0))  # RetryPrimitive[str, int]
reveal_type(RetryPrimitive(sync_length))  # RetryPrimitive[str, int]
reveal_type(RetryPrimitive(async_length_in))  # RetryPrimitive[str, int]
reveal_type(RetryPrimitive(async_now))  # RetryPrimitive[object, float]
reveal_type(Retry(length) >> show)  # SequentialPrimitive[str, str]
reveal_type(Retry(length).run("text"))  # int
reveal_type(Timeout(length, seconds=5.0))  # TimeoutPrimitive[str, int]
reveal_type(TimeoutPrimitive(async_length, timeout_seconds=5.0))  # TimeoutPrimitive[str, int]
reveal_type(TimeoutPrimitive(sync_length, seconds=5.0))  # TimeoutPrimitive[str, int]
reveal_type(Timeout(Retry(length), seconds=5.0) >> show)  # SequentialPrimitive[str, str]
reveal_type(Cache(length, ttl=60.0))  # CachePrimitive[str, int]
reveal_type(CachePrimitive(async_length, max_size=10))  # CachePrimitive[str, int]
reveal_type(CachePrimitive(sync_length))  # CachePrimitive[str, int]
reveal_type(Cache(length, eviction="lru", jitter=0.1, stale_ttl=60.0, cache_errors={LookupError: 5.0}))  # CachePrimitive[str, int]
reveal_type(Cache(length, max_weight=1e6, weigh=len, copy="deepcopy").cache_stats().saved_cost)  # float
reveal_type(Cache(length).cache_invalidate("text"))  # bool
reveal_type(shout >> Cache(length) >> show)  # SequentialPrimitive[str, str]

# --- CircuitBreaker -------------------------------------------------------------------------------
reveal_type(CircuitBreaker(length, failure_threshold=3))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreaker(length, failure_rate=0.5, window_seconds=30.0))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreaker(length, breaker=Breaker("shared", failure_threshold=3)))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreaker(length, store=MemoryBreakerStore(), name="mail"))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreakerPrimitive(length, config=BreakerConfig(recovery_timeout=5.0)))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreakerPrimitive(async_length, on=ConnectionError))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreakerPrimitive(sync_length))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreakerPrimitive(async_length_in))  # CircuitBreakerPrimitive[str, int]
reveal_type(CircuitBreakerPrimitive(async_now))  # CircuitBreakerPrimitive[object, float]
reveal_type(CircuitBreaker(length) >> show)  # SequentialPrimitive[str, str]
reveal_type(CircuitBreaker(length).run("text"))  # int
reveal_type(Retry(CircuitBreaker(length)))  # RetryPrimitive[str, int]
reveal_type(CircuitBreaker(length).breaker.statistics().failure_rate)  # float

# --- Fallback -------------------------------------------------------------------------------------
reveal_type(Fallback(length, fallback=length))  # FallbackPrimitive[str, int]
reveal_type(Fallback(length, fallback=shout))  # FallbackPrimitive[str, int | str]
reveal_type(Fallback(length, [async_length, async_length]))  # FallbackPrimitive[str, int]
reveal_type(Fallback(length, fallbacks=[sync_length]))  # FallbackPrimitive[str, int]
reveal_type(FallbackPrimitive(async_length, fallback=sync_shout))  # FallbackPrimitive[str, int | str]
reveal_type(Fallback(length, fallback=length) >> show)  # SequentialPrimitive[str, str]
reveal_type(Fallback(length, by_kind={"timeout": async_length}))  # FallbackPrimitive[str, int]
reveal_type(Fallback(length, by_kind={"timeout": sync_shout}))  # FallbackPrimitive[str, int | str]
reveal_type(Fallback(async_length, value=0))  # FallbackPrimitive[str, int]
reveal_type(Fallback(sync_length, [length], start_after=0.5))  # FallbackPrimitive[str, int]


# --- decorators -----------------------------------------------------------------------------------
@Retry(max_attempts=3)
async def retried(text: str) -> int:
    return len(text)


@Retry
async def retried_bare(text: str, scale: int = 1) -> int:
    return len(text) * scale


@Timeout(seconds=5.0)
async def timed(number: int) -> str:
    return str(number)


@cached(ttl=60.0)
async def kept(text: str) -> int:
    return len(text)


@cached
def kept_bare(text: str) -> int:
    return len(text)


class Keeper:
    @cached(ttl=60.0, ignore=["trace"])
    async def kept(self, text: str, *, trace: str = "") -> int:
        return len(text) + len(trace)


reveal_type(kept_bare.cache_stats().hits)  # int
reveal_type(kept_bare.cache_invalidate("text"))  # bool
reveal_type(Keeper().kept.cache_invalidate("text", trace="t"))  # bool


@track_metrics(name="measured")
async def measured(text: str) -> int:
    return len(text)


@trace_operation(span_name="traced")
def traced(number: int) -> str:
    return str(number)


@CircuitBreaker(failure_threshold=3)
async def guarded(text: str) -> int:
    return len(text)


@CircuitBreaker
async def guarded_bare(text: str, scale: int = 1) -> int:
    return len(text) * scale


@Timeout(seconds=5.0)
@Retry(max_attempts=3)
async def twice(text: str) -> int:
    return len(text)


async def calls() -> None:
    reveal_type(await retried("text"))  # int
    reveal_type(await retried_bare("text", scale=2))  # int
    reveal_type(await timed(3))  # str
    reveal_type(await kept("text"))  # int
    reveal_type(await twice("text"))  # int
    reveal_type(await guarded("text"))  # int
    reveal_type(await guarded_bare("text", scale=2))  # int
    reveal_type(await retried.execute("text"))  # int
    reveal_type(await kept.execute(context, "text"))  # int


reveal_type(kept_bare("text"))  # int
reveal_type(traced(3))  # str
reveal_type(retried.run("text"))  # int
reveal_type(retried >> show)  # SequentialPrimitive[str, str]
reveal_type(retried >> timed)  # SequentialPrimitive[str, str]
reveal_type(shout >> retried)  # SequentialPrimitive[str, int]
reveal_type(kept >> show)  # SequentialPrimitive[str, str]
reveal_type(kept_bare >> show)  # SequentialPrimitive[str, str]
reveal_type(measured >> traced)  # SequentialPrimitive[str, str]
reveal_type(async_shout >> retried)  # SequentialPrimitive[str, int]
reveal_type(retried | shout)  # FanOut[str, int | str]
reveal_type(retried | kept)  # FanOut[str, int]
reveal_type(shout | retried)  # FanOut[str, str | int]
reveal_type(retried.then(show))  # SequentialPrimitive[str, str]
reveal_type(retried.also(shout))  # FanOut[str, int | str]
reveal_type(RetryPrimitive(kept))  # RetryPrimitive[str, int]
reveal_type(shout >> guarded >> show)  # SequentialPrimitive[str, str]

# --- mocks ----------------------------------------------------------------------------------------
reveal_type(MockPrimitive(return_value=3))  # MockPrimitive[int]
reveal_type(MockPrimitive("search", return_value=["page"]))  # MockPrimitive[list[str]]
reveal_type(MockPrimitive(side_effect=async_length))  # MockPrimitive[int]
reveal_type(MockPrimitive(side_effect=sync_length))  # MockPrimitive[int]
reveal_type(shout >> MockPrimitive(return_value=3) >> show)  # SequentialPrimitive[str, str]
reveal_type(length | MockPrimitive(return_value="a"))  # FanOut[str, int | str]
reveal_type((length >> show).replace("sequential/length", MockPrimitive(return_value=3)))  # SequentialPrimitive[str, str]

# --- chaos ----------------------------------------------------------------------------------------
reveal_type(inject_chaos(length >> show, "sequential/length", fault=OSError))  # SequentialPrimitive[str, str]
reveal_type(inject_chaos(length, latency=1.0))  # ChaosPrimitive[str, int]
reveal_type(ChaosPrimitive(length, outcome=lambda result: 0))  # ChaosPrimitive[str, int]


# --- validation -----------------------------------------------------------------------------------
@dataclass
class Order:
    number: int


def number_of(order: Order) -> int:
    return order.number


reveal_type(Validate(Order) >> number_of)  # SequentialPrimitive[object, int]
reveal_type(Validate(list[int]) >> total)  # SequentialPrimitive[object, int]
reveal_type(Validate(Order, strict=True).run({"number": 1}))  # Order


# --- streams --------------------------------------------------------------------------------------
async def letters(text: str) -> AsyncIterator[str]:
    for letter in text:
        yield letter


reveal_type(StreamPrimitive(letters).stream("text"))  # Stream[str]
reveal_type(length.stream("text"))  # Stream[int]
