"""Hints: how long providers ask to wait, and what a Retry makes of it."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import CircuitOpenError, RejectedError
from tta_dev_primitives.recovery import RetryPrimitive
from tta_dev_primitives.recovery.classification.hints import hint_of, parse_delay
from tta_dev_primitives.recovery.retries.schedules import constant
from tta_dev_primitives.testing import run_virtual

NAN, INF = float("nan"), float("inf")
WALL = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


class ProviderError(Exception):
    """An error of some client library, with what it puts on its errors."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("busy")
        vars(self).update(attributes)


class Headers:
    """Headers that look at no case, as those of httpx."""

    def __init__(self, **values: str) -> None:
        self.values = {k.replace("_", "-").title(): v for k, v in values.items()}

    def items(self) -> list[tuple[str, str]]:
        return list(self.values.items())


def asked(error: BaseException) -> float | None:
    return hint_of(error, wall=lambda: WALL)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"RETRY-AFTER": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT"}, 60.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:48:37 GMT"}, 0.0),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360.0),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "5"}, None),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "20ms",
                "x-ratelimit-remaining-tokens": "0",
            },
            1.0,
        ),
        (
            {
                "anthropic-ratelimit-requests-reset": "1994-11-06T08:49:40Z",
                "anthropic-ratelimit-requests-remaining": "0",
            },
            3.0,
        ),
        ({"ratelimit-reset": "30"}, 30.0),
        ({"Content-Type": "text/html"}, None),
        ({}, None),
    ],
    ids=range(13),
)
def test_headers_say_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """On the exception or on its response, whatever their case."""
    for error in (
        ProviderError(headers=headers),
        ProviderError(response=SimpleNamespace(headers=headers)),
        ProviderError(response={"ResponseMetadata": {"HTTPHeaders": headers}}),
    ):
        assert asked(error) == seconds


def test_headers_of_any_class_are_read() -> None:
    """Not only a dict."""
    assert asked(ProviderError(headers=Headers(retry_after="3"))) == 3.0


def test_a_reset_may_be_a_point_in_time() -> None:
    """GitHub's is in seconds since the epoch."""
    headers = {"x-ratelimit-reset": "1800000030", "x-ratelimit-remaining": "0"}
    assert hint_of(ProviderError(headers=headers), wall=lambda: 1.8e9) == 30.0


GOOGLE = {
    "error": {
        "code": 429,
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "52s"},
        ],
    }
}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (GOOGLE, 52.0),
        ([GOOGLE], 52.0),
        (json.dumps(GOOGLE), 52.0),
        (json.dumps(GOOGLE).encode(), 52.0),
        ({"error": {"retry_after": 2}}, 2.0),
        ({"retry_after_ms": 250}, 0.25),
        ({"retryDelay": {"seconds": 3, "nanos": 500_000_000}}, 3.5),
        ({"error": "retry after 9 s"}, None),
        ("retryDelay: 52s", None),
        ("{" + "x" * 10, None),
        (b"[" * 30_000, None),
        (json.dumps({"pad": "x" * 70_000, "retryDelay": "52s"}), None),
        (None, None),
    ],
    ids=range(13),
)
def test_the_body_says_how_long_to_wait(body: object, seconds: float | None) -> None:
    """A field, wherever it stands in the body; never the words of a message (case 37)."""
    for error in (ProviderError(body=body), ProviderError(details=body)):
        assert asked(error) == seconds
    if isinstance(body, bytes):
        assert asked(ProviderError(response=SimpleNamespace(_content=body))) == seconds


def test_a_body_that_nobody_has_read_is_left_alone() -> None:
    """Reading it could block, or fail."""

    class Unread:
        headers = None
        _content = False

        def json(self) -> object:
            raise AssertionError

        @property
        def content(self) -> bytes:
            raise AssertionError

    assert asked(ProviderError(response=Unread())) is None


def test_our_own_rejections_say_it_too() -> None:
    """An open breaker and a full limiter know when to come back."""
    assert asked(CircuitOpenError("b", retry_after=4.0)) == 4.0
    assert asked(RejectedError("full", retry_after=2.0)) == 2.0
    assert asked(RejectedError("full")) is None


def test_the_cause_is_asked_where_the_error_says_nothing() -> None:
    """Applications wrap the errors of clients."""
    outer = ValueError("no answer")
    outer.__cause__ = ProviderError(retry_after=5)
    assert asked(outer) == 5.0


def test_of_a_group_the_longest_wait_holds() -> None:
    """However deep."""
    inner = ExceptionGroup("inner", [ProviderError(retry_after=9), OSError()])
    assert asked(ExceptionGroup("g", [ProviderError(retry_after=5), inner])) == 9.0


def test_circles_end() -> None:
    """`raise e from e`, two errors that cause each other, a body in itself (case 35)."""
    one, two = OSError(), OSError()
    one.__cause__, two.__cause__ = two, one
    assert asked(one) is None
    one.__cause__ = one
    assert asked(one) is None
    body: dict[str, Any] = {}
    body["self"] = [body, body]
    assert asked(ProviderError(body=body)) is None
    wide = ExceptionGroup("wide", [OSError() for _ in range(10_000)])
    wide.__cause__ = wide
    assert asked(wide) is None


def test_an_attribute_that_fails_is_no_hint() -> None:
    """Whatever an exception's own code raises, its own error stays the one that counts."""

    class OddError(Exception):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    class LazyError(Exception):
        @property
        def response(self) -> object:
            raise OSError

    assert asked(OddError()) is None
    assert asked(LazyError()) is None


GARBAGE = (
    "soon",
    "",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "9" * 5_000,
    "Sun, 99 Nov 1994 99:99:99",
    "\0",
)


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_what_cannot_be_understood_is_no_hint(text: str) -> None:
    """Neither a failure nor a wait (case 36)."""
    assert asked(ProviderError(headers={"Retry-After": text})) is None
    assert asked(ProviderError(body={"retryDelay": text})) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (timedelta(minutes=1), 60.0),
        (-3, 0.0),
        (NAN, None),
        (INF, None),
        (True, None),
        (10**400, None),
    ],
    ids=range(6),
)
def test_a_number_on_the_error_is_seconds(value: object, seconds: float | None) -> None:
    """A negative one asks for nothing; what is no number is not understood (case 36)."""
    assert asked(ProviderError(retry_after=value)) == seconds
    assert parse_delay(value) == seconds


@pytest.mark.parametrize(
    "name", ["Retry-After", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens"]
)
def test_a_header_of_a_hundred_thousand_digits_takes_no_time(name: str) -> None:
    """Whoever sends one does not stop the caller (case 36)."""
    headers = {name: "9" * 100_000, "x-ratelimit-remaining-tokens": "0"}
    assert asked(ProviderError(headers=headers)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["retryDelay", "retry_after", "error", "seconds"]), inner)
    ),
    max_leaves=12,
)


@given(
    json_values,
    st.dictionaries(
        st.sampled_from(["Retry-After", "retry-after-ms", "x-ratelimit-reset"]),
        st.text(max_size=12),
    ),
)
def test_a_hint_is_zero_or_more_and_finite(body: object, headers: dict[str, str]) -> None:
    """Whatever a provider sends."""
    for error in (ProviderError(body=body), ProviderError(headers=headers)):
        found = asked(error)
        assert found is None or 0 <= found < INF


def says(seconds: float | None, error: Exception) -> float | None:
    return seconds


# --- what a Retry makes of it ---------------------------------------------------------------------


def pauses_after(
    error: Exception, context: WorkflowContext | None = None, **options: Any
) -> list[float]:
    """Return the pauses of a Retry around a step that always raises `error`."""
    times: list[float] = []

    async def fails(value: object) -> object:
        times.append(asyncio.get_running_loop().time())
        raise error

    async def main() -> None:
        with pytest.raises(type(error)):
            await RetryPrimitive(fails, **options).execute(context or WorkflowContext(), "x")

    run_virtual(main())
    return [b - a for a, b in pairwise(times)]


def test_a_hint_is_a_floor_for_the_pause() -> None:
    """Five seconds asked, one of back-off: never less than five (case 38)."""
    error = ProviderError(headers={"Retry-After": "5"})
    for seed in range(50):
        pauses = pauses_after(error, initial_delay=1, rng=random.Random(seed))
        assert all(pause >= 5 for pause in pauses)
        assert pauses[0] <= 6
        assert pauses[1] <= 7


def test_clients_that_were_told_the_same_do_not_return_together() -> None:
    """Jitter is added above the hint (case 38)."""
    error = ProviderError(headers={"Retry-After": "5"})
    first = {pauses_after(error, rng=random.Random(seed))[0] for seed in range(20)}
    assert len(first) == 20


def test_a_hint_in_the_body_is_used() -> None:
    """Google's (case 37)."""
    error = ProviderError(body=GOOGLE)
    assert pauses_after(error, schedule=constant(0), max_attempts=2) == [52.0]


@pytest.mark.parametrize("asked_for", ["277403", "9" * 30])
def test_an_absurd_hint_is_capped(asked_for: str) -> None:
    """Never a sleep of days; the note tells what was asked (case 36)."""
    error = ProviderError(headers={"Retry-After": asked_for})
    assert pauses_after(error, schedule=constant(0), max_hint=20.0) == [20.0, 20.0]
    assert pauses_after(error, schedule=constant(0)) == [60.0, 60.0]
    assert "asked to wait 2" in error.__notes__[0] or "asked to wait 1e+30" in error.__notes__[0]
    assert "(max_hint: 60 s)" in error.__notes__[0]


def test_a_hint_past_the_deadline_fails_at_once() -> None:
    """With the hint in the note (case 36)."""
    error = ProviderError(headers={"Retry-After": "30"})
    assert pauses_after(error, WorkflowContext(deadline=20.0), schedule=constant(0)) == []
    assert "asked to wait 30 s" in error.__notes__[0]
    error = ProviderError(headers={"Retry-After": "30"})
    assert pauses_after(error, schedule=constant(0), max_elapsed=20.0) == []


@pytest.mark.parametrize("text", ["-5", "NaN", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_strange_hint_leaves_the_schedule_as_it_is(text: str) -> None:
    """Negative, NaN, garbage, a date in the past (case 36)."""
    error = ProviderError(headers={"Retry-After": text})
    assert pauses_after(error, schedule=constant(2)) == [2.0, 2.0]


def test_hints_can_be_ignored_or_found_by_a_function() -> None:
    """`max_hint=0`, or a function of one's own, which is capped all the same."""
    error = ProviderError(headers={"Retry-After": "5"})
    assert pauses_after(error, schedule=constant(1), max_hint=0) == [1.0, 1.0]
    for given_, expected in (
        (7.0, 8.0),
        (None, 1.0),
        (NAN, 1.0),
        (-1.0, 1.0),
        (INF, 1.0),
        (1e6, 61.0),
    ):
        found = pauses_after(error, schedule=constant(1), hint=partial(says, given_))
        assert found == [expected] * 2
