"""Renewing a cache's results in the background; loaded by the first cache that does."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core.base import WorkflowContext

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from tta_dev_primitives.performance.flights import Flight
    from tta_dev_primitives.performance.kept import Kept

__all__ = ("detached", "start")


def start(store: Kept, key: Hashable, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
    """Start a task that renews a result, unless there is a run for its key already.

    Args:
        store: What holds the result; it owns the task.
        key: Of the result.
        work: Renews it, in a run of its own.
    """
    loop = asyncio.get_running_loop()
    found = store.flights.get(key)
    if found is not None and found.within_reach(loop):
        return
    flight = store.take_off(key, loop, store.entries.get(key))
    if flight is None:
        return
    # Not every task factory takes a context.
    task: asyncio.Task[None] = _foreign_variables().run(loop.create_task, work(flight))
    store.refreshing.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        store.refreshing.discard(task)
        # Here, since a task that is cancelled before it has begun runs nothing of its own.
        if not (flight.done or flight.adrift):
            store.pass_on(key, flight)

    task.add_done_callback(ended)


def detached(context: WorkflowContext) -> WorkflowContext:
    """Return a context for work that goes on when the run has ended: without its bounds."""
    return WorkflowContext(
        correlation_id=context.correlation_id,
        data=dict(context.data),
        parent_span_context=context.parent_span_context,
        workflow_id=context.workflow_id,
        session_id=context.session_id,
        tags=dict(context.tags),
        baggage=dict(context.baggage),
    )


def _foreign_variables() -> Context:
    """Return a copy of the context variables without this package's own, which tell of the run."""
    made = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith("tta_dev_primitives."):
            made.run(variable.set, value)
    return made
