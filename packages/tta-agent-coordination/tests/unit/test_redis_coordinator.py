"""What only a coordinator with a server has: scripts, keys, errors, connections."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from tta_agent_coordination import (
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    FailureType,
    ForeignKeyError,
    LeaseLost,
    MessageCoordinatorError,
    RedisMessageCoordinator,
    ServerFullError,
)
from tta_agent_coordination.server.client import SLICE
from tta_agent_coordination.testing import WRITER, ManualClock, RedisServer, sample


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of the real server."""
    made: Any = redis_server.client(socket_timeout=60)
    yield made
    await made.aclose()


async def keys(client: Any, prefix: str) -> set[bytes]:
    """Return all keys of a prefix."""
    return {key async for key in client.scan_iter(f"{{{prefix}:*", count=1000)}


async def counted(client: Any, *names: str) -> int:
    """Return how many commands the server has run, scripts' own included, without the named."""
    stats: dict[str, Any] = await client.info("commandstats")
    return sum(value["calls"] for key, value in stats.items() if key.split("_", 1)[1] not in names)


async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    client: Any, prefix: str
) -> None:
    """As after a restart."""
    coordinator = RedisMessageCoordinator(client, prefix)
    await coordinator.send_many([sample("m1")])
    await client.script_flush()

    received = await coordinator.receive(WRITER, 600)
    await client.script_flush()

    assert received is not None
    assert await coordinator.ack(WRITER, received.token)


async def test_two_coordinators_with_one_prefix_share_mailboxes(client: Any, prefix: str) -> None:
    await RedisMessageCoordinator(client, prefix).send_many([sample("m1")])

    assert await RedisMessageCoordinator(client, prefix).receive(WRITER) is not None
    assert await RedisMessageCoordinator(client, f"{prefix}:x").receive(WRITER) is None


async def test_all_keys_of_a_type_carry_one_hash_tag(prefix: str, program: str) -> None:
    """So a cluster keeps them in one slot, and no key of another prefix is touched."""
    with RedisServer(program) as server:
        client: Any = server.client()
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix)
            await coordinator.send_many([sample("a"), sample("b"), sample("c")])
            for failure in (FailureType.PERMANENT, FailureType.TRANSIENT):
                received = await coordinator.receive(WRITER, 600)
                assert received is not None
                await coordinator.nack(WRITER, received.token, failure)
            await coordinator.dead_letters.redrive(WRITER)
            await coordinator.receive(WRITER, wait=0.01)

            made = {key async for key in client.scan_iter(count=1000)}

    assert made
    assert all(key.startswith(f"{{{prefix}:writer}}:".encode()) for key in made)


@pytest.mark.parametrize("prefix", ["{x}", "a{b", "ü ", "a:b", "*"])
async def test_any_text_is_a_prefix(client: Any, prefix: str) -> None:
    name = f"{prefix}{uuid.uuid4().hex}"
    coordinator = RedisMessageCoordinator(client, name)

    await coordinator.send_many([sample("m1")])

    assert await coordinator.receive(WRITER) is not None


async def test_the_clock_is_the_servers(client: Any, prefix: str) -> None:
    async def now() -> float:
        seconds, micros = await client.time()
        return float(seconds + micros / 1e6)

    coordinator = RedisMessageCoordinator(client, prefix)
    await coordinator.send_many([sample("m1")])
    before = await now()
    received = await coordinator.receive(WRITER, 60)
    after = await now()

    assert received is not None
    assert before - 0.002 < received.deadline - 60 < after + 0.002


async def test_nothing_is_left_when_all_is_done(client: Any, prefix: str) -> None:
    """Beside one small hash: the window and the ring of acknowledged tokens have a time to live."""
    coordinator = RedisMessageCoordinator(client, prefix)
    await coordinator.send_many(sample(f"{n}") for n in range(100))
    while received := await coordinator.receive_many(WRITER, 50, 25):
        await coordinator.ack_many([got.token for got in received])

    left = {key.rsplit(b":", 1)[1]: await client.pttl(key) for key in await keys(client, prefix)}

    assert set(left) == {b"s", b"u", b"a"}
    assert left[b"s"] == -1
    assert 0 < left[b"u"] <= 240_000
    assert 0 < left[b"a"] <= 120_000


async def test_windows_are_trimmed_as_time_goes_on(
    client: Any, prefix: str, clock: ManualClock
) -> None:
    coordinator = RedisMessageCoordinator(client, prefix, _clock=clock.milliseconds)
    for n in range(30):
        await coordinator.send_many([sample(f"{n}")])
        for received in await coordinator.receive_many(WRITER, 5):
            await coordinator.ack(WRITER, received.token)
        clock.advance(60)

    root = f"{{{prefix}:writer}}:m:*"
    assert await client.zcard(f"{root}:u") <= 3
    assert await client.zcard(f"{root}:a") <= 2


async def test_a_send_and_a_receipt_are_few_commands(program: str, prefix: str) -> None:
    """Three for a send without deduplication, five with it, eight for taking and acknowledging."""
    ignored = ("evalsha", "eval", "info", "hello", "client|setinfo", "select", "ping")
    with RedisServer(program) as server:
        client: Any = server.client(socket_timeout=60)  # what is sent again would count twice
        async with client:
            plain = RedisMessageCoordinator(client, prefix, dedupe_window=0, max_length=None)
            deduping = RedisMessageCoordinator(client, f"{prefix}2")
            figures: list[float] = []
            for coordinator in (plain, deduping):
                await coordinator.send_many([sample("warm")])
                before = await counted(client, *ignored)
                for n in range(100):
                    await coordinator.send_many([sample(f"{n}")])
                figures.append((await counted(client, *ignored) - before) / 100)
            received = await plain.receive(WRITER, 600)
            before = await counted(client, *ignored)
            for _ in range(100):
                assert received is not None
                (received,) = await plain.receive_many(WRITER, 1, 600, ack=[received.token])
            figures.append((await counted(client, *ignored) - before) / 100)

    assert figures[0] <= 3.05
    assert figures[1] <= 5.1
    assert figures[2] <= 8.1


async def test_a_lost_reply_does_not_cost_an_attempt(client: Any, prefix: str) -> None:
    """What a call reserved whose reply never came is given back with the next call."""

    class Losing:
        connection_pool = client.connection_pool
        lose = True

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            reply = await client.execute_command(*args, **options)
            if self.lose and args[0] in {"EVALSHA", "EVAL"}:
                self.lose = False
                raise RedisConnectionError("the reply was lost")
            return reply

    await RedisMessageCoordinator(client, prefix).send_many([sample("a"), sample("b")])
    coordinator = RedisMessageCoordinator(Losing(), prefix)

    with pytest.raises(CoordinatorConnectionError, match="reply was lost"):
        await coordinator.receive_many(WRITER, 2, 600)
    received = await coordinator.receive_many(WRITER, 2, 600)

    assert [(got.message.message_id, got.attempt) for got in received] == [("a", 1), ("b", 1)]


async def test_what_is_no_message_becomes_a_dead_letter(client: Any, prefix: str) -> None:
    """Neither foreign bytes nor a damaged or newer message stop the others."""
    coordinator = RedisMessageCoordinator(client, prefix)
    ready = f"{{{prefix}:writer}}:m:*:r5"
    await coordinator.send_many([sample("m1")])
    head = b"1 0 5 1 0 bad - - -"
    await client.lpush(ready, b"\xff\x00", b"", head + b"\n\n{broken", head + b"\n[]\n{}")
    await client.lpush(ready, b"2 0 5 1 0 newer - - - more\n\n{}")

    found = [await coordinator.receive(WRITER, 600) for _ in range(6)]

    names = [got.message.message_id for got in found if got is not None]
    assert names == ["m1"]
    letters = await coordinator.dead_letters.list(WRITER)
    assert len(letters) == 5
    assert [letter.message for letter in letters] == [None] * 5
    assert any(letter.error is not None and "format 2" in letter.error for letter in letters)


async def test_a_foreign_type_under_a_key_is_named(client: Any, prefix: str) -> None:
    await client.set(f"{{{prefix}:writer}}:m:*:s", "mine")

    with pytest.raises(ForeignKeyError, match="key_prefix"):
        await RedisMessageCoordinator(client, prefix).send_many([sample("m1")])


async def test_a_full_server_can_be_drained(prefix: str, program: str) -> None:
    """Only sending is refused; receiving, settling and giving back still work."""
    with RedisServer(program) as server:
        client: Any = server.client()
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix, backoff_base=0)
            await coordinator.send_many(sample(f"{n}") for n in range(20))
            await client.config_set("maxmemory", "1")

            with pytest.raises(ServerFullError, match="maxmemory"):
                await coordinator.send_many([sample("more")])
            a, b, c = await coordinator.receive_many(WRITER, 3, 600)
            settled = [
                await coordinator.ack(WRITER, a.token),
                await coordinator.extend(WRITER, b.token, 900),
                await coordinator.nack(WRITER, b.token),
                await coordinator.give_back(WRITER, c.token),
            ]
            drained = len(await coordinator.receive_many(WRITER, 50, 600))

    assert settled == [True] * 4
    assert drained == 19


async def test_a_full_server_can_be_looked_after(prefix: str, program: str) -> None:
    """Also where nothing was found, and only that is to be noted down."""
    with RedisServer(program) as server:
        client: Any = server.client()
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix)
            subscription = await coordinator.subscribe(WRITER, "news")
            await coordinator.pause(WRITER)
            async with coordinator.once("effect"):
                await client.config_set("maxmemory", "1")

                with pytest.raises(LeaseLost):
                    await coordinator.once("effect").__aenter__()
                await coordinator.resume(WRITER)
                await coordinator.unsubscribe(subscription)
                found = [
                    await coordinator.cancel(WRITER, "m1"),
                    await coordinator.purge(WRITER),
                    await coordinator.dead_letters.redrive(WRITER, ["m1"]),
                ]
            paused = (await coordinator.stats(WRITER)).paused

    assert found == [False, 0, 0]
    assert not paused


async def test_a_wrong_password_is_an_access_error(prefix: str, program: str) -> None:
    with RedisServer(program, ("--requirepass", "right")) as server:
        retry = Retry(NoBackoff(), 0)
        client = server.client(password="wrong", retry=retry, socket_timeout=60)  # noqa: S106 - wrong indeed
        async with client:
            with pytest.raises(CoordinatorAccessError, match="password"):
                await RedisMessageCoordinator(client, prefix).receive(WRITER)


async def test_missing_rights_are_an_access_error(
    client: Any, redis_server: RedisServer, prefix: str
) -> None:
    user = uuid.uuid4().hex
    await client.execute_command(
        "ACL", "SETUSER", user, "on", "nopass", "~*", "+@all", "-@scripting"
    )
    limited = redis_server.client(username=user, password="any")  # noqa: S106 - none is set
    async with limited:
        with pytest.raises(CoordinatorAccessError, match="EVALSHA"):
            await RedisMessageCoordinator(limited, prefix).receive(WRITER)


async def test_a_server_that_is_away_is_a_connection_error(prefix: str) -> None:
    retry = Retry(NoBackoff(), 0)
    client = Redis(port=1, retry=retry)
    async with client:
        with pytest.raises(CoordinatorConnectionError, match="repeated") as caught:
            await RedisMessageCoordinator(client, prefix).send_many([sample("m1")])

    assert isinstance(caught.value, MessageCoordinatorError)
    assert isinstance(caught.value, ConnectionError)


async def test_a_client_for_synchronous_code_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        RedisMessageCoordinator(cast("Any", redis.Redis()))


@pytest.mark.parametrize("prefix", ["", None, 5, b"bytes"])
async def test_a_senseless_prefix_is_refused(client: Any, prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="key_prefix"):
        RedisMessageCoordinator(client, prefix)


async def test_a_waiting_receiver_polls_nothing(client: Any, prefix: str) -> None:
    """One command in a slice of up to two seconds."""
    coordinator = RedisMessageCoordinator(client, prefix)
    await coordinator.receive(WRITER)
    receiver = asyncio.create_task(coordinator.receive(WRITER, wait=30))
    while (await coordinator.stats(WRITER)).receivers == 0:  # noqa: ASYNC110 - on the server
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    start = loop.time()
    before = (await client.info("stats"))["total_commands_processed"]

    await asyncio.sleep(0.4)
    after = (await client.info("stats"))["total_commands_processed"]
    slices = int((loop.time() - start) / SLICE)
    receiver.cancel()
    await asyncio.wait([receiver])

    assert after - before <= 2 + slices


async def test_a_cancelled_receiver_ends_at_once_while_the_server_stalls(
    client: Any, redis_server: RedisServer, prefix: str
) -> None:
    """It does not wait for what the server says to that."""
    coordinator = RedisMessageCoordinator(client, prefix)
    await coordinator.receive(WRITER)
    other: Any = redis_server.client()
    receiver = asyncio.create_task(coordinator.receive(WRITER, wait=1000))
    while (await coordinator.stats(WRITER)).receivers == 0:  # noqa: ASYNC110 - on the server
        await asyncio.sleep(0.01)
    async with other:
        await other.client_pause(150_000, all=False)  # no script runs; that it goes on can be said
        try:
            receiver.cancel()
            await asyncio.wait([receiver], timeout=60)
            assert receiver.cancelled()
        finally:
            await other.client_unpause()


@pytest.mark.usefixtures("patient")
async def test_a_consumer_survives_a_restart_of_the_server(prefix: str, program: str) -> None:
    with RedisServer(program, ("--appendonly", "yes", "--appendfsync", "always")) as server:
        client: Any = server.client()
        async with client:
            coordinator = RedisMessageCoordinator(client, prefix)
            await coordinator.send_many(sample(f"{n}") for n in range(4))
            seen: list[str] = []
            async with coordinator.consume(WRITER, prefetch=2, lease=600) as leases:
                async for lease in leases:
                    async with lease:
                        seen.append(lease.message.message_id)
                    if len(seen) == 2:
                        await asyncio.to_thread(server.stop, kill=True)
                        await asyncio.to_thread(server.start)
                    if len(seen) == 4:
                        break
            assert (await coordinator.stats(WRITER)).leased == 0

    assert seen == ["0", "1", "2", "3"]


async def test_the_callers_client_stays_open(client: Any, prefix: str) -> None:
    coordinator = RedisMessageCoordinator(client, prefix)
    async with coordinator.consume(WRITER):
        pass

    assert await client.ping()


async def test_any_number_of_reservations_is_renewed_and_settled_in_one_call(
    client: Any, prefix: str
) -> None:
    """What a script hands to one command is bounded, what a caller hands to us is not."""
    coordinator = RedisMessageCoordinator(client, prefix, max_length=None)
    await coordinator.send_many(sample(f"{n}") for n in range(9000))
    tokens = [
        one.token for _ in range(9) for one in await coordinator.receive_many(WRITER, 1000, 600)
    ]

    assert await coordinator.extend_many(tokens, 900) == [True] * 9000
    assert await coordinator.give_back_many(WRITER, tokens[:4500]) == 4500
    assert await coordinator.ack_many(tokens) == [False] * 4500 + [True] * 4500
