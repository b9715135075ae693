"""What a call that is cancelled, or fails, leaves behind: nothing that others would wait for.

Over plain state, of which one operation at a time is made to hang, or to fail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentId,
    CoordinatorConnectionError,
    InMemoryMessageCoordinator,
    LeaseLost,
    MessageType,
    tasks,
)
from tta_agent_coordination.coordinators.names import mailbox_of
from tta_agent_coordination.messaging import Lease
from tta_agent_coordination.testing import WRITER, sample

Call = Callable[..., Awaitable[Any]]


class Store:
    """Replaces operations of a store, the first so many times that they are called."""

    def __init__(self, coordinator: InMemoryMessageCoordinator) -> None:
        self._store: Any = vars(coordinator)["_store"]
        self.reached = asyncio.Event()

    def replace(self, name: str, with_: Call, times: int = 1) -> None:
        """Let an operation be another one for some calls."""
        original: Call = getattr(self._store, name)
        left = times
        self.reached.clear()

        async def replaced(*args: Any, **options: Any) -> Any:
            nonlocal left
            if not left:
                return await original(*args, **options)
            left -= 1
            self.reached.set()
            return await with_(original, *args, **options)

        setattr(self._store, name, replaced)

    def damage(self, message_id: str) -> None:
        """Let a message that is ready be unreadable."""
        entries: Any = self._store._states[mailbox_of(WRITER)]._ready._levels[5]
        for entry in entries:
            if entry.message_id == message_id:
                entry.body = b"\n{}"

    def silent(self, name: str, *, after: bool = False, times: int = 1) -> None:
        """Let an operation never answer, though it may have been done."""

        async def hang(original: Call, *args: Any, **options: Any) -> None:
            if after:
                await original(*args, **options)
            await asyncio.Event().wait()

        self.replace(name, hang, times)

    def away(self, name: str, *, after: bool = False, times: int = 1) -> None:
        """Let an operation fail, though it may have been done."""

        async def fail(original: Call, *args: Any, **options: Any) -> None:
            if after:
                await original(*args, **options)
            raise CoordinatorConnectionError("away")

        self.replace(name, fail, times)


@pytest.fixture
def coordinator() -> InMemoryMessageCoordinator:
    """One in memory."""
    return InMemoryMessageCoordinator(backoff_jitter=0)


@pytest.fixture
async def store(coordinator: InMemoryMessageCoordinator) -> Store:
    """What keeps its mailboxes."""
    return Store(coordinator)


async def leased(coordinator: InMemoryMessageCoordinator) -> Lease:
    """Receive a message."""
    await coordinator.send_many([sample("m1")])
    received = await coordinator.receive(WRITER, 60)
    assert received is not None
    return Lease(coordinator, WRITER, received)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only shortly for what never comes; how short it is, is no matter of this machine."""
    assert 2 * tasks.PARTING < 0.5
    monkeypatch.setattr(tasks, "PARTING", 0.02)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and see that it ends so, though something never answers."""
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


@pytest.mark.parametrize("how", ["silent", "away"])
async def test_a_cancelled_block_ends_soon_and_as_cancelled(
    coordinator: InMemoryMessageCoordinator, store: Store, how: str
) -> None:
    """Though its message cannot be given back."""
    lease = await leased(coordinator)
    getattr(store, how)("give_back")

    async def work() -> None:
        async with lease:
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)

    await cancelled(task)


async def test_a_failed_block_raises_its_own_error(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    """Though the failure cannot be told; that is noted."""
    lease = await leased(coordinator)
    store.away("nack")

    with pytest.raises(ZeroDivisionError) as failed:
        async with lease:
            raise ZeroDivisionError

    assert failed.value.__notes__ == ["besides, this could not be told: away"]


async def test_giving_back_can_be_repeated(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    lease = await leased(coordinator)
    store.away("give_back")
    with pytest.raises(CoordinatorConnectionError):
        await lease.give_back()

    await lease.give_back()

    assert (await coordinator.stats(WRITER)).waiting == 1


@pytest.mark.parametrize("how", ["silent", "away"])
async def test_what_can_be_read_is_given_back_when_what_cannot_holds_it_up(
    coordinator: InMemoryMessageCoordinator, store: Store, how: str
) -> None:
    """A damaged message is between others, and cannot be put aside."""
    await coordinator.send_many([sample("a"), sample("b"), sample("c")])
    store.damage("b")
    getattr(store, how)("nack")

    task = asyncio.create_task(coordinator.receive_many(WRITER, 3, 60))
    await store.reached.wait()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, CoordinatorConnectionError)):
        await task

    received = await coordinator.receive_many(WRITER, 3)
    assert [(one.message.message_id, one.attempt) for one in received] == [("a", 1), ("c", 1)]


async def test_a_claim_that_nobody_heard_of_keeps_nobody_out(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    """Whether the caller was cancelled, or the connection broke."""

    async def enter() -> bool:
        async with coordinator.once("effect") as first:
            return first

    store.silent("claim", after=True)
    task = asyncio.create_task(enter())
    await store.reached.wait()
    await cancelled(task)
    store.away("claim", after=True)
    with pytest.raises(CoordinatorConnectionError):
        await enter()

    assert await enter()


async def test_an_effect_that_has_happened_is_known_though_the_caller_was_cancelled(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    happened = 0

    async def act() -> None:
        nonlocal happened
        async with coordinator.once("effect") as first:
            happened += first

    store.silent("conclude")
    task = asyncio.create_task(act())
    await store.reached.wait()
    await cancelled(task)
    await act()

    assert happened == 1


async def test_an_effect_that_is_under_way_keeps_others_out(
    coordinator: InMemoryMessageCoordinator,
) -> None:
    async with coordinator.once("effect"):
        with pytest.raises(LeaseLost, match="under way"):
            async with coordinator.once("effect"):
                pass


@pytest.mark.parametrize("how", ["silent", "away"])
async def test_an_answer_is_not_held_up_by_what_is_cleared_away(
    coordinator: InMemoryMessageCoordinator, store: Store, how: str
) -> None:
    getattr(store, how)("drop")
    question = sample("q", message_type=MessageType.REQUEST)
    asking = asyncio.create_task(coordinator.request(question, timeout=1000))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    await coordinator.reply(received, {"n": 1})

    assert (await asyncio.wait_for(asking, 60)).payload == {"n": 1}


async def test_a_cancelled_requester_ends_soon_though_nothing_answers(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    store.silent("withdraw")
    question = sample("q", message_type=MessageType.REQUEST)
    asking = asyncio.create_task(coordinator.request(question, timeout=1000))
    assert await coordinator.receive(WRITER, 600, wait=100) is not None

    await cancelled(asking)


async def test_a_cancelled_sender_can_send_again(
    coordinator: InMemoryMessageCoordinator, store: Store
) -> None:
    """Whether the message was sent or not."""
    for after in (True, False):
        name = f"m{after}"
        store.silent("send", after=after)
        task = asyncio.create_task(coordinator.send_many([sample(name)]))
        await store.reached.wait()
        await cancelled(task)
        (result,) = await coordinator.send_many([sample(name)])
        assert result.delivered
    received = await coordinator.receive_many(AgentId(type="writer"), 9)

    assert [one.message.message_id for one in received] == ["mTrue", "mFalse"]
