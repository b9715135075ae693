"""Timeouts whose limit follows what was observed, and timeouts with a breaker."""

from __future__ import annotations

import asyncio
import math
import pickle
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError, TimeoutExceededError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import Breaker, Timeout, TimeoutPrimitive
from tta_dev_primitives.recovery.deadlines.limit import AdaptiveLimit
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["bare", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody listens, and where an observer does: nothing may differ."""
    engine.silence()
    if request.param == "bare":
        yield
    else:
        with collect_records():
            yield


async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


# --- the rule -----------------------------------------------------------------------------------

durations = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


@given(
    durations,
    st.floats(0.01, 0.999),
    st.floats(1, 10),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_the_limit_is_a_percentile_of_the_latest_durations(
    observed: list[float], share: float, factor: float, window: int, after: int
) -> None:
    """At least the share of the window was as fast, no smaller value would do, within bounds."""
    after = min(after, window)
    limit = AdaptiveLimit(
        share, factor=factor, minimum=3.0, maximum=5000.0, window=window, at_least=after
    )
    for count, seconds in enumerate(observed, 1):
        limit.observe(seconds)
        latest = observed[max(0, count - window) : count]
        if count < after:
            assert limit.seconds == 5000.0
            continue
        wanted = share * len(latest)
        enough = [d for d in latest if sum(other <= d for other in latest) >= wanted]
        assert limit.seconds == min(max(min(enough) * factor, 3.0), 5000.0)


@pytest.mark.parametrize(
    "options",
    [
        {"fraction": 0.0},
        {"fraction": 1.1},
        {"fraction": math.nan},
        {"fraction": "0.9"},
        {"factor": 0.5},
        {"factor": math.inf},
        {"factor": True},
        {"maximum": 0},
        {"maximum": math.inf},
        {"minimum": -1},
        {"minimum": 31},
        {"window": 0},
        {"window": 2.5},
        {"at_least": 101},
        {"at_least": 0},
    ],
)
def test_a_rule_out_of_range_is_refused(options: dict[str, Any]) -> None:
    """When it is built, with the name of the option."""
    bad: dict[str, Any] = {"maximum": 30.0, **options}
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))} "):
        AdaptiveLimit(**bad)


# --- in a Timeout -------------------------------------------------------------------------------


def test_an_adaptive_timeout_learns_from_the_calls() -> None:
    """From its maximum down to what the calls take; the same again gives the same."""

    async def main() -> list[float]:
        limited = TimeoutPrimitive(
            sleep, adaptive=AdaptiveLimit(0.9, factor=2, maximum=60, at_least=4)
        )
        limits = [limited.limit]
        for seconds in (1.0, 1.0, 2.0, 1.0):
            await limited.execute(seconds)
            limits.append(limited.limit)
        with pytest.raises(TimeoutExceededError, match="within the 4 s") as caught:
            await limited.execute(50)
        assert caught.value.seconds == 4
        return limits

    assert run_virtual(main()) == run_virtual(main()) == [60, 60, 60, 60, 4]


def test_a_limit_that_has_become_too_short_grows_again() -> None:
    """Calls that were cut off count with their limit, up to the maximum."""

    async def main() -> None:
        rule = AdaptiveLimit(0.5, factor=1.5, maximum=20, window=4, at_least=2)
        limited = TimeoutPrimitive(sleep, adaptive=rule)
        for _ in range(4):
            await limited.execute(1)
        assert limited.limit == 1.5
        ended: list[str] = []
        for _ in range(40):
            try:
                ended.append(f"{await limited.execute(15)}")
            except TimeoutExceededError:
                ended.append("late")
        assert ended[0] == "late"
        assert ended[-1] == "15"
        assert limited.limit == 20

    run_virtual(main())


def test_only_what_the_step_took_is_learned_from() -> None:
    """Neither a quick failure, nor a cancellation, nor the deadline of a run."""

    async def fails(seconds: float) -> float:
        await asyncio.sleep(seconds)
        raise ConnectionError

    async def main() -> None:
        rule = AdaptiveLimit(0.999, factor=1, maximum=20, window=4, at_least=1)
        limited = TimeoutPrimitive(sleep, adaptive=rule)
        for limits, seconds in ((TimeoutPrimitive(fails, adaptive=rule), 1), (limited, 30)):
            context = WorkflowContext(deadline=asyncio.get_running_loop().time() + 5)
            with pytest.raises((ConnectionError, TimeoutExceededError)):
                await limits.execute(context, seconds)
            task = asyncio.create_task(limits.execute(10))
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.wait([task])
            assert limits.limit == 20
        assert await limited.execute(7) == 7
        assert limited.limit == 7

    run_virtual(main())


async def test_functions_that_are_given_one_limit_share_it() -> None:
    """Their calls and their steps learn together; another object learns by itself."""
    shared, other = (AdaptiveLimit(0.9, maximum=20, minimum=3, at_least=1) for _ in range(2))

    @Timeout(adaptive=shared)
    async def one(value: int) -> int:
        return value

    @Timeout(adaptive=shared)
    async def two(value: int) -> int:
        return value

    @Timeout(adaptive=other)
    async def three(value: int) -> int:
        return value

    assert await one(1) == 1
    limits = [cast("Any", function).step.limit for function in (one, two, three)]
    assert limits == [3, 3, 20]


def test_an_adaptive_timeout_can_be_pickled() -> None:
    """What is unpickled begins anew."""
    limited = TimeoutPrimitive(sleep, adaptive=AdaptiveLimit(0.999, maximum=20, at_least=1))
    run_virtual(limited.execute(1))
    assert limited.limit == 1.5
    again = pickle.loads(pickle.dumps(limited))  # noqa: S301 - made here
    assert again.limit == 20


def test_contradictory_limits_are_refused() -> None:
    """The adaptive limit has a maximum, and nothing else is one."""
    bad: Any
    for bad, match in (
        ({"adaptive": AdaptiveLimit(maximum=1), "seconds": 1}, "both given"),
        ({"adaptive": AdaptiveLimit(maximum=1), "timeout_seconds": 1}, "both given"),
        ({"adaptive": 0.99}, "is an AdaptiveLimit"),
        ({"seconds": 1, "breaker": 3}, "is a Breaker"),
        ({"seconds": 1, "breaker": Breaker}, "is a Breaker"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            TimeoutPrimitive(sleep, **bad)
        with pytest.raises(ConfigurationError, match=match):
            Timeout(**bad)


# --- with a breaker -----------------------------------------------------------------------------


def test_a_limit_that_passes_is_a_failure_of_the_breaker() -> None:
    """And while it is open, the step does not begin."""
    begun: list[float] = []

    async def begins(seconds: float) -> float:
        begun.append(seconds)
        return await sleep(seconds)

    async def main() -> None:
        breaker = Breaker("model", failure_threshold=2, recovery_timeout=30)
        limited = TimeoutPrimitive(begins, seconds=1, breaker=breaker)
        for _ in range(2):
            with pytest.raises(TimeoutExceededError):
                await limited.execute(60)
        assert [breaker.state] == ["open"]
        with pytest.raises(CircuitOpenError) as caught:
            await limited.execute(0)
        assert "in workflow step timeout," in caught.value.__notes__[0]
        assert begun == [60, 60]
        await asyncio.sleep(31)
        assert await limited.execute(0) == 0
        assert [breaker.state] == ["closed"]

    run_virtual(main())


def test_cancellation_and_success_are_no_failures_of_the_breaker() -> None:
    """Nor does a permit stay away."""

    async def main() -> None:
        breaker = Breaker("model", failure_threshold=1)
        limited = TimeoutPrimitive(sleep, seconds=5, breaker=breaker)
        for _ in range(3):
            task = asyncio.create_task(limited.execute(4))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await limited.execute(1) == 1
        assert breaker.state == "closed"

    run_virtual(main())
