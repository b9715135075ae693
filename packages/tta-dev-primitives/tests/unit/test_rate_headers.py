"""Rate-limit headers: read as the providers spell them, and passed over where they are garbage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import clock
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery import Rate, RateLimiter
from tta_dev_primitives.recovery.classification.headers import (
    Said,
    lower_keys,
    read_duration,
    read_limits,
    read_retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """Let the clock stand still: what a limiter lets pass is then a matter of counting."""
    clock.replace(lambda: 1000.0)
    yield
    clock.replace(None)


def passing(limiter: RateLimiter, cost: float | None = None) -> int:
    """Count how many calls pass at once."""
    return sum(limiter.try_acquire(cost) for _ in range(200))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("8.64s", 8.64),
        ("1h0m30s", 3630.0),
        ("150µs", 150e-6),
        (" 59 ", 59.0),
        ("0", 0.0),
        ("-3s", None),
        ("6m 0s", None),
        ("s", None),
        ("1d", None),
        ("", None),
        ("nan", None),
        ("1e999", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float | None) -> None:
    """Or as a plain number; else not at all."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["9" * 100_000 + "x", "1h" * 50_000, "9" * 65])
def test_what_is_too_long_for_a_duration_is_not_taken_apart(text: str) -> None:
    """A header of a hundred thousand digits would hold the loop for minutes."""
    assert read_duration(text) is None


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
def test_a_date_without_a_zone_is_utc(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own zone is."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        headers = {"retry-after": f"Thu, 01 Jan 1970 00:01:00 {zone}"}
        assert read_retry_after(headers, unix_time=50.0) == 10.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_headers_of_openai() -> None:
    """Requests and tokens, with durations."""
    found = lower_keys(
        {
            "X-RateLimit-Limit-Requests": "60",
            "X-RateLimit-Limit-Tokens": "150000",
            "X-RateLimit-Remaining-Requests": "59",
            "X-RateLimit-Remaining-Tokens": "149984",
            "X-RateLimit-Reset-Requests": "1s",
            "X-RateLimit-Reset-Tokens": "6m0s",
        }
    )
    assert read_limits(found, "requests", unix_time=NOW) == Said(60, 59, 1)
    assert read_limits(found, "tokens", unix_time=NOW) == Said(150_000, 149_984, 360)
    assert read_limits(found, "input_tokens", unix_time=NOW) == Said(None, None, None)


def test_the_headers_of_anthropic() -> None:
    """With RFC 3339 dates, which are compared with the wall clock; one that has passed is now."""
    found = lower_keys(
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:32Z",
            "anthropic-ratelimit-input-tokens-reset": "2023-11-14T23:13:20+01:00",
            "anthropic-ratelimit-output-tokens-reset": "2020-01-01T00:00:00Z",
            "anthropic-ratelimit-tokens-reset": "soon",
        }
    )
    assert read_limits(found, "requests", unix_time=NOW) == Said(50, 0, 12)
    assert read_limits(found, "input_tokens", unix_time=NOW).reset == 0
    assert read_limits(found, "output_tokens", unix_time=NOW).reset == 0
    assert read_limits(found, "tokens", unix_time=NOW) == Said(None, None, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, an HTTP date; garbage is not said (case 36)."""
    assert read_retry_after(headers, unix_time=NOW) == seconds


NAMES = st.sampled_from(
    [
        "retry-after",
        "retry-after-ms",
        *(f"x-ratelimit-{what}-tokens" for what in ("limit", "remaining", "reset")),
        *(f"anthropic-ratelimit-requests-{what}" for what in ("limit", "remaining", "reset")),
    ]
)
VALUES = st.text(max_size=30) | st.floats().map(str) | st.datetimes().map(str)


@given(st.dictionaries(NAMES, VALUES))
def test_no_header_whatever_breaks_a_limiter(headers: dict[str, str]) -> None:
    """At worst it is passed over; what was allowed is never exceeded."""
    limiter = RateLimiter(Rate(5), Rate(5, unit="tokens"), unix_time=lambda: NOW)
    limiter.observe(headers)
    assert passing(limiter, 1) <= 5


def test_fewer_remaining_than_thought_is_believed() -> None:
    """More is not: some may be under way."""
    limiter = RateLimiter(Rate(60, burst=10))
    limiter.observe({"x-ratelimit-remaining-requests": "50"})
    limiter.observe({"x-ratelimit-remaining-requests": "4"})
    limiter.observe({"x-ratelimit-remaining-requests": "50"})
    assert passing(limiter) == 4


def test_a_reset_far_away_is_believed_where_nothing_else_is_said() -> None:
    """A bucket of 60 a minute that needs 57 seconds to fill has three left."""
    limiter = RateLimiter(Rate(60))
    limiter.observe({"x-ratelimit-reset-requests": "57s"})
    assert passing(limiter) == 3


def test_a_lower_limit_is_adopted_and_a_higher_one_never() -> None:
    """The rate that was given stays the most there is; the lower limit can be taken back."""
    limiter = RateLimiter(Rate(10))
    limiter.observe({"x-ratelimit-limit-requests": "4"})
    assert passing(limiter) == 4
    limiter = RateLimiter(Rate(10))
    limiter.observe({"x-ratelimit-limit-requests": "4"})
    limiter.observe({"x-ratelimit-limit-requests": "1000"})
    assert passing(limiter) == 10


@pytest.mark.parametrize("limit", ["1e-300", "1e-310", "5e-324"])
def test_a_limit_next_to_nothing_lets_next_to_nothing_pass(limit: str) -> None:
    """The seconds for one unit are more than a float can hold; said by headers or by a rate."""
    limiter = RateLimiter(Rate(5))
    limiter.observe({"x-ratelimit-limit-requests": limit})
    assert passing(limiter) == 1
    assert passing(RateLimiter(Rate(float(limit)))) == 1


def test_only_the_rates_of_the_same_unit_learn() -> None:
    """Tokens that are used up hold back tokens."""
    limiter = RateLimiter(Rate(5), Rate(100, unit="tokens"))
    limiter.observe({"x-ratelimit-remaining-tokens": "0"})
    assert not limiter.try_acquire(1)
    assert passing(limiter) == 5


def test_what_is_no_mapping_is_an_error_of_its_caller() -> None:
    """Not of the limiter."""
    nothing: Any = None
    with pytest.raises(ConfigurationError, match="headers"):
        RateLimiter(Rate(5)).observe(nothing)
