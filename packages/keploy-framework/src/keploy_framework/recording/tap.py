"""What passes on one connection of HTTP/1.x, told to a recorder as exchanges.

Plain state without a socket: it is given the bytes of both sides as they come. It never raises and
never alters them. Where it can no longer follow, the open exchanges fail with the reason, and the
rest of the connection goes unrecorded.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.model import Direction, header_value
from keploy_framework.recording.frames import FrameReader, deflated
from keploy_framework.recording.http1 import UNTIL_CLOSE, MessageParser, WireError, body_framing
from keploy_framework.recording.inbound import absolute_url, request_target

if TYPE_CHECKING:
    from keploy_framework.model import Headers
    from keploy_framework.recording.sink import ExchangeWriter, Sink

__all__ = ("ConnectionTap",)

_SWITCHING: Final = 101
_FINAL: Final = 200
_REDIRECT: Final = 300
_BODILESS: Final = frozenset({204, 304})


class ConnectionTap:
    r"""Tells a recorder what passes on one connection.

    Args:
        recorder: Where exchanges go.
        scheme: ``http`` or ``https``: how the client reaches the server.
        server: Host and port, for a request that names none.

    Example:
        ```text
        tap = ConnectionTap(recorder, "http", "127.0.0.1:8000")
        tap.from_client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        tap.from_server(b"HTTP/1.1 204 No Content\r\n\r\n")
        tap.closed(None)
        ```
    """

    __slots__ = (
        "_broken",
        "_frames",
        "_recorder",
        "_requests",
        "_responses",
        "_scheme",
        "_server",
        "_tunnel",
        "_waiting",
    )

    def __init__(self, recorder: Sink, scheme: str, server: str) -> None:
        self._recorder = recorder
        self._scheme = scheme
        self._server = server
        self._waiting: deque[_Asked] = deque()
        self._requests = MessageParser(_Requests(self))
        self._responses = MessageParser(_Responses(self))
        self._frames: tuple[FrameReader, FrameReader] | None = None
        self._tunnel = False
        self._broken = False

    @property
    def waiting(self) -> bool:
        """Whether a request awaits its answer, or the rest of it."""
        return bool(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, as far as can be told."""
        return not (self._waiting or self._tunnel or self._broken)

    @property
    def unanswered(self) -> bool:
        """Whether a request awaits its answer of which nothing has come."""
        return bool(self._waiting) and not self._tunnel and self._responses.between_messages

    def from_client(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._broken:
            return
        try:
            if self._frames is not None:
                self._frames[0].feed(data)
            elif not self._tunnel:
                self._requests.feed(data)
        except WireError as error:
            self._give_up(error)

    def from_server(self, data: bytes) -> None:
        """Take what the server sent."""
        if self._broken:
            return
        try:
            if self._frames is not None:
                self._frames[1].feed(data)
            elif not self._tunnel:
                self._responses.feed(data)
        except WireError as error:
            self._give_up(error)

    def server_ended(self, reason: str) -> None:
        """The server has closed the connection, in order: a body may end with that.

        Args:
            reason: Why answers that it leaves unfinished fail.
        """
        if not self._broken and not self._tunnel:
            with suppress(WireError):
                self._responses.eof()
        self.closed(IncompleteAnswerError(reason))

    def closed(self, error: BaseException | None) -> None:
        """The connection is over; what has no whole answer fails with ``error``.

        Args:
            error: Why; None where nobody knows, as when a client just leaves.
        """
        if self._tunnel:
            # A WebSocket without a close: the line broke, and what came before stands.
            for asked in self._waiting:
                asked.end()
        else:
            reason = error or IncompleteAnswerError("the client left before the answer was whole")
            for asked in self._waiting:
                asked.fail(reason)
        self._waiting.clear()

    def _give_up(self, error: WireError) -> None:
        self._broken = True
        for asked in self._waiting:
            asked.fail(error)
        self._waiting.clear()

    # --- what the two parsers report --------------------------------------------------------

    def asked(self, start: tuple[str, str, str], headers: Headers) -> _Asked:
        """Open the exchange of a request whose head has come."""
        method, target, protocol = start
        name, _, version = protocol.partition("/")
        if name != "HTTP":
            raise WireError(f"{' '.join(start)!r:.60} is no request of HTTP/1.x")
        if version == "2.0":
            raise WireError("HTTP/2 passes through, but is not recorded")
        upgrade = (header_value(headers, "upgrade") or "").strip().lower()
        scheme = self._scheme
        if upgrade == "websocket":
            scheme = "wss" if scheme == "https" else "ws"
        if target.startswith(("http://", "https://")):  # as clients of a forward proxy write it
            url = target
        else:
            path, mark, query = target.encode("latin-1").partition(b"?")
            host = header_value(headers, "host")
            made = request_target(path, query) + ("?" if mark and not query else "")
            url = absolute_url(scheme, host, self._server, made)
        writer = self._recorder.open(Direction.INBOUND, method, url, headers, version or "1.1")
        asked = _Asked(writer, method, upgrade)
        self._waiting.append(asked)
        return asked

    def answering(self) -> _Asked:
        """Return the request that is answered next; one that nobody records if none is known."""
        return self._waiting[0] if self._waiting else _Asked(None, "GET", "")

    def answered(self, asked: _Asked) -> None:
        """The answer is whole."""
        asked.end()
        if self._waiting and self._waiting[0] is asked:
            self._waiting.popleft()
        if asked.holds:
            asked.holds = False
            self._requests.resume()

    def switched(self, asked: _Asked, headers: Headers) -> None:
        """From here on the connection is no longer HTTP."""
        self._tunnel = True
        early = self._requests.release()
        if asked.upgrade != "websocket":
            # What passes through is nobody's message.
            asked.end()
            self._waiting.clear()
            return
        extensions = header_value(headers, "sec-websocket-extensions") or ""
        self._frames = (
            FrameReader(asked.said("client"), deflated(extensions, "client")),
            FrameReader(asked.said("server"), deflated(extensions, "server")),
        )
        self._frames[0].feed(early)

    def after_switch(self, data: bytes) -> None:
        """Take what the server sent right behind its agreement."""
        if self._frames is not None:
            self._frames[1].feed(data)


class _Asked:
    """A request that awaits its answer."""

    __slots__ = ("holds", "method", "upgrade", "writer")

    def __init__(self, writer: ExchangeWriter | None, method: str, upgrade: str) -> None:
        self.writer: ExchangeWriter | None = writer
        self.method: str = method
        self.upgrade: str = upgrade
        # What the client sends behind it may be no HTTP; that is for the answer to tell.
        self.holds: bool = bool(upgrade) or method == "CONNECT"

    def said(self, sender: Literal["client", "server"]) -> _Said:
        return _Said(self, sender)

    def end(self) -> None:
        if self.writer is not None:
            self.writer.end()

    def fail(self, error: BaseException) -> None:
        if self.writer is not None:
            self.writer.fail(error)


class _Said:
    """Records the messages of one side of a WebSocket."""

    __slots__ = ("_asked", "_sender")

    def __init__(self, asked: _Asked, sender: Literal["client", "server"]) -> None:
        self._asked = asked
        self._sender: Literal["client", "server"] = sender

    def __call__(self, data: str | bytes, code: int | None) -> None:
        writer = self._asked.writer
        if writer is None:
            return
        writer.message(self._sender, data, code)
        if code is not None:
            # The other side only repeats it.
            writer.end()


class _Requests:
    """Listens to what the client sends."""

    __slots__ = ("_asked", "_tap")

    def __init__(self, tap: ConnectionTap) -> None:
        self._tap = tap
        self._asked = _Asked(None, "GET", "")

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        framing = body_framing(headers, otherwise=0)
        self._asked = self._tap.asked(start, headers)
        return framing

    def data(self, data: bytes) -> None:
        if self._asked.writer is not None:
            self._asked.writer.request_piece(data)

    def done(self, trailers: Headers) -> bool:
        del trailers  # the model has none for requests
        return self._asked.holds


class _Responses:
    """Listens to what the server sends."""

    __slots__ = ("_asked", "_bodiless", "_informational", "_tap", "_tunnel")

    def __init__(self, tap: ConnectionTap) -> None:
        self._tap = tap
        self._asked = _Asked(None, "GET", "")
        self._informational = False
        self._tunnel = False

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        protocol, code, reason = start
        if not protocol.startswith("HTTP/") or not (code.isascii() and code.isdigit()):
            raise WireError(f"{' '.join(start)!r:.60} is no answer of HTTP/1.x")
        status = int(code)
        self._informational = status < _FINAL and status != _SWITCHING
        if self._informational:
            return 0
        asked = self._asked = self._tap.answering()
        if asked.writer is not None:
            asked.writer.response_head(status, reason, headers, protocol[5:])
        if status == _SWITCHING or (asked.method == "CONNECT" and _FINAL <= status < _REDIRECT):
            self._tunnel = True
            self._tap.switched(asked, headers)
            return UNTIL_CLOSE
        if asked.method == "HEAD" or status in _BODILESS:
            return 0
        return body_framing(headers, otherwise=UNTIL_CLOSE)

    def data(self, data: bytes) -> None:
        if self._tunnel:
            self._tap.after_switch(data)
        elif self._asked.writer is not None:
            self._asked.writer.response_piece(data)

    def done(self, trailers: Headers) -> bool:
        if not self._informational and not self._tunnel:
            if trailers and self._asked.writer is not None:
                self._asked.writer.trailers(trailers)
            self._tap.answered(self._asked)
        return False
