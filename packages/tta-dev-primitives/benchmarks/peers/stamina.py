"""stamina: the decorator, with the instrumentation that it finds by itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("stamina")


def _retry(step: Step) -> Step:
    wrapped: Step = library.retry(on=OSError, attempts=3)(step)
    return wrapped


SUBJECT: Guard = {"retry": _retry}
