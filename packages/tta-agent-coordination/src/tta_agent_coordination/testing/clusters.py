"""A cluster of Redis servers on this machine, for as long as a block lasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis
from redis.asyncio.cluster import RedisCluster

from tta_agent_coordination.limits import check_count
from tta_agent_coordination.testing.servers import RedisServer, Started, free_port, hold

if TYPE_CHECKING:
    import socket

__all__ = ("LocalCluster",)

SLOTS = 16_384
TRIES = 3


class LocalCluster(Started):
    """A cluster of Redis servers on this machine, for as long as the block lasts.

    Args:
        program: The servers' program.
        nodes: So many masters share the slots; at least 3.
        timeout: They must know each other within so many seconds.

    Raises:
        ConfigurationError: There is no such program, or `nodes` is too small.
        TimeoutError: They do not come together in time.
    """

    def __init__(
        self, program: str = "redis-server", nodes: int = 3, *, timeout: float = 60.0
    ) -> None:
        self._timeout = timeout
        self._held: list[socket.socket] = []
        count = check_count("nodes", nodes, least=3, most=100)
        self.servers: list[RedisServer] = [
            # By default the second port is 10,000 above the first, and may not exist.
            RedisServer(program, ("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
            for _ in range(count)
        ]

    def client(self, **options: Any) -> RedisCluster:
        """Return a client of all nodes; the caller closes it."""
        return RedisCluster(host="127.0.0.1", port=self.servers[0].port, **options)

    def start(self) -> None:
        """Start all nodes, give each its slots, and wait until all know of each other."""
        for _ in range(TRIES - 1):
            try:
                self._start()
            except TimeoutError:  # it may be that somebody else has taken a port meanwhile
                for server in self.servers:
                    server.port = 0
                    server.arguments = (*server.arguments[:-1], str(free_port()))
            else:
                return
        self._start()

    def _start(self) -> None:
        try:
            for server in self.servers:
                bus = hold(int(server.arguments[-1]))
                if bus is not None:
                    self._held.append(bus)
                server.start()
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        clients: list[Any] = [redis.Redis(port=server.port) for server in self.servers]
        share = -(-SLOTS // len(clients))
        try:
            for number, client in enumerate(clients):
                last = min((number + 1) * share, SLOTS) - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            bus = self.servers[0].arguments[-1]
            for client in clients[1:]:
                port = self.servers[0].port
                client.execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
            end = time.monotonic() + self._timeout
            while not all(self._knows_all(client) for client in clients):
                if time.monotonic() > end:
                    raise TimeoutError("the nodes of the cluster did not come together")
                time.sleep(0.02)
        finally:
            for client in clients:
                client.close()

    def _knows_all(self, client: Any) -> bool:
        about = client.execute_command("CLUSTER INFO")
        slots = client.execute_command("CLUSTER SLOTS")
        return about["cluster_state"] == "ok" and len(slots) == len(self.servers)

    def close(self) -> None:
        """End all nodes, and delete their files."""
        for server in self.servers:
            server.close()
        for bus in self._held:
            bus.close()
        self._held.clear()
