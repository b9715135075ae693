"""A cluster of three nodes: many first calls at once, and a node that dies and comes back.

The contract suite runs over a cluster as well.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tta_agent_coordination import (
    AgentId,
    CoordinatorConnectionError,
    MessageCoordinatorError,
    RedisMessageCoordinator,
)
from tta_agent_coordination.testing import LocalCluster, sample

QUICK = Retry(NoBackoff(), 0)
TYPES = [f"type{number}" for number in range(12)]


@pytest.fixture
def own_cluster(program: str) -> Iterator[LocalCluster]:
    """A cluster of the test's own, whose nodes go on when one is missing."""
    made = LocalCluster(program)
    for server in made.servers:
        # With `everysec`, what was answered while the disk was busy would not survive a kill.
        extra = ("--appendonly", "yes", "--appendfsync", "always")
        server.arguments = ("--cluster-require-full-coverage", "no", *extra, *server.arguments)
    with made:
        yield made


async def attempted(coordinator: RedisMessageCoordinator, kind: str) -> str:
    """Send a message to a type; return its name, or that of the error."""
    name = uuid.uuid4().hex
    try:
        await coordinator.send_many([sample(name, recipient=AgentId(type=kind))])
    except MessageCoordinatorError as error:
        return type(error).__name__
    return name


@pytest.mark.slow
async def test_fifty_first_calls_may_come_at_once(cluster: Callable[[], LocalCluster]) -> None:
    """To all slots, through a client that has not looked at the cluster yet."""
    client: Any = cluster().client(socket_timeout=60)
    async with client:
        coordinator = RedisMessageCoordinator(client, f"test:{uuid.uuid4().hex}")
        results = await asyncio.gather(
            *(attempted(coordinator, TYPES[number % 12]) for number in range(50))
        )

    assert all(len(result) == 32 for result in results)


async def test_a_client_that_loses_its_connection_is_a_connection_error() -> None:
    """redis-py's own: the writer of a connection that another call has closed is None."""

    class Closed(RedisCluster):
        async def initialize(self, *args: Any, **options: Any) -> Any:
            return self

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            raise AttributeError("'NoneType' object has no attribute 'writelines'")

    client = Closed(host="127.0.0.1", port=1)
    with pytest.raises(CoordinatorConnectionError, match="lost its connection"):
        await RedisMessageCoordinator(client, "test").receive(AgentId(type="a"))
    await client.aclose()


async def test_an_attribute_error_of_another_kind_stays_what_it_is() -> None:
    """A mistake in a client of the user's own must not look like a bad connection."""

    class Broken(RedisCluster):
        async def initialize(self, *args: Any, **options: Any) -> Any:
            return self

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            raise AttributeError("'Broken' object has no attribute 'polo'")

    client = Broken(host="127.0.0.1", port=1)
    with pytest.raises(AttributeError, match="polo"):
        await RedisMessageCoordinator(client, "test").receive(AgentId(type="a"))
    await client.aclose()


@pytest.mark.slow
async def test_a_dead_node_stops_only_its_own_slots(own_cluster: LocalCluster) -> None:
    """Typed errors for those, work for the others; nothing is lost when it comes back."""
    client = own_cluster.client(retry=QUICK, socket_timeout=60)
    async with client:
        coordinator = RedisMessageCoordinator(client, "test")
        kept = {kind: await attempted(coordinator, kind) for kind in TYPES}
        dead = own_cluster.servers[2]
        await asyncio.to_thread(dead.stop, kill=True)

        async with asyncio.timeout(120):
            results = await asyncio.gather(*(attempted(coordinator, kind) for kind in TYPES))
        await asyncio.to_thread(dead.start)
        async with asyncio.timeout(120):
            for kind in TYPES:
                while len(await attempted(coordinator, kind)) != 32:  # noqa: ASYNC110 - on the server
                    await asyncio.sleep(0.1)
        received = [await coordinator.receive(AgentId(type=kind)) for kind in TYPES]

    assert {result for result in results if len(result) != 32} == {"CoordinatorConnectionError"}
    assert sum(len(result) == 32 for result in results) >= 4
    assert [one.message.message_id for one in received if one is not None] == list(kept.values())
