"""Stores that keep the contract of `CacheStore` pass its checks; others are found out."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from tta_dev_primitives.core.protocols import CacheStore
from tta_dev_primitives.performance.stores import MemoryStore
from tta_dev_primitives.testing import CacheStoreContract


class TestMemoryStore(CacheStoreContract):
    def open_store(self) -> AbstractAsyncContextManager[CacheStore]:
        return opened(MemoryStore)


@asynccontextmanager
async def opened(make: Callable[[], Any]) -> AsyncGenerator[CacheStore]:
    yield make()


class Late(MemoryStore):
    """Answers a loop pass later, as a store behind a network does."""

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0.01)
        return await super().get(key)


class TestLateStore(CacheStoreContract):
    def open_store(self) -> AbstractAsyncContextManager[CacheStore]:
        return opened(Late)


def failing(make: Callable[[], Any]) -> set[str]:
    """Return the names of the checks that a store does not pass."""

    class Suite(CacheStoreContract):
        def open_store(self) -> AbstractAsyncContextManager[CacheStore]:
            return opened(make)

    found: set[str] = set()
    for name in dir(CacheStoreContract):
        if name.startswith("test_"):
            try:
                getattr(Suite(), name)()
            except Exception:  # noqa: BLE001 - whatever it raises, the check has failed
                found.add(name.removeprefix("test_"))
    return found


class ForEver(MemoryStore):
    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await super().set(key, value, None)


class WholeSeconds(MemoryStore):
    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await super().set(key, value, None if ttl is None else int(ttl))


class CaseBlind(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        return await super().get(key.lower())

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await super().set(key.lower(), value, ttl)


class Text(MemoryStore):
    """As a client does that decodes its answers."""

    async def get(self, key: str) -> Any:
        found = await super().get(key)
        return None if found is None else found.decode("latin-1")


class Raising(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        found = await super().get(key)
        if found is None:
            raise KeyError(key)
        return found


class NeverDeletes(MemoryStore):
    async def delete(self, key: str) -> None:
        pass


class FirstWins(MemoryStore):
    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        if await self.get(key) is None:
            await super().set(key, value, ttl)


class OneAnswerLate(MemoryStore):
    """As a connection does that is used again before it was read to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.unread: list[bytes | None] = []

    async def get(self, key: str) -> bytes | None:
        self.unread.append(await super().get(key))
        await asyncio.sleep(0)
        return self.unread.pop(0)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (ForEver, {"a_value_lasts_for_its_time", "fractions_of_a_second_count"}),
        (WholeSeconds, {"fractions_of_a_second_count"}),
        (CaseBlind, {"keys_are_apart"}),
        (Text, {"bytes_come_back_as_they_were", "keys_are_apart", "many_may_ask_at_once"}),
        (Raising, {"what_was_never_set_is_none", "deleted_is_gone"}),
        (NeverDeletes, {"deleted_is_gone"}),
        (FirstWins, {"the_last_value_counts"}),
        (OneAnswerLate, {"a_cancelled_caller_leaves_it_usable"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_store_that_breaks_the_contract_is_found_out(
    make: Callable[[], Any], found: set[str]
) -> None:
    """Each fault fails at least the checks that are about it."""
    assert found <= failing(make)


async def held(store: CacheStore, keys: list[str]) -> list[bytes | None]:
    return [await store.get(key) for key in keys]


async def test_the_memory_store_makes_room_first_in_first_out() -> None:
    """The bound holds, and what was set again counts as new."""
    store = MemoryStore(max_entries=2)
    for key in ("a", "b", "a", "c"):
        await store.set(key, key.encode(), None)
    assert await held(store, ["a", "b", "c"]) == [b"a", None, b"c"]
    assert len(store) == 2


async def test_the_memory_store_keeps_nothing_for_no_time() -> None:
    """Zero seconds, less, or not a number; what was there before is gone."""
    store = MemoryStore()
    for ttl in (0.0, -1.0, float("nan")):
        await store.set("a", b"old", None)
        await store.set("a", b"new", ttl)
        assert await store.get("a") is None


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "10", None])
def test_the_memory_store_wants_a_count(count: Any) -> None:
    """Anything else is refused at once."""
    with pytest.raises(ValueError, match="max_entries must be a whole number"):
        MemoryStore(max_entries=count)
