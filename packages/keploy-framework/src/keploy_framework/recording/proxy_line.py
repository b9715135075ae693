"""One client's connection to a `RecordingProxy`, and the one to the server that belongs to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.tap import ConnectionTap

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.recording.sink import Sink

__all__ = ("ProxyLine",)

_EARLY: Final = 1 << 16
"""How much a client may send before the server is reached, in bytes; then it has to wait."""
_LINGER: Final = 1.0
"""Seconds that a client has to read why it is turned away, before the connection is cut."""


class Proxy(Protocol):
    """What a line needs of the proxy that it belongs to."""

    @property
    def upstream(self) -> str:
        """Host and port of the server."""
        ...

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the server.

        Raises:
            OSError: It cannot be reached, or not in time.
        """
        ...

    def opened(self, line: ProxyLine) -> None:
        """Take note of a new connection."""
        ...

    def over(self, line: ProxyLine) -> None:
        """Take note that nothing of a connection is left."""
        ...


class ProxyLine:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, recorder: Sink) -> None:
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

    def __init__(self, line: ProxyLine) -> None:
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
