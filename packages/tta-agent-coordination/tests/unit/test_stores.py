"""The stores for other packages: what they are without the core package, and their keys."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination.errors import (
    ConfigurationError,
    CoordinatorConnectionError,
    ForeignKeyError,
    ServerFullError,
)
from tta_agent_coordination.stores import BreakerPermit, RedisBreakerStore, RedisCacheStore
from tta_agent_coordination.testing import ManualClock, RedisServer


@dataclass
class Settings:
    """A configuration, as the core package would give it."""

    failure_threshold: int | None = 2
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    window_calls: int | None = None
    window_seconds: float | None = None
    minimum_calls: int | None = None
    recovery_timeout: float = 60.0
    half_open_max_calls: int = 1
    success_threshold: int = 1
    half_open_timeout: float = 300.0


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of the real server."""
    async with redis_server.client() as made:
        yield made


async def test_an_entry_is_one_key_of_its_own_that_the_server_forgets(
    client: Any, prefix: str
) -> None:
    """Besides, it is noted for two minutes that it was set: a copy of the call may come late."""
    cache = RedisCacheStore(client, prefix)

    await cache.set("ns:{a}:b*", b"\0\xff", 600.75)
    await cache.set("ns:for ever", b"", None)

    keys = {key async for key in client.scan_iter(f"{{{prefix}:*}}", count=1000)}
    assert keys == {
        f"{{{prefix}:*cache:ns%3A%7Ba%7D%3Ab%2A}}".encode(),
        f"{{{prefix}:*cache:ns%3Afor%20ever}}".encode(),
    }
    notes = {key async for key in client.scan_iter(f"{{{prefix}:*}}:q:*", count=1000)}
    assert len(notes) == 2
    assert all([0 < await client.pttl(note) <= 120_000 for note in notes])
    lives = sorted([await client.pttl(key) for key in keys])
    assert lives[0] == -1
    assert 60_000 < lives[1] <= 600_750
    assert await cache.get("ns:{a}:b*") == b"\0\xff"
    assert await cache.get("ns:for ever") == b""


async def test_a_cache_touches_no_key_of_another_prefix(client: Any, prefix: str) -> None:
    one, other = RedisCacheStore(client, prefix), RedisCacheStore(client, f"{prefix}:x")
    await one.set("a", b"1", None)
    await other.set("a", b"2", None)

    await one.delete("a")

    assert (await one.get("a"), await other.get("a")) == (None, b"2")


async def test_what_cannot_be_kept_is_refused_before_it_is_sent(client: Any, prefix: str) -> None:
    cache = RedisCacheStore(client, prefix, max_value_bytes=10)
    bad: list[tuple[Any, Any, Any, str]] = [
        ("k", b"x" * 11, None, "11 bytes"),
        ("k", "text", None, "bytes, not str"),
        ("k" * 4097, b"", None, "key"),
        (7, b"", None, "key"),
        ("\ud800", b"", None, "key"),
        ("k", b"", 0, "ttl"),
        ("k", b"", float("nan"), "ttl"),
    ]
    for key, value, ttl, said in bad:
        with pytest.raises(ConfigurationError, match=said):
            await cache.set(key, value, ttl)

    assert [key async for key in client.scan_iter(f"{{{prefix}:*", count=1000)] == []


async def test_a_server_that_is_gone_is_a_connection_error(program: str) -> None:
    with RedisServer(program) as server:
        async with server.client(retry=Retry(NoBackoff(), 0), socket_timeout=60) as away:
            cache, breakers = RedisCacheStore(away), RedisBreakerStore(away)
            await cache.set("a", b"1", None)
            server.stop()

            for call in (
                cache.get("a"),
                cache.set("a", b"", None),
                cache.delete("a"),
                breakers.allow("mail", Settings()),
            ):
                with pytest.raises(CoordinatorConnectionError) as raised:
                    await call
                assert isinstance(raised.value, ConnectionError)


async def test_a_full_server_and_a_foreign_key_are_typed_errors(program: str) -> None:
    with RedisServer(program) as server:
        async with cast("Any", server.client()) as client:
            cache = RedisCacheStore(client)
            await cache.set("a", b"1", None)
            await client.lpush("{tta:*cache:list}", b"mine")
            with pytest.raises(ForeignKeyError):
                await cache.get("list")
            await client.config_set("maxmemory", "1")

            with pytest.raises(ServerFullError):
                await cache.set("b", b"1", None)
            assert await cache.get("a") == b"1"
            await cache.delete("a")


@pytest.mark.parametrize("backend", ["cache", "breaker"])
def test_options_that_cannot_work_are_refused(backend: str) -> None:
    make: Any = RedisCacheStore if backend == "cache" else RedisBreakerStore
    with pytest.raises(ConfigurationError, match="redis must be a client"):
        make(object())


async def test_a_breaker_of_another_configuration_is_another(client: Any, prefix: str) -> None:
    clock = ManualClock()
    store = RedisBreakerStore(client, prefix, _clock=clock.milliseconds)
    other = RedisBreakerStore(client, prefix, _clock=clock.milliseconds)
    states: list[str] = []
    for _ in range(2):
        permit = await store.allow("mail", Settings())
        assert permit is not None
        states.append(await other.record(permit, "failure"))

    assert states == ["closed", "open"]
    assert await other.allow("mail", Settings()) is None
    assert await other.allow("mail", Settings(failure_threshold=3)) is not None


async def test_what_is_no_permit_or_no_outcome_is_refused(client: Any, prefix: str) -> None:
    store = RedisBreakerStore(client, prefix)
    permit = await store.allow("mail", Settings())
    wrong: Any = "great"

    assert isinstance(permit, BreakerPermit)
    with pytest.raises(ConfigurationError, match="outcome"):
        await store.record(permit, wrong)
    with pytest.raises(ConfigurationError, match="no permit"):
        await store.record("mail", "success")
    with pytest.raises(ConfigurationError, match="name"):
        await store.allow("", Settings())


async def test_a_store_remembers_only_so_many_breakers_itself(client: Any, prefix: str) -> None:
    """Names may come from inputs; what the server knows is not forgotten by that."""
    store, settings = RedisBreakerStore(client, prefix), Settings(recovery_timeout=600)
    for _ in range(2):
        permit = await store.allow("first", settings)
        assert permit is not None
        await store.record(permit, "failure")
    for number in range(1030):
        await store.allow(f"{number}", Settings())

    known: Any = store
    assert len(known._breakers) == 1024
    assert await store.allow("first", settings) is None
