"""A Sentinel replaces the master: what is confirmed, and that work goes on.

It is told when: by itself, it would also replace one that is slow, on a machine that is busy.

The contract suite runs over a Sentinel as well; here the master dies. `python -m benchmarks.faults`
does it under load, and counts.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from tta_agent_coordination import (
    CoordinatorConnectionError,
    MessageCoordinatorError,
    NotReplicatedError,
    RedisMessageCoordinator,
)
from tta_agent_coordination.testing import WRITER, LocalSentinel, RedisServer, sample

pytestmark = pytest.mark.slow


@pytest.fixture
def group(program: str) -> Iterator[LocalSentinel]:
    """A master with two replicas and a Sentinel, of the test's own."""
    with LocalSentinel(program, down_after=1000) as made:
        yield made


async def killed(group: LocalSentinel) -> None:
    """Kill the master."""
    await asyncio.to_thread(group.master.stop, kill=True)


async def replaced(group: LocalSentinel) -> None:
    """Have the Sentinel put a replica in the place of the master."""
    watcher: Any = group.watcher.client(socket_timeout=60)
    async with watcher, asyncio.timeout(120):
        while True:
            about = await watcher.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "master")
            if int(about[1]) != group.master.port:
                return
            # It is on its way, or no replica has been heard lately.
            with suppress(ResponseError):
                await watcher.execute_command("SENTINEL FAILOVER", "master")
            await asyncio.sleep(0.02)


async def sent(coordinator: RedisMessageCoordinator, name: str) -> None:
    """Send a message again and again until the send is confirmed, as its error says one may."""
    async with asyncio.timeout(120):
        while True:
            try:
                await coordinator.send_many([sample(name)])
            except MessageCoordinatorError:
                await asyncio.sleep(0.05)
            else:
                return


async def in_step(group: LocalSentinel) -> None:
    """Wait until both replicas have what was sent: either may be promoted."""
    master: Any = group.master.client(socket_timeout=120)
    async with master:
        await master.set("last", "written")  # WAIT is about what its own connection has written
        assert await master.wait(2, 60_000) == 2


def stop(replicas: list[RedisServer]) -> None:
    """Let replicas stand still, until they are woken."""
    for replica in replicas:
        os.kill(replica.pid, signal.SIGSTOP)


async def cut_off(server: RedisServer, replicas: list[RedisServer]) -> None:
    """Let replicas hear nothing of a master any more, until they are woken."""
    stop(replicas)
    client: Any = server.client()
    async with client:
        # Else the kernel would still hand over what the master has sent.
        await client.client_kill_filter(_type="replica")


def wake(replicas: list[RedisServer]) -> None:
    """Let replicas go on."""
    for replica in replicas:
        os.kill(replica.pid, signal.SIGCONT)


async def test_what_replicas_have_confirmed_survives_the_master(group: LocalSentinel) -> None:
    """What they have not is refused, typed, and can be sent again to the new master.

    Both must have it, since either may be promoted.
    """
    async with group.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, "test", min_replicas=1, replica_timeout=0.2)
        await sent(coordinator, "confirmed")
        await in_step(group)
        await cut_off(group.master, group.replicas)
        try:
            with pytest.raises(NotReplicatedError, match="sending them again is safe"):
                await coordinator.send_many([sample("refused")])
            await killed(group)
        finally:
            wake(group.replicas)
        with pytest.raises(CoordinatorConnectionError, match="repeated"):
            await coordinator.send_many([sample("away")])

        await replaced(group)
        await sent(coordinator, "refused")
        received = await coordinator.receive_many(WRITER, 10)

    assert [one.message.message_id for one in received] == ["confirmed", "refused"]


async def test_a_repeated_send_is_confirmed_no_sooner_than_the_first(group: LocalSentinel) -> None:
    """Though it writes nothing more, and though its connection has written nothing before."""
    async with group.client(socket_timeout=60) as client, group.client(socket_timeout=60) as other:
        coordinator = RedisMessageCoordinator(client, "test", min_replicas=1, replica_timeout=0.2)
        again = RedisMessageCoordinator(other, "test", min_replicas=1, replica_timeout=0.2)
        await sent(coordinator, "before")
        stop(group.replicas)
        try:
            for one in (coordinator, coordinator, again, again):
                with pytest.raises(NotReplicatedError):
                    await one.send_many([sample("refused")])
        finally:
            wake(group.replicas)

        await sent(again, "refused")
        received = await coordinator.receive_many(WRITER, 10)

    assert [one.message.message_id for one in received] == ["before", "refused"]


async def test_without_them_a_confirmed_message_can_be_lost(group: LocalSentinel) -> None:
    """As the documents say; a test, so that nobody believes otherwise."""
    async with group.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, "test")
        await coordinator.send_many([sample("passed on")])
        await in_step(group)
        await cut_off(group.master, group.replicas)
        try:
            await coordinator.send_many([sample("not passed on")])
            await killed(group)
        finally:
            wake(group.replicas)
        await replaced(group)
        await sent(coordinator, "later")
        received = await coordinator.receive_many(WRITER, 10)

    assert [one.message.message_id for one in received] == ["passed on", "later"]


async def test_a_consumer_goes_on_with_the_new_master(group: LocalSentinel) -> None:
    """Nobody has to tell it; a send that failed meanwhile is repeated."""
    seen: list[str] = []
    async with group.client(socket_timeout=60) as client:
        coordinator = RedisMessageCoordinator(client, "test", min_replicas=1)
        await sent(coordinator, "before")
        consumer = coordinator.consume(WRITER, prefetch=1, lease=120)
        async with consumer as leases, asyncio.timeout(120):
            async for lease in leases:
                seen.append(lease.message.message_id)
                await lease.ack()
                if len(seen) == 1:
                    await killed(group)
                    await asyncio.gather(sent(coordinator, "after"), replaced(group))
                if seen[-1] == "after":
                    break

    assert seen[0] == "before"
    assert seen[-1] == "after"
