"""`MemoryStore`: a `CacheStore` in this process, and the check that an object is one at all."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from tta_dev_primitives.core import clock as engine_clock
from tta_dev_primitives.core.limits import check_count
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core.protocols import CacheStore

__all__ = ("MemoryStore", "check_store")


class MemoryStore:
    """A `CacheStore` in this process: what caches share that are not to share a network.

    Safe for threads. The entry that was set first makes room.

    Args:
        max_entries: The most entries. Default: 10,000.
        clock: Gives monotonic seconds. Default: the engine's clock.

    Raises:
        ConfigurationError: `max_entries` is no count.

    Example:
        >>> import asyncio
        >>> async def main() -> tuple[bytes | None, bytes | None]:
        ...     store = MemoryStore()
        ...     await store.set("a", b"1", ttl=60.0)
        ...     return await store.get("a"), await store.get("b")
        >>> asyncio.run(main())
        (b'1', None)
    """

    def __init__(
        self, max_entries: int = 10_000, *, clock: Callable[[], float] | None = None
    ) -> None:
        self._most = check_count("max_entries", max_entries)
        self._clock = clock
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        if self._now() < found[1]:
            return found[0]
        with self._lock:
            if self._kept.get(key) is found:
                del self._kept[key]
        return None

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep `value` for `ttl` seconds; zero and less is not kept at all."""
        with self._lock:
            self._kept.pop(key, None)
            if ttl is not None and not ttl > 0:
                return
            self._kept[key] = value, math.inf if ttl is None else self._now() + ttl
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`."""
        with self._lock:
            self._kept.pop(key, None)

    def _now(self) -> float:
        return (self._clock or engine_clock.now)()


def check_store(store: object) -> CacheStore:
    """Return `store` if it has the methods of a `CacheStore`.

    Raises:
        ConfigurationError: It lacks one, or is a class instead of an object.
    """
    missing = [
        name for name in ("get", "set", "delete") if not callable(getattr(store, name, None))
    ]
    if missing or isinstance(store, type):
        lacking = (
            "a class; give an object of it" if not missing else "lacking " + ", ".join(missing)
        )
        message = (
            "store must have the coroutine methods get, set and delete of CacheStore; "
            f"{store!r:.60} is {lacking}"
        )
        raise ConfigurationError(message)
    return cast("CacheStore", store)
