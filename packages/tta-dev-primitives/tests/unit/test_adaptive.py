"""Limits that follow the latency, and calls that are refused here since the other side refuses."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import install_default_observers
from tta_dev_primitives.core import clock, engine
from tta_dev_primitives.errors import BulkheadFullError, ConfigurationError, ThrottledError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import (
    AdaptivePrimitive,
    AIMDLimit,
    GradientLimit,
    Throttle,
    ThrottlePrimitive,
)
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["bare", "counted", "observed"])
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test where nobody, the recorder or an observer listens: nothing may differ."""
    engine.silence()
    if request.param == "counted":
        install_default_observers()
    if request.param != "observed":
        yield
    else:
        with collect_records():
            yield


class BusyError(Exception):
    """What a service raises that has too much to do."""

    status_code = 429


SAMPLES = st.lists(
    st.tuples(st.floats(0, 1e6), st.integers(1, 300), st.booleans()), min_size=1, max_size=60
)


@pytest.mark.parametrize("make", [AIMDLimit, GradientLimit])
@given(samples=SAMPLES)
def test_a_limit_stays_in_its_bounds_and_repeats_itself(
    make: type[AIMDLimit | GradientLimit], samples: list[tuple[float, int, bool]]
) -> None:
    """Whatever it is told; the same samples give the same limits."""
    one, two = (make(initial=5, minimum=2, maximum=50) for _ in range(2))
    for now, (latency, in_flight, dropped) in enumerate(samples):
        found = one.update(now, latency, in_flight, dropped=dropped)
        assert 2 <= found <= 50
        assert found == one.limit == two.update(now, latency, in_flight, dropped=dropped)


def test_aimd_grows_by_one_a_round_and_shrinks_by_a_factor() -> None:
    """One overload, however many calls show it, shrinks it once."""
    limit = AIMDLimit(initial=10, backoff=0.5, latency_limit=2.0)
    for _ in range(11):
        limit.update(1.0, 0.1, 10, dropped=False)
    assert limit.limit == 11
    for _ in range(5):
        limit.update(10.0, 0.1, 10, dropped=True)
    assert limit.limit == 5
    assert limit.update(10.05, 0.1, 10, dropped=True) == 5  # began before it shrank
    assert limit.update(20.0, 2.5, 10, dropped=False) == 2  # took too long


@pytest.mark.parametrize("make", [AIMDLimit, GradientLimit])
def test_a_limit_that_is_not_put_to_the_test_does_not_grow(
    make: type[AIMDLimit | GradientLimit],
) -> None:
    """With few calls under way, a low latency says nothing."""
    limit = make(initial=20)
    for now in range(1000):
        limit.update(float(now), 0.1, 2, dropped=False)
    assert limit.limit == 20


def test_the_gradient_shrinks_as_the_latency_rises_and_recovers() -> None:
    """Calls that queue somewhere show in the latency first."""
    limit = GradientLimit(initial=100)
    for now in range(300):
        limit.update(float(now), 0.1, limit.limit, dropped=False)
    high = limit.limit
    for now in range(100):
        limit.update(300.0 + now, 1.0, limit.limit, dropped=False)
    low = limit.limit
    for now in range(600):
        limit.update(400.0 + now, 0.1, limit.limit, dropped=False)
    assert low < high / 4
    assert limit.limit > 2 * low


@pytest.mark.usefixtures("listening")
def test_concurrency_settles_near_what_the_service_can_do() -> None:
    """A service that does ten at once and slows down beyond it; not one call fails."""
    now: list[int] = [0]

    async def service(value: int) -> int:
        now[0] += 1
        try:
            await asyncio.sleep(0.1 * max(1.0, now[0] / 10))
        finally:
            now[0] -= 1
        return value

    limited = AdaptivePrimitive(
        service, limit=GradientLimit(initial=1, maximum=500), max_queue=None
    )

    async def main() -> None:
        with no_leaked_tasks():
            await asyncio.gather(*(limited.execute(number) for number in range(3000)))

    run_virtual(main())
    assert limited.bulkhead.running == 0
    assert 5 <= limited.bulkhead.max_concurrency <= 120


@pytest.mark.usefixtures("listening")
def test_overload_shrinks_the_limit_and_other_failures_do_not() -> None:
    """Nor does a call that was cancelled; the error is the step's own."""
    errors: list[BaseException] = [KeyError(1), BusyError(), TimeoutError()]

    async def fails(number: int) -> int:
        raise errors[number]

    limited = AdaptivePrimitive(fails, limit=AIMDLimit(initial=10, backoff=0.5))

    async def main() -> list[int]:
        limits: list[int] = []
        for number, error in enumerate(errors):
            await asyncio.sleep(1)
            with pytest.raises(type(error)) as caught:
                await limited.execute(number)
            assert caught.value is error
            limits.append(limited.bulkhead.max_concurrency)
        return limits

    assert run_virtual(main()) == [10, 5, 2]
    waits = AdaptivePrimitive(asyncio.sleep, limit=AIMDLimit(initial=1), max_queue=0)

    async def cancelled() -> None:
        task = asyncio.create_task(waits.execute(60))
        await asyncio.sleep(1)
        with pytest.raises(BulkheadFullError):
            await waits.execute(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waits.execute(1)

    run_virtual(cancelled())
    assert (waits.bulkhead.running, waits.bulkhead.max_concurrency) == (0, 2)


def test_nothing_is_refused_while_the_other_side_accepts_half() -> None:
    """With `k` of 2; beyond that, as the formula of the book says."""
    throttle = Throttle()
    for number in range(50):
        throttle.ended(0.0, accepted=number % 2 == 0)
    assert throttle.probability(0.0) == 0
    for _ in range(50):
        throttle.ended(0.0, accepted=False)
    assert throttle.probability(0.0) == (100 - 2 * 25) / 101
    assert throttle.probability(1000.0) == 0


@given(st.lists(st.booleans(), max_size=200), st.floats(1.01, 10))
def test_the_probability_is_one_and_falls_with_each_acceptance(calls: list[bool], k: float) -> None:
    """Between 0 and 1, whatever happened."""
    throttle = Throttle(k=k)
    for accepted in calls:
        throttle.ended(0.0, accepted=accepted)
    before = throttle.probability(0.0)
    throttle.ended(0.0, accepted=True)
    assert 0 <= throttle.probability(0.0) <= before < 1


@pytest.mark.usefixtures("listening")
def test_an_outage_is_met_with_few_calls_and_its_end_is_found_out() -> None:
    """The step is not run for a call that is refused here; the seed repeats the draws."""
    called: list[int] = []
    down = True

    async def service(value: int) -> int:
        called.append(value)
        if down:
            raise BusyError
        return value

    def make() -> ThrottlePrimitive[int, int]:
        return ThrottlePrimitive(service, throttle=Throttle(window=10, rng=random.Random(5)))

    async def many(step: ThrottlePrimitive[int, int], number: int) -> list[object]:
        return await asyncio.gather(
            *(step.execute(value) for value in range(number)), return_exceptions=True
        )

    async def main() -> None:
        nonlocal down
        step = make()
        for _ in range(10):
            await many(step, 100)
        assert 3 <= len(called) <= 150  # of a thousand; the first hundred came at once
        first = list(called)
        called.clear()
        again = make()
        for _ in range(10):
            await many(again, 100)
        assert called == first
        refused = [r for r in await many(step, 100) if isinstance(r, ThrottledError)]
        assert "refused the call here" in str(refused[0])
        assert "in workflow step throttle," in refused[0].__notes__[0]
        down = False
        for _ in range(400):
            await asyncio.sleep(0.5)
            await many(step, 20)
        assert await many(step, 20) == list(range(20))

    run_virtual(main())


@pytest.mark.usefixtures("listening")
def test_failures_that_are_no_refusals_were_accepted() -> None:
    """Also by a rule of the caller's."""

    async def fails(_: object) -> None:
        raise BusyError

    def every(_: Exception) -> bool:
        return True

    rules: list[tuple[Any, float]] = [(None, 9 / 10), (KeyError, 0.0), (every, 9 / 10)]
    for on, chance in rules:
        throttle = Throttle(rng=random.Random(1))
        step = ThrottlePrimitive(fails, throttle=throttle, on=on)
        while throttle._window.calls < 9:  # pyright: ignore[reportPrivateUsage]
            with pytest.raises((BusyError, ThrottledError)):
                step.run(None)
        assert throttle.probability(clock.now()) == pytest.approx(chance)


def test_copies_count_for_themselves() -> None:
    """A workflow with load control in it can be copied."""
    throttle = Throttle(k=3.0)
    throttle.ended(0.0, accepted=False)
    again = copy.deepcopy(ThrottlePrimitive(len, throttle=throttle))
    assert again.run("four") == 4
    assert copy.deepcopy(AdaptivePrimitive(len)).run("four") == 4
    assert (copy.copy(throttle).probability(0.0), copy.copy(throttle).k) == (0.0, 3.0)


NAN, INF = float("nan"), float("inf")
NUMBERS: tuple[Any, ...] = (-1, 0, NAN, INF, True, "1")
BAD: dict[str, tuple[Callable[[Any], object], tuple[Any, ...]]] = {
    "initial": (lambda v: AIMDLimit(initial=v), (*NUMBERS, 1.5, 201)),
    "minimum": (lambda v: AIMDLimit(minimum=v), (*NUMBERS, 1.5, 11)),
    "maximum": (lambda v: GradientLimit(maximum=v), (*NUMBERS, 1.5, 19)),
    "backoff": (lambda v: GradientLimit(backoff=v), (-1, 0, NAN, INF, "1", 1, 1.5)),
    "latency_limit": (lambda v: AIMDLimit(latency_limit=v), NUMBERS),
    "tolerance": (lambda v: GradientLimit(tolerance=v), (*NUMBERS, 0.5)),
    "smoothing": (lambda v: GradientLimit(smoothing=v), (*NUMBERS, 1.5)),
    "long_window": (lambda v: GradientLimit(long_window=v), (*NUMBERS, 1.5)),
    "limit": (lambda v: AdaptivePrimitive(len, limit=v), (3, "gradient")),
    "max_queue": (lambda v: AdaptivePrimitive(len, max_queue=v), (-1, NAN, True, "1")),
    "queue_timeout": (lambda v: AdaptivePrimitive(len, queue_timeout=v), NUMBERS),
    "k": (lambda v: Throttle(k=v), (*NUMBERS, 1.0)),
    "window": (lambda v: Throttle(window=v), NUMBERS),
    "rng": (lambda v: Throttle(rng=v), (3, "seed")),
    "throttle": (lambda v: ThrottlePrimitive(len, throttle=v), (3, "yes")),
    "on": (lambda v: ThrottlePrimitive(len, on=v), (3, "yes")),
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, (_, values) in BAD.items() for value in values],
    ids=repr,
)
def test_options_out_of_range_are_refused(option: str, value: object) -> None:
    """When built, with the option's name."""
    with pytest.raises(ConfigurationError, match=rf"\b{option}\b"):
        BAD[option][0](value)
