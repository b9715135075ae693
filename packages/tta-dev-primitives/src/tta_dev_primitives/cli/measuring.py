"""`tta bench`: what the engine itself costs on this machine, beside the bare loop.

Each row runs the same steps twice, bare and composed, in turns, many times; what is shown is the
median of the ratios of neighboring turns, so that a machine that gets slower meanwhile does not
change it. The steps do nothing, which is the worst case: real steps make any ratio smaller.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.parallel import ParallelPrimitive
from tta_dev_primitives.core.sequential import SequentialPrimitive
from tta_dev_primitives.observability.metrics import disable_observability, enable_observability

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tta_dev_primitives.core.base import WorkflowPrimitive

__all__ = ("Measured", "Row", "measure", "rows")

_BRANCHES = 10
_TURN = 0.002  # seconds that one turn of a row takes at least


async def _noop(value: int) -> int:
    return value


async def _suspend(value: int) -> int:
    await asyncio.sleep(0)
    return value


class Row:
    """One line of the table.

    Args:
        name: What the user calls it.
        bare: The same work without this package.
        composed: The work as a workflow.
        budget: The ratio that the project allows itself.
        recorder: Whether the default recorder listens.
    """

    def __init__(
        self,
        name: str,
        bare: Callable[[], Awaitable[object]],
        composed: WorkflowPrimitive[int, Any],
        *,
        budget: float,
        recorder: bool = False,
    ) -> None:
        self.name = name
        self.bare = bare
        self.composed = composed
        self.budget = budget
        self.recorder = recorder


class Measured:
    """The result of one row: seconds per run, and the median of their ratios."""

    def __init__(self, row: Row, pairs: list[tuple[float, float]]) -> None:
        self.name: str = row.name
        self.budget: float = row.budget
        self.bare: float = statistics.median(bare for bare, _ in pairs)
        self.composed: float = statistics.median(composed for _, composed in pairs)
        self.ratio: float = statistics.median(composed / bare for bare, composed in pairs)

    def facts(self) -> dict[str, float | str]:
        """Return what a machine is told."""
        return {
            "name": self.name,
            "bare_seconds": self.bare,
            "composed_seconds": self.composed,
            "ratio": self.ratio,
            "budget": self.budget,
        }


def rows() -> dict[str, Row]:
    """Return all rows by name."""
    made: list[Row] = []
    for length, budget in ((10, 1.3), (100, 1.15)):
        chain = SequentialPrimitive[int, Any]([step(_noop)] * length)
        bare = _loop([_noop] * length)
        made.append(Row(f"chain-{length}", bare, chain, budget=budget))
        made.append(Row(f"chain-{length}-recorder", bare, chain, budget=2.5, recorder=True))
    made.append(
        Row(
            f"fan-out-{_BRANCHES}",
            _group,
            ParallelPrimitive[int, Any]([step(_suspend)] * _BRANCHES),
            budget=1.1,
        )
    )
    return {row.name: row for row in made}


def _loop(steps: list[Callable[[int], Awaitable[int]]]) -> Callable[[], Awaitable[object]]:
    async def bare() -> int:
        value = 1
        for one in steps:
            value = await one(value)
        return value

    return bare


async def _group() -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_suspend(1)) for _ in range(_BRANCHES)]
    return [task.result() for task in tasks]


def measure(row: Row, *, turns: int) -> Iterator[Measured]:
    """Measure a row; yields what is known after each turn, the last one being the result.

    What observes calls in this process is set aside meanwhile and put back at the end.
    """
    added = engine.observers()
    for observer in added:
        engine.remove_observer(observer)
    was_on = _recorder_is_on()
    (enable_observability if row.recorder else disable_observability)()
    try:
        with asyncio.Runner() as runner:
            yield from _turns(row, runner, turns)
    finally:
        (enable_observability if was_on else disable_observability)()
        for observer in added:
            engine.add_observer(observer)


def _recorder_is_on() -> bool:
    state = engine.listening
    if state is not None:
        state = engine.state_for_run(state)
    return state is not None and state.recorder is not None


def _turns(row: Row, runner: asyncio.Runner, turns: int) -> Iterator[Measured]:
    execute = row.composed.execute

    async def timed(call: Callable[[], Awaitable[object]], count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            await call()
        return (time.perf_counter() - began) / count

    async def timed_composed(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            await execute(1)
        return (time.perf_counter() - began) / count

    count = 1
    while runner.run(timed(row.bare, count)) * count < _TURN:
        count *= 2
    runner.run(timed_composed(count))  # what is built on the first run is not measured
    pairs: list[tuple[float, float]] = []
    gc.collect()
    for _ in range(turns):
        bare = runner.run(timed(row.bare, count))
        pairs.append((bare, runner.run(timed_composed(count))))
        yield Measured(row, pairs)
