"""Steps of a workflow on other machines, over every back end."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from tta_agent_coordination import (
    AgentFailed,
    AgentId,
    AgentMessage,
    ConfigurationError,
    InMemoryMessageCoordinator,
    InvalidMessageError,
    RequestTimeout,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.transport import RedisAgentTransport
from tta_agent_coordination.worker import AgentWorker, current_message

Make = Callable[..., StoredMailboxes]
WRITER = AgentId(type="writer", instance="1")


@asynccontextmanager
async def writer(
    coordinator: StoredMailboxes, begun: asyncio.Event | None = None
) -> AsyncGenerator[asyncio.Event]:
    """Run an agent that doubles, fails, or waits; the event tells that it was cancelled."""
    cancelled = asyncio.Event()

    async def handle(message: AgentMessage) -> object:
        payload = message.payload
        if payload.get("wait"):
            if begun is not None:
                begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
        if payload.get("fail"):
            raise ValueError("no such word")
        return {"n": payload["n"] * 2, "headers": dict(current_message().headers)}

    worker = AgentWorker(coordinator, WRITER, handle)
    task = asyncio.create_task(worker.run())
    yield cancelled
    worker.stop()
    await task


async def test_an_agent_answers(make_real: Make) -> None:
    """Asked by its type, or by its name; headers travel with the request."""
    coordinator = make_real()
    transport = RedisAgentTransport(coordinator)
    async with writer(coordinator):
        answer = await transport.request("writer", {"n": 2}, deadline=None, headers={"a": "b"})
        named = await RedisAgentTransport(coordinator).request(WRITER, {"n": 3})

    assert answer == {"n": 4, "headers": {"a": "b"}}
    assert named["n"] == 6


async def test_the_failure_of_an_agent_arrives(make_real: Make) -> None:
    coordinator = make_real()
    async with writer(coordinator):
        with pytest.raises(AgentFailed, match="ValueError: no such word"):
            await RedisAgentTransport(coordinator).request("writer", {"fail": 1})


async def test_a_deadline_ends_the_request_here_and_there(make_real: Make) -> None:
    coordinator = make_real()
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    transport = RedisAgentTransport(coordinator)
    async with writer(coordinator, begun) as cancelled:
        patience = 0.1
        while not begun.is_set():
            with pytest.raises(RequestTimeout):
                await transport.request("writer", {"wait": 1}, deadline=loop.time() + patience)
            patience *= 10  # if it has not begun, the machine has paused for so long
        await asyncio.wait_for(cancelled.wait(), 60)


async def test_cancelling_the_request_cancels_the_work(make_real: Make) -> None:
    coordinator = make_real()
    begun = asyncio.Event()
    async with writer(coordinator, begun) as cancelled:
        asking = asyncio.create_task(
            RedisAgentTransport(coordinator, timeout=1000).request("writer", {"wait": 1})
        )
        await begun.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(cancelled.wait(), 60)

    assert asking.cancelled()


async def test_a_deadline_that_has_passed_asks_nobody(make_real: Make) -> None:
    coordinator = make_real()
    past = asyncio.get_running_loop().time() - 1

    with pytest.raises(RequestTimeout, match="was not asked"):
        await RedisAgentTransport(coordinator).request("writer", {}, deadline=past)

    assert (await coordinator.stats(AgentId(type="writer"))).waiting == 0


async def test_a_payload_that_is_no_json_is_refused_before_sending(make_real: Make) -> None:
    with pytest.raises(InvalidMessageError, match="object"):
        await RedisAgentTransport(make_real()).request("writer", {"x": object()})


async def test_a_step_runs_elsewhere_without_the_core(make_real: Make) -> None:
    """It is a callable of a context, whatever that is, and a payload."""
    coordinator = make_real()
    step = RedisAgentTransport(coordinator).step("writer", timeout=10)
    async with writer(coordinator):
        assert (await step(None, {"n": 5}))["n"] == 10

    assert repr(step) == "RemoteStep(AgentId(type='writer', instance=None), timeout=10)"


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="coordinator must be"):
        RedisAgentTransport(object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for options in ({"sender": "me"}, {"priority": 5}, {"timeout": -1}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            RedisAgentTransport(InMemoryMessageCoordinator(), **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("agent", ["", 3, None])
async def test_an_agent_has_a_type(make_real: Make, agent: str) -> None:
    with pytest.raises(ConfigurationError, match="agent must be a type"):
        RedisAgentTransport(make_real()).step(agent)
