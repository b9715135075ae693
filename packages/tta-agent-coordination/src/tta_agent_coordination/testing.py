"""For tests of programs that use mailboxes: a clock that stands still, servers, samples."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import Sentinel

from tta_agent_coordination.errors import ConfigurationError
from tta_agent_coordination.limits import check_count
from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority, MessageType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from types import TracebackType

__all__ = (
    "ASKER",
    "WRITER",
    "LocalCluster",
    "LocalSentinel",
    "ManualClock",
    "RedisServer",
    "sample",
)

ASKER = AgentId(type="asker", instance="1")
"""Who sends the samples."""
WRITER = AgentId(type="writer")
"""Who receives the samples."""
SLOTS = 16_384
TRIES = 3


def sample(
    message_id: str,
    *,
    sender: AgentId = ASKER,
    recipient: AgentId = WRITER,
    message_type: MessageType = MessageType.EVENT,
    payload: dict[str, Any] | None = None,
    priority: MessagePriority = MessagePriority.NORMAL,
    timestamp: str | None = None,
) -> AgentMessage:
    """Return a message of which a test names only what matters to it.

    Example:
        >>> sample("m1").recipient
        AgentId(type='writer', instance=None)
    """
    return AgentMessage(
        message_id=message_id,
        sender=sender,
        recipient=recipient,
        message_type=message_type,
        payload={} if payload is None else payload,
        priority=priority,
        timestamp=timestamp,
    )


class ManualClock:
    """A clock that stands still until it is moved.

    Args:
        now: Where it stands, in seconds since 1970.

    Example:
        >>> clock = ManualClock(1000.0)
        >>> clock.advance(2.5)
        >>> clock()
        1002.5
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now: float = now

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now

    def milliseconds(self) -> int:
        """Return the time in milliseconds since 1970."""
        return round(self.now * 1000)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds


class RedisServer:
    """A Redis server on a free port of this machine, for as long as the block lasts.

    It keeps nothing on disk unless told to, and is stopped by its process id.

    Args:
        program: The server's program; by default `redis-server` from the PATH.
        arguments: Further command line arguments, such as `("--appendonly", "yes")`.
        timeout: It must answer within so many seconds.

    Raises:
        ConfigurationError: There is no such program.
        TimeoutError: The server does not answer in time.
    """

    def __init__(
        self,
        program: str = "redis-server",
        arguments: Sequence[str] = (),
        *,
        timeout: float = 10.0,
    ) -> None:
        found = shutil.which(program)
        if found is None:
            raise ConfigurationError(
                f"there is no program {program!r} on the PATH; on Debian: apt install redis-server"
            )
        self._program = found
        self.arguments: tuple[str, ...] = tuple(arguments)
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.port: int = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Redis:
        """Return a client of it, with options of `redis.asyncio.Redis`; the caller closes it."""
        return Redis(host="127.0.0.1", port=self.port, **options)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers. The port stays the same when it is started again."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tta-redis-")
        if not self.port:
            self.port = _free_port()
        self._process = subprocess.Popen(  # noqa: S603 - the caller's own choice of a program
            [self._program, *self._options(self._folder.name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + self._timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise TimeoutError(f"{self._program} did not start on port {self.port}")
            time.sleep(0.01)

    def _options(self, folder: str) -> Sequence[str]:
        return (
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", folder, "--save", "", "--appendonly", "no"),
            *self.arguments,
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                # A password, or loading from disk, is an answer as well; only loading must end.
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self, *, kill: bool = False) -> None:
        """End it, and wait for its end.

        Args:
            kill: At once, as a crash would, instead of in order.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End it, and delete its files."""
        self.stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class LocalCluster:
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
        self, program: str = "redis-server", nodes: int = 3, *, timeout: float = 20.0
    ) -> None:
        self._timeout = timeout
        self._program = program
        self._nodes = check_count("nodes", nodes, least=3, most=100)
        self.servers: list[RedisServer] = self._new()

    def _new(self) -> list[RedisServer]:
        return [
            RedisServer(
                self._program,
                # By default the second port is 10,000 above the first, and may not exist.
                ("--cluster-enabled", "yes", "--cluster-port", str(_free_port())),
            )
            for _ in range(self._nodes)
        ]

    def client(self, **options: Any) -> RedisCluster:
        """Return a client of all nodes; the caller closes it."""
        return RedisCluster(host="127.0.0.1", port=self.servers[0].port, **options)

    def start(self) -> None:
        """Start all nodes, give each its slots, and wait until all know of each other."""
        for left in reversed(range(TRIES)):
            try:
                for server in self.servers:
                    server.start()
                self._join()
            except BaseException as error:
                self.close()
                if left == 0 or not isinstance(error, TimeoutError):
                    raise
                self.servers = self._new()  # somebody else has taken a port meanwhile
            else:
                return

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Watcher(RedisServer):
    """A Sentinel that watches one master, and needs nobody's consent to replace it."""

    name = "master"
    master = 0

    def _options(self, folder: str) -> Sequence[str]:
        configuration = Path(folder) / "sentinel.conf"
        if not configuration.exists():  # it writes what it learns there
            configuration.write_text(
                f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
                f"sentinel monitor {self.name} 127.0.0.1 {self.master} 1\n"
                f"sentinel down-after-milliseconds {self.name} 500\n"
                f"sentinel failover-timeout {self.name} 2000\n",
                "ascii",
            )
        return (str(configuration), "--sentinel")


class LocalSentinel:
    """A master, its replicas and a Sentinel on this machine, for as long as the block lasts.

    The Sentinel finds a master dead after half a second, and puts a replica in its place.

    Args:
        program: The servers' program.
        replicas: So many replicas; at least 1.
        timeout: They must be in step within so many seconds.

    Raises:
        ConfigurationError: There is no such program, or `replicas` is too small.
        TimeoutError: They do not come together in time.
    """

    def __init__(
        self, program: str = "redis-server", replicas: int = 2, *, timeout: float = 20.0
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

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncGenerator[Redis]:
        """Connect to whoever is the master, with options of `redis.asyncio.Redis`."""
        untyped: Any = Sentinel
        sentinel = untyped(
            [("127.0.0.1", self.watcher.port)], sentinel_kwargs={"socket_timeout": 0.5}
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
