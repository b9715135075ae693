"""Load control: each marked line must be flagged, by both checkers, and no other."""

from tta_dev_primitives.recovery import (
    AdaptivePrimitive,
    Bulkhead,
    BulkheadPrimitive,
    Hedge,
    HedgePrimitive,
    Rate,
    RateLimiter,
    RateLimitPrimitive,
    ThrottlePrimitive,
)

from ..steps import *

pool = Bulkhead(3)
limiter = RateLimiter(Rate(60))

a1 = pool(length) >> shout  # BAD: int into a primitive that takes str
a2 = BulkheadPrimitive(length, max_concurrent=3)  # BAD: no such option
a3 = BulkheadPrimitive(length, bulkhead=3)  # BAD: a number is no bulkhead
a4 = Bulkhead()  # BAD: its limit is missing
a5 = pool(3)  # BAD: a number is no step
b1 = limiter(length) >> shout  # BAD: int into a primitive that takes str
b2 = RateLimitPrimitive(length, limiter=60)  # BAD: a number is no limiter
b3 = RateLimiter(60)  # BAD: a number is no rate
b4 = RateLimitPrimitive(length, limiter=limiter, cost=3)  # BAD: a number is no function
c1 = Hedge(length, delay=1) >> shout  # BAD: int into a primitive that takes str
c2 = HedgePrimitive(length, delay="1")  # BAD: a text is no delay
c3 = Hedge(length, after=1)  # BAD: no such option
d1 = AdaptivePrimitive(length, limit=10)  # BAD: a number finds no limit
d2 = ThrottlePrimitive(length) >> shout  # BAD: int into a primitive that takes str
d3 = ThrottlePrimitive(length, throttle=2.0)  # BAD: a number is no throttle


@pool
async def held(text: str) -> int:
    return len(text)


@Hedge(delay=1)
async def hedged(text: str) -> int:
    return len(text)


e1 = held(3)  # BAD: int into a function that takes str
e2 = held >> shout  # BAD: int into a primitive that takes str
e3 = hedged("a") + 1  # BAD: a coroutine, an await is missing
