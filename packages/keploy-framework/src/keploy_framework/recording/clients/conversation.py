"""The other end of a connection that leads nowhere: takes a request, gives the recorded answer.

Plain state: bytes go in, bytes and the times at which they are due come out. Threads, loops and
sockets are up to the client's patch.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from hashlib import sha1
from typing import TYPE_CHECKING, Final, NamedTuple

from keploy_framework.model import Request, header_value, header_values
from keploy_framework.recording.clients.failures import trouble
from keploy_framework.recording.clients.outbound import call_url
from keploy_framework.recording.frames import (
    BINARY,
    PING,
    PONG,
    TEXT,
    FrameReader,
    close_frame,
    frame,
)
from keploy_framework.recording.http1 import MessageParser, WireError, body_framing

if TYPE_CHECKING:
    from keploy_framework.model import Exchange, Headers, Message, Response
    from keploy_framework.recording.clients.failures import Trouble
    from keploy_framework.recording.clients.seam import Interception

__all__ = ("Conversation", "Segment", "accept_value", "latin_1")

_SWITCHING: Final = 101
_SOON: Final = 0.001
"""What comes within this many seconds came together."""
_NO_BODY: Final = frozenset({101, 204, 304})
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Segment(NamedTuple):
    """Bytes that the server sent, as one read of the client: seconds after the request."""

    at: float
    data: bytes


class Conversation:
    """Answers one call.

    Args:
        interception: Is asked for the answer.
        origin: Scheme, host and port that are called; None where the request names them.
        exchange: The answer, where it has been asked for before the request is sent.
    """

    def __init__(
        self, interception: Interception, origin: str | None, exchange: Exchange | None = None
    ) -> None:
        self._interception = interception
        self._origin = origin
        self._parser = MessageParser(self)
        self._start = ("GET", "/", "HTTP/1.1")
        self._headers: Headers = ()
        self._body: list[bytes] = []
        self._frames: FrameReader | None = None
        self._script: deque[Message] = deque()
        self.raw: bytearray = bytearray()
        """The request as it was written, for a call that goes to the network after all."""
        self.whole: bool = False
        """Whether all of the request has come."""
        self.exchange = exchange
        self.segments: deque[Segment] = deque()
        """What the server says next."""
        self.hangs_up: bool = False
        """Whether the server closes the connection after the last segment."""

    @property
    def trouble(self) -> Trouble | None:
        """What ended the recorded answer, if it was not whole."""
        if self.exchange is None or self.exchange.failure is None:
            return None
        return trouble(self.exchange.failure)

    @property
    def end(self) -> float:
        """When the recorded call ended, in seconds after it began."""
        if self.exchange is None:
            return 0.0
        return (self.exchange.ended_at - self.exchange.started_at) / 1e9

    def feed(self, data: bytes) -> None:
        """Take what the client writes."""
        try:
            if self._frames is not None:
                self._frames.feed(data)
            else:
                self.raw += data
                self._parser.feed(data)
        except WireError:
            self.hangs_up = True  # as a server would

    # --- what the parser reports ------------------------------------------------------------

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        """Take the head of the request."""
        self._start = start
        self._headers = headers
        return body_framing(headers, otherwise=0)

    def data(self, data: bytes) -> None:
        """Take a piece of its body."""
        self._body.append(data)

    def done(self, trailers: Headers) -> bool:
        """The request is whole; what follows is no other one."""
        del trailers
        self.whole = True
        return True

    # --- the answer -------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        """The request, as far as it has come."""
        method, target, version = self._start
        url = target
        if target.startswith(("/", "*")):
            scheme, _, server = (self._origin or "http://unknown.invalid").partition("://")
            upgrade = (header_value(self._headers, "upgrade") or "").lower()
            if upgrade == "websocket":
                scheme = scheme.replace("http", "ws")
            url = call_url(self._origin, f"{scheme}://{server}{target}")
        return Request(
            method, url, self._headers, b"".join(self._body), version.removeprefix("HTTP/")
        )

    def answer(self) -> bool:
        """Ask for the answer and prepare it; False when the call goes to the network.

        Raises:
            UnrecordedCallError: No recording answers.
        """
        exchange = self.exchange or self._interception.ask(self.request)
        if exchange is None:
            return False
        self.exchange = exchange
        response = exchange.response
        if response is None:
            return True
        if response.status == _SWITCHING:
            self._switch(exchange, response)
            return True
        self.segments.extend(self._segments(exchange, response))
        return True

    def _segments(self, exchange: Exchange, response: Response) -> list[Segment]:
        """Return the answer in segments: its head, then each piece, as a chunk if it is chunked."""
        bodiless = response.status in _NO_BODY or self._start[0] == "HEAD"
        coding = (header_value(response.headers, "transfer-encoding") or "").lower()
        chunked = coding.endswith("chunked") and not bodiless
        headers = response.headers
        if not chunked and not bodiless and exchange.failure is None:
            headers = _true_length(response)
        segments = [Segment(0.0, _head(response, headers))]
        if bodiless:
            return segments
        for piece in response.pieces:
            if chunked and piece.data:
                chunk = b"%x\r\n%b\r\n" % (len(piece.data), piece.data)
                segments.append(Segment(piece.at, chunk))
            elif piece.data:
                segments.append(Segment(piece.at, piece.data))
        if chunked and exchange.failure is None:
            self._end_chunks(segments, b"0\r\n%b\r\n" % _header_lines(response.trailers))
        self.hangs_up = not chunked and not header_values(headers, "content-length")
        return segments

    def _end_chunks(self, segments: list[Segment], last: bytes) -> None:
        """Add the last, empty chunk: with the chunk before it, unless it came later."""
        at, data = segments[-1]
        if self._interception.speed and self.end - at > _SOON:
            segments.append(Segment(self.end, last))
        else:
            segments[-1] = Segment(at, data + last)

    # --- WebSocket --------------------------------------------------------------------------

    def _switch(self, exchange: Exchange, response: Response) -> None:
        """Agree to speak WebSocket, without the compression that may have been agreed then."""
        key = header_value(self._headers, "sec-websocket-key") or ""
        headers = [
            (name, value)
            for name, value in response.headers
            if name.lower()
            not in {"sec-websocket-accept", "sec-websocket-extensions", "upgrade", "connection"}
        ]
        headers += [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_value(key)),
        ]
        self.segments.append(Segment(0.0, _head(response, tuple(headers))))
        self._frames = FrameReader(self._heard, None, self._pinged)
        self._script = deque(exchange.messages)
        self._speak()

    def _speak(self) -> None:
        """Say what the server said before the client's next message."""
        while self._script and self._script[0].sender == "server":
            message = self._script.popleft()
            self.segments.append(Segment(message.at, _message(message)))
        if not self._script and self.trouble is not None:
            self.hangs_up = True

    def _heard(self, data: str | bytes, code: int | None) -> None:
        """Take a message of the client; a close is repeated, which ends the conversation."""
        if code is not None:
            reason = data if isinstance(data, str) else ""
            if not self._closed_by_us():
                self.segments.append(Segment(0.0, close_frame(code, reason)))
            self.hangs_up = True
            return
        if self._script:
            self._script.popleft()
            self._speak()

    def _closed_by_us(self) -> bool:
        """Whether the recorded server has already closed."""
        messages = self.exchange.messages if self.exchange is not None else ()
        return not self._script and any(
            message.sender == "server" and message.close_code is not None for message in messages
        )

    def _pinged(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.segments.append(Segment(0.0, frame(PONG, payload)))


def _message(message: Message) -> bytes:
    """Return the frame of a recorded message."""
    data = message.data
    if message.close_code is not None:
        return close_frame(message.close_code, data if isinstance(data, str) else "")
    if isinstance(data, str):
        return frame(TEXT, data.encode("utf-8", "surrogatepass"))  # as it came, sound or not
    return frame(BINARY, data)


def accept_value(key: str) -> str:
    """Return the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key.

    >>> accept_value("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    digest = sha1((key + _GUID).encode("latin-1"), usedforsecurity=False).digest()
    return b64encode(digest).decode("ascii")


def _head(response: Response, headers: Headers) -> bytes:
    first = b"HTTP/1.1 %d %b\r\n" % (response.status, latin_1(response.reason))
    return b"%b%b\r\n" % (first, _header_lines(headers))


def _header_lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % (latin_1(name), latin_1(value)) for name, value in headers)


def latin_1(text: str) -> bytes:
    """Return the bytes of a header; of text that came over no wire, those of UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _true_length(response: Response) -> Headers:
    """Return headers whose Content-Length fits: redaction may have changed how long a body is."""
    told = header_values(response.headers, "content-length")
    true = str(sum(len(piece.data) for piece in response.pieces))
    if not told or told[0] == true:
        return response.headers
    return tuple(
        (name, true if name.lower() == "content-length" else value)
        for name, value in response.headers
    )
