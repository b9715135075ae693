"""`RecordingProxy`: a reverse proxy in front of a server that cannot take a middleware.

Bytes are forwarded as they come, at once and unaltered, each client connection on a connection of
its own; a `ConnectionTap` reads them beside. What is slow to take what it is sent slows its sender:
nothing piles up here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from keploy_framework.errors import IncompleteAnswerError, ListenError, OptionError
from keploy_framework.recording.tap import ConnectionTap

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from keploy_framework.recording.sink import Sink

__all__ = ("RecordingProxy",)

_EARLY: Final = 1 << 16
"""How much a client may send before the server is reached, in bytes; then it has to wait."""
_LINGER: Final = 1.0
"""Seconds that a client has to read why it is turned away, before the connection is cut."""
_HIGHEST_PORT: Final = 65535


class RecordingProxy:
    """Forward a local port to a server, and record what passes.

    HTTP/1.0 and 1.1 are recorded: keep-alive, pipelining, chunks and trailers, ``Expect``,
    upgrades, and WebSockets with ``permessage-deflate``. Anything else passes through unrecorded.
    The ``Host`` header stays that of the client. A server that cannot be reached, or that closes
    the connection instead of answering, is a 502 that says so, and a recorded failure.

    Args:
        upstream: The server: ``http://host:port`` or ``https://host``, without a path.
        recorder: Where exchanges go: a recorder, or any other `Sink`.
        host: Where to listen. Default: only this machine.
        port: The port to listen at; 0, the default, takes a free one (see `url`).
        ssl_context: How to check the server's certificate. Default: with the system's authorities.
        connect_timeout: Seconds to wait for a connection to the server, more than 0. Default: 10.

    Raises:
        OptionError: An option has a value that it cannot have.

    Example:
        ```text
        async with RecordingProxy("http://127.0.0.1:8000", recorder) as proxy:
            print(proxy.url)
            await asyncio.Event().wait()
        ```
    """

    def __init__(
        self,
        upstream: str,
        recorder: Sink,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = 10.0,
    ) -> None:
        self._secure, self._upstream_host, self._upstream_port = _address(upstream)
        if ssl_context is not None and not self._secure:
            raise OptionError(f"ssl_context is for an https:// upstream, not for {upstream!r}")
        if isinstance(port, bool) or not 0 <= port <= _HIGHEST_PORT:
            raise OptionError(f"port must be between 0 and {_HIGHEST_PORT}, not {port!r}")
        if isinstance(connect_timeout, bool) or not 0 < connect_timeout < float("inf"):
            raise OptionError(
                f"connect_timeout must be a number of seconds, more than zero and finite, "
                f"not {connect_timeout!r}"
            )
        self._ssl: ssl.SSLContext | bool | None = (ssl_context or True) if self._secure else None
        self._recorder = recorder
        self._host = host
        self._port = port
        self._connect_timeout = connect_timeout
        self._server: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._empty = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that it listens at; before `start`, the one that was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: The port is taken, or is not ours to take.
        """
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Line(self, self._recorder).client, self._host, self._port
            )
        except OSError as error:
            raise ListenError(
                f"the proxy cannot listen at {self._host}:{self._port}: {error.strerror or error}; "
                f"choose another port, or 0 for any that is free"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and cut the connections; answers under way are recorded as failed."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for line in tuple(self._lines):
            line.cut(IncompleteAnswerError("the proxy was closed before the answer was whole"))
        while self._lines:
            self._empty.clear()
            await self._empty.wait()
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

    # --- for the lines ----------------------------------------------------------------------

    @property
    def upstream(self) -> str:
        """Host and port of the server."""
        return f"{self._upstream_host}:{self._upstream_port}"

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the server.

        Raises:
            OSError: It cannot be reached, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await loop.create_connection(
                    make, self._upstream_host, self._upstream_port, ssl=self._ssl
                )
        except TimeoutError as error:
            raise ConnectionError(f"no connection within {self._connect_timeout:g} s") from error

    def opened(self, line: _Line) -> None:
        """Take note of a new connection."""
        self._lines.add(line)

    def over(self, line: _Line) -> None:
        """Take note that nothing of a connection is left."""
        self._lines.discard(line)
        if not self._lines:
            self._empty.set()


class _Line:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: RecordingProxy, recorder: Sink) -> None:
        self._proxy = proxy
        self._recorder = recorder
        self.client: _Client = _Client(self)
        self.server: _Server = _Server(self)
        self._tap: ConnectionTap | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._client_ended = False
        self._refused: OSError | None = None
        self._lingering: asyncio.TimerHandle | None = None

    # --- the client's side --------------------------------------------------------------------

    def client_came(self) -> None:
        """Reach for the server while the client still writes its request."""
        self._proxy.opened(self)
        host, port, *_ = self.client.transport.get_extra_info("sockname")
        shown = f"[{host}]" if ":" in host else host
        self._tap = ConnectionTap(self._recorder, "http", f"{shown}:{port}")
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def from_client(self, data: bytes) -> None:
        """Forward what the client sent, then record it."""
        tap = self._tap
        if tap is None or self._lingering is not None:
            return
        if self.server.connected:
            self.server.transport.write(data)
        elif self._refused is None:
            self._early.append(data)
            if sum(map(len, self._early)) > _EARLY:
                self.client.transport.pause_reading()
        tap.from_client(data)
        if self._refused is not None and tap.waiting:
            self._turn_away(self._refused)

    def client_ended(self) -> bool:
        """Pass on that the client sends no more; it may still wait for its answer."""
        tap = self._tap
        if tap is None or tap.idle or self._lingering is not None:
            self._close()
            return False
        self._client_ended = True
        if self.server.connected and self.server.transport.can_write_eof():
            self.server.transport.write_eof()
        return True

    # --- the server's side --------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            await self._proxy.connect(lambda: self.server)
        except OSError as error:
            self._refused = error
            self._early.clear()
            if self._tap is not None and self._tap.waiting:
                self._turn_away(error)
            elif self._client_ended:
                self._close()
        finally:
            self._connecting = None
            if self.client.lost and not self.server.connected:
                self._proxy.over(self)

    def server_came(self) -> None:
        """Send the server what has come so far."""
        if self.client.lost:
            self.server.transport.abort()
            return
        for data in self._early:
            self.server.transport.write(data)
        self._early.clear()
        if self._client_ended and self.server.transport.can_write_eof():
            self.server.transport.write_eof()
        self.client.transport.resume_reading()

    def from_server(self, data: bytes) -> None:
        """Forward what the server sent, then record it."""
        self.client.transport.write(data)
        if self._tap is not None:
            self._tap.from_server(data)

    def server_ended(self, error: Exception | None) -> None:
        """The server has closed the connection, or it broke."""
        tap = self._tap
        if tap is None or self._lingering is not None or self.client.lost:
            return
        if tap.unanswered:
            self._turn_away(error or ConnectionError("it closed the connection without an answer"))
            return
        if error is not None:  # that ends no body, also not one that lasts until the end
            tap.closed(IncompleteAnswerError(f"the connection to the server broke: {error}"))
        elif self._client_ended:  # which is how most clients leave, and servers then stop
            tap.server_ended("the client left before the answer was whole")
        else:
            tap.server_ended("the server closed the connection in its answer")
        self._close()

    # --- ends -----------------------------------------------------------------------------------

    def _turn_away(self, error: Exception) -> None:
        """Answer in the server's place that it cannot."""
        reason = str(error) or type(error).__name__
        text = f"The server at {self._proxy.upstream} gave no answer: {reason}.\n".encode()
        head = (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        )
        if self._tap is not None:
            self._tap.closed(error)
        transport = self.client.transport
        transport.write(head.encode("ascii") + text)
        if transport.can_write_eof():
            transport.write_eof()
        # Closing with unread data resets the connection, and what we wrote would be lost with it.
        loop = asyncio.get_running_loop()
        self._lingering = loop.call_later(_LINGER, self._close)
        transport.resume_reading()
        if self.server.connected:
            self.server.transport.abort()

    def _close(self) -> None:
        """Close both ends once what was written to them has left."""
        self.client.transport.close()
        if self.server.connected:
            self.server.transport.close()

    def cut(self, error: BaseException) -> None:
        """Close both ends now."""
        if self._tap is not None:
            self._tap.closed(error)
        self.client.transport.abort()
        if self.server.connected:
            self.server.transport.abort()

    def lost(self) -> None:
        """One of the ends is closed for good."""
        if self.client.lost:
            if self._lingering is not None:
                self._lingering.cancel()
            if self._tap is not None:
                self._tap.closed(None)
                self._tap = None
            if self._connecting is not None:
                self._connecting.cancel()
            elif self.server.connected:
                self.server.transport.abort()
            else:
                self._proxy.over(self)


class _End(asyncio.Protocol):
    """One end of a line: what is slow here holds up the other."""

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.lost: bool = False
        self.connected: bool = False
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """The connection; it exists from the moment when it is made."""
        return cast("asyncio.Transport", self._transport)

    @property
    def other(self) -> _End:
        """The end that sends what is written here."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.connected = True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        self.connected = False

    def pause_writing(self) -> None:
        if self.other.connected:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.connected:
            self.other.transport.resume_reading()


class _Client(_End):
    """The end at the client."""

    @property
    def other(self) -> _End:
        return self.line.server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.line.client_came()

    def data_received(self, data: bytes) -> None:
        self.line.from_client(data)

    def eof_received(self) -> bool:
        return self.line.client_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.line.lost()


class _Server(_End):
    """The end at the server."""

    @property
    def other(self) -> _End:
        return self.line.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.line.server_came()

    def data_received(self, data: bytes) -> None:
        self.line.from_server(data)

    def eof_received(self) -> None:
        self.line.server_ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.line.server_ended(exc)
        self.line.lost()


def _address(upstream: str) -> tuple[bool, str, int]:
    """Return whether ``upstream`` is reached over TLS, its host, and its port."""
    try:
        parts = urlsplit(upstream)
        port = parts.port
    except ValueError as error:
        raise OptionError(f"upstream {upstream!r} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(
            f"upstream must be a URL as http://127.0.0.1:8000 or https://example.com, "
            f"not {upstream!r}"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise OptionError(
            f"upstream must name a server only, but {upstream!r} has more; requests are forwarded "
            f"as they come, with the path that the client asks for"
        )
    secure = parts.scheme == "https"
    return secure, parts.hostname, port or (443 if secure else 80)
