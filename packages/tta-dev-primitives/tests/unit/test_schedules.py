"""Schedules: the pauses between attempts, and the laws of combining them."""

from __future__ import annotations

import copy
import math
import pickle
import random
import statistics
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.retries.schedules import (
    LONGEST,
    constant,
    decorrelated,
    exponential,
    linear,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.retries.schedules import Jitter, Schedule

seconds = st.floats(min_value=0, max_value=LONGEST)
factors = st.floats(min_value=1, max_value=1e4)
counts = st.integers(min_value=0, max_value=8)
steady = st.one_of(
    st.builds(constant, seconds),
    st.builds(linear, seconds, seconds),
    st.builds(exponential, seconds, factors),
    st.lists(seconds, min_size=1, max_size=5).map(lambda pauses: listed(*pauses)),
)
"""Schedules without randomness."""


def wandering(low: float, factor: float, room: float) -> Schedule:
    return decorrelated(low, factor, low + room)


basic = st.one_of(steady, st.builds(wandering, st.floats(0, 1e6), factors, st.floats(0, 1e6)))


def cap(a: Schedule, seconds: float) -> Schedule:
    return a.capped(seconds)


def jitter_of(a: Schedule, jitter: Jitter) -> Schedule:
    return a.jittered(jitter)


def follow(a: Schedule, b: Schedule, after: int) -> Schedule:
    return a.then(b, after=after)


def add(a: Schedule, b: Schedule) -> Schedule:
    return a + b


def combine(inner: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
    jitters: st.SearchStrategy[Jitter] = st.sampled_from(("full", "equal"))
    return st.one_of(
        st.builds(cap, inner, seconds),
        st.builds(jitter_of, inner, jitters),
        st.builds(follow, inner, inner, counts),
        st.builds(add, inner, inner),
    )


schedules = st.recursive(basic, combine, max_leaves=5)
seeds = st.integers(min_value=0, max_value=2**32)


def first(schedule: Schedule, count: int = 12, seed: int = 1) -> list[float]:
    return list(islice(schedule.pauses(random.Random(seed)), count))


@given(schedules, seeds)
def test_every_pause_is_a_number_of_seconds_up_to_a_year(schedule: Schedule, seed: int) -> None:
    """Never negative, NaN or infinite, whatever is combined."""
    assert all(0 <= pause <= LONGEST for pause in first(schedule, 40, seed))


@given(schedules, seeds)
def test_the_seed_decides_the_pauses(schedule: Schedule, seed: int) -> None:
    """Each run starts anew; runs share nothing."""
    assert first(schedule, seed=seed) == first(schedule, seed=seed)


@given(schedules)
def test_a_schedule_is_a_value(schedule: Schedule) -> None:
    """It equals what is made in the same way, hashes, and can be copied and pickled."""
    for other in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):  # noqa: S301 - our own bytes
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert first(other) == first(schedule)
    assert schedule != schedule.capped(1.0)
    assert repr(schedule)


@given(schedules, seconds, seconds)
def test_two_caps_are_the_lower_one(a: Schedule, x: float, y: float) -> None:
    """So capping is idempotent, and its order does not matter."""
    assert first(a.capped(x).capped(y)) == first(a.capped(min(x, y)))
    assert first(a.capped(LONGEST)) == first(a)


@given(schedules, schedules)
def test_what_follows_after_nothing_is_all(a: Schedule, b: Schedule) -> None:
    """`after=0` is `b`."""
    assert first(a.then(b, after=0)) == first(b)


@given(schedules, schedules, schedules, counts, counts)
def test_following_is_associative(a: Schedule, b: Schedule, c: Schedule, m: int, n: int) -> None:
    """It does not matter which two are joined first."""
    left = a.then(b, after=m).then(c, after=m + n)
    right = a.then(b.then(c, after=n), after=m)
    assert first(left, 20) == first(right, 20)


@given(schedules, schedules, counts, seconds)
def test_a_cap_of_the_whole_is_a_cap_of_its_parts(
    a: Schedule, b: Schedule, after: int, cap: float
) -> None:
    """`capped` distributes over `then`."""
    whole = a.then(b, after=after).capped(cap)
    assert first(whole) == first(a.capped(cap).then(b.capped(cap), after=after))


@given(schedules)
def test_adding_nothing_changes_nothing(a: Schedule) -> None:
    """`constant(0)` is neutral on both sides."""
    assert first(a + constant(0)) == first(constant(0) + a) == first(a)


@given(steady, steady, steady)
def test_sums_of_steady_schedules_commute_and_associate(
    a: Schedule, b: Schedule, c: Schedule
) -> None:
    """As those of their numbers do, up to rounding."""
    assert first(a + b) == first(b + a)
    assert first((a + b) + c) == pytest.approx(first(a + (b + c)))


@given(steady, seeds)
def test_jitter_stays_below_the_pause(a: Schedule, seed: int) -> None:
    """`full` from zero, `equal` from half, `none` is the pause."""
    bounds = first(a)
    assert a.jittered("none") is a
    for jitter, share in (("full", 0.0), ("equal", 0.5)):
        drawn = first(a.jittered(jitter), seed=seed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert all(share * p <= d <= p for d, p in zip(drawn, bounds, strict=True))


@given(st.floats(0, 1e6), factors, st.floats(0, 1e6), seeds)
def test_decorrelated_pauses_depend_on_the_one_before(
    low: float, factor: float, room: float, seed: int
) -> None:
    """Each lies between the shortest and `factor` times its predecessor, and below the cap."""
    before = low
    for pause in first(decorrelated(low, factor, low + room), 30, seed):
        assert min(low, low + room) <= pause <= low + room
        assert pause <= max(low, before * factor) * (1 + 1e-12)
        before = pause


@pytest.mark.parametrize(
    ("schedule", "attempt", "expected"),
    [
        (exponential(0.5).capped(30.0), 5_000, 30.0),
        (exponential(1.0, 1e4), 5_000, LONGEST),
        (exponential(0.0), 5_000, 0.0),
        (linear(1.0, LONGEST), 5_000, LONGEST),
        (exponential(1.0) + exponential(1.0), 5_000, LONGEST),
    ],
)
def test_attempt_five_thousand_waits_for_the_cap(
    schedule: Schedule, attempt: int, expected: float
) -> None:
    """No OverflowError, no infinity (case 42)."""
    assert next(islice(schedule.pauses(random.Random(1)), attempt - 1, None)) == expected


@pytest.mark.parametrize(
    ("schedule", "low", "high", "mean"),
    [
        (constant(8.0).jittered("full"), 0.0, 8.0, 4.0),
        (constant(8.0).jittered("equal"), 4.0, 8.0, 6.0),
        # With factor 1 every draw is from `initial` to the pause before, which is `initial`.
        (decorrelated(2.0, 1.0, 8.0), 2.0, 2.0, 2.0),
    ],
    ids=["full", "equal", "decorrelated"],
)
def test_ten_thousand_draws_lie_where_theory_puts_them(
    schedule: Schedule, low: float, high: float, mean: float
) -> None:
    """Bounds, mean and seed (case 43)."""
    drawn = first(schedule, 10_000, seed=7)
    assert low <= min(drawn) <= max(drawn) <= high
    sigma = (high - low) / math.sqrt(12) / math.sqrt(len(drawn))
    assert abs(statistics.fmean(drawn) - mean) <= 4 * sigma
    assert drawn == first(schedule, 10_000, seed=7)
    assert low == high or drawn != first(schedule, 10_000, seed=8)


def test_decorrelated_draws_settle_between_their_bounds() -> None:
    """Below a cap, the mean obeys m = E[min(U(initial, 3p), cap)] over the chain (case 43)."""
    low, cap = 1.0, 20.0
    drawn = first(decorrelated(low, 3.0, cap), 10_000, seed=3)
    assert low <= min(drawn)
    assert max(drawn) == cap

    def mean_after(p: float) -> float:
        """Return the exact mean of the draw that follows `p`."""
        top = 3 * p
        if top <= cap:
            return (low + top) / 2
        inside = (cap**2 - low**2) / 2 + (top - cap) * cap
        return inside / (top - low)

    predicted = statistics.fmean(mean_after(p) for p in drawn[:-1])
    assert statistics.fmean(drawn[1:]) == pytest.approx(predicted, rel=0.03)


NAN, INF = float("nan"), float("inf")
NOT_SECONDS = (-1, NAN, INF, "1", None, True, 10**400, LONGEST * 2)


MAKERS: list[Callable[[Any], Schedule]] = [
    constant,
    exponential,
    decorrelated,
    listed,
    lambda v: linear(v, 1),
    lambda v: linear(1, v),
    lambda v: decorrelated(0, 2, v),
    lambda v: constant(1).capped(v),
]


@pytest.mark.parametrize("value", NOT_SECONDS)
@pytest.mark.parametrize("make", MAKERS, ids=range(len(MAKERS)))
def test_what_is_no_pause_is_refused(make: Any, value: object) -> None:
    """Negative, NaN, infinite, no number, or longer than a year."""
    with pytest.raises(ConfigurationError, match="must be"):
        make(value)


@pytest.mark.parametrize("value", [0, 0.99, -1, NAN, INF, "2", None, True])
@pytest.mark.parametrize("make", [exponential, decorrelated])
def test_a_factor_below_one_is_refused(make: Any, value: object) -> None:
    """Pauses do not shrink."""
    with pytest.raises(ConfigurationError, match="factor"):
        make(1.0, value)


@pytest.mark.parametrize(
    "make",
    [
        listed,
        lambda: decorrelated(5.0, 2.0, 1.0),
        lambda: constant(1).jittered("some"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: constant(1).then(constant(2), after=-1),
        lambda: constant(1).then(constant(2), after=1.5),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: constant(1).then(3.0, after=1),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
    ids=range(6),
)
def test_a_combination_without_a_meaning_is_refused(make: Any) -> None:
    """With an error that names the option."""
    with pytest.raises(ConfigurationError):
        make()


def test_only_schedules_can_be_added() -> None:
    """A number is none."""
    with pytest.raises(TypeError):
        constant(1) + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
