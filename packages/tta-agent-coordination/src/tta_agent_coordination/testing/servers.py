"""Redis servers on this machine, for as long as a block lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import Redis

from tta_agent_coordination.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ("RedisServer", "Started", "free_port", "hold")


class Started(ABC):
    """What is started as its block begins, and closed as it ends."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it can be used."""

    @abstractmethod
    def close(self) -> None:
        """End it, and delete its files."""

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


class RedisServer(Started):
    """A Redis server on a free port of this machine, for as long as the block lasts.

    It keeps nothing on disk unless told to, and is stopped by its process id. While it is stopped,
    its port is kept for it (on Linux).

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
        timeout: float = 30.0,
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
        self._held: socket.socket | None = None
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
        if self._held is None:
            self._held = hold(self.port)
        if self._held is not None:
            self.port = self._held.getsockname()[1]
        elif not self.port:
            self.port = free_port()
        # One that wants its port for itself alone ends at once, and gets it.
        if not (self._comes_up() or (self._lets_go() and self._comes_up())):
            self.close()
            raise TimeoutError(f"{self._program} did not start on port {self.port}")

    def _comes_up(self) -> bool:
        assert self._folder is not None  # noqa: S101 - made by whoever calls this
        self._process = process = subprocess.Popen(  # noqa: S603 - the caller's own choice
            [self._program, *self._options(self._folder.name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + self._timeout
        while not self._answers():
            if process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _lets_go(self) -> bool:
        """Give up the port, if the server has ended; return whether that may help."""
        held, process = self._held, self._process
        if held is None or process is None or process.poll() is None:
            return False
        self._held = None
        held.close()
        return True

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
        if self._held is not None:
            self._held.close()
            self._held = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def hold(port: int = 0) -> socket.socket | None:
    """Keep a port from being given to others; servers, which reuse addresses, can listen on it.

    Args:
        port: Which; 0 for any that is free.

    Returns:
        What holds the port until it is closed; None where the port is taken, or the system does not
        let a port that is held be listened on.
    """
    if sys.platform != "linux":
        return None
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return None
    return holder


def free_port() -> int:
    """Return a port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
