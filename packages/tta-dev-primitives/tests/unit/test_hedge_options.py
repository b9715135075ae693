"""What a Hedge is made of: its budget, and the options it refuses."""

from __future__ import annotations

import asyncio
import pickle
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery import HedgeBudget, HedgePrimitive, Percentile
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable


def test_no_hedge_is_sent_once_the_budget_says_no() -> None:
    """Over all calls there are at most a fraction of them, and one (case 57)."""
    budget = HedgeBudget(0.1)
    calls: list[int] = []

    async def always_slow(value: int) -> int:
        calls.append(value)
        await asyncio.sleep(5)
        return value

    hedge = HedgePrimitive(always_slow, delay=1, budget=budget)

    async def main() -> None:
        await asyncio.gather(*(hedge.execute(number) for number in range(1000)))
        for number in range(100):
            await hedge.execute(number)

    run_virtual(main())
    # A thousand at once save no more than the reserve of ten; a hundred in a row earn ten.
    assert len(calls) == 1100 + 10 + 10
    assert len(calls) <= 1100 + 0.1 * 1100 + 1


def test_stragglers_are_cut_at_five_percent_more_calls() -> None:
    """Lognormal latencies with 2 % stragglers: p99 down by 60 % at least, p50 no worse."""
    rng = random.Random(2026)
    calls: list[float] = []

    def latency() -> float:
        seconds = rng.lognormvariate(-1.6, 0.3)  # a median of 0.2 s
        return seconds * 20 if rng.random() < 0.02 else seconds

    async def model(value: int) -> int:
        calls.append(latency())
        await asyncio.sleep(calls[-1])
        return value

    hedge = HedgePrimitive(model, delay=Percentile(0.96), budget=0.05)
    number = 4000

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        for value in range(number):
            began = loop.time()
            await hedge.execute(value)
            took.append(loop.time() - began)
        return sorted(took)

    took = run_virtual(main())
    alone = sorted(latency() for _ in range(number))
    assert took[number * 99 // 100] <= 0.4 * alone[number * 99 // 100]
    assert took[number // 2] <= 1.05 * alone[number // 2]
    assert len(calls) <= 1.05 * number


def test_a_budget_counts_exactly_in_many_threads() -> None:
    """What eight threads earn together can be taken, and no more."""
    budget = HedgeBudget(0.05, reserve=10_000)
    taken: list[int] = []

    def works() -> None:
        for _ in range(5_000):
            budget.earn()
        taken.append(sum(budget.take() for _ in range(1_000)))

    crowd = [threading.Thread(target=works) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sum(taken) + sum(budget.take() for _ in range(5_000)) == 8 * 5_000 // 20 + 1


def test_a_budget_that_was_pickled_counts_anew() -> None:
    """With the same options."""
    budget = HedgeBudget(0.2, reserve=3)
    assert budget.take()
    again = pickle.loads(pickle.dumps(budget))  # noqa: S301 - our own
    assert (again.fraction, again.reserve, again.left) == (0.2, 3, 1.0)


NAN, INF = float("nan"), float("inf")
NUMBERS: tuple[Any, ...] = (-1, NAN, True, "1")
BAD: dict[str, tuple[Callable[[Any], object], tuple[Any, ...]]] = {
    "delay": (lambda v: HedgePrimitive(str, delay=v), (*NUMBERS, None, INF, str)),
    "max_hedges": (
        lambda v: HedgePrimitive(str, delay=1, max_hedges=v),
        (*NUMBERS, 0, 1.5, None),
    ),
    "budget": (lambda v: HedgePrimitive(str, delay=1, budget=v), (*NUMBERS, 0, 1.5, INF)),
    "allow": (lambda v: HedgePrimitive(str, delay=1, allow=v), (1, "yes", asyncio.sleep)),
    "fraction": (HedgeBudget, (*NUMBERS, 0, 1.5)),
    "reserve": (lambda v: HedgeBudget(reserve=v), (*NUMBERS, 0, 1.5)),
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, v) for option, (_, values) in BAD.items() for v in values],
    ids=lambda part: getattr(part, "__name__", repr(part)),
)
def test_options_out_of_range_are_refused(option: str, value: object) -> None:
    """When built, with the option's name."""
    with pytest.raises(ConfigurationError, match="budget" if option == "fraction" else option):
        BAD[option][0](value)


PERCENTILES: dict[str, tuple[Any, ...]] = {
    "window": (*NUMBERS, 0, 1.5),
    "at_least": (*NUMBERS, 0, 501),
    "initial": (*NUMBERS, INF),
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, values in PERCENTILES.items() for value in values],
    ids=repr,
)
def test_options_of_a_percentile_out_of_range_are_refused(option: str, value: Any) -> None:
    """When built, with the option's name."""
    with pytest.raises(ConfigurationError, match=option):
        Percentile(0.5, **{option: value})


@pytest.mark.parametrize("fraction", [*NUMBERS, 0, 1, 1.5, None], ids=repr)
def test_a_fraction_that_is_none_is_refused(fraction: Any) -> None:
    """Neither end is one: no delay is longer than all, or shorter."""
    with pytest.raises(ConfigurationError, match="fraction"):
        Percentile(fraction)


def test_a_percentile_is_exact_over_its_window() -> None:
    """What is older is forgotten; before enough is known, there is the initial value."""
    rng = random.Random(3)
    seen = [rng.random() for _ in range(300)]
    p95 = Percentile(0.95, window=100, initial=7.0)
    for number, value in enumerate(seen, 1):
        p95.observe(value)
        latest = sorted(seen[max(0, number - 100) : number])
        wanted = 7.0 if number < 20 else latest[-(-95 * len(latest) // 100) - 1]
        assert p95.current() == wanted
    again = pickle.loads(pickle.dumps(p95))  # noqa: S301 - our own
    assert (again.current(), repr(again)) == (7.0, repr(p95))
