"""cashews: the decorator over its store in memory, with its single flight."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import ROOM

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("cashews")


def _cache(step: Step) -> Step:
    store = library.Cache()
    store.setup("mem://", size=ROOM)
    wrapped: Step = store(ttl="1h")(step)
    return wrapped


SUBJECT: Guard = {"cache": _cache}
