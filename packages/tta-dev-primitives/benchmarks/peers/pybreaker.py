"""pybreaker: its context manager, since its decorator takes coroutines of Tornado only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("pybreaker")


def _breaker(step: Step) -> Step:
    breaker = library.CircuitBreaker(fail_max=5)

    async def wrapped(value: int) -> int:
        with breaker.calling():
            return await step(value)

    return wrapped


SUBJECT: Guard = {"breaker": _breaker}
