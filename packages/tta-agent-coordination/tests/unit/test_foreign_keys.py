"""Every script, with something foreign under every key that it could touch: nothing is lost.

A call either does its work or is refused with ForeignKeyError; when the foreign value is gone, the
same call does its work, and the mailboxes hold what they would hold had nothing happened.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from tta_agent_coordination import (
    AgentId,
    FailureType,
    ForeignKeyError,
    LeaseLost,
    MessagePriority,
    RedisMessageCoordinator,
)
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.redis_store import SCRIPTS
from tta_agent_coordination.testing import WRITER, ManualClock, RedisServer, sample

fakeredis: Any = pytest.importorskip("fakeredis")
ONE = AgentId(type="writer", instance="1")
ROOT = "{test:writer}"
SUFFIXES = (
    *("r9", "r5", "r1", "h", "y", "t", "w", "u", "a", "g", "v", "d", "e", "f", "s"),
    *("k:=leased", "k:=ready", "k:=dead", "k:=new", "k:=brief"),
)
KEYS = tuple(f"{ROOT}:m:*:{suffix}" for suffix in SUFFIXES)
OWN = tuple(f"{ROOT}:m:1:{suffix}" for suffix in ("r5", "h", "t", "w", "f", "s"))
MORE = {
    "receive": (*OWN, f"{ROOT}:n:i", "{test:?types}:n:i"),
    "park": OWN,
    "give back": OWN,
    "tell of a lost reply": OWN,
    "hand over": (f"{ROOT}:i:parked",),
    "resume": (f"{ROOT}:i:parked",),
    "subscribe": (f"{ROOT}:n:t:*", "{test:?t.news}:n:s"),
    "guard an effect": ("{test:?o.effect}:o:",),
}
FEW = tuple(f"{ROOT}:m:*:{suffix}" for suffix in ("r5", "h", "t", "e", "k:=leased", "k:=brief"))
PARKED = ("parked", 60_000)

pytestmark = pytest.mark.usefixtures("unhurried")


class World:
    """Two mailboxes that hold something of everything."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = ManualClock()
        self.tokens: dict[str, str] = {}
        self.one = RedisMessageCoordinator(
            client, "test", _clock=self.clock.milliseconds, max_attempts=2, backoff_jitter=0
        )
        self._saved: tuple[float, dict[bytes, bytes]] = (0, {})

    def later(self, seconds: float) -> datetime:
        """Return a point in time."""
        return datetime.fromtimestamp(self.clock.now + seconds, UTC)

    async def deliver(self, *names: str, key: str | None = None, lease: float = 60) -> None:
        """Send messages and receive them."""
        await self.one.send_many(map(sample, names), ordering_key=key)
        await self.take(*names, lease=lease)

    async def take(self, *names: str, lease: float = 60) -> None:
        """Receive messages that are known to be the next."""
        received = await self.one.receive_many(WRITER, len(names), lease)
        assert tuple(one.message.message_id for one in received) == names
        self.tokens |= {one.message.message_id: one.token for one in received}

    async def run(self, script: str, *arguments: object) -> Any:
        """Run a script that no call of a coordinator runs alone."""
        now = self.clock.milliseconds()
        return await self.client.eval(SCRIPTS[script].text, 1, ROOT, now, *arguments)

    async def build(self) -> None:
        """Make it."""
        await self.client.flushdb()
        await self.deliver("last", lease=1)
        self.clock.advance(2)
        await self.take("last")
        await self.deliver("dead", "tried", "done", "plain", "other")
        await self.deliver("dead in order", key="dead")
        for name in ("dead", "dead in order"):
            await self.one.nack(WRITER, self.tokens[name], FailureType.PERMANENT)
        await self.one.nack(WRITER, self.tokens["tried"])
        await self.one.ack(WRITER, self.tokens["done"])
        await self.deliver("leased", key="leased")
        await self.one.send_many([sample("held")], ordering_key="leased")
        await self.one.send_many([sample("scheduled")], deliver_at=self.later(100))
        await self.one.send_many([sample("brief"), sample("brief 2")], ttl=90, ordering_key="brief")
        await self.one.send_many([sample("ready"), sample("waiting")], ordering_key="ready")
        await self.one.send_many(
            [sample(level.name, priority=level) for level in MessagePriority]
            + [sample("own", recipient=ONE)]
        )
        await self.one.subscribe(WRITER, "news")

    async def save(self) -> None:
        """Remember what there is."""
        keys: list[bytes] = await self.client.keys()
        self._saved = self.clock.now, {key: await self.client.dump(key) for key in keys}

    async def restore(self) -> None:
        """Return to what was remembered."""
        self.clock.now, values = self._saved
        async with self.client.pipeline(transaction=False) as pipeline:
            pipeline.flushdb()
            for key, value in values.items():
                pipeline.restore(key, 0, value)
            await pipeline.execute()

    async def drain(self) -> tuple[list[str], list[tuple[int, int, int, int]]]:
        """Return what can be received, sooner or later, and what is left then."""
        found: list[str] = []
        await self.one.resume(WRITER)
        for _ in range(8):
            self.clock.advance(200)
            again = await self.one.dead_letters.redrive(WRITER)
            received, _ = await self.one.take(ONE, 100)
            if received:
                await self.one.ack_many([one.token for one in received])
            elif not again:
                break
            found += [one.message.message_id for one in received]
        both = [await self.one.stats(agent) for agent in (WRITER, ONE)]
        left = [(one.waiting, one.scheduled, one.leased, one.held) for one in both]
        return sorted(found), left


Act: TypeAlias = Callable[[World], Awaitable[object]]


async def _send(world: World) -> object:
    levels = [sample(f"n{level.value}", priority=level) for level in MessagePriority]
    return [one.delivered for one in await world.one.send_many(levels)]


async def _send_in_order(world: World) -> object:
    return [
        (await world.one.send_many([sample(f"{key} {n}") for n in range(2)], ordering_key=key))[
            0
        ].delivered
        for key in ("new", "leased")
    ]


async def _schedule(world: World) -> object:
    return (await world.one.send_many([sample("n")], deliver_at=world.later(50)))[0].delivered


async def _empty(world: World) -> None:
    await world.one.purge(WRITER)
    await world.run("take", PARKED[0], 1, PARKED[1], 2, PARKED[1], 0, 1, "*")


async def _hand_over(world: World) -> object:
    return (await world.one.send_many([sample("n1"), sample("n2")]))[0].delivered


async def _receive(world: World) -> None:
    await world.one.receive_many(ONE, 4, ack=[world.tokens["other"], world.tokens["leased"]])


async def _receive_all(world: World) -> None:
    await world.one.receive_many(WRITER, 100)


async def _pass(world: World) -> None:
    world.clock.advance(99)


async def _break(world: World) -> None:
    for level in "951":
        await world.client.lpush(f"{ROOT}:m:*:r{level}", b"\xff\x00")


async def _park(world: World) -> None:
    await world.run("take", "other", 1, 60_000, 2, 60_000, 0, 2, "1", "*")


async def _purge_all(world: World) -> None:
    for agent in (WRITER, ONE):
        await world.one.purge(agent)


async def _once(world: World) -> object:
    with suppress(LeaseLost):
        async with world.one.once("effect"):
            return True
    return False


def _nack(name: str, failure: FailureType) -> Act:
    return lambda world: world.one.nack(WRITER, world.tokens[name], failure, "error")


async def _nothing(world: World) -> None:
    """Leave the world as it is."""


ACTS: dict[str, tuple[Act, Act]] = {
    "send": (_nothing, _send),
    "send to an empty mailbox": (_purge_all, _send),
    "send in order": (_nothing, _send_in_order),
    "schedule": (_nothing, _schedule),
    "hand over": (_empty, _hand_over),
    "receive": (_nothing, _receive),
    "receive all": (_nothing, _receive_all),
    "receive what is due": (_pass, _receive_all),
    "receive what cannot be read": (_break, _receive_all),
    "park": (_purge_all, _park),
    "ack": (_nothing, lambda world: world.one.ack(WRITER, world.tokens["plain"])),
    "ack in order": (_nothing, lambda world: world.one.ack(WRITER, world.tokens["leased"])),
    "ack many": (
        _nothing,
        lambda world: world.one.ack_many(
            [world.tokens[name] for name in ("done", "plain", "leased", "other", "tried")]
        ),
    ),
    "nack": (_nothing, _nack("plain", FailureType.TRANSIENT)),
    "nack in order": (_nothing, _nack("leased", FailureType.TIMEOUT)),
    "nack for good": (_nothing, _nack("leased", FailureType.PERMANENT)),
    "nack the last": (_nothing, _nack("last", FailureType.TRANSIENT)),
    "extend": (_nothing, lambda world: world.one.extend(WRITER, world.tokens["plain"], 90)),
    "give back": (_nothing, lambda world: world.one.give_back(ONE, world.tokens["leased"])),
    "tell of a lost reply": (
        _nothing,
        lambda world: world.run("give_back", 60_000, 1, 2, "1", "*", "x.000"),
    ),
    "cancel scheduled": (_nothing, lambda world: world.one.cancel(WRITER, "scheduled")),
    "cancel in back-off": (_nothing, lambda world: world.one.cancel(WRITER, "tried")),
    "cancel ready": (_nothing, lambda world: world.one.cancel(WRITER, "ready")),
    "cancel held": (_nothing, lambda world: world.one.cancel(WRITER, "held")),
    "withdraw": (
        _nothing,
        lambda world: world.one._store.withdraw(mailbox_of(WRITER), "leased"),  # pyright: ignore[reportPrivateUsage]
    ),
    "reschedule": (
        _nothing,
        lambda world: world.one.reschedule(WRITER, "scheduled", world.later(5)),
    ),
    "redrive": (_nothing, lambda world: world.one.dead_letters.redrive(WRITER)),
    "purge dead letters": (_nothing, lambda world: world.one.dead_letters.purge(WRITER)),
    "purge": (_nothing, lambda world: world.one.purge(WRITER)),
    "pause": (_nothing, lambda world: world.one.pause(WRITER)),
    "resume": (_empty, lambda world: world.one.resume(WRITER)),
    "stats": (_nothing, lambda world: world.one.stats(ONE)),
    "drop": (_nothing, lambda world: world.run("drop", "forgotten")),
    "subscribe": (_nothing, lambda world: world.one.subscribe(WRITER, "news")),
    "guard an effect": (_nothing, _once),
}


@pytest.fixture(params=["fakeredis", "redis"])
async def client(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of a database of its own."""
    made: Any = (
        fakeredis.FakeAsyncRedis() if request.param == "fakeredis" else redis_server.client(db=9)
    )
    yield made
    await made.flushdb()
    await made.aclose()


async def _displace(client: Any, key: str) -> None:
    """Put something foreign under a key, and aside what was there."""
    if await client.exists(key):
        await client.rename(key, f"aside:{key}")
    if ":o:" in key:
        await client.lpush(key, "foreign")
    else:
        await client.set(key, "foreign")


async def _replace(client: Any, key: str) -> None:
    """Undo that."""
    await client.delete(key)
    if await client.exists(f"aside:{key}"):
        await client.rename(f"aside:{key}", key)


@pytest.mark.parametrize("name", ACTS)
async def test_a_foreign_type_under_any_key_loses_nothing(client: Any, name: str) -> None:
    """Whatever is done while it is there; and nothing comes twice."""
    arrange, act = ACTS[name]
    world = World(client)
    await world.build()
    await arrange(world)
    await world.save()
    expected = await act(world), await world.drain()
    assert expected[1][1] == [(0, 0, 0, 0)] * 2
    wrong: list[str] = []
    few = type(client).__module__.startswith("fakeredis")  # so that each line of the scripts is run
    for key in (*(FEW if few else KEYS), *MORE.get(name, ())):
        await world.restore()
        await _displace(client, key)
        try:
            answer = await act(world)
        except Exception as error:
            if not isinstance(error, ForeignKeyError) and "WRONGTYPE" not in str(error):
                raise
            await _replace(client, key)
            answer = await act(world)
        else:
            await _replace(client, key)
        found = answer, await world.drain()
        if found != expected:
            wrong.append(f"{key}: {found}, not {expected}")
    assert not wrong, "\n".join(wrong)
