"""`MockServer`: a server on this machine that answers as it was recorded."""

from __future__ import annotations

import asyncio
import math
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import ListenError, OptionError
from keploy_framework.mock.call import MockCall
from keploy_framework.mock.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from keploy_framework.model import Request
    from keploy_framework.recording.clients.seam import Responder

__all__ = ("MockServer",)

_HIGHEST_PORT: Final = 65535


class MockServer:
    """Answer any HTTP client from recordings: piece by piece, WebSockets and failures included.

    What nothing answers is a 404 that names the nearest recording and what differs. What was
    recorded without its body is a 501 that says so. A recorded failure is acted out: the connection
    ends where it ended then.

    It is a context manager of both kinds: ``async with`` serves on the running loop, ``with`` on a
    thread of its own, for clients that block.

    Args:
        responder: Finds the recording, see `Play`.
        host: Where to listen. Default: only this machine.
        port: The port to listen at; 0, the default, takes a free one (see `url`).
        speed: How fast streams are played: 1 as they came, 2 twice as fast, 0 without pauses.
            Default: 0.
        max_body: Longest body of a request, in bytes: it is held to be compared. Default: 64 MiB.

    Raises:
        OptionError: An option has a value that it cannot have.

    Example:
        ```text
        with MockServer(Play(exchanges)) as server:
            requests.get(f"{server.url}/users/1")
        ```
    """

    def __init__(
        self,
        responder: Responder,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 0.0,
        max_body: int = 64 << 20,
    ) -> None:
        if isinstance(port, bool) or not 0 <= port <= _HIGHEST_PORT:
            raise OptionError(f"port must be between 0 and {_HIGHEST_PORT}, not {port!r}")
        if isinstance(speed, bool) or not 0 <= speed < math.inf:
            raise OptionError(f"speed must be a number, zero or more and finite, not {speed!r}")
        if isinstance(max_body, bool) or max_body < 1:
            raise OptionError(f"max_body must be at least 1, not {max_body!r}")
        self._responder = responder
        self._host = host
        self._port = port
        self._speed = speed
        self._max_body = max_body
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._missed: list[Request] = []
        self._thread: _Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens at; before the start, the one that was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients reach it, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def missed(self) -> tuple[Request, ...]:
        """The requests that nothing answered, as they came."""
        return tuple(self._missed)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: The port is taken, or is not ours to take.
        """
        if self._server is not None:
            return
        try:
            self._server = await asyncio.start_server(self._accepted, self._host, self._port)
        except OSError as error:
            raise ListenError(
                f"the mock server cannot listen at {self._host}:{self._port}: "
                f"{error.strerror or error}; choose another port, or 0 for any that is free"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and cut the connections."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._thread = _Thread(self)
        self._thread.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.finish()

    # --- connections ----------------------------------------------------------------------------

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that `aclose` waits for."""
        connection = Connection(reader, writer, self._call, self._missed.append)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    def _call(self, proceed: Callable[[], None]) -> MockCall:
        """Return what takes the next request of a connection."""
        return MockCall(
            self._responder, self._speed, self.url, limit=self._max_body, proceed=proceed
        )


class _Thread:
    """A server on a thread and an event loop of its own."""

    def __init__(self, server: MockServer) -> None:
        self._server = server
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="keploy-mock", daemon=True)

    def begin(self) -> None:
        """Start it; what keeps it from starting is raised here."""
        self._thread.start()
        self._begun.result()

    def finish(self) -> None:
        """Stop it and wait for its end."""
        loop, stop = self._begun.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised by `begin`
            if not self._begun.done():
                self._begun.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        async with self._server:
            self._begun.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()
