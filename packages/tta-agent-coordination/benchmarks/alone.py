"""The goals that are measured without peers: depth, memory, latency, fencing, fairness."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from tta_agent_coordination import MessagePriority, RedisMessageCoordinator

from .measure import Goal, figure, ratio
from .peers.ours import SENDER, SHARED, message
from .peers.raw import BODY, GROUP, KEY

if TYPE_CHECKING:
    from .measure import Effort, Meter

__all__ = ("depth", "fairness", "fencing", "latency", "memory")

SHALLOW = 1000
SMALL = "x" * 40


class _Steps:
    """A send, a take and an ack, many times each."""

    def __init__(self, queue: RedisMessageCoordinator) -> None:
        self._queue = queue
        self._tokens: list[str] = []

    async def send(self, count: int) -> None:
        """Send."""
        for _ in range(count):
            await self._queue.send_message(SENDER, SHARED, message(SMALL))

    async def take(self, count: int) -> None:
        """Receive, one after the other."""
        for _ in range(count):
            received = await self._queue.receive(SHARED, 600)
            assert received is not None  # noqa: S101 - else it would be timing something else
            self._tokens.append(received.token)

    async def ack(self, count: int) -> None:
        """Acknowledge what was taken."""
        for token in self._tokens[:count]:
            await self._queue.ack(SHARED, token)


async def depth(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G7: what send, take and ack cost the server when the queue is long, to when it is short.

    Two mailboxes of one server, in turn, so that both see the same machine; with small messages,
    so that a million of them fit.
    """
    meter.empty()
    async with Redis(port=port) as client:
        queues = {
            count: RedisMessageCoordinator(client, f"d{count}", max_length=None, dedupe_window=0)
            for count in (SHALLOW, effort.deep)
        }
        for count, queue in queues.items():
            for start in range(0, count, 500):
                await queue.send_many([message(SMALL) for _ in range(min(500, count - start))])
        costs: dict[str, dict[int, list[float]]] = {
            phase: {count: [] for count in queues} for phase in ("send", "take", "ack")
        }
        many = min(500, effort.messages)
        for _ in range(effort.rounds * 2 + 1):
            for count, queue in queues.items():
                steps = _Steps(queue)
                for phase, found in costs.items():
                    work = getattr(steps, phase)
                    found[count].append((await meter.block(work, many)).server)
    meter.empty()
    return [
        Goal(
            key=f"G7.{phase}",
            title=f"{phase} with {effort.deep:,} messages in the queue: server CPU, to {SHALLOW:,}",
            sense="at most",
            budget=1.1,
            unit="x",
            found=ratio(found[effort.deep][1:], found[SHALLOW][1:]),
        )
        for phase, found in costs.items()
    ]


async def memory(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G8: bytes per queued message of 1 KB, and what is left when the queue is drained."""
    goals: list[Goal] = []
    async with Redis(port=port) as client:
        for key, title, budget, window in (
            ("G8.plain", "no dedupe", 1.16, 0),
            ("G8.dedupe", "dedupe", 1.32, 120),
        ):
            meter.empty()
            queue = RedisMessageCoordinator(client, "memory", dedupe_window=window)
            await queue.send_message(SENDER, SHARED, message())
            size = len(message().to_bytes())
            before, count = meter.memory(), effort.messages * 5
            for _ in range(count // 100):
                await queue.send_many([message() for _ in range(100)])
            held = meter.memory() - before
            while received := await queue.receive_many(SHARED, 100):
                await queue.ack_many([one.token for one in received])
            plain: Any = client
            keys: list[bytes] = [name async for name in plain.scan_iter()]
            for name in keys:  # what the window and the ring of acks keep, two minutes later
                if name.endswith((b":u", b":a")):
                    await client.delete(name)
            left = max(0, meter.memory() - before)
            goals += [
                Goal(
                    key=key,
                    title=f"bytes per queued message of {size} bytes, {title}: to its JSON",
                    sense="at most",
                    budget=budget,
                    unit="x",
                    found=figure([held / count / size]),
                ),
                Goal(
                    key=f"{key}-left",
                    title=f"left of it after all are acknowledged and the windows passed, {title}",
                    sense="at most",
                    budget=1,
                    unit="%",
                    found=figure([left / held * 100]),
                ),
            ]
    meter.empty()
    return goals


async def latency(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G6: from the send to a waiting receiver's return, one at a time; what an idle one asks."""
    meter.empty()
    async with Redis(port=port) as sending, Redis(port=port) as receiving:
        sender = RedisMessageCoordinator(sending, "latency")
        receiver = RedisMessageCoordinator(receiving, "latency")
        raw_in: Any = receiving
        raw_out: Any = sending
        await raw_out.xgroup_create(KEY, GROUP, "0", mkstream=True)

        async def ours() -> float:
            waiting = asyncio.create_task(receiver.receive(SHARED, 30, wait=5))
            await asyncio.sleep(0.002)
            start = time.perf_counter()
            _, received = await asyncio.gather(
                sender.send_message(SENDER, SHARED, message()), waiting
            )
            took = time.perf_counter() - start
            assert received is not None  # noqa: S101 - else it would be timing something else
            await receiver.ack(SHARED, received.token)
            return took

        async def raw() -> float:
            waiting = asyncio.create_task(
                raw_in.xreadgroup(GROUP, "one", {KEY: ">"}, count=1, block=2000)
            )
            await asyncio.sleep(0.002)
            start = time.perf_counter()
            await asyncio.gather(raw_out.xadd(KEY, {b"m": BODY}), waiting)
            reply: Any = waiting.result()
            took = time.perf_counter() - start
            await raw_in.xack(KEY, GROUP, reply[0][1][0][0])
            return took

        mine: list[float] = []
        theirs: list[float] = []
        for number in range(effort.messages_apart + 20):
            one, other = await ours(), await raw()
            if number >= 20:  # noqa: PLR2004 - the first ones are slower
                mine.append(one)
                theirs.append(other)
        idle = await _idle(meter, receiver)
    size = len(mine) // 5
    parts = [slice(start * size, (start + 1) * size) for start in range(5)]
    return [
        Goal(
            key="G6.p50",
            title="latency at low load, median: to XREADGROUP BLOCK",
            sense="at most",
            budget=1.2,
            unit="x",
            found=figure(
                [statistics.median(mine[part]) / statistics.median(theirs[part]) for part in parts]
            ),
            facts=(
                (
                    f"medians {statistics.median(mine) * 1e6:.0f} and "
                    f"{statistics.median(theirs) * 1e6:.0f} µs; a pair of tasks is part of both"
                ),
            ),
        ),
        Goal(
            key="G6.p99",
            title="latency at low load, 99th percentile: to XREADGROUP BLOCK",
            sense="at most",
            budget=1.5,
            unit="x",
            found=figure([_late(mine) / _late(theirs)]),
        ),
        Goal(
            key="G6.idle",
            title="commands per second of a waiting receiver (one per slice of 2 s)",
            sense="at most",
            budget=0.5,
            unit="/s",
            found=figure([idle]),
        ),
    ]


def _late(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


async def _idle(meter: Meter, receiver: RedisMessageCoordinator) -> float:
    waiting = asyncio.create_task(receiver.receive(SHARED, 30, wait=30))
    await asyncio.sleep(0.2)
    before, _ = meter.counted()
    await asyncio.sleep(4)
    after, _ = meter.counted()
    waiting.cancel()
    await asyncio.wait([waiting])
    return (after - before) / 4


async def fencing(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G12: tokens of deliveries that others have had since, and acks that are sent again."""
    meter.empty()
    count = effort.messages
    async with Redis(port=port) as client:
        queue = RedisMessageCoordinator(client, "fencing", max_attempts=10)
        refused = repeated = 0
        for _ in range(count // 100):
            await queue.send_many([message(SMALL) for _ in range(100)])
            stale = [one.token for one in await queue.receive_many(SHARED, 100, 0.001)]
            await asyncio.sleep(0.01)
            fresh: list[str] = []
            while received := await queue.receive_many(SHARED, 100, 60):
                fresh += [one.token for one in received]
            refused += sum(not done for done in await queue.ack_many(stale))
            for token in stale:
                refused += not await queue.nack(SHARED, token)
                refused += not await queue.extend(SHARED, token, 9)
            await queue.ack_many(fresh)
            repeated += sum(await queue.ack_many(fresh))
    return [
        Goal(
            key="G12.stale",
            title=f"stale tokens refused, of {3 * count:,} in ack, nack and extend",
            sense="at least",
            budget=100,
            unit="%",
            found=figure([refused / (3 * count) * 100]),
        ),
        Goal(
            key="G12.repeated",
            title=f"repeated acks that are told success, of {count:,}",
            sense="at least",
            budget=100,
            unit="%",
            found=figure([repeated / count * 100]),
        ),
    ]


async def fairness(meter: Meter, port: int, effort: Effort) -> list[Goal]:
    """G13: a queue that is kept full of HIGH messages, with LOW ones that wait."""
    meter.empty()
    async with Redis(port=port) as client:
        queue = RedisMessageCoordinator(client, "fairness", max_length=None)

        def made(priority: MessagePriority) -> Any:
            return message(SMALL).model_copy(update={"priority": priority})

        await queue.send_many([made(MessagePriority.LOW) for _ in range(20)])
        await queue.send_many([made(MessagePriority.HIGH) for _ in range(20)])
        taken: list[MessagePriority] = []
        worst, low = 0.0, 0
        for number in range(1, effort.messages + 1):
            await queue.send_message(SENDER, SHARED, made(MessagePriority.HIGH))
            received = await queue.receive(SHARED, 60)
            assert received is not None  # noqa: S101 - else it would be timing something else
            await queue.ack(SHARED, received.token)
            taken.append(received.message.priority)
            if received.message.priority is MessagePriority.LOW:
                low += 1
                worst = max(worst, number / low)
                await queue.send_message(SENDER, SHARED, made(MessagePriority.LOW))
    high = taken.count(MessagePriority.HIGH) / len(taken) * 100
    return [
        Goal(
            key="G13.low",
            title="takes until a LOW message leaves, HIGH never empty: to its position",
            sense="at most",
            budget=8,
            unit="x",
            found=figure([worst]),
        ),
        Goal(
            key="G13.high",
            title="share of HIGH among what is taken meanwhile",
            sense="at least",
            budget=75,
            unit="%",
            found=figure([high]),
        ),
    ]
