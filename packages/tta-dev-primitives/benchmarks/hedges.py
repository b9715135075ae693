"""What hedging gains with a step that now and then takes long, and what it costs."""

from __future__ import annotations

import asyncio
import random
import statistics
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.recovery import HedgePrimitive
from tta_dev_primitives.recovery.load.percentile import Percentile
from tta_dev_primitives.testing import VirtualTimeLoop

from .measure import figure
from .observing import MODES, observed
from .row import Measured, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort
    from .row import Peers

__all__ = ("rows",)

_OF_P99 = 40.0  # percent: at least 60 % of it are gone
_MORE_CALLS = 0.05
_STRAGGLERS = 0.02
_STRAGGLE = 10.0  # times as long
_MEDIAN, _SIGMA = 0.1, 0.3  # of the lognormal law, in seconds
_AT_ONCE = 50


def rows() -> Iterator[Row]:
    """Yield the row about hedging."""
    yield Row(
        key="wrapper.hedge.off",
        title=f"Hedge, lognormal durations with {_STRAGGLERS:.0%} stragglers in virtual time, "
        f"{MODES['off']}",
        against="the 99th percentile without hedges",
        unit="%",
        budget=_OF_P99,
        measure=_measure,
    )


class _Step:
    """Takes as long as the law says."""

    def __init__(self) -> None:
        self.calls = 0
        self._rng = random.Random(1)  # noqa: S311 - repeatable

    async def __call__(self, value: int) -> int:
        self.calls += 1
        seconds = _MEDIAN * self._rng.lognormvariate(0.0, _SIGMA)
        if self._rng.random() < _STRAGGLERS:
            seconds *= _STRAGGLE
        await asyncio.sleep(seconds)
        return value


async def _durations(call: Any, count: int) -> list[float]:
    """Return how long each of `count` calls took, some of them at the same time."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []

    async def worker() -> None:
        for _ in range(count // _AT_ONCE):
            began = loop.time()
            await call(1)
            taken.append(loop.time() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())
    return taken


async def _both(count: int) -> tuple[list[float], list[float], float, int]:
    """Return the durations without and with hedges, the share of more calls, the tasks left."""
    plain, step = _Step(), _Step()
    hedge: Any = HedgePrimitive(step.__call__, delay=Percentile(0.95, window=1_000), budget=0.05)
    without = await _durations(plain, count)
    tasks = len(asyncio.all_tasks())
    hedged = await _durations(hedge.execute, count)
    left = len(asyncio.all_tasks()) - tasks
    return without, hedged, step.calls / len(hedged) - 1, left


async def _measure(effort: Effort, peers: Peers) -> Measured:
    del peers
    count = max(_AT_ONCE * 20, effort.requests // 4)

    def run() -> tuple[list[float], list[float], float, int]:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(_both(count))

    with observed("off"):  # in a thread: this one's loop is in real time
        without, hedged, more, left = await asyncio.to_thread(run)
    before, after = (statistics.quantiles(found, n=100)[-1] for found in (without, hedged))
    broken = None
    if left:
        broken = f"{left} tasks are left"
    elif more > _MORE_CALLS:
        broken = f"{more:.1%} more calls"
    return Measured(
        ours=figure([100 * after / before]),
        facts=(f"{len(hedged):,} runs made {more:.1%} more calls and left {left} tasks",),
        broken=broken,
    )
