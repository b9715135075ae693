"""What a Retry shares with those around it and inside it: attempts and time that are left."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

from tta_dev_primitives.core.context import FreshContext
from tta_dev_primitives.recovery.deadlines.deadline import remaining

if TYPE_CHECKING:
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Pool", "close_pool", "open_pool", "outer_pool", "time_left")

Pool: TypeAlias = list[int]
"""The retries that are left to a Retry and all Retries inside it; a cell, since tasks share it."""

_OVER = -1
_pool: ContextVar[Pool | None] = ContextVar("tta_dev_primitives.retries", default=None)


def outer_pool() -> Pool | None:
    """Return the pool of the Retry around the caller; None where there is none under way."""
    pool = _pool.get()
    return None if pool is None or pool[0] == _OVER else pool


def open_pool(pool: Pool) -> Pool | None:
    """Let Retries inside find `pool`; returns the one that they found before."""
    outer = _pool.get()
    if outer is not pool:
        _pool.set(pool)
    return outer


def close_pool(pool: Pool, outer: Pool | None) -> None:
    """Let Retries find `outer` again.

    Unless that is the same, `pool` is over: a task that outlives the run must not draw on it.
    """
    if outer is not pool:
        pool[0] = _OVER
        _pool.set(outer)


def time_left(context: WorkflowContext | None) -> float:
    """Return the seconds until the deadline that holds for the caller; infinity without one.

    Args:
        context: The run's context; None where there is no run.
    """
    fresh = context is None or context.__class__ is FreshContext  # it has no deadline of its own
    left = remaining(None if fresh else context)
    return math.inf if left is None else left
