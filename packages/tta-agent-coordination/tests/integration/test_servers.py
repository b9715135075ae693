"""TLS, accounts with few rights, full servers, foreign keys: typed errors, and nothing lost.

The contract suite runs over TLS, with an account that may do no more than it needs.
"""

import gc
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    ForeignKeyError,
    RedisAgentRegistry,
    RedisMessageCoordinator,
    RedisSharedState,
    ServerFullError,
)
from tta_agent_coordination.testing import WRITER, RedisServer, sample

ONCE = Retry(NoBackoff(), 0)


def from_url(url: str, **options: Any) -> Redis:
    """Return a client of what a URL says."""
    client: Any = Redis
    made: Redis = client.from_url(url, socket_timeout=60, socket_connect_timeout=60, **options)
    return made


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own."""
    return f"test:{uuid.uuid4().hex}"


@pytest.mark.slow
async def test_a_url_with_tls_and_an_account_is_enough(
    secure: Callable[[], Any], prefix: str
) -> None:
    async with from_url(secure().url) as client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("m1")])

        assert await coordinator.receive(WRITER) is not None


@pytest.mark.slow
async def test_a_wrong_password_over_tls_is_an_access_error(
    secure: Callable[[], Any], prefix: str
) -> None:
    async with from_url(secure().url_of("agent:wrong"), retry=ONCE) as client:
        with pytest.raises(CoordinatorAccessError, match="password"):
            await RedisMessageCoordinator(client, prefix).receive(WRITER)


@pytest.mark.slow
async def test_a_certificate_of_nobody_we_trust_is_a_connection_error(
    secure: Callable[[], Any], prefix: str
) -> None:
    url = secure().url.partition("?")[0]
    async with from_url(url, retry=ONCE) as client:
        with pytest.raises(CoordinatorConnectionError, match="certificate"):
            await RedisMessageCoordinator(client, prefix).receive(WRITER)


@pytest.mark.slow
async def test_no_tls_where_the_server_speaks_it_is_a_connection_error(
    secure: Callable[[], Any], prefix: str
) -> None:
    async with Redis(port=secure().port, retry=ONCE, socket_timeout=1) as client:
        with pytest.raises(CoordinatorConnectionError, match="repeated"):
            await RedisMessageCoordinator(client, prefix).receive(WRITER)


@pytest.fixture(autouse=True)
def forgotten(request: pytest.FixtureRequest) -> Iterator[None]:
    """Clear away, in its own test, what redis-py leaves open when it cannot begin to talk."""
    yield
    if "secure" in request.fixturenames:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.mark.parametrize("missing", ["evalsha", "hset", "lpop", "zadd", "time"])
async def test_an_account_without_a_right_is_told_so(
    redis_server: RedisServer, prefix: str, missing: str
) -> None:
    """Whether the script may not be run, or a command inside it; others lose nothing by it."""
    admin: Any = redis_server.client(socket_timeout=60)
    user = uuid.uuid4().hex
    async with admin:
        coordinator = RedisMessageCoordinator(admin, prefix)
        await coordinator.send_many([sample("m1")])
        await admin.execute_command(
            "ACL", "SETUSER", user, "on", "nopass", "~*", "+@all", f"-{missing}"
        )
        limited = redis_server.client(socket_timeout=60, username=user, password="any")  # noqa: S106 - none is set
        async with limited:
            with pytest.raises(CoordinatorAccessError, match="the account needs"):
                await RedisMessageCoordinator(limited, prefix).receive(WRITER)
        await admin.execute_command("ACL", "DELUSER", user)
        received = await coordinator.receive(WRITER)

    assert received is not None
    assert received.message.message_id == "m1"


async def test_an_account_for_another_prefix_is_told_so(
    redis_server: RedisServer, prefix: str
) -> None:
    admin: Any = redis_server.client(socket_timeout=60)
    user = uuid.uuid4().hex
    async with admin:
        await admin.execute_command(
            "ACL", "SETUSER", user, "on", "nopass", f"~{{{prefix}:*", "+@all"
        )
        limited = redis_server.client(socket_timeout=60, username=user, password="any")  # noqa: S106 - none is set
        async with limited:
            await RedisMessageCoordinator(limited, prefix).send_many([sample("m1")])
            with pytest.raises(CoordinatorAccessError, match="begin with"):
                await RedisMessageCoordinator(limited, f"x{prefix}").send_many([sample("m1")])
        await admin.execute_command("ACL", "DELUSER", user)


async def test_a_full_server_refuses_everybody_in_the_same_words(program: str) -> None:
    """The registry, shared state and sends; what was there before is read and acknowledged."""
    with RedisServer(program) as server:
        client: Any = server.client(socket_timeout=60)
        async with client:
            coordinator = RedisMessageCoordinator(client, "test")
            registry = RedisAgentRegistry(client, "test")
            state = RedisSharedState(client, "test")
            await coordinator.send_many(sample(f"{n}") for n in range(50))
            await state.set("plan", "a")
            registry.register(AgentDescription(AgentId(type="a", instance="1"), ()))
            await registry.flush()
            await client.config_set("maxmemory", "1")

            registry.register(AgentDescription(AgentId(type="a", instance="2"), ()))
            for refused in (
                coordinator.send_many([sample("more")]),
                state.set("plan", "b"),
                registry.flush(),
            ):
                with pytest.raises(ServerFullError, match="maxmemory"):
                    await refused
            drained = [one.message.message_id for one in await coordinator.receive_many(WRITER, 99)]
            kept = await state.get("plan")
            await client.config_set("maxmemory", "0")
            await registry.flush()

            assert drained == [f"{n}" for n in range(50)]
            assert kept is not None
            assert kept.value == "a"
            assert len(await registry.agents()) == 2


async def test_no_key_of_another_prefix_is_ever_touched(program: str) -> None:
    """Whatever is done under ours, foreign keys stay as they were, and the only ones besides."""
    foreign = {
        b"{tta:writer}": b"1",
        b"{other:writer}:m:*:s": b"2",
        b"mine:writer": b"3",
        b"{mine}:x": b"4",
    }
    with RedisServer(program) as server:
        client: Any = server.client(socket_timeout=60)
        async with client:
            await client.mset(foreign)
            coordinator = RedisMessageCoordinator(client, "mine", max_attempts=1)
            await coordinator.send_many(sample(f"{n}") for n in range(5))
            received = await coordinator.receive_many(WRITER, 3)
            await coordinator.ack(WRITER, received[0].token)
            await coordinator.nack(WRITER, received[1].token)
            await coordinator.dead_letters.redrive(WRITER)
            await coordinator.subscribe(AgentId(type="writer", instance="1"), "news")
            await coordinator.publish("news", sample("m1"))
            async with coordinator.once("m1"):
                pass
            await coordinator.purge(WRITER)
            names = {name async for name in client.scan_iter()}
            values = await client.mget(list(foreign))

    assert values == list(foreign.values())
    assert all(name.startswith(b"{mine:") for name in names - set(foreign))


@pytest.mark.parametrize("key", ["h", "t", "s"])
async def test_a_wrong_type_under_a_key_loses_nothing(
    redis_server: RedisServer, prefix: str, key: str
) -> None:
    """Who receives is told which key; when it is gone, all is as before, in its order."""
    client: Any = redis_server.client(socket_timeout=60)
    async with client:
        coordinator = RedisMessageCoordinator(client, prefix)
        await coordinator.send_many([sample("m1"), sample("m2")])
        name = f"{{{prefix}:writer}}:m:*:{key}"
        kept = await client.dump(name) if await client.exists(name) else None
        await client.delete(name)
        await client.set(name, "foreign")

        with pytest.raises(ForeignKeyError, match="key_prefix"):
            await coordinator.receive_many(WRITER, 2)
        stays = await client.get(name)
        await client.delete(name)
        if kept is not None:
            await client.restore(name, 0, kept)
        received = await coordinator.receive_many(WRITER, 2)

    assert stays == b"foreign"
    assert [one.message.message_id for one in received] == ["m1", "m2"]
    assert [one.attempt for one in received] == [1, 1]


@pytest.mark.parametrize("key", ["r5", "u"])
async def test_a_send_that_met_a_wrong_type_can_be_repeated(
    redis_server: RedisServer, prefix: str, key: str
) -> None:
    """It was not sent, so the second is no duplicate."""
    client: Any = redis_server.client(socket_timeout=60)
    async with client:
        coordinator = RedisMessageCoordinator(client, prefix)
        name = f"{{{prefix}:writer}}:m:*:{key}"
        await client.set(name, "foreign")

        with pytest.raises(ForeignKeyError, match="key_prefix"):
            await coordinator.send_many([sample("m1")])
        await client.delete(name)
        (result,) = await coordinator.send_many([sample("m1")])
        received = await coordinator.receive(WRITER)

    assert not result.duplicate
    assert received is not None
