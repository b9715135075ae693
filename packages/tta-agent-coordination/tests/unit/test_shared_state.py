"""The contract of shared state, over every back end: in memory, fakeredis, a real server."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_agent_coordination.errors import (
    ConfigurationError,
    ForeignKeyError,
    InvalidStateError,
    StateConflictError,
)
from tta_agent_coordination.sharing import InMemorySharedState, RedisSharedState, SharedState
from tta_agent_coordination.testing import ManualClock, RedisServer

Make = Callable[..., SharedState]


@pytest.fixture
def make(client: Any, clock: ManualClock) -> Make:
    """Make shared state in the test's own time; all of a test share it."""
    prefix = f"test:{uuid.uuid4().hex}"
    memory = InMemorySharedState(clock=clock, max_value_bytes=1000)

    def made() -> SharedState:
        if client is None:
            return memory
        return RedisSharedState(client, prefix, max_value_bytes=1000, _clock=clock.milliseconds)

    return made


@pytest.fixture
def make_real(client: Any, patient: None) -> Make:
    """The same in real time."""
    prefix = f"test:{uuid.uuid4().hex}"
    memory = InMemorySharedState()
    return lambda: memory if client is None else RedisSharedState(client, prefix)


VALUES: list[Any] = [None, True, 0, -1.5, "", "ü\0\n", [], {"a": [1, {"b": None}]}, 2**70]


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_comes_back_as_it_was(make: Make, value: Any) -> None:
    written = await make().set("key", value)

    found = await make().get("key")

    assert found == written
    assert found is not None
    assert (found.value, found.exists, found.expires_at) == (value, True, None)
    assert type(found.value) is type(value)


async def test_what_was_never_set_is_none(make: Make) -> None:
    assert await make().get("key") is None
    assert not await make().delete("key")


async def test_versions_only_grow_whatever_happens_to_the_key(
    make: Make, clock: ManualClock
) -> None:
    state = make()
    versions: list[int] = []
    for step in range(5):
        versions.append((await state.set("key", step)).version)
        await state.delete("key")
        versions.append((await state.set("key", step, ttl=1)).version)
        clock.advance(1)
        assert await state.get("key") is None

    assert versions == sorted(set(versions))


async def test_of_many_who_compare_and_set_at_once_one_wins(make: Make) -> None:
    before = await make().set("leader", "nobody")

    entries = await asyncio.gather(
        *(make().compare_and_set("leader", n, before.version) for n in range(10))
    )

    (winner,) = [entry for entry in entries if entry is not None]
    assert await make().get("leader") == winner


async def test_compare_and_set_wants_exactly_the_version_that_is_there(make: Make) -> None:
    state = make()
    first = await state.compare_and_set("key", "a", 0)
    assert first is not None
    assert await state.compare_and_set("key", "b", 0) is None
    assert await state.compare_and_set("key", "b", first.version + 1) is None
    second = await state.compare_and_set("key", "b", first.version)
    assert second is not None
    await state.set("key", "a")

    assert await state.compare_and_set("key", "c", first.version) is None
    assert await state.compare_and_set("key", "c", second.version) is None


async def test_deleting_can_want_a_version_too(make: Make) -> None:
    state = make()
    old = await state.set("key", 1)
    new = await state.set("key", 2)

    assert not await state.delete("key", expected=old.version)
    assert await state.delete("key", expected=new.version)
    assert await state.get("key") is None
    assert await state.compare_and_set("key", 3, new.version) is None
    assert await state.compare_and_set("key", 3, 0) is not None


async def test_a_value_lasts_for_its_time_by_the_keepers_clock(
    make: Make, clock: ManualClock
) -> None:
    state = make()
    entry = await state.set("key", 1, ttl=2.5)
    assert entry.expires_at == clock.now + 2.5

    clock.advance(2.499)
    assert await state.get("key") == entry
    clock.advance(0.001)
    assert await state.get("key") is None
    assert await state.compare_and_set("key", 2, entry.version) is None
    assert await state.compare_and_set("key", 2, 0) is not None


async def test_setting_again_replaces_the_time(make: Make, clock: ManualClock) -> None:
    state = make()
    await state.set("key", 1, ttl=1)
    await state.set("key", 2)
    clock.advance(100)

    found = await state.get("key")

    assert found is not None
    assert found.value == 2


async def test_updates_of_many_are_all_in_the_result(make: Make) -> None:
    def one_more(count: Any) -> Any:
        return (count or 0) + 1

    await make().set("count", 0)  # finds the nodes of a cluster, before all ask at once
    await asyncio.gather(*(make().update("count", one_more, attempts=1000) for _ in range(20)))

    found = await make().get("count")
    assert found is not None
    assert found.value == 20


async def test_an_update_that_always_loses_is_an_error(make: Make) -> None:
    state = make()
    await state.set("key", 0)
    rival = iter(range(100))

    class Rival(SharedState):
        async def get(self, key: str) -> Any:
            before = await super().get(key)
            await super().set(key, next(rival))
            return before

    shared: Any = state
    loser = Rival(shared._store)
    with pytest.raises(StateConflictError, match="each of 3 times"):
        await loser.update("key", lambda value: value, attempts=3)


async def test_keys_may_be_any_text_and_are_apart(make: Make) -> None:
    state = make()
    keys = ["a", "A", "a:b", "{a}", "*", "a%3Ab", "ü", " ", "a" * 1024, "\0"]
    for index, key in enumerate(keys):
        await state.set(key, index)

    for index, key in enumerate(keys):
        found = await state.get(key)
        assert found is not None
        assert (found.key, found.value) == (key, index)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("", 1, "key"),
        ("k" * 1025, 1, "key"),
        (7, 1, "key"),
        ("\ud800", 1, "key"),
        ("k", object(), "JSON"),
        ("k", float("nan"), "JSON"),
        ("k", b"bytes", "JSON"),
        ("k", "\ud800", "JSON"),
        ("k", nested(10_000), "JSON"),
        ("k", "x" * 999, "1001 bytes"),
    ],
    ids=["empty", "long", "int", "surrogate", *"123456"],
)
async def test_what_cannot_be_kept_is_refused(make: Make, key: Any, value: Any, said: str) -> None:
    with pytest.raises(InvalidStateError, match=said):
        await make().set(key, value)


async def test_options_that_cannot_work_are_refused(make: Make) -> None:
    state = make()
    wrong: Any = "1"
    for expected in (-1, True, wrong):
        with pytest.raises(ConfigurationError, match="expected"):
            await state.compare_and_set("key", 1, expected)
    with pytest.raises(ConfigurationError, match="ttl"):
        await state.set("key", 1, ttl=0)
    with pytest.raises(ConfigurationError, match="attempts"):
        await state.update("key", lambda value: value, attempts=0)
    with pytest.raises(ConfigurationError, match="redis"):
        RedisSharedState(wrong)
    with pytest.raises(ConfigurationError, match="max_value_bytes"):
        InMemorySharedState(max_value_bytes=0)


async def test_a_watcher_sees_what_is_there_and_each_change(make_real: Make) -> None:
    state, other = make_real(), make_real()
    loop = asyncio.get_running_loop()
    async with aclosing(state.watch("key")) as entries:
        first = await anext(entries)
        assert (first.exists, first.value) == (False, None)
        start = loop.time()
        for step in range(5):
            waiting = asyncio.ensure_future(anext(entries))
            await asyncio.sleep(0.002 * step)  # it waits by then, or does not yet
            written = await other.set("key", step)
            assert await asyncio.wait_for(waiting, 60) == written
        await other.delete("key")
        gone = await asyncio.wait_for(anext(entries), 60)
        assert not gone.exists
        assert loop.time() - start < 60  # told, not found at the next look


async def test_a_slow_watcher_sees_the_latest_only(make: Make) -> None:
    state = make()
    async with aclosing(state.watch("key")) as entries:
        await anext(entries)
        written = [await state.set("key", step) for step in range(10)]

        assert await anext(entries) == written[-1]


@pytest.mark.usefixtures("patient")
async def test_a_watcher_is_told_of_an_end_when_it_is_due(make: Make, clock: ManualClock) -> None:
    """Nobody else asks, so the watcher must look by itself."""
    state = make()
    await state.set("key", 1, ttl=0.05)
    async with aclosing(state.watch("key")) as entries:
        assert (await anext(entries)).exists
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0.02)  # it waits by then
        clock.advance(0.05)
        gone = await asyncio.wait_for(waiting, 60)

    assert (gone.exists, gone.value) == (False, None)


async def test_a_watcher_that_is_cancelled_leaves_nothing_parked(
    make_real: Make, client: Any
) -> None:
    state = make_real()
    for delay in (0, 0.001, 0.004, 0.01):
        entries = state.watch("key")
        await anext(entries)
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(delay)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await entries.aclose()

    if client is not None:
        parked = "*:[*]state:key}:w"
        names = await client.execute_command("KEYS", parked)
        assert [n for n in names if await client.execute_command("ZCARD", n) > 0] == []


async def test_what_another_program_keeps_there_is_a_typed_error(
    redis_server: RedisServer,
) -> None:
    prefix = f"test:{uuid.uuid4().hex}"
    async with redis_server.client() as client:
        state = RedisSharedState(client, prefix)
        await client.set(f"{{{prefix}:*state:a}}:v", b"mine")
        await client.hset(f"{{{prefix}:*state:b}}:v", mapping={"n": 1, "b": b"{no json"})

        with pytest.raises(ForeignKeyError):
            await state.set("a", 1)
        with pytest.raises(InvalidStateError, match="another program"):
            await state.get("b")


async def test_all_keys_of_a_value_carry_one_hash_tag_and_go_in_the_end(
    redis_server: RedisServer,
) -> None:
    prefix = f"test:{uuid.uuid4().hex}"
    async with cast("Any", redis_server.client()) as client:
        state = RedisSharedState(client, prefix)
        await state.set("a:b", 1)
        await state.delete("a:b")

        made = [key async for key in client.scan_iter(f"{{{prefix}:*", count=1000)]

        assert made
        assert all(key.startswith(f"{{{prefix}:*state:a%3Ab}}:".encode()) for key in made)
        assert all([await client.pttl(key) > 0 for key in made])


def test_what_is_gone_is_forgotten_in_memory_too() -> None:
    clock = ManualClock()
    state = InMemorySharedState(clock=clock)

    async def come_and_go() -> None:
        for number in range(1000):
            await state.set(f"{number}", number)
            await state.delete(f"{number}")
            clock.advance(1)

    asyncio.run(come_and_go())
    shared: Any = state
    assert len(shared._store._cells) <= 122


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_any_json_comes_back(value: Any) -> None:
    async def there_and_back() -> Any:
        state = InMemorySharedState()
        await state.set("key", value)
        return await state.get("key")

    if "\\ud" not in ascii(value):
        assert asyncio.run(there_and_back()).value == value


async def test_each_watcher_of_a_key_is_told_though_others_leave(make_real: Make) -> None:
    """And of the latest value, though it has changed twice before it looked."""
    state = make_real()
    watches = [state.watch("n") for _ in range(3)]
    for one in watches:
        await anext(one)
    leaving, *waiting = (asyncio.ensure_future(anext(one)) for one in watches)
    await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.wait([leaving])
    await asyncio.gather(state.set("n", 1), state.set("n", 2))

    for entry in await asyncio.wait_for(asyncio.gather(*waiting), 60):
        assert entry.value in {1, 2}
    for one in watches:
        await one.aclose()
