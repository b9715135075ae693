"""aiobreaker: the decorator, with the state in memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("aiobreaker")


def _breaker(step: Step) -> Step:
    wrapped: Step = library.CircuitBreaker(fail_max=5)(step)
    return wrapped


SUBJECT: Guard = {"breaker": _breaker}
