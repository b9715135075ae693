"""What seldom happens to mailboxes, leases and answers, and is done right all the same."""

import asyncio
import sys
import types
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    AgentMessage,
    ConfigurationError,
    CoordinatorConnectionError,
    FailureType,
    InMemoryMessageCoordinator,
    InvalidMessageError,
    LeaseLost,
    MessageMetrics,
    MessageType,
    RedisMessageCoordinator,
    neighbor,
)
from tta_agent_coordination.coordinators.sync import finish
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample
from tta_agent_coordination.worker import AgentWorker
from tta_agent_coordination.worker.health import GRACE, Ear
from tta_agent_coordination.worker.signals import heeding


def request(name: str) -> AgentMessage:
    return sample(name, message_type=MessageType.REQUEST)


async def test_an_answer_that_cannot_be_sent_is_counted() -> None:
    class Away(InMemoryMessageCoordinator):
        """Its store goes away after the request has come."""

    metrics = MessageMetrics()
    coordinator = Away(metrics=metrics)
    asking = asyncio.create_task(coordinator.request(request("q"), timeout=100))
    received = await coordinator.receive(WRITER, wait=100)
    assert received is not None
    store: Any = vars(coordinator)["_store"]
    send = store.send

    async def away(*_: Any) -> str:
        raise CoordinatorConnectionError("away")

    store.send = away
    with pytest.raises(CoordinatorConnectionError):
        await coordinator.reply(received, {})
    store.send = send
    await coordinator.reply(received, {"n": 1})
    assert (await asking).payload == {"n": 1}
    assert metrics.delivered_error == 1


async def test_what_is_no_message_is_refused_when_sent() -> None:
    coordinator = InMemoryMessageCoordinator()
    odd: Any
    for odd in (None, 3, "text"):
        with pytest.raises(InvalidMessageError, match="must be an AgentMessage"):
            await coordinator.send_message(ASKER, WRITER, odd)


async def test_tokens_of_others_are_not_given_back() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("a")])
    received = await coordinator.receive(WRITER)
    assert received is not None
    other = AgentId(type="other")
    assert await coordinator.give_back_many(other, [received.token, "nonsense"]) == 0
    assert await coordinator.give_back_many(WRITER, [received.token, "nonsense"]) == 1


async def test_as_many_dead_letters_as_are_asked_for_are_read() -> None:
    """No more chunks than it takes."""
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample(f"m{n}") for n in range(250)])
    while received := await coordinator.receive_many(WRITER, 100):
        for one in received:
            await coordinator.nack(WRITER, one.token, FailureType.PERMANENT)
    assert len(await coordinator.dead_letters.list(WRITER, limit=100)) == 100
    assert len(await coordinator.dead_letters.list(WRITER, limit=1000)) == 250


async def test_members_that_were_not_seen_for_long_are_forgotten(clock: ManualClock) -> None:
    coordinator = InMemoryMessageCoordinator(clock=clock)
    for name in ("old", "new"):
        await coordinator.receive(AgentId(type="writer", instance=name))
        clock.advance(40 * 86_400)
    # Each announces itself to whoever wants to reach all; the first one has been silent for long.
    results = await coordinator.broadcast(sample("m"), agent_type="writer", seen_within=10**7)
    assert [result.delivered for result in results] == [True]


async def test_timers_do_not_outgrow_what_is_alive(clock: ManualClock) -> None:
    """Those of leases that were settled early stay until their time, up to a measure."""
    coordinator = InMemoryMessageCoordinator(clock=clock, dedupe_window=0)
    waiting = sample("waiting")
    await coordinator.send_message(ASKER, WRITER, waiting)
    held = await coordinator.receive(WRITER, 3600)
    assert held is not None
    for number in range(1100):
        await coordinator.send_message(ASKER, WRITER, sample(f"m{number}"))
        received = await coordinator.receive(WRITER, 3600)
        assert received is not None
        await coordinator.ack(WRITER, received.token)
    store: Any = vars(coordinator)["_store"]
    (state,) = [one for box, one in store._states.items() if box.type == "writer"]
    assert len(state._timers) < 1050
    clock.advance(3601)
    again = await coordinator.receive(WRITER)
    assert again is not None
    assert again.message == waiting


async def test_messages_of_one_id_may_wait_side_by_side(clock: ManualClock) -> None:
    """Where deduplication is off: none takes the place of another."""
    coordinator = InMemoryMessageCoordinator(clock=clock, dedupe_window=0, backoff_jitter=0)
    for _ in range(2):
        await coordinator.send_message(ASKER, WRITER, sample("same"))
        received = await coordinator.receive(WRITER)
        assert received is not None
        await coordinator.nack(WRITER, received.token)
    clock.advance(60)
    assert len(await coordinator.receive_many(WRITER, 10)) == 2


async def test_a_lease_can_be_settled_in_every_way() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("a"), sample("b"), sample("c")])
    async with coordinator.consume(WRITER, prefetch=3) as leases:
        first, second, third = [await anext(leases) for _ in range(3)]
        assert (first.headers, first.attempt, first.lost) == ({}, 1, False)
        await first.extend(60)
        await first.give_back()
        with pytest.raises(LeaseLost, match="settled already"):
            await first.ack()
        async with second:
            await second.ack()  # by hand; the end of the block does nothing more
        # Somebody else has settled the third one meanwhile.
        assert await coordinator.ack(WRITER, third.token)
        with pytest.raises(ZeroDivisionError) as failed:
            async with third:
                raise ZeroDivisionError
        assert "ran out" in str(failed.value.__notes__)


async def test_waiting_for_a_lease_that_is_lost_already_ends_at_once() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample("a")])
    async with coordinator.consume(WRITER) as leases:
        lease = await anext(leases)
        waiting = asyncio.create_task(lease.wait_lost())
        again = asyncio.create_task(lease.wait_lost())
        await asyncio.sleep(0)
        lease.mark_lost()
        await asyncio.gather(waiting, again)
        await lease.wait_lost()
        with pytest.raises(KeyError):
            async with lease:  # lost: there is nothing to settle
                raise KeyError


def test_a_sender_that_would_wait_says_so() -> None:
    """As it must not happen, it must not pass unseen."""
    loop = asyncio.new_event_loop()
    try:

        async def wait() -> None:
            await loop.create_future()

        with pytest.raises(RuntimeError, match="must not wait"):
            finish(wait())
    finally:
        loop.close()


def test_unknown_settings_of_a_client_are_no_limit() -> None:
    class Plain:
        async def execute_command(self, *_: Any, **__: Any) -> None: ...

    RedisMessageCoordinator(Plain())
    with pytest.raises(ConfigurationError, match="pipelines"):
        RedisMessageCoordinator(Plain(), min_replicas=1)


async def test_all_that_an_ear_passes_on_is_heard() -> None:
    coordinator = InMemoryMessageCoordinator()
    await coordinator.send_many([sample(name) for name in "abc"])
    now = 0.0
    ear = Ear(coordinator, lambda: now, lambda: None)
    received, _ = await ear.take(WRITER, 3)
    now = GRACE
    tokens = [one.token for one in received]
    assert await ear.extend(WRITER, tokens[0], 5)
    assert await ear.nack(WRITER, tokens[0])
    assert await ear.ack(WRITER, tokens[1])
    assert await ear.give_back(WRITER, tokens[2])
    assert await ear.give_back_many(WRITER, tokens) == 1
    assert (ear.heard, ear.deaf) == (now, False)


def test_signals_that_nobody_handled_in_python_are_handled_as_usual_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    calls: list[str] = []
    try:
        with heeding(lambda: calls.append("stop"), lambda: calls.append("now")):
            for _ in range(3):
                signal.raise_signal(signal.SIGTERM)
    finally:
        assert signal.getsignal(signal.SIGTERM) is before
    assert calls == ["stop", "now", "now"]


async def test_a_worker_that_was_stopped_in_a_hurry_before_ends_at_once() -> None:
    worker = AgentWorker(InMemoryMessageCoordinator(), WRITER, lambda _: None)
    worker.stop_now()
    await worker.run()
    assert not worker.health().healthy


class TestTheNeighbor:
    @pytest.fixture(autouse=True)
    def forget(self) -> Any:
        """Look for the core anew, before and after."""
        neighbor.classifier.cache_clear()
        yield
        neighbor.classifier.cache_clear()

    def test_where_it_is_absent_types_alone_decide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(_: str) -> None:
            """Find nothing."""

        monkeypatch.setattr(neighbor, "find_spec", absent)
        assert neighbor.classifier() is None
        assert neighbor.lasting(TypeError())
        assert not neighbor.lasting(OSError())

    def test_where_it_is_broken_that_is_said_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(name: str) -> types.ModuleType:
            raise ImportError(f"{name} is broken")

        def present(_: str) -> object:
            return object()

        monkeypatch.setattr(neighbor, "find_spec", present)
        monkeypatch.setattr(neighbor, "import_module", broken)
        with pytest.warns(RuntimeWarning, match="does not work"):
            assert neighbor.classifier() is None
        assert neighbor.classifier() is None

    def test_where_it_was_never_loaded_nothing_limits_a_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "tta_dev_primitives.core.context", raising=False)
        assert neighbor.seconds_left(object()) is None
        assert neighbor.outgoing(object()) == {}
