"""What a breaker does about its server and its options: cache, outages, keys, bad input."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination.errors import (
    CircuitBreakerOpenError,
    ConfigurationError,
    CoordinatorConnectionError,
    ForeignKeyError,
)
from tta_agent_coordination.resilience import CircuitBreaker, CircuitBreakerConfig, circuit_breaker
from tta_agent_coordination.testing import RedisServer

TWO = CircuitBreakerConfig(failure_threshold=2)


class Counting:
    """A client that counts what it is asked for."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self.calls = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Pass a command on."""
        self.calls += 1
        return await self._client.execute_command(*args, **options)


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of the real server."""
    made: Any = redis_server.client()
    yield made
    await made.aclose()


async def broken() -> None:
    raise OSError("down")


async def failing(breaker: CircuitBreaker) -> None:
    with pytest.raises(OSError, match="down"):
        await breaker.call(broken)


async def test_with_a_cache_a_closed_breaker_costs_no_round_trip(client: Any, prefix: str) -> None:
    counting = Counting(client)
    breaker = CircuitBreaker(counting, "x", key_prefix=prefix, cache_seconds=1000, store_timeout=30)
    await breaker.call(str)
    before = counting.calls

    for _ in range(100):
        await breaker.call(str)

    assert counting.calls == before


async def test_without_a_cache_a_call_costs_two_round_trips(client: Any, prefix: str) -> None:
    counting = Counting(client)
    breaker = CircuitBreaker(counting, "x", key_prefix=prefix, store_timeout=30)
    await breaker.call(str)
    before = counting.calls

    for _ in range(10):
        await breaker.call(str)

    assert counting.calls - before == 20


async def test_failures_count_in_spite_of_a_cache(client: Any, prefix: str) -> None:
    options: dict[str, Any] = {"key_prefix": prefix, "cache_seconds": 1000, "store_timeout": 30}
    one, other = (CircuitBreaker(client, "x", TWO, **options) for _ in range(2))
    await one.call(str)
    await other.call(str)

    await failing(one)
    await failing(one)

    with pytest.raises(CircuitBreakerOpenError):
        await one.call(str)
    await failing(other)  # on the word of its cache; what it does does not count any more
    with pytest.raises(CircuitBreakerOpenError):
        await other.call(str)


async def test_a_failure_that_cannot_be_told_comes_out_all_the_same(
    program: str,
) -> None:
    """It was called on the word of the cache, and the server has gone since."""
    with RedisServer(program) as server:
        async with server.client(retry=Retry(NoBackoff(), 0), socket_timeout=60) as away:
            breaker = CircuitBreaker(away, "x", TWO, cache_seconds=1000, store_timeout=30)
            await breaker.call(str)
            server.stop(kill=True)

            await failing(breaker)

            assert breaker.store_failures == 1


async def test_while_the_server_is_away_calls_go_through(
    program: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is said once; then the server is left alone for a time."""
    monkeypatch.setattr(circuit_breaker, "PAUSE", 1000.0)
    with RedisServer(program) as server:
        async with server.client(retry=Retry(NoBackoff(), 0), socket_timeout=60) as away:
            breaker = CircuitBreaker(away, "x", TWO, store_timeout=30)
            await failing(breaker)
            server.stop()

            with caplog.at_level(logging.WARNING, "tta_agent_coordination"):
                for _ in range(5):
                    await failing(breaker)
                    assert await breaker.call(int, "7") == 7

            assert breaker.store_failures == 1
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            with pytest.raises(CoordinatorConnectionError):
                await breaker.get_state()


async def test_a_server_that_answers_too_late_is_away(client: Any, prefix: str) -> None:
    class Slow(Counting):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            await asyncio.Event().wait()

    breaker = CircuitBreaker(Slow(client), "x", key_prefix=prefix, store_timeout=0.01)

    assert await breaker.call(str) == ""
    assert breaker.store_failures == 1


async def test_a_failing_record_keeps_the_calls_own_error(client: Any, prefix: str) -> None:
    class Dying(Counting):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            if self.calls >= 2:  # EVALSHA, and EVAL where the server does not know it
                raise ConnectionResetError("gone")
            return await super().execute_command(*args, **options)

    class Typed(Dying):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            from redis.exceptions import ConnectionError as Gone

            try:
                return await super().execute_command(*args, **options)
            except ConnectionResetError as error:
                raise Gone(str(error)) from None

    dying = Typed(client)
    breaker = CircuitBreaker(dying, "x", TWO, key_prefix=prefix, store_timeout=30)
    await breaker.get_state()
    dying.calls = 1
    await breaker.call(str)
    await failing(breaker)

    assert breaker.store_failures == 1


async def test_all_keys_of_a_breaker_carry_one_hash_tag_and_none_is_foreign(
    program: str, prefix: str
) -> None:
    with RedisServer(program) as server:
        async with cast("Any", server.client()) as client:
            breaker = CircuitBreaker(client, "a{b}:*", TWO, prefix, store_timeout=30)
            await failing(breaker)
            await breaker.call(str)
            await failing(breaker)
            await failing(breaker)

            made = {key async for key in client.scan_iter(count=1000)}

            assert made
            tag = f"{{{prefix}:*breaker:a%7Bb%7D%3A%2A}}:".encode()
            assert all(key.startswith(tag) for key in made)
            assert all([await client.pttl(key) > 0 for key in made])


async def test_a_key_of_another_program_is_a_typed_error(client: Any, prefix: str) -> None:
    await client.set(f"{{{prefix}:*breaker:x}}:shared:s", b"mine")
    breaker = CircuitBreaker(client, "x", key_prefix=prefix, store_timeout=30)

    with pytest.raises(ForeignKeyError, match="another program"):
        await breaker.get_state()
    assert await breaker.call(str) == ""
    assert await client.get(f"{{{prefix}:*breaker:x}}:shared:s") == b"mine"


async def test_a_full_server_still_opens_and_closes_breakers(program: str) -> None:
    with RedisServer(program) as server:
        async with cast("Any", server.client()) as client:
            breaker = CircuitBreaker(client, "x", TWO, store_timeout=30)
            await client.config_set("maxmemory", "1")

            await failing(breaker)
            await failing(breaker)

            assert (await breaker.get_state()).state == "open"
            assert breaker.store_failures == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("failure_threshold", 0),
        ("failure_threshold", True),
        ("failure_threshold", 2.0),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", "60"),
        ("recovery_timeout_seconds", float("inf")),
        ("half_open_max_calls", -1),
        ("success_threshold", None),
        ("probe_lease_seconds", 0),
    ],
)
def test_a_setting_that_cannot_work_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        CircuitBreakerConfig(**{option: value})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 513}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"config": {"failure_threshold": 3}}, "config"),
        ({"key_prefix": ""}, "key_prefix"),
        ({"failures": ()}, "failures"),
        ({"failures": asyncio.CancelledError}, "failures"),
        ({"cache_seconds": -1}, "cache_seconds"),
        ({"store_timeout": 0}, "store_timeout"),
        ({"redis": object()}, "redis"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], named: str) -> None:
    usual: dict[str, Any] = {"redis": Redis(), "name": "x"}

    with pytest.raises(ConfigurationError, match=named):
        CircuitBreaker(**{**usual, **options})


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_is_no_exception_comes_out_and_counts_as_nothing(
    client: Any, prefix: str, raised: type[BaseException]
) -> None:
    breaker = CircuitBreaker(client, "x", TWO, prefix, store_timeout=30)

    async def stop() -> None:
        raise raised

    for _ in range(3):
        with pytest.raises(raised):
            await _here(breaker.call(stop))

    assert (await breaker.get_state()).failures == 0


async def _here(call: Awaitable[Any]) -> Any:
    """Await without a task around: asyncio ends its loop on a KeyboardInterrupt."""
    return await call
