"""One call of a client to the mock server: what it asks, and how the recording is acted out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.model import Direction, Exchange, Piece, Response, header_value, header_values
from keploy_framework.recording.clients.conversation import Conversation
from keploy_framework.recording.clients.seam import Interception

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.matching import Miss
    from keploy_framework.model import Headers, Request
    from keploy_framework.recording.clients.seam import Responder

__all__ = ("MockCall", "TooLargeError")

_SWITCHING: Final = 101
_BODILESS: Final = frozenset({101, 204, 304})
_HOP_BY_HOP: Final = frozenset({"keep-alive", "proxy-connection"})


class TooLargeError(ValueError):
    """A request is longer than what the mock server holds in memory."""


class MockCall(Conversation):
    """A call to the mock server.

    Args:
        responder: Is asked for the recording.
        speed: How fast it is played, see `MockServer`.
        origin: The address of the server, such as ``http://127.0.0.1:4000``.
        limit: Longest body of a request, in bytes.
        proceed: Is called when the client waits for ``100 Continue``.
    """

    exchange: Exchange | None

    def __init__(
        self,
        responder: Responder,
        speed: float,
        origin: str,
        *,
        limit: int,
        proceed: Callable[[], None],
    ) -> None:
        self._asked = _Asked(responder)
        super().__init__(Interception(frozenset(), responder=self._asked, speed=speed), origin)
        self._limit = limit
        self._size = 0
        self._proceed = proceed

    @property
    def rest(self) -> bytes:
        """What the client sent behind its request: the next one, or the first WebSocket frame."""
        return self._parser.release()

    @property
    def missed(self) -> bool:
        """Whether no recording answers."""
        return not isinstance(self._asked.found, Exchange)

    @property
    def upgraded(self) -> bool:
        """Whether the connection is a WebSocket from here on."""
        response = self.exchange.response if self.exchange is not None else None
        return response is not None and response.status == _SWITCHING

    @property
    def breaks(self) -> bool:
        """Whether the recorded answer was not whole."""
        return self.exchange is not None and self.exchange.failure is not None

    @property
    def silent(self) -> bool:
        """Whether there was no answer at all."""
        return self.exchange is not None and self.exchange.response is None

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this call, because one of the sides says so."""
        request = self.request
        response = self.exchange.response if self.exchange is not None else None
        wish = (header_value(request.headers, "connection") or "").lower()
        told = (header_value(response.headers, "connection") or "").lower() if response else ""
        old = request.http_version == "1.0" and "keep-alive" not in wish
        return self.hangs_up or old or "close" in wish or "close" in told

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        """Take the head of the request."""
        framing = super().head(start, headers)
        if framing > self._limit:
            raise TooLargeError
        if (header_value(headers, "expect") or "").lower() == "100-continue" and framing:
            self._proceed()
        return framing

    def data(self, data: bytes) -> None:
        """Take a piece of its body."""
        self._size += len(data)
        if self._size > self._limit:
            raise TooLargeError
        super().data(data)

    def feed_request(self, data: bytes) -> None:
        """Take bytes of the request.

        Raises:
            WireError: It is no request of HTTP/1.x.
            TooLargeError: Its body is too long to hold.
        """
        self._parser.feed(data)

    def due(self, at: float) -> float:
        """Return how many seconds after the request a piece is played that came at ``at``."""
        return self._interception.due(at)

    def prepare(self) -> None:
        """Find the recording, and make of it what is sent."""
        request = self.request
        try:
            found = self._interception.ask(request)
        except UnrecordedCallError as error:
            status, reason = (404, "Not Found") if self.missed else (501, "Not Implemented")
            self.exchange = _told(request, status, reason, str(error))
        else:
            if found is None:
                text = f"no recording answers {request.method} {request.url}"
                self.exchange = _told(request, 404, "Not Found", text)
            else:
                self.exchange = _framed(found, request)
        self.answer()


class _Asked:
    """A responder that remembers what it said."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self.found: Exchange | Miss | None = None

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Return the recorded exchange, or a miss."""
        self.found = self._responder.answer(request)
        return self.found


def _told(request: Request, status: int, reason: str, text: str) -> Exchange:
    """Return an answer in plain words, for whoever looks why a test fails."""
    body = text.encode() + b"\n"
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Keploy-Mock", "miss"),
        ("Content-Length", str(len(body))),
    )
    response = Response(status, reason, headers, (Piece(0.0, body),))
    return Exchange("miss", Direction.INBOUND, request, response, 0, 0)


def _framed(exchange: Exchange, request: Request) -> Exchange:
    """Return ``exchange`` with headers that tell where its body ends.

    What middleware recorded lacks those that the server added, and a length may be that of bytes
    which redaction has changed since.
    """
    response = exchange.response
    if response is None or response.status in _BODILESS or request.method == "HEAD":
        return exchange
    headers = [line for line in response.headers if line[0].lower() not in _HOP_BY_HOP]
    coding = (header_value(response.headers, "transfer-encoding") or "").lower()
    if request.http_version == "1.0":
        headers = [line for line in headers if line[0].lower() != "transfer-encoding"]
    elif not coding and not header_values(response.headers, "content-length"):
        pieces = sum(1 for piece in response.pieces if piece.data)
        if pieces > 1 or exchange.failure is not None or response.trailers:
            headers.append(("Transfer-Encoding", "chunked"))
        else:
            headers.append(("Content-Length", str(len(response.body))))
    return replace(exchange, response=replace(response, headers=tuple(headers)))
