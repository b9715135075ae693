"""cachetools: a mapping around which the lines are written by hand, as it has no form for async.

So it has no single flight either: a herd computes as often as it is large.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import ROOM

if TYPE_CHECKING:
    from . import Guard, Step

__all__ = ("SUBJECT",)

# By name, since it need not be there when types are checked.
library: Any = importlib.import_module("cachetools")
keys: Any = importlib.import_module("cachetools.keys")


def _cache(step: Step) -> Step:
    kept = library.LRUCache(maxsize=ROOM)

    async def wrapped(value: int) -> int:
        key = keys.hashkey(value)
        try:
            found: int = kept[key]
        except KeyError:
            found = kept[key] = await step(value)
        return found

    return wrapped


SUBJECT: Guard = {"cache": _cache}
