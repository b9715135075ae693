"""Another agent as if it were here: who is asked, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentDescription,
    AgentId,
    AgentNotFound,
    ConfigurationError,
    InMemoryAgentRegistry,
    InMemoryMessageCoordinator,
    InvalidAgentError,
    InvalidMessageError,
    MailboxAgentProxy,
    MessageType,
    RequestTimeout,
)
from tta_agent_coordination.testing import ASKER, ManualClock

Make = Callable[..., Any]
ONE = AgentId(type="poet", instance="1")
TWO = AgentId(type="poet", instance="2")


@pytest.fixture
def registry(clock: ManualClock) -> InMemoryAgentRegistry:
    made = InMemoryAgentRegistry(clock=clock)
    for agent_id in (ONE, TWO):
        made.register(AgentDescription(agent_id, ["poems", agent_id.instance or ""]))
    return made


@pytest.fixture
async def coordinator(make_real: Make) -> AsyncIterator[Any]:
    """A coordinator, with two poets at work."""
    made = make_real()

    async def work(agent_id: AgentId) -> None:
        while True:
            received = await made.receive(agent_id, 600, wait=1000)
            if received is not None:
                about = received.message.payload["about"]
                await made.reply(received, {"by": agent_id.instance, "about": about})
                await made.ack(agent_id, received.token)

    workers = [asyncio.create_task(work(agent_id)) for agent_id in (ONE, TWO)]
    yield made
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    await registry_done()


async def registry_done() -> None:
    """Let what the workers gave back arrive."""
    await asyncio.sleep(0)


async def test_an_agent_answers_by_name(coordinator: Any, registry: InMemoryAgentRegistry) -> None:
    proxy = MailboxAgentProxy(coordinator, registry, sender=ASKER, agent_id=TWO)

    assert await proxy.process({"about": "rain"}) == {"by": "2", "about": "rain"}


async def test_those_who_can_do_it_take_turns(
    coordinator: Any, registry: InMemoryAgentRegistry
) -> None:
    proxy = MailboxAgentProxy(coordinator, registry, sender=ASKER, capability="poems")

    answers = [await proxy.process({"about": n}) for n in range(4)]

    assert sorted(answer["by"] for answer in answers) == ["1", "1", "2", "2"]


async def test_an_event_can_be_sent_without_waiting(
    make_real: Make, registry: InMemoryAgentRegistry
) -> None:
    made = make_real()
    proxy = MailboxAgentProxy(made, registry, sender=ASKER, capability="1")

    result = await proxy.send({"about": "snow"})

    received = await made.receive(ONE)
    assert result.delivered
    assert received is not None
    assert received.message.message_type is MessageType.EVENT
    assert received.message.payload == {"about": "snow"}


async def test_nobody_alive_is_an_error_before_anything_is_sent(
    make_real: Make, registry: InMemoryAgentRegistry, clock: ManualClock
) -> None:
    made = make_real()
    await registry.flush()

    with pytest.raises(AgentNotFound, match="'essays'"):
        await MailboxAgentProxy(made, registry, sender=ASKER, capability="essays").process({})
    other = AgentId(type="poet", instance="3")
    with pytest.raises(AgentNotFound, match="'poet/3' is not registered"):
        await MailboxAgentProxy(made, registry, sender=ASKER, agent_id=other).process({})
    for _ in range(4):
        clock.advance(10)
        await InMemoryAgentRegistry(shared=registry).heartbeat()
    with pytest.raises(AgentNotFound, match="'poet/1' is silent"):
        await MailboxAgentProxy(made, registry, sender=ASKER, agent_id=ONE).send({})
    with pytest.raises(AgentNotFound, match="'poems'"):
        await MailboxAgentProxy(made, registry, sender=ASKER, capability="poems").choose()
    assert (await made.stats(ONE)).waiting == 0


async def test_no_answer_in_time_is_an_error(
    make_real: Make, registry: InMemoryAgentRegistry
) -> None:
    proxy = MailboxAgentProxy(make_real(), registry, sender=ASKER, agent_id=ONE, timeout=0.02)

    with pytest.raises(RequestTimeout):
        await proxy.process({"about": "rain"})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, ConfigurationError),
        ({"agent_id": ONE, "capability": "poems"}, ConfigurationError),
        ({"agent_id": AgentId(type="poet")}, InvalidAgentError),
        ({"capability": ""}, InvalidAgentError),
        ({"agent_id": ONE, "timeout": 0}, ConfigurationError),
        ({"agent_id": ONE, "sender": "me"}, ConfigurationError),
    ],
)
def test_options_that_cannot_work_are_refused(options: Any, error: type[Exception]) -> None:
    coordinator: Any = None
    usual: dict[str, Any] = {"sender": ASKER}

    with pytest.raises(error):
        MailboxAgentProxy(coordinator, InMemoryAgentRegistry(), **{**usual, **options})


@pytest.mark.parametrize(
    "payload", [{"a": object()}, None, [1], {1: 2}], ids=["object", "None", "list", "number"]
)
async def test_what_is_no_payload_is_an_invalid_message(payload: Any) -> None:
    registry = InMemoryAgentRegistry()
    registry.register(AgentDescription(ONE))
    proxy = MailboxAgentProxy(InMemoryMessageCoordinator(), registry, sender=ASKER, agent_id=ONE)
    with pytest.raises(InvalidMessageError, match="payload"):
        await proxy.process(payload)


def test_a_priority_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="priority"):
        MailboxAgentProxy(
            InMemoryMessageCoordinator(),
            InMemoryAgentRegistry(),
            sender=ASKER,
            capability="poems",
            priority=5,  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        )
