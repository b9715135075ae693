"""All parts together, on one server: agents that are found, asked, fail, recover, and end."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pydantic import JsonValue

from tta_agent_coordination import (
    AgentFailed,
    AgentId,
    AgentMessage,
    AgentWorker,
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    FailureType,
    MailboxAgentProxy,
    MessageMetrics,
    MessageType,
    RedisAgentRegistry,
    RedisAgentTransport,
    RedisMessageCoordinator,
    RedisSharedState,
    RetryConfig,
    WorkerState,
    retry_with_backoff,
)

ASKER = AgentId(type="input_processor", instance="worker-1")
pytestmark = [
    pytest.mark.parametrize("client", ["fakeredis", "redis", "redis-twice"], indirect=True),
    pytest.mark.usefixtures("patient"),
]


def one_more(count: JsonValue) -> JsonValue:
    """Count."""
    return (count if isinstance(count, int) else 0) + 1


class Machine:
    """What one process would have: its own coordinator and registry on the common server."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.metrics = MessageMetrics()
        self.coordinator = RedisMessageCoordinator(
            client, prefix, metrics=self.metrics, backoff_base=0.001, backoff_jitter=0
        )
        self.registry = RedisAgentRegistry(client, prefix)
        self.state = RedisSharedState(client, prefix)

    @asynccontextmanager
    async def running(self, instance: str, handler: Any, **options: Any) -> AsyncGenerator[Any]:
        """Run a worker as an agent of this machine."""
        agent_id = AgentId(type="world_builder", instance=instance)
        worker = AgentWorker(
            self.coordinator,
            agent_id,
            handler,
            registry=self.registry,
            **options,
        )
        async with self.registry:
            task = asyncio.create_task(worker.run())
            while worker.health().state is not WorkerState.READY:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
            while await self.registry.get(agent_id) is None:  # noqa: ASYNC110 - on the server
                await asyncio.sleep(0.001)
            try:
                yield worker
            finally:
                worker.stop()
                await task


@pytest.fixture
def prefix() -> str:
    return f"test:{uuid.uuid4().hex}"


async def test_agents_are_found_by_what_they_can_do_and_share_the_work(
    client: Any, prefix: str
) -> None:
    """Each of two machines answers some of the requests; when they have ended, nobody is left."""
    here, east, west = (Machine(client, prefix) for _ in range(3))

    def builder(place: str) -> Any:
        async def build(message: AgentMessage) -> dict[str, Any]:
            await east.state.update("built", one_more)
            return {"place": place, "of": message.payload["n"]}

        return build

    async with AsyncExitStack() as machines:
        for machine, place in ((east, "east"), (west, "west")):
            await machines.enter_async_context(
                machine.running(place, builder(place), capabilities=["worlds"])
            )
        proxy = MailboxAgentProxy(
            here.coordinator, here.registry, sender=ASKER, capability="worlds"
        )
        answers = [await proxy.process({"n": n}) for n in range(6)]

    assert [answer["of"] for answer in answers] == list(range(6))
    assert {answer["place"] for answer in answers} == {"east", "west"}
    built = await here.state.get("built")
    assert built is not None
    assert built.value == 6
    assert await here.registry.agents() == []


async def test_what_fails_is_tried_again_and_what_cannot_work_is_a_dead_letter(
    client: Any, prefix: str
) -> None:
    """It can be looked at, and sent again when the fault is mended."""
    machine = Machine(client, prefix)
    done: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    mended = False
    tries: dict[str, int] = {}

    async def work(message: AgentMessage) -> None:
        name = message.message_id
        tries[name] = tries.get(name, 0) + 1
        if name == "shaky" and tries[name] < 3:
            raise ConnectionError("shaky")
        if name == "wrong" and not mended:
            raise TypeError("wrong")
        done.put_nowait((name, tries[name]))

    recipient = AgentId(type="world_builder", instance="1")
    async with machine.running("1", work, concurrency=2):
        for name in ("shaky", "wrong", "good"):
            message = AgentMessage(
                message_id=name,
                sender=ASKER,
                recipient=recipient,
                message_type=MessageType.EVENT,
                payload={},
            )
            assert (await machine.coordinator.send_message(ASKER, recipient, message)).delivered
        assert {await done.get(), await done.get()} == {("shaky", 3), ("good", 1)}
        async with asyncio.timeout(60):
            while not (letters := await machine.coordinator.dead_letters.list(recipient)):  # noqa: ASYNC110 - on the server
                await asyncio.sleep(0.001)
        (letter,) = letters
        assert (letter.failure, letter.attempts) == (FailureType.PERMANENT, 1)
        mended = True
        assert await machine.coordinator.dead_letters.redrive(recipient) == 1
        assert await done.get() == ("wrong", 2)

    stats = await machine.coordinator.stats(recipient)
    assert (stats.waiting, stats.leased, stats.scheduled, stats.dead) == (0, 0, 0, 0)


async def test_a_breaker_keeps_all_from_an_agent_that_fails(client: Any, prefix: str) -> None:
    """Opened by the requests of one process, it holds for another; retries give up at once."""
    machine = Machine(client, prefix)
    config = CircuitBreakerConfig(failure_threshold=2)
    mine, theirs = (
        CircuitBreaker(client, "builder", config, prefix, store_timeout=60) for _ in range(2)
    )
    transport = RedisAgentTransport(machine.coordinator, timeout=60)
    calls = 0

    async def fail(_: AgentMessage) -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("no bricks")

    async with machine.running("1", fail):
        for _ in range(2):
            with pytest.raises(AgentFailed, match="no bricks"):
                await mine.call(transport.request, "world_builder", {})
        with pytest.raises(CircuitBreakerOpenError):
            await retry_with_backoff(
                lambda: theirs.call(transport.request, "world_builder", {}),
                RetryConfig(base_delay=0),
            )
    assert calls == 2
    assert (await theirs.get_state()).state == "open"
