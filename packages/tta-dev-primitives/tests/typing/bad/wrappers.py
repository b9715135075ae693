"""Recovery, caching, mocks, validation, composed wrongly: each marked line is flagged by both."""

from dataclasses import dataclass

from tta_dev_primitives import Validate, WorkflowPrimitive
from tta_dev_primitives.observability import trace_operation, track_metrics
from tta_dev_primitives.performance import Cache, CachePrimitive, cached
from tta_dev_primitives.recovery import (
    Breaker,
    BreakerConfig,
    CircuitBreaker,
    CircuitBreakerPrimitive,
    Fallback,
    Retry,
    RetryPrimitive,
    Timeout,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import MockPrimitive, inject_chaos

from ..steps import *

# --- Retry ----------------------------------------------------------------------------------------
a1 = Retry(length) >> shout  # BAD: int into a primitive that takes str
a2 = double >> Retry(length)  # BAD: int into a retried step that takes str
a3 = Retry(length).run(3)  # BAD: int into a retried step that takes str
a4 = Retry(length, attempts=3)  # BAD: no such option
a5 = Retry(length, max_attempts="3")  # BAD: a bound is a number
a6 = Retry(3)  # BAD: a number is no step
a7 = Retry(length) | show  # BAD: str on the left, int on the right
a8 = RetryPrimitive(async_length) >> shout  # BAD: int into a primitive that takes str
a9 = RetryPrimitive(three)  # BAD: a function with three parameters
a10 = Retry(sync_length)  # BAD: a decorator for asynchronous functions, given a synchronous one

# --- Timeout --------------------------------------------------------------------------------------
b1 = Timeout(length, seconds=5.0) >> shout  # BAD: int into a primitive that takes str
b2 = Timeout(length, seconds="5")  # BAD: a limit is a number
b3 = Timeout(length, minutes=5)  # BAD: no such option
b4 = Timeout(length, seconds=5.0).run(3)  # BAD: int into a step that takes str
b5 = TimeoutPrimitive(sync_length, seconds=5.0) >> shout  # BAD: int into a primitive that takes str
b6 = show | Timeout(length, seconds=5.0)  # BAD: int on the left, str on the right

# --- Cache ----------------------------------------------------------------------------------------
c1 = Cache(length) >> shout  # BAD: int into a primitive that takes str
c2 = Cache(length, ttl="60")  # BAD: a time is a number
c3 = Cache(length, size=3)  # BAD: no such option
c4 = Cache(length).run(3)  # BAD: int into a cached step that takes str
c5 = CachePrimitive(async_length) >> shout  # BAD: int into a primitive that takes str
c7 = Cache(length, eviction="random")  # BAD: no such policy
c8 = Cache(length, cache_errors={"NotFound": 5.0})  # BAD: classes of exceptions
c9 = Cache(length).cache_invalidate(3)  # BAD: an input is a str
c6 = double >> Cache(length)  # BAD: int into a cached step that takes str

# --- CircuitBreaker -------------------------------------------------------------------------------
h1 = CircuitBreaker(length) >> shout  # BAD: int into a primitive that takes str
h2 = double >> CircuitBreaker(length)  # BAD: int into a guarded step that takes str
h3 = CircuitBreaker(length).run(3)  # BAD: int into a guarded step that takes str
h4 = CircuitBreaker(length, threshold=3)  # BAD: no such option
h5 = CircuitBreaker(length, failure_threshold="3")  # BAD: a threshold is a number
h6 = CircuitBreaker(length, breaker="shared")  # BAD: a name is no breaker
h7 = CircuitBreaker(length, store=object())  # BAD: no store of breakers
h8 = CircuitBreakerPrimitive(async_length) >> shout  # BAD: int into a primitive that takes str
h9 = CircuitBreaker(sync_length)  # BAD: a decorator for asynchronous functions, given a synchronous one
h10 = BreakerConfig(failure_rate="half")  # BAD: a rate is a number
h11 = Breaker("shared", threshold=3)  # BAD: no such setting
h12 = Breaker("shared").release("permit", "success")  # BAD: a permit is what acquire gave
h13 = Breaker("shared").release(0, "good")  # BAD: no such outcome

# --- Fallback -------------------------------------------------------------------------------------
d1 = Fallback(length, fallback=show).run("a")  # BAD: the fallback takes int
d2 = Fallback(length, [async_show]).run("a")  # BAD: the fallback takes int
d3 = Fallback(length, fallback=length) >> shout  # BAD: int into a primitive that takes str
d4 = Fallback(length, fallback=shout) >> double  # BAD: int or str into a primitive that takes int
d5 = Fallback(length)  # BAD: no fallback
d6 = Fallback(length, [length], fallback=length)  # BAD: two ways to say one thing
d7 = Fallback(length, length)  # BAD: a list is wanted
d8 = Fallback(length, fallback=3)  # BAD: a number is no step
d9 = Fallback(length, fallback=length).run(3)  # BAD: int into steps that take str
d10 = Fallback(length, by_kind={"timeouts": length})  # BAD: no such kind
d11 = Fallback(length, by_kind={"timeout": show}).run("a")  # BAD: the fallback takes int
d12 = Fallback(length, fallback=length, start_after="1")  # BAD: a pause is a number


# --- decorators -----------------------------------------------------------------------------------
@Retry(max_attempts=3)
async def retried(text: str) -> int:
    return len(text)


@Timeout(seconds=5.0)
async def timed(number: int) -> str:
    return str(number)


@cached
def kept(text: str) -> int:
    return len(text)


@track_metrics(name="measured")
async def measured(text: str) -> int:
    return len(text)


@trace_operation(span_name="traced")
def traced(text: str) -> int:
    return len(text)


@Retry(tries=3)  # BAD: no such option
async def optioned(text: str) -> int:
    return len(text)


e1 = retried >> shout  # BAD: int into a primitive that takes str
e2 = retried >> retried  # BAD: int into a decorated function that takes str
e3 = length >> retried  # BAD: int into a decorated function that takes str
e4 = retried | show  # BAD: str on the left, int on the right
e5 = retried | timed  # BAD: str on the left, int on the right
e6 = show | retried  # BAD: int on the left, str on the right
e7 = retried.then(shout)  # BAD: int into a primitive that takes str
e8 = retried.also(show)  # BAD: str on the left, int on the right
e9 = retried.run(3)  # BAD: int into a function that takes str
e10 = retried(3)  # BAD: int into a function that takes str
e11 = retried("a") + 1  # BAD: a coroutine, an await is missing
e12 = kept >> shout  # BAD: int into a primitive that takes str
e13 = kept(3)  # BAD: int into a function that takes str
e19 = kept.cache_invalidate(3)  # BAD: an argument is a str
e14 = kept("a").upper()  # BAD: the result is an int
e15 = measured >> shout  # BAD: int into a primitive that takes str
e16 = traced >> shout  # BAD: int into a primitive that takes str
e17 = async_show >> timed  # BAD: str into a decorated function that takes int
e18 = traced("a", 3)  # BAD: one argument too many

# --- mocks ----------------------------------------------------------------------------------------
f1 = MockPrimitive(return_value=3) >> shout  # BAD: int into a primitive that takes str
f2 = MockPrimitive(return_value=3, side_effect=ValueError)  # BAD: two ways to answer
f3 = MockPrimitive(returns=3)  # BAD: no such option
f4: WorkflowPrimitive[str, str] = MockPrimitive(return_value=3)  # BAD: gives int
f5 = MockPrimitive(side_effect=async_length) >> shout  # BAD: int into a primitive that takes str

# --- chaos ----------------------------------------------------------------------------------------
i1 = inject_chaos(length, fault=OSError) >> shout  # BAD: int into a primitive that takes str
i2 = inject_chaos(length, "length", faults=OSError)  # BAD: no such option
i3 = inject_chaos(length, fault="reset")  # BAD: a text is no fault
i4 = inject_chaos(length, rate="often", fault=OSError)  # BAD: a rate is a number


# --- validation -----------------------------------------------------------------------------------
@dataclass
class Order:
    number: int


g1 = Validate(Order) >> total  # BAD: an Order into a function that takes list[int]
g2 = Validate(list[int]) >> show  # BAD: list[int] into a primitive that takes int
g3 = Validate(Order(number=1))  # BAD: a value is no model
g4 = Validate(Order, strict="yes")  # BAD: yes or no
