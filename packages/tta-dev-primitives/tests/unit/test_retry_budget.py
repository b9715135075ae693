"""RetryBudget: retries over all calls are bounded, and first attempts are not."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError, RejectedError
from tta_dev_primitives.recovery import RetryPrimitive
from tta_dev_primitives.recovery.retries.budget import RetryBudget
from tta_dev_primitives.recovery.retries.loop import retrying

NAN, INF = float("nan"), float("inf")


class Service:
    """Counts its calls and fails while it is down."""

    def __init__(self, *, down: bool = True, error: type[Exception] = ConnectionError) -> None:
        self.calls = 0
        self.down = down
        self.error = error

    async def __call__(self, value: object) -> object:
        self.calls += 1
        if self.down:
            raise self.error
        return value


def around(step: Any, **options: Any) -> RetryPrimitive[Any, Any]:
    return RetryPrimitive(step, initial_delay=0, **options)


async def attempt_all(retry: RetryPrimitive[Any, Any], count: int) -> int:
    """Call `count` times; return how many calls failed."""
    failed = 0
    for _ in range(count):
        try:
            await retry.execute("x")
        except ConnectionError:
            failed += 1
    return failed


async def test_an_outage_is_not_multiplied() -> None:
    """10,000 calls, all failing: far below 11,100 attempts, and each has its first (case 40)."""
    service = Service()
    budget = RetryBudget(ratio=0.1, floor=10)
    assert await attempt_all(around(service, budget=budget), 10_000) == 10_000
    assert service.calls == 10_000 + 10
    assert budget.left == 0


async def test_an_outage_after_good_times_spends_what_they_saved_and_no_more() -> None:
    """At most `capacity` retries, however long the outage (case 40)."""
    service = Service(down=False)
    retry = around(service, budget=RetryBudget(capacity=50))
    await attempt_all(retry, 10_000)
    service.down, service.calls = True, 0
    await attempt_all(retry, 10_000)
    assert service.calls == 10_000 + 50


async def test_the_budget_refills_when_half_the_calls_succeed() -> None:
    """Ten of twenty calls earn one retry, and the next failure spends it (case 40)."""
    service = Service()
    budget = RetryBudget(ratio=0.1, floor=1)
    retry = around(service, budget=budget)
    await attempt_all(retry, 10)
    assert budget.left == 0
    for n in range(20):
        service.down = bool(n % 2)
        await attempt_all(retry, 1)
    assert service.calls == 11 + 20 + 1
    assert budget.left == 0


async def test_ten_tenths_are_one_retry() -> None:
    """Counting has no rounding errors."""
    budget = RetryBudget(ratio=0.1, floor=1)
    assert budget.take()
    for _ in range(9):
        budget.earn()
        assert not budget.take()
    budget.earn()
    assert budget.take()


async def test_three_nested_layers_cost_three_calls_or_the_budget() -> None:
    """Not 27, whether they share attempts or only the budget (case 39)."""
    service = Service()
    await attempt_all(around(around(around(service))), 1)
    assert service.calls == 3

    service = Service()
    budget = RetryBudget(floor=5)
    retry: Any = service
    for _ in range(3):
        retry = around(retry, budget=budget, independent=True)
    await attempt_all(retry, 1)
    assert service.calls == 1 + 5
    await attempt_all(retry, 100)
    assert service.calls == 1 + 5 + 100


async def test_an_outage_under_three_nested_layers_is_not_multiplied() -> None:
    """At most 1.10 times the calls, and the floor (cases 39, 40)."""
    service = Service()
    budget = RetryBudget()
    retry: Any = service
    for _ in range(3):
        retry = around(retry, budget=budget)
    await attempt_all(retry, 1_000)
    assert service.calls == 1_000 + 10


async def test_a_call_that_is_cancelled_spends_nothing() -> None:
    """Neither in its attempt nor in its pause (case 41)."""
    budget = RetryBudget(floor=3)

    async def hangs(value: object) -> object:
        await asyncio.Event().wait()
        return value

    for step in (hangs, Service()):
        retry = RetryPrimitive(step, budget=budget, initial_delay=600, max_delay=600, jitter="none")
        task = asyncio.create_task(retry.execute("x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.left == 3


async def test_a_cancelled_pause_of_a_block_spends_nothing() -> None:
    """The same in the loop form (case 41)."""
    budget = RetryBudget(floor=3)
    attempts = 0

    async def main() -> None:
        nonlocal attempts
        async for attempt in retrying(budget=budget, initial_delay=600, max_delay=600):
            with attempt:
                attempts += 1
                raise ConnectionError

    task = asyncio.create_task(main())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (attempts, budget.left) == (1, 3)


@pytest.mark.parametrize("turns", range(14))
async def test_cancelled_at_any_await_it_spends_what_was_begun(turns: int) -> None:
    """In an attempt, a hook or a pause: the retries that ran are paid, and no other (case 41)."""
    budget = RetryBudget(floor=9)
    calls = 0

    async def fails(value: object) -> object:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ConnectionError

    async def on_retry(event: object) -> None:
        await asyncio.sleep(0)

    retry = around(fails, budget=budget, on_retry=on_retry, max_attempts=4)
    task = asyncio.create_task(retry.execute("x"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, ConnectionError)):
        await task
    assert budget.left == 9 - max(0, calls - 1)


@pytest.mark.parametrize(
    "error", [CircuitOpenError("b"), RejectedError("full")], ids=["open", "full"]
)
async def test_an_attempt_that_is_rejected_spends_nothing(error: Exception) -> None:
    """It has called nothing, so its retry is given back (case 41)."""
    budget = RetryBudget(floor=3)

    async def rejected(value: object) -> object:
        raise error

    with pytest.raises(type(error)):
        await around(rejected, on=Exception, budget=budget).execute("x")
    assert budget.left == 3


async def test_an_error_that_is_not_retried_spends_nothing() -> None:
    """Nor does one that a deadline stops, or that used up its attempts."""
    budget = RetryBudget(floor=3)
    for options in ({"on": ValueError}, {"max_attempts": 1}):
        with pytest.raises(ConnectionError):
            await around(Service(), budget=budget, **options).execute("x")
    with pytest.raises(ConnectionError):
        await RetryPrimitive(
            Service(), budget=budget, max_elapsed=1, initial_delay=9, jitter="none"
        ).execute("x")
    assert budget.left == 3


async def test_the_error_says_that_the_budget_is_used_up() -> None:
    """Whoever reads it need not wonder why there was one attempt."""
    budget = RetryBudget(floor=1)
    assert budget.take()
    with pytest.raises(ConnectionError) as caught:
        await around(Service(), budget=budget).execute("x")
    assert "the retry budget is used up" in caught.value.__notes__[0]


def test_threads_lose_no_count() -> None:
    """8 threads take exactly what is there, and earn exactly what they earn."""
    interval = sys.getswitchinterval()

    def take(times: int) -> int:
        return sum(budget.take() for _ in range(times))

    def earn(times: int) -> None:
        for _ in range(times):
            budget.earn()

    sys.setswitchinterval(1e-5)
    try:
        budget = RetryBudget(ratio=0.1, floor=400, capacity=10_000)
        with ThreadPoolExecutor(8) as pool:
            taken = sum(pool.map(take, [100] * 8))
            assert taken == 400
            list(pool.map(earn, [100] * 8))
        assert budget.left == 80
    finally:
        sys.setswitchinterval(interval)


def test_a_copy_is_a_budget_of_its_own() -> None:
    """With the same options, and full again."""
    budget = RetryBudget(ratio=0.5, floor=2, capacity=4)
    budget.take()
    for other in (copy.copy(budget), copy.deepcopy(budget), pickle.loads(pickle.dumps(budget))):  # noqa: S301 - our own bytes
        assert (other.ratio, other.floor, other.capacity, other.left) == (0.5, 2, 4, 2)
    assert "left=1" in repr(budget)


class Counting(RuleBasedStateMachine):
    """The budget against whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = RetryBudget(ratio=0.25, floor=2, capacity=5)
        self.quarters = 8
        self.taken = 0

    @rule()
    def take(self) -> None:
        granted = self.quarters >= 4
        assert self.budget.take() is granted
        if granted:
            self.quarters -= 4
            self.taken += 1

    @rule(times=st.integers(1, 30))
    def earn(self, times: int) -> None:
        for _ in range(times):
            self.budget.earn()
        self.quarters = min(20, self.quarters + times)

    @precondition(lambda self: self.taken > 0)
    @rule()
    def give_back(self) -> None:
        self.budget.give_back()
        self.taken -= 1
        self.quarters = min(20, self.quarters + 4)

    @invariant()
    def agrees(self) -> None:
        assert self.budget.left == self.quarters / 4


TestCounting = Counting.TestCase


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("ratio", v) for v in (0, -0.1, 1.1, NAN, INF, True, "0.1", None)),
        *(("floor", v) for v in (0, -1, 1.5, NAN, True, "10", None)),
        *(("capacity", v) for v in (9, -1, 1e9, NAN, INF, True, "10")),
    ],
)
def test_a_bad_option_is_named(option: str, value: object) -> None:
    """At construction."""
    bad: Any = {option: value}
    with pytest.raises(ConfigurationError, match=option):
        RetryBudget(**bad)
