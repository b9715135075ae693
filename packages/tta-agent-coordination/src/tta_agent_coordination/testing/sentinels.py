"""A master, replicas and a Sentinel on this machine, for as long as a block lasts."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.asyncio.sentinel import Sentinel

from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.testing.servers import RedisServer, Started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from redis.asyncio import Redis

__all__ = ("LocalSentinel",)


class _Watcher(RedisServer):
    """A Sentinel that watches one master, and needs nobody's consent to replace it."""

    name = "master"
    master = 0
    down_after: float = 0.5

    def _options(self, folder: str) -> Sequence[str]:
        configuration = Path(folder) / "sentinel.conf"
        if not configuration.exists():  # it writes what it learns there
            configuration.write_text(
                f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
                f"sentinel monitor {self.name} 127.0.0.1 {self.master} 1\n"
                f"sentinel down-after-milliseconds {self.name} {round(self.down_after * 1000)}\n"
                f"sentinel failover-timeout {self.name} 2000\n",
                "ascii",
            )
        return (str(configuration), "--sentinel")


class LocalSentinel(Started):
    """A master, its replicas and a Sentinel on this machine, for as long as the block lasts.

    When the Sentinel finds a master dead, it puts a replica in its place.

    Args:
        program: The servers' program.
        replicas: So many replicas; at least 1.
        timeout: They must be in step within so many seconds.
        down_after: A master is dead when it has been silent for so many seconds. On a machine that
            may pause for as long, give more, and say when: by `SENTINEL FAILOVER master`.

    Raises:
        ConfigurationError: There is no such program, or an option is out of range.
        TimeoutError: They do not come together in time.
    """

    def __init__(
        self,
        program: str = "redis-server",
        replicas: int = 2,
        *,
        timeout: float = 60.0,
        down_after: float = 0.5,
    ) -> None:
        self._timeout = timeout
        # Else a replica gets its first copy only after five seconds.
        quick = ("--repl-diskless-sync-delay", "0")
        self.master: RedisServer = RedisServer(program, quick)
        self.replicas: list[RedisServer] = [
            RedisServer(program, quick)
            for _ in range(check_count("replicas", replicas, least=1, most=10))
        ]
        self.watcher: _Watcher = _Watcher(program)
        self.watcher.down_after = check_seconds("down_after", down_after)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncGenerator[Redis]:
        """Connect to whoever is the master, with options of `redis.asyncio.Redis`."""
        untyped: Any = Sentinel
        sentinel = untyped(
            [("127.0.0.1", self.watcher.port)], sentinel_kwargs={"socket_timeout": 30}
        )
        found: Redis = sentinel.master_for(_Watcher.name, **options)
        try:
            yield found
        finally:
            await found.aclose()
            for one in sentinel.sentinels:
                await one.aclose()

    def start(self) -> None:
        """Start all, and wait until the replicas are in step and the Sentinel knows of them."""
        try:
            self.master.start()
            for replica in self.replicas:
                replica.arguments += ("--replicaof", "127.0.0.1", str(self.master.port))
                replica.start()
            self._wait(self.master, self._replicating)
            self.watcher.master = self.master.port
            self.watcher.start()
            self._wait(self.watcher, self._watched)
        except BaseException:
            self.close()
            raise

    def _wait(self, server: RedisServer, count: Callable[[dict[str, Any]], int]) -> None:
        end = time.monotonic() + self._timeout
        client: Any = redis.Redis(port=server.port)
        with client:
            while count(client.info("everything")) < len(self.replicas):
                if time.monotonic() > end:
                    raise TimeoutError("the replicas and the Sentinel did not come together")
                time.sleep(0.02)

    def _replicating(self, about: dict[str, Any]) -> int:
        known: list[Any] = [about.get(f"slave{number}") for number in range(len(self.replicas))]
        return sum(one is not None and one["state"] == "online" for one in known)

    def _watched(self, about: dict[str, Any]) -> int:
        return int(about["master0"]["slaves"])

    def close(self) -> None:
        """End all, and delete their files."""
        for server in (self.watcher, *self.replicas, self.master):
            server.close()
