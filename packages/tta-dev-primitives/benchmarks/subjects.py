"""The steps that are run, and the loops of bare `await`s that everything is compared with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tta_dev_primitives import Sequential, WorkflowPrimitive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tta_dev_primitives import WorkflowContext

__all__ = (
    "KINDS",
    "Kind",
    "Pass",
    "Step",
    "add_one",
    "bare_chain",
    "bare_task_group",
    "chain",
    "gathered",
    "passes",
    "passes_in_context",
    "suspends",
)

Kind: TypeAlias = Literal["input", "context", "class"]
Step: TypeAlias = "Callable[[int], Awaitable[int]]"

KINDS: dict[Kind, str] = {
    "input": "`async (input)` functions",
    "context": "`async (context, input)` functions",
    "class": "subclasses of WorkflowPrimitive",
}
"""What a step can be, for the titles of rows."""


async def passes(value: int) -> int:
    """Do nothing, as a function of the input."""
    return value


async def passes_in_context(context: WorkflowContext, value: int) -> int:  # noqa: ARG001 - the form is what counts
    """Do nothing, as a function of context and input."""
    return value


class Pass(WorkflowPrimitive[int, int]):
    """Does nothing, as a primitive."""

    async def _execute_impl(self, context: WorkflowContext, input_data: int) -> int:  # noqa: ARG002 - as above
        return input_data


async def suspends(value: int) -> int:
    """Give the event loop one turn, as a step that waits for something does."""
    await asyncio.sleep(0)
    return value


async def add_one(value: int) -> int:
    """Show in the result how many steps ran."""
    return value + 1


def chain(kind: Kind, count: int) -> Step:
    """Return the `execute` of a chain of ours."""
    made: Any
    if kind == "input":
        made = Sequential([passes] * count)
    elif kind == "context":
        made = Sequential([passes_in_context] * count)
    else:
        made = Sequential([Pass() for _ in range(count)])
    run: Step = made.execute
    return run


def bare_chain(kind: Kind, count: int) -> Step:
    """Return the loop that a demanding programmer writes by hand for steps of this kind."""
    if kind == "input":
        steps = [passes] * count

        async def bare(value: int) -> int:
            for step in steps:
                value = await step(value)
            return value

        return bare
    taking: list[Callable[[Any, int], Awaitable[int]]] = (
        [passes_in_context] * count
        if kind == "context"
        else [Pass()._execute_impl for _ in range(count)]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - bound, as a hand-written loop over methods has it
    )

    async def bare_in_context(value: int) -> int:
        for step in taking:
            value = await step(None, value)
        return value

    return bare_in_context


def bare_task_group(branches: Sequence[Step]) -> Callable[[int], Awaitable[list[int]]]:
    """Return a fan-out over `asyncio.TaskGroup`, written by hand."""

    async def bare(value: int) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_coroutine(branch, value)) for branch in branches]
        return [task.result() for task in tasks]

    return bare


def _coroutine(branch: Step, value: int) -> Any:
    return branch(value)


def gathered(branches: Sequence[Step]) -> Callable[[int], Awaitable[list[int]]]:
    """Return a fan-out over `asyncio.gather`, which does not cancel siblings."""

    async def bare(value: int) -> list[int]:
        return await asyncio.gather(*[branch(value) for branch in branches])

    return bare
