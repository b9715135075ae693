"""`GuardedStore`: through which a cache talks to a store that other processes use.

A store may be slow, down, or full of what others wrote; the call goes through all the same. What
the guard does about failures is decided by `StoreHealth`, an object without a clock or a loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core import clock as engine_clock
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError, Unkeyable
from tta_dev_primitives.performance.codec import JsonCodec
from tta_dev_primitives.performance.envelope import seal, unseal
from tta_dev_primitives.performance.shared_keys import check_namespace, shared_key
from tta_dev_primitives.performance.stores import check_store

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tta_dev_primitives.core.protocols import CacheStore
    from tta_dev_primitives.performance.codec import Codec

__all__ = ("Found", "GuardedStore", "StoreHealth", "StoreStats", "guarded")

_log = logging.getLogger("tta_dev_primitives")
_MOST_UNDELETED = 10_000


class StoreHealth:
    """Whether a store is worth asking: after failures in a row it is left alone for a while.

    Then one call tries it; its result decides for all.

    Args:
        failures: Failures in a row after which it is left alone.
        pause: For how long, in seconds.

    Example:
        >>> health = StoreHealth(failures=1, pause=30.0)
        >>> health.failed(now=0.0)
        >>> health.admit(now=29.0), health.admit(now=30.0), health.admit(now=30.0)
        (False, True, False)
    """

    __slots__ = ("_in_a_row", "_limit", "_pause", "_trying", "_until")

    def __init__(self, *, failures: int, pause: float) -> None:
        self._limit = failures
        self._pause = pause
        self._in_a_row = 0
        self._until = -math.inf
        self._trying = False

    def admit(self, now: float) -> bool:
        """Whether the store is asked now; who is told so reports how it went."""
        if self._in_a_row < self._limit:
            return True
        if now < self._until or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """Take note that the store has answered."""
        self._in_a_row = 0
        self._trying = False

    def failed(self, now: float) -> None:
        """Take note that it has failed."""
        self._in_a_row += 1
        self._trying = False
        if self._in_a_row >= self._limit:
            self._until = now + self._pause

    def abandoned(self) -> None:
        """Take note that the caller was cancelled while it asked: that says nothing."""
        self._trying = False


class StoreStats:
    """What a guarded store has done so far: a copy that does not change.

    Attributes:
        hits: Values that came from the store.
        misses: Questions without a value: none there, too old, damaged, foreign, failed, skipped.
        writes: Values that were given to it.
        rejected: Of the misses, those where the store held bytes that are no good value.
        errors: Questions, writes and removals that failed or took too long.
        skipped: Those that were not even tried, after failures in a row.
        unstorable: Values that the codec cannot write.
        local: Keys that have a meaning in this process only.
    """

    __slots__ = ("errors", "hits", "local", "misses", "rejected", "skipped", "unstorable", "writes")

    def __init__(self, **counts: int) -> None:
        self.hits: int = counts.get("hits", 0)
        self.misses: int = counts.get("misses", 0)
        self.writes: int = counts.get("writes", 0)
        self.rejected: int = counts.get("rejected", 0)
        self.errors: int = counts.get("errors", 0)
        self.skipped: int = counts.get("skipped", 0)
        self.unstorable: int = counts.get("unstorable", 0)
        self.local: int = counts.get("local", 0)

    def __repr__(self) -> str:
        return (
            f"StoreStats({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"
        )


class Found:
    """A value from a store.

    Attributes:
        value: The value.
        ttl: For how many seconds it is still good; infinity for ever.
    """

    __slots__ = ("ttl", "value")

    def __init__(self, value: Any, ttl: float) -> None:
        self.value: Any = value
        self.ttl: float = ttl


class GuardedStore:
    """A store as a cache sees it: it gives values or nothing, soon, and never an error.

    A store that raises, takes too long or returns what is no good value counts as a miss and an
    error. One warning is logged in every `pause`, with no key and no value in it. After some
    failures in a row the store is left alone for a while. A key whose removal failed is not read
    again until it is removed or written anew; a value that is being written while its key is
    removed is removed, too.

    Args:
        store: Any `CacheStore`.
        namespace: What the keys begin with; see `shared_key`.
        codec: How values become bytes. Default: `JsonCodec()`.
        timeout: The longest that one question may take, in seconds. Default: 0.25.
        failures: Failures in a row after which the store is left alone. Default: 3.
        pause: For how long, in seconds. Default: 30.
        clock: Gives monotonic seconds. Default: the engine's clock.
        unix_time: Gives seconds since the epoch, by which entries grow old across processes.

    Raises:
        ConfigurationError: An option is out of range, or `store` lacks a method.

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives.performance.stores import MemoryStore
        >>> async def main() -> object:
        ...     guarded = GuardedStore(MemoryStore(), namespace="answers:v1")
        ...     key = guarded.key_for("the question")
        ...     assert key is not None
        ...     await guarded.keep(key, {"text": "yes"}, ttl=60.0)
        ...     found = await guarded.find(key)
        ...     return found and found.value
        >>> asyncio.run(main())
        {'text': 'yes'}
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        namespace: str,
        codec: Codec | None = None,
        timeout: float = 0.25,
        failures: int = 3,
        pause: float = 30.0,
        clock: Callable[[], float] | None = None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._store: Any = check_store(store)
        self.namespace: str = check_namespace(namespace)
        self._codec: Codec = JsonCodec() if codec is None else codec
        self._timeout = check_seconds("timeout", timeout)
        self._health = StoreHealth(
            failures=check_count("failures", failures), pause=check_seconds("pause", pause)
        )
        self._clock = clock
        self._unix_time = unix_time
        self._undeleted: dict[str, None] = {}
        self._not_before = -math.inf
        self._writers: dict[str, object] = {}
        self._quiet_until = -math.inf
        self._pause = pause
        self._counts: dict[str, int] = dict.fromkeys(StoreStats.__slots__, 0)

    def stats(self) -> StoreStats:
        """Return what the store has done so far."""
        return StoreStats(**self._counts)

    def key_for(self, key: Hashable) -> str | None:
        """Return the name in the store of what a cache keeps under `key`.

        Returns:
            None where the key has a meaning in this process only; its result stays here.
        """
        try:
            return shared_key(self.namespace, key)
        except Unkeyable:
            self._counts["local"] += 1
            return None

    async def find(self, key: str) -> Found | None:
        """Return the value under `key`, or None where there is no good one."""
        if key in self._undeleted and not await self.remove(key):
            self._counts["misses"] += 1
            return None
        _, data = await self._ask("get", key)
        found = self._opened(key, data) if isinstance(data, bytes) else None
        self._counts["misses" if found is None else "hits"] += 1
        return found

    async def keep(self, key: str, value: object, ttl: float) -> bool:
        """Keep `value` under `key` for `ttl` seconds; infinity for as long as there is room.

        Returns:
            Whether the store has taken it.
        """
        if not ttl > 0:
            return False
        try:
            payload = self._codec.encode(value)
        except Exception as error:  # noqa: BLE001 - a codec or a value of the user's can raise anything
            self._counts["unstorable"] += 1
            self._warn(
                f"cannot keep a {type(value).__qualname__}: "
                f"{type(error).__qualname__} in codec {self._codec.name}"
            )
            return False
        now = self._unix_time()
        data = seal(key, self._codec.name, payload, written=now, until=now + ttl)
        writer = self._writers[key] = object()
        try:
            done, _ = await self._ask("set", key, data, None if ttl == math.inf else ttl)
        finally:
            if self._writers.get(key) is writer:
                del self._writers[key]
                removed = False
            else:
                self._undeleted[key] = None
                removed = True
        if removed:
            await self.remove(key)
            return False
        if done:
            self._counts["writes"] += 1
            self._undeleted.pop(key, None)
        return done

    async def remove(self, key: str) -> bool:
        """Forget what is kept under `key`, everywhere.

        Returns:
            Whether the store has done so. If not, this process does not read it any more.
        """
        # First of all, so that it also holds while the store is asked, or if that is cancelled.
        self.distrust(key)
        done, _ = await self._ask("delete", key)
        if done:
            self._undeleted.pop(key, None)
        return done

    def distrust(self, key: str) -> None:
        """Do not read what is kept under `key` any more; it is removed before it is next read."""
        self._undeleted[key] = None
        self._writers.pop(key, None)
        if len(self._undeleted) > _MOST_UNDELETED:
            self.forget()

    def forget(self) -> None:
        """Take nothing from the store that was written before now.

        A store cannot be emptied through its protocol; other processes go on to use what it holds.
        """
        self._not_before = self._unix_time()
        self._undeleted.clear()
        self._writers.clear()

    def _opened(self, key: str, data: bytes) -> Found | None:
        opened = unseal(key, self._codec.name, data)
        if opened is None:
            self._reject("holds bytes that are damaged or not from this cache")
            return None
        now = self._unix_time()
        if opened.written <= self._not_before or not now < opened.until:
            return None
        try:
            value = self._codec.decode(opened.payload)
        except Exception as error:  # noqa: BLE001 - bytes of others can lead to anything
            self._reject(f"holds a value that cannot be read: {type(error).__qualname__}")
            return None
        # Not more than it had at first: the wall clock may have been put back.
        return Found(value, min(opened.until - now, opened.until - opened.written))

    def _reject(self, what: str) -> None:
        self._counts["rejected"] += 1
        self._counts["errors"] += 1
        self._warn(what)

    async def _ask(self, method: str, *args: object) -> tuple[bool, object]:
        """Call the store; returns whether it answered, and what."""
        if not self._health.admit(self._now()):
            self._counts["skipped"] += 1
            return False, None
        try:
            async with asyncio.timeout(self._timeout):
                answer: object = await getattr(self._store, method)(*args)
            if method == "get" and not (answer is None or isinstance(answer, bytes)):
                return self._failed(f"returned a {type(answer).__qualname__} instead of bytes")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._health.abandoned()
                raise
            return self._failed(f"cancelled {method} by itself")
        except Exception as error:  # noqa: BLE001 - a store can raise anything
            return self._failed(f"failed in {method}: {type(error).__qualname__}")
        except BaseException:
            self._health.abandoned()
            raise
        self._health.succeeded()
        return True, answer

    def _failed(self, what: str) -> tuple[bool, object]:
        self._health.failed(self._now())
        self._counts["errors"] += 1
        self._warn(what)
        return False, None

    def _warn(self, what: str) -> None:
        now = self._now()
        if now >= self._quiet_until:
            self._quiet_until = now + self._pause
            _log.warning(
                "cache store %s (namespace %s) %s; calls go on without it",
                type(self._store).__qualname__,
                self.namespace,
                what,
            )

    def _now(self) -> float:
        return (self._clock or engine_clock.now)()


def guarded(store: CacheStore | GuardedStore | None, namespace: str | None) -> GuardedStore:
    """Return the guard for the store that a cache was given.

    Raises:
        ConfigurationError: There is a store without a namespace, or the other way round, or a
            guarded store and a namespace, for the guard has one.
    """
    if isinstance(store, GuardedStore):
        if namespace is None:
            return store
        message = f"the GuardedStore has the namespace {store.namespace!r}; leave out namespace="
        raise ConfigurationError(message)
    if store is None or namespace is None:
        message = (
            "store and namespace belong together: a namespace such as 'answers:v1' says which "
            "function, and which version of it, the results in the store belong to"
        )
        raise ConfigurationError(message)
    return GuardedStore(store, namespace=namespace)
