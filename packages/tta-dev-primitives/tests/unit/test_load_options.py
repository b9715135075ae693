"""Bulkhead and rate limiter: options and costs that mean nothing are refused, and say so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tta_dev_primitives.errors import ConfigurationError, RateLimitedError
from tta_dev_primitives.recovery import (
    Bulkhead,
    BulkheadPrimitive,
    Rate,
    RateLimiter,
    RateLimitPrimitive,
)

NAN, INF = float("nan"), float("inf")


def tokens(limit: float = 60, **options: Any) -> Rate:
    return Rate(limit, unit="tokens", **options)


@pytest.mark.parametrize(
    "options",
    [
        *({"max_concurrency": value} for value in (0, -1, 1.5, NAN, INF, True, "3", None)),
        *({"max_concurrency": 1, "max_queue": value} for value in (-1, 1.5, NAN, True, "3")),
        *({"max_concurrency": 1, "queue_timeout": v} for v in (0, -1, NAN, INF, True, "")),
        {"max_concurrency": 1, "max_queue": 0, "queue_timeout": 1},
        {"bulkhead": 3},
        {"bulkhead": Bulkhead(1), "max_concurrency": 1},
        {"bulkhead": Bulkhead(1), "max_queue": 1},
        {"bulkhead": Bulkhead(1), "queue_timeout": 1},
    ],
    ids=str,
)
def test_bad_or_contradictory_options_of_a_bulkhead_are_refused(
    options: dict[str, Any],
) -> None:
    """When built, with the option's name and value."""
    with pytest.raises(ConfigurationError) as caught:
        BulkheadPrimitive(len, **options)
    option, value = list(options.items())[-1]
    assert option in str(caught.value)
    assert value is None or "bulkhead" in options or repr(value)[:9] in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, NAN, INF, True, "5", None, 10**400])
@pytest.mark.parametrize("option", ["limit", "per", "burst", "unit"])
def test_a_rate_out_of_range_is_refused(option: str, value: Any) -> None:
    """When built, with the option's name and value."""
    if (option, value) in {("burst", None), ("unit", "5")}:
        return
    options: dict[str, Any] = {"limit": 60, option: value}
    with pytest.raises(ConfigurationError, match=option):
        Rate(**options)


def test_a_burst_below_one_call_is_refused() -> None:
    """Nothing could ever pass."""
    with pytest.raises(ConfigurationError, match=r"burst must be at least 1, not 0\.5"):
        Rate(60, burst=0.5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *(({"max_wait": value}, "max_wait") for value in (-1, NAN, INF, True, "1")),
        *(({"max_hold": value}, "max_hold") for value in (-1, NAN, INF, True, "1")),
        ({"unix_time": 3}, "unix_time"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_options_of_a_limiter_out_of_range_are_refused(options: Any, named: str) -> None:
    """When built."""
    with pytest.raises(ConfigurationError, match=named):
        RateLimiter(Rate(60), **options)


def test_contradictory_options_are_refused() -> None:
    """When built, with what to do."""
    both = RateLimiter(Rate(60), tokens())
    for limiter, options, named in (
        (both, {}, "no cost="),
        (RateLimiter(Rate(60)), {"cost": len}, "cost= is given"),
        (RateLimiter(Rate(60)), {"usage": len}, "usage= is given"),
        (both, {"cost": asyncio.sleep}, "cost must be a function that answers at once"),
        (both, {"cost": 3}, "cost must be"),
        (60, {}, "limiter must be"),
        (None, {}, "limiter must be"),
    ):
        any_: Any = {"limiter": limiter, **options}
        with pytest.raises(ConfigurationError, match=named):
            RateLimitPrimitive(len, **any_)
    with pytest.raises(ConfigurationError, match="at least one rate"):
        RateLimiter()
    with pytest.raises(ConfigurationError, match="must be a Rate"):
        RateLimiter(60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("cost", [-1, NAN, INF, True, "5", {"words": 1}, {"requests": 1}, [1]])
def test_what_is_no_cost_is_refused_before_anything_is_taken(cost: Any) -> None:
    """By the call, for the cost is a function's."""
    limiter = RateLimiter(Rate(60, burst=1), tokens(burst=1), max_wait=0)
    limited = RateLimitPrimitive(len, limiter=limiter, cost=lambda _: cost)
    with pytest.raises(ConfigurationError, match="cost"):
        limited.run("a")
    assert limiter.try_acquire(1)


def test_a_cost_that_can_never_pass_is_refused() -> None:
    """It would wait for ever."""
    limited = RateLimitPrimitive(len, limiter=RateLimiter(tokens(burst=5)), cost=len)
    with pytest.raises(RateLimitedError, match="can never pass") as caught:
        limited.run("aaaaaa")
    assert caught.value.retry_after is None
