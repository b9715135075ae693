"""Replay against a URL: requests as bytes over a connection, and what comes back read as recorded.

The client is our own, so that nothing is added to a request, decoded, followed or tried again.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from secrets import token_bytes
from typing import TYPE_CHECKING, Final, Literal

from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.model import header_value
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.frames import BINARY, TEXT, close_frame, frame
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.tap import ConnectionTap
from keploy_framework.replay.target import Answered, kept_of
from keploy_framework.replay.urls import parts_of
from keploy_framework.replay.wire import request_bytes, upgrade_bytes

if TYPE_CHECKING:
    from keploy_framework.model import Direction, Exchange, Headers, Message, Request
    from keploy_framework.recording.sink import ExchangeWriter

__all__ = ("URLTarget",)

_READ: Final = 1 << 16
_LOOK: Final = 0.1
_LOOKS: Final = 10
"""After how many looks (s) without a message a server is silent. They are many and short, since a
process that was held up for long has used up only one."""
_SOON: Final = 0.05
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HERE: Final = ("127.", "localhost", "::1")
_HUNG_UP: Final = "the server closed the connection before its answer was whole"

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class URLTarget:
    """A server at a URL.

    The recorded ``Host`` is sent to a server on this machine; another one gets its own.

    Args:
        url: Where it is: scheme, host, port; a path is put before those of the requests.
        connect_timeout: How long (s) a connection may take.

    Raises:
        OptionError: It is no URL of HTTP.
    """

    def __init__(self, url: str, *, connect_timeout: float) -> None:
        parts = parts_of(url)
        if parts.scheme not in {"http", "https"} or not parts.host or parts.query:
            raise OptionError(
                f"{url!r:.80} is no URL to replay against: give http://host:port or https://host"
            )
        self._parts = parts
        self._url = url
        self._prefix = parts.path.rstrip("/")
        self._timeout = connect_timeout
        self._idle: list[_Connection] = []
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        self._host = None if parts.host.startswith(_HERE) else authority

    @property
    def in_process(self) -> bool:
        """It runs elsewhere."""
        return False

    async def start(self) -> None:
        """See whether something answers there.

        Raises:
            AppStartError: Nothing does.
        """
        try:
            self._idle.append(await self._connect())
        except OSError as error:
            reason = error.strerror or str(error) or "no answer in time"
            raise AppStartError(f"nothing answers at {self._url}: {reason}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await _closed(connection)

    async def play(self, request: Request, recorded: Exchange, speed: float) -> Answered:
        """Send a request. See `Target`."""
        if self._prefix:
            request = _below(request, self._prefix)
        websocket = request.url.startswith(("ws:", "wss:"))
        recorder = _Followed(kept_of(recorded))
        tap = ConnectionTap(recorder, self._parts.scheme, self._parts.host)
        try:
            connection = await self._opened(fresh=websocket or request.method not in _SAFE)
        except OSError as error:
            reason = error.strerror or str(error) or "no answer in time"
            return Answered(None, f"nothing answers at {self._url}: {reason}")
        again = False
        try:
            if websocket:
                await _Talk(connection, tap, recorder).run(request, recorded, speed, self._host)
            else:
                data = request_bytes(request, host=self._host)
                again = await _ask(connection, data, recorded, tap, recorder)
        finally:
            if again:
                self._idle.append(connection)
            else:
                await _closed(connection)
        exchange = recorder.exchanges[0] if recorder.exchanges else None
        if exchange is None:
            return Answered(None, "there was no answer")
        return Answered(exchange, exchange.failure.text if exchange.failure is not None else "")

    async def _opened(self, *, fresh: bool) -> _Connection:
        """Return a connection; one that was used before only for what may be asked twice."""
        while self._idle:
            connection = self._idle.pop()
            if not fresh and not connection[0].at_eof():
                return connection
            await _closed(connection)
        return await self._connect()

    async def _connect(self) -> _Connection:
        async with asyncio.timeout(self._timeout):
            return await asyncio.open_connection(
                self._parts.host, self._parts.port, ssl=self._tls, limit=_READ
            )


async def _closed(connection: _Connection) -> None:
    writer = connection[1]
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def _ask(
    connection: _Connection,
    data: bytes,
    recorded: Exchange,
    tap: ConnectionTap,
    recorder: _Followed,
) -> bool:
    """Send a request and read its answer; return whether the connection can be used again."""
    reader, writer = connection
    leave = -1
    if recorded.failure is not None and trouble(recorded.failure) is Trouble.LEFT:
        leave = len(recorded.response.body) if recorded.response is not None else 0
    tap.from_client(data)
    writer.write(data)
    while not recorder.exchanges:
        try:
            came = await reader.read(_READ)
        except OSError as error:
            tap.closed(error)
            return False
        if not came:
            tap.server_ended(_HUNG_UP)
            return False
        tap.from_server(came)
        if 0 <= leave <= recorder.received and not recorder.exchanges:
            tap.closed(None)
            return False
    exchange = recorder.exchanges[0]
    response = exchange.response
    if response is None or exchange.failure is not None or not tap.idle:
        return False
    said = [
        header_value(head, "connection") for head in (response.headers, exchange.request.headers)
    ]
    framed = header_value(response.headers, "content-length") or header_value(
        response.headers, "transfer-encoding"
    )
    return (
        response.http_version == "1.1"
        and framed is not None
        and not any("close" in (value or "").lower() for value in said)
    )


class _Talk:
    """A conversation over a connection, as it was recorded."""

    def __init__(self, connection: _Connection, tap: ConnectionTap, recorder: _Followed) -> None:
        self._reader, self._writer = connection
        self._tap = tap
        self._recorder = recorder

    async def run(
        self, request: Request, recorded: Exchange, speed: float, host: str | None
    ) -> None:
        """Speak WebSocket, and end when everything was said, or the server ends it."""
        recorder = self._recorder
        key = b64encode(token_bytes(16)).decode("ascii")
        self._send(upgrade_bytes(request, key, host=host))
        while not recorder.switched and not recorder.exchanges:
            await self._read(None)
        heard, at = 0, 0.0
        for message in recorded.messages:
            if message.sender == "server":
                heard += 1
                continue
            await self._hear(heard)
            if recorder.exchanges:
                return
            if speed:
                await asyncio.sleep(max(0.0, message.at - at) / speed)
                at = message.at
            self._send(_frame(message))
        await self._hear(heard)
        # What the server says beyond the recording is a difference, if it comes at once.
        while not recorder.exchanges and await self._read(_SOON):
            pass
        self._tap.closed(None)

    def _send(self, data: bytes) -> None:
        self._tap.from_client(data)
        self._writer.write(data)

    async def _hear(self, count: int) -> None:
        """Wait for so many messages, unless the server is silent: it may be waiting itself."""
        looks = 0
        while self._recorder.heard < count and not self._recorder.exchanges and looks < _LOOKS:
            looks = 0 if await self._read(_LOOK) else looks + 1

    async def _read(self, patience: float | None) -> bool:
        """Read on; False if nothing comes for so long (s)."""
        try:
            async with asyncio.timeout(patience):
                came = await self._reader.read(_READ)
        except TimeoutError:
            return False
        except OSError as error:
            self._tap.closed(error)
            return True
        if came:
            self._tap.from_server(came)
        else:
            self._tap.server_ended(_HUNG_UP)
        return True


def _frame(message: Message) -> bytes:
    mask = token_bytes(4)
    if message.close_code is not None:
        return close_frame(message.close_code, str(message.data), mask=mask)
    if isinstance(message.data, str):
        return frame(TEXT, message.data.encode("utf-8", "surrogatepass"), mask=mask)
    return frame(BINARY, message.data, mask=mask)


def _below(request: Request, prefix: str) -> Request:
    """Return a request whose path stands below that of the URL."""
    scheme, _, rest = request.url.partition("://")
    authority, slash, path = rest.partition("/")
    return replace(request, url=f"{scheme}://{authority}{prefix}{slash}{path}")


class _Followed:
    """A recorder that can be followed while an exchange is under way."""

    def __init__(self, max_body: int) -> None:
        self._recorder = MemoryRecorder(max_body=max_body)
        self.received = 0
        self.heard = 0
        self.switched = False

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges that have ended."""
        return self._recorder.exchanges

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> ExchangeWriter:
        """Begin an exchange."""
        inner = self._recorder.open(direction, method, url, headers, http_version)
        return _FollowedWriter(self, inner)


class _FollowedWriter:
    """Tells its recorder what has come so far."""

    def __init__(self, recorder: _Followed, inner: ExchangeWriter) -> None:
        self._recorder = recorder
        self._inner = inner
        self.id = inner.id

    def request_piece(self, data: bytes) -> None:
        """Take a piece of the request."""
        self._inner.request_piece(data)

    def trailers(self, headers: Headers) -> None:
        """Take the trailers of the answer."""
        self._inner.trailers(headers)

    def end(self) -> None:
        """The answer is whole."""
        self._inner.end()

    def fail(self, error: BaseException) -> None:
        """It is not."""
        self._inner.fail(error)

    def response_head(
        self, status: int, reason: str, headers: Headers, http_version: str = "1.1"
    ) -> None:
        """Take the head of the answer."""
        self._recorder.switched = True
        self._inner.response_head(status, reason, headers, http_version)

    def response_piece(self, data: bytes) -> None:
        """Take a piece of its body."""
        self._recorder.received += len(data)
        self._inner.response_piece(data)

    def message(
        self, sender: Literal["client", "server"], data: str | bytes, close_code: int | None = None
    ) -> None:
        """Take a message."""
        self._recorder.heard += sender == "server"
        self._inner.message(sender, data, close_code)
