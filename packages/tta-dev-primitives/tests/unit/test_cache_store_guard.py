"""A cache's store may raise, hang or lie: the call goes through as if there were no cache."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tta_dev_primitives.core.protocols import CacheStore
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.performance.codec import JsonCodec, UnsafePickleCodec
from tta_dev_primitives.performance.envelope import seal
from tta_dev_primitives.performance.keys import key_of
from tta_dev_primitives.performance.store_guard import GuardedStore, guarded
from tta_dev_primitives.performance.stores import MemoryStore
from tta_dev_primitives.testing import run_virtual

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for


class Broken(MemoryStore):
    """A store whose methods do what `how` does, while there is one."""

    def __init__(self, how: Callable[[], Awaitable[Any]] | None = None) -> None:
        super().__init__()
        self.how = how
        self.asked = 0

    async def get(self, key: str) -> Any:
        self.asked += 1
        return await super().get(key) if self.how is None else await self.how()

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        self.asked += 1
        await (super().set(key, value, ttl) if self.how is None else self.how())

    async def delete(self, key: str) -> None:
        self.asked += 1
        await (super().delete(key) if self.how is None else self.how())


async def refuse() -> None:
    raise ConnectionRefusedError(SECRET)


async def hang() -> None:
    await asyncio.get_running_loop().create_future()


async def cancel() -> None:
    raise asyncio.CancelledError


async def time_out() -> None:
    raise TimeoutError(SECRET)


def rubbish(what: object) -> Callable[[], Awaitable[object]]:
    async def answer() -> object:
        return what

    return answer


class Wall:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1e9

    def __call__(self) -> float:
        return self.time


def guard(store: CacheStore, **options: Any) -> GuardedStore:
    return GuardedStore(store, namespace="ns", **options)


DOWN: dict[str, Callable[[], Awaitable[Any]]] = {
    "refuses": refuse,
    "hangs": hang,
    "cancels by itself": cancel,
    "times out by itself": time_out,
    "returns a text": rubbish("[1]"),
    "returns a number": rubbish(1),
    "returns a list": rubbish([b"x"]),
}


@pytest.mark.parametrize("how", DOWN.values(), ids=DOWN)
def test_a_store_that_is_down_is_a_miss_and_an_error(
    how: Callable[[], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Soon, with one warning that shows neither key nor value (case 74)."""
    store = Broken(how)

    async def main() -> float:
        one = guard(store, timeout=0.25, failures=3)
        key = one.key_for(key_of({"password": SECRET}))
        assert key is not None
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            assert await one.find(key) is None
        stats = one.stats()
        assert (stats.misses, stats.errors, stats.hits, stats.skipped) == (3, 3, 0, 0)
        return asyncio.get_running_loop().time() - began

    with caplog.at_level(logging.DEBUG, logger="tta_dev_primitives"):
        assert run_virtual(main()) <= 3 * 0.25
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "WARNING"
    assert "Broken (namespace ns)" in caplog.text
    assert SECRET not in caplog.text


BAD_BYTES: dict[str, bytes] = {
    "nothing": b"",
    "JSON of others": b'{"a": 1}',
    "a pickle": UnsafePickleCodec().encode([1]),
    "another key's": seal("ns:other", "json-1", b"[1]", written=0, until=math.inf),
    "another codec's": seal("ns:k", "pickle-1", b"[1]", written=0, until=math.inf),
    "half of it": seal("ns:k", "json-1", b"[1]", written=0, until=math.inf)[:-1],
    "no JSON inside": seal("ns:k", "json-1", b"[1", written=0, until=math.inf),
    "an unknown type": seal("ns:k", "json-1", b'{"$":"X","v":1}', written=0, until=math.inf),
    "too deep": seal("ns:k", "json-1", b"[" * 100_000, written=0, until=math.inf),
}


@pytest.mark.parametrize("data", BAD_BYTES.values(), ids=BAD_BYTES)
async def test_bytes_that_are_no_good_value_are_a_miss(data: bytes) -> None:
    """And are written over; the store itself is not to blame (case 74)."""
    store = MemoryStore()
    one = guard(store)
    await store.set("ns:k", data, None)
    assert await one.find("ns:k") is None
    stats = one.stats()
    assert (stats.misses, stats.rejected, stats.errors, stats.skipped) == (1, 1, 1, 0)
    assert await one.keep("ns:k", [2], ttl=60)
    found = await one.find("ns:k")
    assert found is not None
    assert found.value == [2]


async def test_what_was_kept_is_found_by_another_process() -> None:
    """With its types and the time that it has left."""
    store, wall = MemoryStore(), Wall()
    one, two = guard(store, unix_time=wall), guard(store, unix_time=wall)
    assert await one.keep("ns:k", {"a": (1, 2.0)}, ttl=60)
    wall.time += 20
    found = await two.find("ns:k")
    assert found is not None
    assert found.value == {"a": (1, 2.0)}
    assert found.ttl == 40
    wall.time += 40
    assert await two.find("ns:k") is None
    assert two.stats().rejected == 0


async def test_a_wall_clock_that_is_put_back_gives_no_more_time() -> None:
    """Than the value had at first; one that is put forward makes it a miss (case 8)."""
    wall = Wall()
    one = guard(MemoryStore(), unix_time=wall)
    await one.keep("ns:k", 1, ttl=60)
    wall.time -= 86_400
    found = await one.find("ns:k")
    assert found is not None
    assert found.ttl == 60
    wall.time += 2 * 86_400
    assert await one.find("ns:k") is None


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf])
async def test_what_is_not_to_last_is_not_kept(ttl: float) -> None:
    """The store is not even asked."""
    store = Broken()
    assert not await guard(store).keep("ns:k", 1, ttl=ttl)
    assert store.asked == 0


async def test_what_cannot_be_written_is_counted_and_not_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call has its value all the same; the warning names the type only."""

    class Own:
        def __repr__(self) -> str:
            return SECRET

    store = Broken()
    one = guard(store, codec=JsonCodec())
    assert not await one.keep("ns:k", [Own()], ttl=60)
    assert not await one.keep("ns:k", Own(), ttl=60)
    assert (one.stats().unstorable, store.asked) == (2, 0)
    assert SECRET not in caplog.text


def test_after_failures_in_a_row_the_store_is_left_alone_for_a_while() -> None:
    """Then one caller tries it, and its result decides for all (case 74)."""
    store = Broken(refuse)

    async def main() -> None:
        one = guard(store, failures=3, pause=30)
        for _ in range(10):
            assert await one.find("ns:k") is None
        assert store.asked == 3
        assert one.stats().skipped == 7
        await asyncio.sleep(30)
        store.how = hang
        assert await asyncio.gather(*[one.find("ns:k") for _ in range(20)]) == [None] * 20
        assert store.asked == 4
        await asyncio.sleep(30)
        store.how = None
        await one.find("ns:k")
        assert await one.keep("ns:k", 1, ttl=60)
        assert store.asked == 6

    run_virtual(main())


def test_one_warning_is_logged_in_every_pause(caplog: pytest.LogCaptureFixture) -> None:
    """Also where failures and answers alternate."""
    store = Broken()

    async def main() -> None:
        one = guard(store, pause=30)
        for turn in range(120):
            store.how = refuse if turn % 2 else None
            await one.find("ns:k")
            await asyncio.sleep(0.5)

    run_virtual(main())
    assert len(caplog.records) == 2


def test_a_cancelled_caller_is_cancelled_and_says_nothing_of_the_store() -> None:
    """Also the one that tries it after a pause: the next one tries."""
    store = Broken(hang)

    async def main() -> None:
        one = guard(store, failures=1, pause=30)
        for wait in (0.0, 30.0):
            await asyncio.sleep(wait)
            task = asyncio.ensure_future(one.find("ns:k"))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        assert one.stats().errors == 0
        assert await one.find("ns:k") is None
        await asyncio.sleep(30)
        cancelled = asyncio.ensure_future(one.find("ns:k"))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        store.how = None
        await one.find("ns:k")
        assert one.stats().skipped == 0

    run_virtual(main())


def test_an_interrupt_is_not_swallowed() -> None:
    """And says nothing of the store."""

    async def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        await one.find("ns:k")

    one = guard(Broken(interrupt), failures=1)
    with pytest.raises(KeyboardInterrupt):
        run_virtual(main())
    assert one.stats().errors == 0


def test_figures_can_be_printed() -> None:
    """By name."""
    assert "misses=0" in repr(guard(MemoryStore()).stats())


async def test_what_was_removed_is_gone_for_all() -> None:
    """Invalidation reaches the store (case 63)."""
    store = MemoryStore()
    one, two = guard(store), guard(store)
    await one.keep("ns:k", 1, ttl=60)
    assert await one.remove("ns:k")
    assert await two.find("ns:k") is None
    assert len(store) == 0


async def test_what_could_not_be_removed_is_not_read_again() -> None:
    """Until it was removed or written anew: never a value that was invalidated."""
    store = Broken()
    one = guard(store)
    await one.keep("ns:k", "old", ttl=60)
    store.how = refuse
    assert not await one.remove("ns:k")
    store.how = None
    assert await one.find("ns:k") is None  # removed now
    assert len(store) == 0
    await one.keep("ns:k", "new", ttl=60)
    found = await one.find("ns:k")
    assert found is not None
    assert found.value == "new"


async def test_what_is_distrusted_is_removed_before_it_is_read_again() -> None:
    """For who cannot await; more of them than there is room for are forgotten as a whole."""
    store = MemoryStore()
    one = guard(store)
    for key in ("ns:a", "ns:b"):
        await one.keep(key, 1, ttl=60)
    one.distrust("ns:a")
    assert await one.find("ns:a") is None
    assert await one.find("ns:b") is not None
    assert len(store) == 1
    for number in range(10_001):
        one.distrust(f"ns:{number}")
    assert await one.find("ns:b") is None


def test_a_value_that_is_written_while_its_key_is_removed_is_removed_too() -> None:
    """Whichever reaches the store first (case 63)."""

    class Slow(MemoryStore):
        async def set(self, key: str, value: bytes, ttl: float | None) -> None:
            await asyncio.sleep(0.1)
            await super().set(key, value, ttl)

    async def main() -> None:
        store = Slow()
        one = guard(store)
        writing = asyncio.ensure_future(one.keep("ns:k", "old", ttl=60))
        await asyncio.sleep(0.05)
        assert await one.remove("ns:k")
        assert not await writing
        assert await one.find("ns:k") is None
        assert len(store) == 0

    run_virtual(main())


async def test_what_is_forgotten_here_is_not_read_here() -> None:
    """Other processes go on to use it, for a store cannot be emptied through its protocol."""
    store, wall = MemoryStore(), Wall()
    one, two = guard(store, unix_time=wall), guard(store, unix_time=wall)
    await one.keep("ns:k", 1, ttl=60)
    one.forget()
    assert await one.find("ns:k") is None
    assert await two.find("ns:k") is not None
    wall.time += 0.001
    await two.keep("ns:k", 2, ttl=60)
    found = await one.find("ns:k")
    assert found is not None
    assert found.value == 2


def test_a_key_of_this_process_only_has_no_name_in_a_store() -> None:
    """Its result stays in memory, and that is counted."""
    one = guard(MemoryStore())
    assert one.key_for((object, object())) is None
    assert one.key_for("text") == guard(MemoryStore()).key_for("text")
    assert one.stats().local == 1


BAD_OPTIONS: list[dict[str, Any]] = [
    {"timeout": 0},
    {"timeout": math.nan},
    {"timeout": math.inf},
    {"timeout": "1"},
    {"failures": 0},
    {"failures": True},
    {"pause": -1},
    {"namespace": ""},
    {"namespace": "a b"},
    {"store": None},
    {"store": {}},
    {"store": MemoryStore},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=repr)
def test_bad_options_are_refused_at_construction(options: dict[str, Any]) -> None:
    """With a text that names the option."""
    given: dict[str, Any] = {"store": MemoryStore(), "namespace": "ns"}
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        GuardedStore(**(given | options))


def test_a_store_wants_a_namespace() -> None:
    """Or results of two functions, or two versions of one, would be mixed up."""
    given = guard(MemoryStore())
    assert guarded(given, None) is given
    assert guarded(MemoryStore(), "answers:v1").namespace == "answers:v1"
    for store, namespace in ((MemoryStore(), None), (None, "answers:v1"), (given, "answers:v1")):
        with pytest.raises(ConfigurationError, match="namespace"):
            guarded(store, namespace)
