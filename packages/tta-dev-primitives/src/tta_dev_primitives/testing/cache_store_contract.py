"""What every `CacheStore` must hold, as a test class to inherit from.

    class TestMyStore(CacheStoreContract):
        def open_store(self) -> AbstractAsyncContextManager[MyStore]:
            return MyStore.connect(...)

The checks run in a loop of virtual time; a store that talks to a real server runs them in a real
one (`run = staticmethod(asyncio.run)`) and says how its own clock is moved on (`pass_time`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from tta_dev_primitives.testing.virtual_time import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from tta_dev_primitives.core.protocols import CacheStore

__all__ = ("CacheStoreContract",)

T = TypeVar("T")
_EVERY_BYTE = bytes(range(256))
_TTL = 2.0


class CacheStoreContract(ABC):
    """Checks an implementation of `CacheStore`; what it may lose under pressure is not asked."""

    @abstractmethod
    def open_store(self) -> AbstractAsyncContextManager[CacheStore]:
        """Return what opens an empty store, set up as it is in use, and closes it."""

    async def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on."""
        await asyncio.sleep(seconds)

    def run(self, main: Coroutine[Any, Any, T], /) -> T:
        """Run one check in a loop."""
        return run_virtual(main)

    def test_what_was_never_set_is_none(self) -> None:
        """A miss is None, not an error."""
        self._check(self._never_set)

    async def _never_set(self, store: CacheStore) -> None:
        _hold(await store.get("ns:absent") is None, "get of an unknown key is not None")

    def test_bytes_come_back_as_they_were(self) -> None:
        """Every byte, none at all, and a megabyte."""
        self._check(self._round_trip)

    async def _round_trip(self, store: CacheStore) -> None:
        for index, value in enumerate((_EVERY_BYTE, b"", b"\r\n\0", b"x" * 1_000_000)):
            await store.set(f"ns:{index}", value, None)
            found = await store.get(f"ns:{index}")
            _hold(found == value, f"{len(value)} bytes came back as {found!r:.60}")
            _hold(type(found) is bytes, f"get returned a {type(found).__name__}")

    def test_the_last_value_counts(self) -> None:
        """Setting a key again replaces value and time."""
        self._check(self._replaced)

    async def _replaced(self, store: CacheStore) -> None:
        await store.set("ns:a", b"old", _TTL)
        await store.set("ns:a", b"new", None)
        await self.pass_time(_TTL * 1.5)
        _hold(await store.get("ns:a") == b"new", "the old value or its time still counts")

    def test_keys_are_apart(self) -> None:
        """Also where one begins with the other, differs by case, or holds what needs quoting."""
        self._check(self._apart)

    async def _apart(self, store: CacheStore) -> None:
        keys = ["ns:a", "ns:A", "ns:ab", "ns", "ns:a:b", "ns:*", "ns:a/../b", "ns:ä", "ns:%41"]
        keys.append("ns:" + "f" * 200)
        for index, key in enumerate(keys):
            await store.set(key, b"%d" % index, None)
        for index, key in enumerate(keys):
            found = await store.get(key)
            _hold(found == b"%d" % index, f"{key!r} holds {found!r}, which is another key's")

    def test_a_value_lasts_for_its_time(self) -> None:
        """And is gone after it."""
        self._check(self._expires)

    async def _expires(self, store: CacheStore) -> None:
        await store.set("ns:a", b"1", _TTL)
        _hold(await store.get("ns:a") == b"1", "a value is gone before its time")
        await self.pass_time(_TTL * 1.5)
        _hold(await store.get("ns:a") is None, "a value is there after its time")

    def test_fractions_of_a_second_count(self) -> None:
        """A time of less than a second is neither for ever nor an error."""
        self._check(self._fractions)

    async def _fractions(self, store: CacheStore) -> None:
        await store.set("ns:c", b"1", 0.9)
        _hold(await store.get("ns:c") == b"1", "a value of 0.9 s is not there at once")
        await store.set("ns:a", b"1", 0.3)
        await store.set("ns:b", b"1", _TTL + 0.3)
        await self.pass_time(_TTL / 2)
        _hold(await store.get("ns:a") is None, "a value of 0.3 s is there after 1 s")
        _hold(await store.get("ns:b") == b"1", "a value of 2.3 s is gone after 1 s")

    def test_deleted_is_gone(self) -> None:
        """Only that key; and what is not there can be deleted."""
        self._check(self._deleted)

    async def _deleted(self, store: CacheStore) -> None:
        await store.set("ns:a", b"1", None)
        await store.set("ns:b", b"2", None)
        await store.delete("ns:a")
        await store.delete("ns:a")
        await store.delete("ns:absent")
        _hold(await store.get("ns:a") is None, "a deleted key has a value")
        _hold(await store.get("ns:b") == b"2", "deleting a key took another one with it")
        await store.set("ns:a", b"3", None)
        _hold(await store.get("ns:a") == b"3", "a deleted key cannot be set again")

    def test_many_may_ask_at_once(self) -> None:
        """Answers are not mixed up."""
        self._check(self._at_once)

    async def _at_once(self, store: CacheStore) -> None:
        async def own(index: int) -> None:
            await store.set(f"ns:{index}", b"%d" % index, None)
            found = await store.get(f"ns:{index}")
            _hold(found == b"%d" % index, f"caller {index} got {found!r}")

        async with asyncio.TaskGroup() as group:
            for index in range(50):
                group.create_task(own(index))

    def test_a_cancelled_caller_leaves_it_usable(self) -> None:
        """A question that is cancelled does not give its answer to the next one."""
        self._check(self._cancelled)

    async def _cancelled(self, store: CacheStore) -> None:
        await store.set("ns:a", b"a", None)
        await store.set("ns:b", b"b", None)
        for turns in range(4):
            task = asyncio.ensure_future(store.get("ns:a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            found = await store.get("ns:b")
            _hold(found == b"b", f"after a cancelled caller, the next one got {found!r}")

    def _check(self, check: Callable[[CacheStore], Awaitable[None]]) -> None:
        async def main() -> None:
            async with self.open_store() as store:
                await check(store)

        self.run(main())


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Fail with a message; a bare `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(otherwise)
