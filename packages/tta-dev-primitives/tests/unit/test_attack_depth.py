"""Deep and wide workflows: what needs no stack takes none, and nothing takes exponential time."""

# What is done here is wrong on purpose, or has types that nobody would write down.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tta_dev_primitives import Batch, Conditional, Loop, Parallel, Sequential, add_observer, step
from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.protocols import NullObserver


@pytest.fixture(params=["bare", "counted", "framed"])
def mode(request: pytest.FixtureRequest) -> str:
    """Run with nobody, the default recorder, or an observer listening."""
    if request.param == "bare":
        engine.install_defaults()
    elif request.param == "framed":
        add_observer(NullObserver())
    return str(request.param)


async def same(value: Any) -> Any:
    """Give the input back."""
    return value


def double(value: int) -> int:
    """Double, synchronously."""
    return 2 * value


# --- depth --------------------------------------------------------------------------------------

NESTINGS: dict[str, Any] = {
    "named chain": lambda inner: Sequential([inner], name="s"),
    "chain": lambda inner: Sequential([inner, same]),
    "fan-out": lambda inner: Parallel([inner]),
    "conditional": lambda inner: Conditional(lambda _: True, inner),
    "loop": lambda inner: Loop(inner, until=lambda _: True, max_iterations=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NESTINGS)
def test_a_thousand_levels_are_built_walked_and_drawn_in_reasonable_time(name: str) -> None:
    """Only running needs a stack."""
    workflow: Any = step(same)
    for _ in range(1_000):
        workflow = NESTINGS[name](workflow)
    paths = [path for path, _ in workflow.walk()]
    deepest = max(paths, key=len)
    assert deepest.count("/") == 1_000
    assert workflow.draw()
    assert workflow.describe()
    assert workflow.replace(deepest, double).find(deepest) is not workflow.find(deepest)
    if name != "fan-out":  # each branch of which is a task, with a stack of its own on Python 3.11
        with pytest.raises(RecursionError):
            workflow.run(1)


@pytest.mark.parametrize("name", NESTINGS)
def test_fifty_levels_run_and_tell_where_they_fail(name: str, mode: str) -> None:
    """With one note, as long as the path."""

    def fails(value: Any) -> Any:
        raise ValueError(value)

    workflow: Any = step(fails)
    for _ in range(50):
        workflow = NESTINGS[name](workflow)
    with pytest.raises(ValueError, match="1") as raised:
        workflow.run(1)
    assert str(notes.path_of(raised.value)).count("/") == 50


async def test_a_workflow_may_execute_itself_in_a_step(mode: str) -> None:
    """A hundred deep, and its error tells the whole way."""

    async def down(value: int) -> int:
        if value < 0:
            raise ValueError(value)
        return value if value in {0, 1_000} else await workflow.execute(value - 1)

    workflow = step(same) >> down
    assert await workflow.execute(100) == 0

    async def fails(value: int) -> int:
        if not value:
            raise ValueError(value)
        return await broken.execute(value - 1)

    broken = step(same) >> fails
    with pytest.raises(ValueError, match="0") as raised:
        await broken.execute(60)
    assert len(raised.value.__notes__) == 1


# --- many branches that wait for nothing ----------------------------------------------------------


def test_thousands_of_branches_that_never_wait_need_no_stack(mode: str) -> None:
    """One after the other starts where the last one ended, not inside it."""
    assert Parallel([same] * 3_000, max_concurrency=1).run(1) == [1] * 3_000
    assert Parallel([double] * 3_000, max_concurrency=7).run(1) == [2] * 3_000


def test_a_batch_stops_reading_when_an_item_fails_before_it_waits(mode: str) -> None:
    """On every Python the first few items are all that is tried."""
    tried: list[int] = []

    def fails(item: int) -> None:
        tried.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        Batch(fails, max_concurrency=3).run(iter(range(10_000)))
    assert tried == [0]


async def test_a_batch_of_items_that_never_wait_can_be_cancelled(mode: str) -> None:
    """It lets the loop turn now and then, also over a source without an end."""

    def endless() -> Any:
        while True:
            yield 1

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Batch(double).execute(endless())
