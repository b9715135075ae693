"""What becomes of messages that are sent and worked on while something breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tta_agent_coordination import (
    CoordinatorConnectionError,
    MessageCoordinatorError,
    RedisMessageCoordinator,
)
from tta_agent_coordination.testing import ASKER, WRITER, sample

from .consumer import connected
from .processes import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from tta_agent_coordination.testing import LocalSentinel, RedisServer

__all__ = ("AOF", "Load", "Tally", "failover", "killing", "restart", "stall", "under_load")

AOF = ("--appendonly", "yes", "--appendfsync", "everysec")
"""What is answered then survives the death of the server, though not that of the machine."""
PATIENCE = 60.0
"""A message that is not done so many seconds after all has calmed down is lost."""

Event: TypeAlias = "Callable[[Crew], Coroutine[None, None, float | None]]"
"""Breaks something, and returns when it was whole again, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is sent, and how.

    Attributes:
        messages: So many.
        rate: Per second.
        at: What breaks, breaks after this share of them.
        lease: Seconds.
        work: Seconds that a consumer works on a message.
        consumers: So many.
        again: Whether the sender repeats a send that failed, as the error says it may.
        min_replicas: As the coordinator's.
    """

    messages: int = 900
    rate: float = 300
    at: float = 0.4
    lease: float = 3.0
    work: float = 0.004
    consumers: int = 3
    again: bool = True
    min_replicas: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the messages.

    Attributes:
        confirmed: Whose send returned success.
        lost: Confirmed, and never worked on.
        doubled: In the queue twice: worked on twice in a first attempt.
        again: Worked on more than once, in a later attempt: at least once is what is promised.
        send_errors: Sends that failed, and were repeated or not.
        resumed: Seconds from the moment at which the server was whole again until the next message
            was done.
        clues: If messages were lost: which, and all that the server still holds.
    """

    confirmed: int
    lost: int
    doubled: int
    again: int
    send_errors: int
    resumed: float | None
    clues: tuple[str, ...] = ()


def _crew(where: str, prefix: str, load: Load) -> AbstractAsyncContextManager[Crew]:
    return Crew.of(where, prefix, members=load.consumers, lease=load.lease, work=load.work)


async def under_load(where: str, load: Load, event: Event) -> Tally:
    """Send and work, let the event happen meanwhile, and count."""
    prefix = uuid.uuid4().hex
    confirmed: set[str] = set()
    errors = 0
    pending: set[asyncio.Task[None]] = set()
    # A server that is away must not be waited for at every send for as long as redis-py does.
    sending = asyncio.Semaphore(50)
    async with connected(where) as client, _crew(where, prefix, load) as crew:
        queue = RedisMessageCoordinator(client, prefix, min_replicas=load.min_replicas)

        async def send(name: str) -> None:
            nonlocal errors
            end = time.monotonic() + PATIENCE
            async with sending:
                while True:
                    try:
                        result = await queue.send_message(ASKER, WRITER, sample(name))
                    except MessageCoordinatorError as error:
                        errors += 1
                        retry = isinstance(error, CoordinatorConnectionError) or load.min_replicas
                        if not (load.again and retry) or time.monotonic() > end:
                            return
                        await asyncio.sleep(0.1)
                        continue
                    if result.delivered:
                        confirmed.add(name)
                    return

        breaking: asyncio.Task[float | None] | None = None
        for number in range(load.messages):
            if number == int(load.messages * load.at):
                breaking = asyncio.create_task(event(crew))
            task = asyncio.create_task(send(f"m{number}"))
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(1 / load.rate)
        whole = None if breaking is None else await breaking
        if pending:
            await asyncio.wait(pending)
        end = time.monotonic() + PATIENCE
        while not confirmed <= crew.done.keys() and time.monotonic() < end:
            crew.moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(crew.moved.wait(), 0.5)
        done = crew.done
        lost = confirmed - done.keys()
        after = [at for times in done.values() for _, at in times if whole and at >= whole]
        return Tally(
            confirmed=len(confirmed),
            lost=len(lost),
            doubled=sum([one for one, _ in times].count(1) > 1 for times in done.values()),
            again=sum(len(times) > 1 for times in done.values()),
            send_errors=errors,
            resumed=min(after) - whole if whole and after else None,
            clues=(*sorted(lost), *await _held(client, prefix)) if lost else (),
        )


async def _held(client: Any, prefix: str) -> list[str]:
    """Return a line for each key of a prefix: its name, type and value."""
    readings: dict[bytes, tuple[str, ...]] = {
        b"list": ("LRANGE", "0", "-1"),
        b"hash": ("HGETALL",),
        b"zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
        b"string": ("GET",),
    }
    lines = [f"time {await client.time()}"]
    for key in sorted([key async for key in client.scan_iter(match=f"{{{prefix}:*")]):
        kind = await client.type(key)
        command, *rest = readings[kind]
        lines.append(f"{key!r} {kind!r} {await client.execute_command(command, key, *rest)!r}")
    return lines


def killing(times: int) -> Event:
    """Kill consumers, one after the other, each followed by a new one."""

    async def event(crew: Crew) -> None:
        for _ in range(times):
            await crew.members[0].kill()
            crew.members.append(crew.members.pop(0))
            await crew.hire()

    return event


def restart(server: RedisServer, away: float = 1.0) -> Event:
    """Kill the server, and start it again on what it has written down."""

    async def event(_: Crew) -> float:
        await asyncio.to_thread(server.stop, kill=True)
        await asyncio.sleep(away)
        await asyncio.to_thread(server.start)
        return time.time()

    return event


def stall(server: RedisServer, seconds: float) -> Event:
    """Let the server stand still for a while."""

    async def event(_: Crew) -> float:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        return time.time()

    return event


def failover(group: LocalSentinel, behind: float = 0.3, *, told: bool = False) -> Event:
    """Kill the master, which its replicas have not heard for a while, and wait for another one.

    Args:
        group: Whose master.
        behind: Seconds that the replicas have not heard it.
        told: The Sentinel is told to replace it, instead of finding out by itself.
    """

    async def event(_: Crew) -> float:
        client: Any = group.master.client()
        async with client:
            # Both replicas read to the same point: what only one of them has confirmed is lost if
            # the other one is promoted, as the documents say.
            await client.client_pause(timeout=60_000, all=False)
            await _in_step(client, len(group.replicas))
            for replica in group.replicas:
                os.kill(replica.pid, signal.SIGSTOP)
            try:
                await client.client_unpause()
                # Else the kernel would still hand over what the master has sent.
                await client.client_kill_filter(_type="replica")
                await asyncio.sleep(behind)
                await asyncio.to_thread(group.master.stop, kill=True)
            finally:
                for replica in group.replicas:
                    os.kill(replica.pid, signal.SIGCONT)
        return await _promotion(group, told=told)

    return event


async def _in_step(master: Any, replicas: int) -> None:
    """Wait until all replicas have confirmed all that a master has written."""
    async with asyncio.timeout(60):
        while True:
            about = await master.info("replication")
            known = [about.get(f"slave{number}") for number in range(replicas)]
            if all(one and one["offset"] == about["master_repl_offset"] for one in known):
                return
            await asyncio.sleep(0.01)


async def _promotion(group: LocalSentinel, *, told: bool) -> float:
    """Return when the Sentinel has begun to name another master."""
    watcher: Any = Redis(port=group.watcher.port)
    async with watcher, asyncio.timeout(120):
        while True:
            about = await watcher.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "master")
            if about is not None and int(about[1]) != group.master.port:
                return time.time()
            if told:
                # It is on its way, or no replica has been heard lately.
                with contextlib.suppress(ResponseError):
                    await watcher.execute_command("SENTINEL FAILOVER", "master")
            await asyncio.sleep(0.01)
