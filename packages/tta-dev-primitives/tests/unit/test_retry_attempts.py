"""The decisions of a Retry, without a loop or a sleep; and the options that it refuses."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery import Retry, RetryPrimitive
from tta_dev_primitives.recovery.retries.attempts import Attempts
from tta_dev_primitives.recovery.retries.budget import RetryBudget
from tta_dev_primitives.recovery.retries.loop import retrying
from tta_dev_primitives.recovery.retries.options import Policy
from tta_dev_primitives.recovery.retries.schedules import constant, exponential
from tta_dev_primitives.testing import run_virtual


@given(limit=st.integers(min_value=1, max_value=20), pool=st.integers(min_value=0, max_value=20))
def test_attempts_end_at_the_limit_or_with_the_pool(limit: int, pool: int) -> None:
    """What is granted is the smaller of both, and is taken from the pool."""
    cell = [pool]
    attempts = Attempts(Policy(max_attempts=limit, initial_delay=0), pool=cell)
    granted = 0
    while attempts.failed(0.0, ConnectionError()) is not None:
        granted += 1
    assert granted == min(limit - 1, pool)
    assert cell == [pool - granted]
    assert attempts.number == granted + 1


def test_a_refused_retry_takes_nothing() -> None:
    """Neither a lasting error, nor cancellation, nor a deadline costs the others an attempt."""
    cell = [5]
    budget = RetryBudget(floor=5)
    policy = Policy(max_attempts=9, jitter="none", budget=budget)
    attempts = Attempts(policy, pool=cell)
    assert attempts.failed(0.0, TypeError()) is None
    assert attempts.failed(0.0, asyncio.CancelledError()) is None
    assert attempts.failed(0.0, ConnectionError(), left=0.4) is None
    assert (cell, budget.left) == ([5], 5)
    assert attempts.failed(0.0, ConnectionError(), left=3.0) is not None
    assert (cell, budget.left) == ([4], 4)
    attempts.unused()
    assert (cell, budget.left) == ([5], 5)


events = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=5),  # how long the attempt takes
        st.floats(min_value=0, max_value=20),  # what is left until a deadline, from the start
        st.sampled_from(["error", "lasting", "refused"]),
    ),
    max_size=12,
)


@given(
    events,
    st.integers(1, 8),
    st.none() | st.floats(min_value=0.1, max_value=30),
    st.floats(min_value=0, max_value=0.05),
    st.integers(),
)
def test_no_attempt_begins_too_late(
    happenings: list[tuple[float, float, str]],
    limit: int,
    max_elapsed: float | None,
    floor: float,
    seed: int,
) -> None:
    """Whatever happens: before `max_elapsed` and the deadline, with the floor to spare."""
    policy = Policy(
        max_attempts=limit,
        max_elapsed=max_elapsed,
        min_attempt_time=floor,
        rng=random.Random(seed),
    )
    attempts = Attempts(policy, started=100.0)
    now, made = 100.0, 1
    for took, until, kind in happenings:
        now += took
        left = 100.0 + until - now
        if kind == "refused":
            delay = attempts.refused(now, left)
        else:
            error = TypeError() if kind == "lasting" else ConnectionError()
            delay = attempts.failed(now, error, left)
        if delay is None:
            break
        made += 1
        assert kind != "lasting"
        assert 0 <= delay < left - floor
        now += delay
        if max_elapsed is not None:
            assert now - 100.0 + floor <= max_elapsed + 1e-9
        assert attempts.number == made
    assert made <= limit


def test_a_history_is_bounded() -> None:
    """The first three and the last five attempts are told."""
    attempts = Attempts(Policy(max_attempts=5_000, schedule=constant(1)))
    for n in range(4_999):
        assert attempts.failed(float(n), ConnectionError()) == 1
    lines = attempts.history(0.0).strip().splitlines()
    assert len(lines) == 9
    assert "… 4991 more …" in lines[3]
    assert lines[0].strip() == "attempt 1: ConnectionError, after 0.000 s, then a pause of 1.000 s"
    assert "attempt 4999:" in lines[-1]


def test_the_pause_after_attempt_five_thousand_is_the_cap() -> None:
    """No OverflowError, no infinity (case 42)."""
    attempts = Attempts(Policy(max_attempts=6_000, backoff_factor=2.0, jitter="none"))
    delays = [attempts.failed(0.0, ConnectionError()) for _ in range(5_000)]
    assert delays[-1] == 30.0


def test_plain_options_mean_an_exponential_schedule() -> None:
    """They are the short form of one."""
    plain = Policy(backoff_factor=3.0, initial_delay=0.2, max_delay=9.0, jitter="equal")
    assert plain.schedule == exponential(0.2, 3.0).capped(9.0).jittered("equal")
    assert Policy().schedule == exponential(0.5, 2.0).capped(30.0).jittered("full")


NAN = float("nan")
INF = float("inf")


async def hook(event: object) -> None:
    del event


BAD = [
    *(("max_attempts", v) for v in (0, -1, 1.5, NAN, INF, True, "3", None)),
    *(("backoff_factor", v) for v in (0, 0.5, -1, NAN, INF, "2", True, None)),
    *(("initial_delay", v) for v in (-1, NAN, INF, "1", None, True)),
    *(("max_delay", v) for v in (-1, NAN, INF, 0.1, "1")),
    *(("jitter", v) for v in ("some", None, True)),
    *(("schedule", v) for v in (1.0, [1, 2], "exponential", exponential)),
    *(("on", v) for v in (7, (), (ConnectionError, int), int, "no such kind", hook)),
    *(("max_elapsed", v) for v in (0, -1, NAN, INF, "1", True)),
    *(("min_attempt_time", v) for v in (-1, NAN, INF, "1", None, True)),
    *(("hint", v) for v in (5, "5", hook)),
    *(("max_hint", v) for v in (-1, NAN, INF, "1", None, True)),
    *(("budget", v) for v in (0.1, True, RetryBudget)),
    *(("on_retry", v) for v in (5, "log", [hook])),
    *(("independent", v) for v in (1, None, "yes")),
    *(("rng", v) for v in (1, "seed", random)),
    *(("name", v) for v in ("", "a/b", 5)),
]


@pytest.mark.parametrize(("option", "value"), BAD, ids=range(len(BAD)))
def test_a_bad_option_is_named_at_once(option: str, value: object) -> None:
    """Construction, decoration and the loop form all refuse it, before anything runs."""
    bad: Any = {option: value}
    for make in (
        lambda: RetryPrimitive(str.upper, **bad),
        lambda: Retry(**bad),
        lambda: retrying(**bad),
    ):
        with pytest.raises(ConfigurationError, match=option if option != "name" else "name"):
            make()


@pytest.mark.parametrize("value", [5, "ok", hook])
def test_until_must_be_a_synchronous_function(value: Any) -> None:
    """It answers at once."""
    with pytest.raises(ConfigurationError, match="until"):
        RetryPrimitive(str.upper, until=value)


@pytest.mark.parametrize("option", ["backoff_factor", "initial_delay", "max_delay", "jitter"])
def test_a_schedule_and_its_parts_contradict_each_other(option: str) -> None:
    """Also where the part is what it would be by default."""
    value: Any = {"backoff_factor": 2.0, "initial_delay": 0.5, "max_delay": None, "jitter": "full"}
    with pytest.raises(ConfigurationError, match=f"schedule and {option}"):
        RetryPrimitive(str.upper, schedule=constant(1), **{option: value[option]})


def test_a_floor_above_all_the_time_is_refused() -> None:
    """No retry could ever begin."""
    with pytest.raises(ConfigurationError, match="min_attempt_time"):
        RetryPrimitive(str.upper, max_elapsed=1.0, min_attempt_time=1.0)


async def breaks(value: object) -> object:
    raise ConnectionError


@pytest.mark.parametrize("on", [None, OSError, (OSError, ValueError)], ids=range(3))
def test_a_retry_can_be_pickled_and_copied(on: Any) -> None:
    """With its rule, its schedule, and a budget of its own."""
    budget = RetryBudget(floor=3)
    retry = RetryPrimitive(breaks, on=on, schedule=constant(2), budget=budget, max_attempts=7)
    for other in (pickle.loads(pickle.dumps(retry)), copy.deepcopy(retry)):  # noqa: S301 - our own bytes
        with pytest.raises(ConnectionError) as caught:
            run_virtual(other.execute("x"))
        (note,) = caught.value.__notes__
        assert "attempt 4" in note
        assert note.count("then a pause of 2.000 s") == 3
        assert "the retry budget is used up" in note
        assert budget.left == 3


def test_an_unknown_option_is_an_error() -> None:
    """Not a silent default."""
    for make in (RetryPrimitive, Retry):
        with pytest.raises(TypeError, match="has no option 'max_attempt'"):
            make(RetryPrimitive(str.upper), max_attempt=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
