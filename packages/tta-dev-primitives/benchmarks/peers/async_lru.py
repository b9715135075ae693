"""async-lru: the decorator."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import ROOM

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("async_lru")


def _cache(step: Step) -> Step:
    wrapped: Step = library.alru_cache(maxsize=ROOM)(step)
    return wrapped


SUBJECT: Guard = {"cache": _cache}
