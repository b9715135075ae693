"""Copies of calls that reach a server late, on connections that their client has left.

A client that has waited too long sends a call once more. When the server comes to itself, it finds
both copies, and runs the first one perhaps last: after the client has worked with the answer to the
second. Nothing may be lost by that, and nothing be reserved for nobody.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from redis.exceptions import ConnectionError as RedisConnectionError

from tta_agent_coordination import (
    AgentId,
    CoordinatorConnectionError,
    ReceivedMessage,
    RedisMessageCoordinator,
)
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.coordinators.redis_store import SCRIPTS
from tta_agent_coordination.testing import WRITER, ManualClock, RedisServer, sample

ONE = AgentId(type="writer", instance="1")
TAKE = SCRIPTS["take"].digest
ALL = {script.digest for script in SCRIPTS.values()}
AGENTS = pytest.mark.parametrize("agent", [WRITER, ONE])

pytestmark = pytest.mark.usefixtures("unhurried")


class Copying:
    """A client that lets copies of its calls arrive late, and the test end each pop that blocks."""

    def __init__(self, client: Any, clock: ManualClock) -> None:
        self._client = client
        self._clock = clock
        self.connection_pool = client.connection_pool
        self.copy: Callable[[tuple[Any, ...]], Awaitable[None]] = client.copy
        self.copy_one: Callable[..., Awaitable[None]] = client.copy_one
        self.pops: list[tuple[Any, asyncio.Future[str]]] = []
        self.popping = asyncio.Event()
        self._between: Callable[[], Awaitable[None]] | None = None

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and keep it."""
        if args[0] == "BLPOP":
            return await self._pop(args[1], options)
        if self._between is not None:
            between, self._between = self._between, None
            await self.copy(args)
            await between()
            args = (*args[:4], self._clock.milliseconds(), *args[5:])
        return await self._client.execute_command(*args, **options)

    def copy_next(self, between: Callable[[], Awaitable[None]]) -> None:
        """Send the next call twice; the first reply is lost, and then something happens."""
        self._between = between

    async def _pop(self, key: Any, options: Any) -> Any:
        ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        place = (key, ending)
        self.pops.append(place)
        self.popping.set()
        try:
            how = await ending
        finally:
            self.pops.remove(place)
        if how == "look":
            return [key, b""]
        item = await self._client.execute_command("LPOP", key, **options)
        if how == "lost":
            raise RedisConnectionError("lost")
        return None if item is None else [key, item]

    async def parked(self) -> None:
        """Wait until somebody waits for a message."""
        while not self.pops:
            self.popping.clear()
            await self.popping.wait()

    def end_pop(self, how: str, number: int = 0) -> None:
        """Let a pop end: with an `item`, if there is one; `lost`, with its connection; or `look`.

        The latter is what a receiver does whose time to look again has come.
        """
        self.pops[number][1].set_result(how)

    def take(self) -> tuple[Any, ...]:
        """Return the latest call of that script."""
        calls: list[tuple[float, tuple[Any, ...]]] = self._client.calls
        return next(call for _, call in reversed(calls) if call[1] == TAKE)


@pytest.fixture(params=["fakeredis", "redis"])
async def client(
    request: pytest.FixtureRequest,
    clock: ManualClock,
    servers: Callable[[str], RedisServer],
    resending: Callable[[Any, ManualClock], Any],
) -> AsyncIterator[Copying]:
    """A client whose calls may arrive twice."""
    if request.param == "fakeredis":
        made = import_module("fakeredis").FakeAsyncRedis()
    else:
        made = servers("redis-server").client()
    async with made:
        yield Copying(resending(made, clock), clock)


@pytest.fixture
async def queue(client: Copying, clock: ManualClock) -> RedisMessageCoordinator:
    """A coordinator whose scripts the server knows."""
    made = RedisMessageCoordinator(
        client, f"test:{uuid.uuid4().hex}", _clock=clock.milliseconds, backoff_jitter=0
    )
    for agent in (WRITER, ONE):
        await made.receive(agent)
        await made.give_back(agent, "writer:*:none.000")
    return made


def name(received: ReceivedMessage | None) -> str | None:
    """Return which message it is."""
    return None if received is None else received.message.message_id


async def received(queue: RedisMessageCoordinator, agent: AgentId) -> ReceivedMessage:
    """Receive a message, which must be there."""
    found = await queue.receive(agent, 3)
    assert found is not None
    return found


async def settle(how: str, queue: RedisMessageCoordinator, clock: ManualClock, token: str) -> None:
    """Let a delivery end."""
    match how:
        case "acknowledged":
            assert await queue.ack(ONE, token)
        case "failed":
            assert await queue.nack(ONE, token)
        case "given back":
            assert await queue.give_back(ONE, token)
        case "withdrawn":
            assert await queue._store.withdraw(mailbox_of(WRITER), "m1")  # pyright: ignore[reportPrivateUsage]
        case _:
            clock.advance(4)
            assert name(await queue.receive(WRITER, 60)) == "m1"


@AGENTS
@pytest.mark.parametrize("how", ["acknowledged", "failed", "given back", "withdrawn", "run out"])
async def test_a_late_copy_of_a_receive_reserves_nothing_once_its_delivery_is_settled(
    queue: RedisMessageCoordinator, client: Copying, clock: ManualClock, agent: AgentId, how: str
) -> None:
    """Its token would name a message that its holder has never seen, and may acknowledge."""
    await queue.send_many([sample("m1")])
    first = await received(queue, agent)
    take = client.take()
    await settle(how, queue, clock, first.token)
    await queue.send_many([sample("m2")])
    before = (await queue.stats(WRITER)).leased

    await client.copy(take)

    assert (await queue.stats(WRITER)).leased == before
    assert await queue.ack(ONE, first.token) is (how == "acknowledged")
    ready = [name(one) for one in await queue.receive_many(ONE, 5)]
    assert ready == (["m1", "m2"] if how == "given back" else ["m2"])


@AGENTS
async def test_a_late_copy_of_a_receive_that_was_cancelled_reserves_nothing(
    queue: RedisMessageCoordinator, client: Copying, agent: AgentId
) -> None:
    receiver = asyncio.create_task(queue.receive(agent, 60, wait=60))
    await client.parked()
    take = client.take()
    receiver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiver

    await client.copy(take)
    await queue.send_many([sample("m1")])
    await client.copy(take)

    assert name(await queue.receive(WRITER)) == "m1"


@AGENTS
async def test_a_late_copy_of_a_receive_that_has_waited_in_vain_waits_no_more(
    queue: RedisMessageCoordinator, client: Copying, agent: AgentId
) -> None:
    """A sender would hand its message to nobody."""
    patience = 0.05
    while True:
        receiver = asyncio.create_task(queue.receive(agent, 60, wait=patience))
        parked = asyncio.ensure_future(client.parked())
        await asyncio.wait([receiver, parked], return_when=asyncio.FIRST_COMPLETED)
        if parked.done():
            break
        parked.cancel()
        patience *= 10  # the machine has paused for so long
    take = client.take()
    await asyncio.sleep(patience + 0.01)
    client.end_pop("look")
    assert await receiver is None

    await client.copy(take)
    await queue.send_many([sample("m1")])

    assert name(await queue.receive(WRITER)) == "m1"


@AGENTS
async def test_who_was_handed_a_message_is_not_parked_again_by_a_late_copy(
    queue: RedisMessageCoordinator, client: Copying, agent: AgentId
) -> None:
    """The next message would come under the token of the first, and be acknowledged with it."""
    receiver = asyncio.create_task(queue.receive(agent, 60, wait=60))
    await client.parked()
    take = client.take()
    await queue.send_many([sample("m1")])
    client.end_pop("item")
    first = await receiver
    assert first is not None
    await client.copy(take)
    assert await queue.ack(agent, first.token)

    await client.copy(take)
    assert (await queue.stats(WRITER)).receivers == 0
    await queue.send_many([sample("m2")])
    await queue.ack(agent, first.token)

    assert name(await queue.receive(WRITER)) == "m2"


@AGENTS
async def test_who_is_served_by_the_second_copy_is_not_parked_by_the_first(
    queue: RedisMessageCoordinator, client: Copying, agent: AgentId
) -> None:
    """The first found nothing; before the second came, a message did, of which others were told."""
    await queue.send_many([sample("m1")])
    other = await received(queue, WRITER)
    longer = asyncio.create_task(queue.receive(WRITER, 60, wait=60))
    await client.parked()

    async def between() -> None:
        await queue.give_back(WRITER, other.token)

    client.copy_next(between)
    found = await queue.receive(agent, 60, wait=60)
    assert name(found) == "m1"
    assert found is not None
    assert await queue.receive(agent) is None
    await queue.send_many([sample("m2")])
    assert await queue.ack(agent, found.token)

    client.end_pop("look")
    assert name(await longer) == "m2"


@AGENTS
@pytest.mark.parametrize("away", [4, 110])
async def test_a_message_that_lay_in_an_inbox_past_its_lease_is_not_taken_for_another(
    queue: RedisMessageCoordinator, client: Copying, clock: ManualClock, agent: AgentId, away: float
) -> None:
    """Whoever was frozen looks again, and acknowledges only what it has seen."""
    receiver = asyncio.create_task(queue.receive(agent, 3, wait=1000))
    await client.parked()
    await queue.send_many([sample("m1")])
    clock.advance(away)
    taken = await received(queue, WRITER)
    assert name(taken) == "m1"
    client.popping.clear()
    client.end_pop("look")
    await client.popping.wait()
    client.popping.clear()
    client.end_pop("item")
    await client.popping.wait()

    await queue.send_many([sample("m2")])
    client.end_pop("item")

    found = await receiver
    assert name(found) == "m2"
    assert found is not None
    assert await queue.ack(agent, found.token)
    assert await queue.ack(WRITER, taken.token)
    stats = await queue.stats(WRITER)
    assert (stats.leased, sum(stats.ready.values())) == (0, 0)


@AGENTS
async def test_a_repeated_receive_whose_first_lease_ran_out_is_served_as_a_new_one(
    queue: RedisMessageCoordinator, client: Copying, clock: ManualClock, agent: AgentId
) -> None:
    """The reply to the first copy was lost, and the server stood still for longer than a lease."""
    await queue.send_many([sample("m1"), sample("m2")])
    done = await received(queue, WRITER)

    async def between() -> None:
        clock.advance(4)
        assert name(await queue.receive(WRITER, 60)) == "m2"
        await queue.send_many([sample("m3")])

    client.copy_next(between)
    found, acked = await queue.take(agent, 1, 3, ack=[done.token])

    assert acked == [True]
    assert [name(one) for one in found] == ["m3"]
    assert await queue.ack(agent, found[0].token)
    assert (await queue.stats(WRITER)).leased == 1


class Late(RuleBasedStateMachine):
    """Workers, and copies of their calls that arrive at any time: no message is lost.

    A worker acknowledges what it holds, and nothing else. At the end, each message was acknowledged
    by somebody who had it, or is still to be had.
    """

    @staticmethod
    def connect(clock: ManualClock) -> Any:
        """Return a client that resends; each machine has its own."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.sent: set[str] = set()
        self.done: set[str] = set()
        self.held: list[ReceivedMessage] = []
        self.waiting: list[asyncio.Task[list[ReceivedMessage]]] = []
        self.client = self.run(self.connected())
        self.queue = RedisMessageCoordinator(
            self.client,
            f"test:{uuid.uuid4().hex}",
            max_attempts=1000,
            backoff_jitter=0,
            _clock=self.clock.milliseconds,
        )

    async def connected(self) -> Copying:
        return Copying(type(self).connect(self.clock), self.clock)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def act(self, work: Any) -> Any:
        """Do something, then let those who wait get as far as they can."""
        return self.run(self.acted(work))

    async def acted(self, work: Any) -> Any:
        result = await work
        while sum(not task.done() for task in self.waiting) > len(self.client.pops):
            self.client.popping.clear()
            await asyncio.wait(
                [*self.waiting, popping := asyncio.ensure_future(self.client.popping.wait())],
                return_when=asyncio.FIRST_COMPLETED,
                timeout=0.05,
            )
            popping.cancel()
        for task in [task for task in self.waiting if task.done()]:
            self.waiting.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held += task.result()
            elif not task.cancelled():
                assert isinstance(task.exception(), CoordinatorConnectionError)
        return result

    @rule(count=st.integers(1, 4), to=st.sampled_from([WRITER, WRITER, ONE]))
    def send(self, count: int, to: AgentId) -> None:
        names = [f"m{len(self.sent) + n}" for n in range(count)]
        self.sent.update(names)
        self.act(self.queue.send_many([sample(one, recipient=to) for one in names]))

    @rule(agent=st.sampled_from([WRITER, ONE]), count=st.integers(1, 3))
    def receive(self, agent: AgentId, count: int) -> None:
        self.held += self.act(self.queue.receive_many(agent, count, 3))

    @rule(agent=st.sampled_from([WRITER, ONE]), count=st.integers(1, 3))
    def wait(self, agent: AgentId, count: int) -> None:
        if len(self.waiting) < 3:
            self.act(self.begin(agent, count))

    async def begin(self, agent: AgentId, count: int) -> None:
        receiving = self.queue.receive_many(agent, count, 3, wait=10_000)
        self.waiting.append(asyncio.create_task(receiving))

    @rule(number=st.integers(0, 2), how=st.sampled_from(["item", "item", "look", "lost"]))
    def end_pop(self, number: int, how: str) -> None:
        if self.client.pops:
            self.act(self.ended(number % len(self.client.pops), how))

    async def ended(self, number: int, how: str) -> None:
        self.client.end_pop(how, number)
        await asyncio.sleep(0)

    @rule(number=st.integers(0, 2))
    def cancel(self, number: int) -> None:
        if self.waiting:
            self.act(self.cancelled(self.waiting[number % len(self.waiting)]))

    async def cancelled(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        await asyncio.wait([task])

    @rule(number=st.integers(0, 20), how=st.sampled_from(["ack", "ack", "nack", "give back"]))
    def settle(self, number: int, how: str) -> None:
        if not self.held:
            return
        one = self.held.pop(number % len(self.held))
        if how == "ack":
            if self.act(self.queue.ack(ONE, one.token)):
                self.done.add(one.message.message_id)
        elif how == "nack":
            self.act(self.queue.nack(ONE, one.token))
        else:
            self.act(self.queue.give_back(ONE, one.token))

    @rule(seconds=st.sampled_from([0.01, 1, 4, 4, 31]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(number=st.integers(0, 8))
    def copy(self, number: int) -> None:
        """A call of the last minute arrives once more."""
        self.act(self.client.copy_one(number, ALL))

    @rule(number=st.integers(0, 4))
    def copy_take(self, number: int) -> None:
        """One that has asked for messages."""
        self.act(self.client.copy_one(number, {TAKE}))

    async def left(self) -> set[str]:
        """Return what can still be received."""
        for task in self.waiting:
            task.cancel()
        if self.waiting:
            await asyncio.wait(self.waiting)
        found: set[str] = set()
        for _ in range(3):
            self.clock.advance(600)
            for agent in (WRITER, ONE):
                for _ in range(10):
                    received = await self.queue.receive_many(agent, 100, 1e6)
                    found |= {one.message.message_id for one in received}
        return found

    def teardown(self) -> None:
        left = self.run(self.left())
        self.run(self.client.aclose())
        self.runner.close()
        assert self.sent <= self.done | left


def check(connect: Callable[[ManualClock], Any], examples: int) -> None:
    """Run the machine on clients that `connect` makes."""
    machine: type[Late] = type("Machine", (Late,), {"connect": staticmethod(connect)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40)
    )


@pytest.mark.slow
def test_nothing_is_lost_by_late_copies(resending: Callable[[Any, ManualClock], Any]) -> None:
    """On fakeredis."""
    made = import_module("fakeredis").FakeAsyncRedis
    check(lambda clock: resending(made(), clock), 25)


def test_nothing_is_lost_by_late_copies_on_a_real_server(
    redis_server: RedisServer, resending: Callable[[Any, ManualClock], Any]
) -> None:
    check(lambda clock: resending(redis_server.client(), clock), 50)
