"""Load control: wrapper, value and decorator forms that must pass."""

from tta_dev_primitives.recovery import (
    AdaptivePrimitive,
    AIMDLimit,
    Bulkhead,
    BulkheadPrimitive,
    GradientLimit,
    Hedge,
    HedgeBudget,
    HedgePrimitive,
    Percentile,
    Rate,
    RateLimiter,
    RateLimitPrimitive,
    Throttle,
    ThrottlePrimitive,
)

from ..steps import *

pool = Bulkhead(3, max_queue=None, queue_timeout=1.0)
limiter = RateLimiter(Rate(500), Rate(90_000, unit="tokens"), max_wait=30.0)

# --- around a step --------------------------------------------------------------------------------
reveal_type(BulkheadPrimitive(length, max_concurrency=3))  # BulkheadPrimitive[str, int]
reveal_type(BulkheadPrimitive(async_length, bulkhead=pool))  # BulkheadPrimitive[str, int]
reveal_type(BulkheadPrimitive(sync_length, bulkhead=pool))  # BulkheadPrimitive[str, int]
reveal_type(BulkheadPrimitive(async_now, bulkhead=pool))  # BulkheadPrimitive[object, float]
reveal_type(pool(length))  # BulkheadPrimitive[str, int]
reveal_type(pool(length) >> show)  # SequentialPrimitive[str, str]
reveal_type(RateLimitPrimitive(length, limiter=limiter, cost=len))  # RateLimitPrimitive[str, int]
reveal_type(RateLimitPrimitive(async_length, limiter=Rate(60)))  # RateLimitPrimitive[str, int]
reveal_type(RateLimitPrimitive(async_length_in, limiter=Rate(60)))  # RateLimitPrimitive[str, int]
reveal_type(limiter(length))  # RateLimitPrimitive[str, int]
reveal_type(limiter.try_acquire({"tokens": 3}))  # bool
reveal_type(Hedge(length, delay=0.2))  # HedgePrimitive[str, int]
reveal_type(HedgePrimitive(async_length, delay=Percentile(0.95)))  # HedgePrimitive[str, int]
reveal_type(HedgePrimitive(async_length_in, delay=1, budget=HedgeBudget(0.1)))  # HedgePrimitive[str, int]
reveal_type(HedgePrimitive(async_now, delay=1, budget=None))  # HedgePrimitive[object, float]
reveal_type(Hedge(length, delay=0.2).run("text"))  # int
reveal_type(AdaptivePrimitive(length, limit=AIMDLimit()))  # AdaptivePrimitive[str, int]
reveal_type(AdaptivePrimitive(async_length, limit=GradientLimit()))  # AdaptivePrimitive[str, int]
reveal_type(ThrottlePrimitive(length, throttle=Throttle(k=1.5)))  # ThrottlePrimitive[str, int]
reveal_type(ThrottlePrimitive(sync_length) >> show)  # SequentialPrimitive[str, str]
reveal_type(pool(limiter(Hedge(length, delay=1))) >> show)  # SequentialPrimitive[str, str]


# --- decorators -----------------------------------------------------------------------------------
@pool
async def held(text: str, scale: int = 1) -> int:
    return len(text) * scale


@limiter
async def limited(text: str) -> int:
    return len(text)


@Hedge(delay=0.2, max_hedges=2)
async def hedged(text: str) -> int:
    return len(text)


async def calls() -> None:
    reveal_type(await held("text", scale=2))  # int
    reveal_type(await limited("text"))  # int
    reveal_type(await hedged("text"))  # int
    reveal_type(await hedged.execute("text"))  # int
    async with pool as entered:
        reveal_type(entered)  # Bulkhead
    async with limiter.reserve(300) as grant:
        reveal_type(grant.settle(200))  # None


reveal_type(held >> show)  # SequentialPrimitive[str, str]
reveal_type(limited | shout)  # FanOut[str, int | str]
reveal_type(shout >> hedged)  # SequentialPrimitive[str, int]
