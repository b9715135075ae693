"""Interleaved timing and what is made of it: ratios with their median and quartiles.

A machine changes its speed while it measures: other programs, clock rates, caches. So a subject is
never timed by itself. Each round times baseline, subject, baseline, and keeps the ratio of the
subject to the mean of its two neighbors; what slows both does not show. Time is that of the
processor, not of the wall: nothing that is compared here waits, and a block in which another
program had its turn would say nothing about ours.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = (
    "CLOCK",
    "FULL",
    "QUICK",
    "Effort",
    "Figure",
    "Timed",
    "compare",
    "figure",
    "runs_per_block",
)

Timed: TypeAlias = "Callable[[int], Awaitable[object]]"
"""What is timed: called with an input, then awaited."""


_FINE = 1e-5  # seconds; a coarser clock cannot time a block of milliseconds


def _clock() -> Callable[[], float]:
    """Return the processor time of this process, or wall time where that is too coarse."""
    resolution = time.get_clock_info("process_time").resolution
    return time.process_time if resolution <= _FINE else time.perf_counter


CLOCK = _clock()
"""What blocks are timed with, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is run for a figure.

    Attributes:
        rounds: Ratios per figure.
        block: How long one timing lasts at least, in seconds; a call that lasts longer is timed
            once.
        fresh: Interpreters started per import that is timed.
        failures: Failing runs per figure.
        crowd: Executions that are under way at the same time.
        long: Steps of the longest chain; the row about a chain's length takes a tenth of it.
        requests: How long the traces are that caches are asked by.
    """

    rounds: int
    block: float
    fresh: int
    failures: int
    crowd: int
    long: int
    requests: int


FULL = Effort(
    rounds=41,
    block=0.004,
    fresh=21,
    failures=21,
    crowd=10_000,
    long=10_000,
    requests=400_000,
)
"""What `docs/performance.md` shows."""
QUICK = Effort(
    rounds=9,
    block=0.001,
    fresh=5,
    failures=5,
    crowd=2_000,
    long=10_000,
    requests=100_000,
)
"""A first look: the medians are there, the quartiles are wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median with the quartiles around it."""

    median: float
    low: float
    """First quartile: a quarter of the rounds lies below it."""
    high: float
    """Third quartile."""
    rounds: int


def figure(values: Sequence[float]) -> Figure:
    """Return median and quartiles, both ends of the data included.

    Raises:
        ValueError: There are no values, or one is not a number.
    """
    if not values:
        message = "a figure needs at least one value"
        raise ValueError(message)
    if any(math.isnan(value) for value in values):
        message = f"a figure cannot be made of {list(values)!r}"
        raise ValueError(message)
    if len(values) == 1:
        only = values[0]
        return Figure(median=only, low=only, high=only, rounds=1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median=median, low=low, high=high, rounds=len(values))


async def _block(call: Timed, runs: int, clock: Callable[[], float]) -> float:
    """Return the seconds that `runs` calls take."""
    began = clock()
    for _ in range(runs):
        await call(1)
    return clock() - began


async def runs_per_block(
    call: Timed,
    seconds: float,
    *,
    clock: Callable[[], float] = CLOCK,
) -> int:
    """Return how many calls last about `seconds`, at least 1; this warms the call up as well.

    The quickest of three tries counts: a try that another program interrupts would end the search
    too early, and blocks that are too short show the cost of reading the clock.
    """
    runs = 1
    while True:
        took = min([await _block(call, runs, clock) for _ in range(3)])
        if took >= seconds:
            return max(1, round(runs * seconds / took)) if took > 0 else 1
        # Towards the goal, yet never by more than tenfold: the first calls are the slow ones.
        runs *= 10 if took <= seconds / 10 else max(2, math.ceil(seconds / took))


_POOL = 16_384  # bytes that the allocator of CPython cuts into blocks of one size (PEP 445)
_LARGEST = 512  # bytes; what is larger goes to `malloc`
_STEP = 16


def _ballast(rng: random.Random) -> list[bytes]:
    """Return what takes up part of a pool for each size of block, at random.

    Where what a call allocates is alone in its pool, each call begins a pool and ends it, and a
    bare await costs up to half as much again; for a whole row, since each of its calls is given the
    same memory. Which row that befalls is decided by all that ran before. So each round begins at
    another place in the pools, and the few that are unlucky do not move the median.
    """
    empty = sys.getsizeof(b"")
    return [
        bytes(size - empty)
        for size in range(_STEP * -(-empty // _STEP), _LARGEST + 1, _STEP)
        for _ in range(rng.randrange(_POOL // size))
    ]


async def compare(
    baseline: Timed,
    subjects: Mapping[str, Timed],
    effort: Effort,
    *,
    clock: Callable[[], float] = CLOCK,
) -> dict[str, Figure]:
    """Time every subject against the baseline, in turn: baseline, subject, baseline, subject, ….

    Args:
        baseline: What the ratio is to.
        subjects: By name; each is called with 1 and awaited.
        effort: Rounds and the length of one timing.
        clock: Seconds, monotonic.

    Returns:
        For each subject the ratio of its time per call to that of the baseline.
    """
    order = list(subjects)
    base_runs = await runs_per_block(baseline, effort.block, clock=clock)
    runs = {
        name: await runs_per_block(call, effort.block, clock=clock)
        for name, call in subjects.items()
    }
    ratios: dict[str, list[float]] = {name: [] for name in order}
    rng = random.Random(effort.rounds)  # noqa: S311 - no secret
    for _ in range(effort.rounds):
        gc.collect()  # so that nobody pays for the garbage of another round
        ballast = _ballast(rng)
        before = await _block(baseline, base_runs, clock) / base_runs
        for name in order:
            took = await _block(subjects[name], runs[name], clock) / runs[name]
            after = await _block(baseline, base_runs, clock) / base_runs
            ratios[name].append(2 * took / (before + after))
            before = after
        order.append(order.pop(0))  # nobody always comes first
        ballast.clear()
    return {name: figure(ratios[name]) for name in subjects}
