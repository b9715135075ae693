"""Recovery, caching, mocks, validation, streams: wrapper and decorator forms that must pass."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tta_dev_primitives import StreamPrimitive, Validate
from tta_dev_primitives.observability import trace_operation, track_metrics
from tta_dev_primitives.performance import Cache, CachePrimitive, cached
from tta_dev_primitives.recovery import (
    Fallback,
    FallbackPrimitive,
    Retry,
    RetryPrimitive,
    Timeout,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import MockPrimitive

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
reveal_type(shout >> Cache(length) >> show)  # SequentialPrimitive[str, str]

# --- Fallback -------------------------------------------------------------------------------------
reveal_type(Fallback(length, fallback=length))  # FallbackPrimitive[str, int]
reveal_type(Fallback(length, fallback=shout))  # FallbackPrimitive[str, int | str]
reveal_type(Fallback(length, [async_length, async_length]))  # FallbackPrimitive[str, int]
reveal_type(Fallback(length, fallbacks=[sync_length]))  # FallbackPrimitive[str, int]
reveal_type(FallbackPrimitive(async_length, fallback=sync_shout))  # FallbackPrimitive[str, int | str]
reveal_type(Fallback(length, fallback=length) >> show)  # SequentialPrimitive[str, str]


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


@track_metrics(name="measured")
async def measured(text: str) -> int:
    return len(text)


@trace_operation(span_name="traced")
def traced(number: int) -> str:
    return str(number)


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

# --- mocks ----------------------------------------------------------------------------------------
reveal_type(MockPrimitive(return_value=3))  # MockPrimitive[int]
reveal_type(MockPrimitive("search", return_value=["page"]))  # MockPrimitive[list[str]]
reveal_type(MockPrimitive(side_effect=async_length))  # MockPrimitive[int]
reveal_type(MockPrimitive(side_effect=sync_length))  # MockPrimitive[int]
reveal_type(shout >> MockPrimitive(return_value=3) >> show)  # SequentialPrimitive[str, str]
reveal_type(length | MockPrimitive(return_value="a"))  # FanOut[str, int | str]
reveal_type((length >> show).replace("sequential/length", MockPrimitive(return_value=3)))  # SequentialPrimitive[str, str]


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
