"""`MemoryRecorder`: a recorder that keeps what it sees as objects, for tests of one's own."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Literal

from keploy_framework.model import Direction, Exchange, Message, Omitted, Piece, Request, Response
from keploy_framework.recording.sink import failure_of, inbound_exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from keploy_framework.model import Failure, Headers
    from keploy_framework.recording.open_exchange import Hash

__all__ = ("MemoryRecorder",)


class MemoryRecorder:
    """Keep exchanges in memory, as they come, with nothing left out and nothing redacted.

    It writes no file, so it suits a test that wants to look at what passed; for recordings that
    stay take a `Recorder`. Usable from any thread.

    Args:
        clock: Seconds, from any origin; a piece's time is the difference to its exchange's start.
        wall: Nanoseconds since the epoch.
        max_body: How long (bytes) the body of an answer may be; of a longer one only the length and
            the SHA-256 are kept. Default: any length.

    Example:
        >>> recorder = MemoryRecorder()
        >>> writer = recorder.open(Direction.INBOUND, "GET", "http://testserver/", ())
        >>> writer.response_head(204, "", ())
        >>> writer.end()
        >>> recorder.exchanges[0].response.status
        204
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], int] = time.time_ns,
        max_body: int | None = None,
    ) -> None:
        self.max_body: int | None = max_body
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._count = 0
        self._open: dict[str, _Writer] = {}
        self._ended: list[Exchange] = []

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges that have ended, in the order in which they did."""
        with self._lock:
            return tuple(self._ended)

    @property
    def under_way(self) -> tuple[str, ...]:
        """The ids of the exchanges that have begun and not ended."""
        with self._lock:
            return tuple(self._open)

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> _Writer:
        """Begin an exchange."""
        parent = inbound_exchange.get() if direction is Direction.OUTBOUND else None
        request = Request(method, url, headers, b"", http_version)
        with self._lock:
            self._count += 1
            writer = _Writer(self, str(self._count), direction, request, parent)
            self._open[writer.id] = writer
        return writer

    def now(self) -> float:
        """Return the time of a piece, in seconds."""
        return self._clock()

    def wall(self) -> int:
        """Return the time of an exchange, in nanoseconds since the epoch."""
        return self._wall()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange that has ended."""
        with self._lock:
            self._open.pop(exchange.id, None)
            self._ended.append(exchange)


class _Writer:
    """Takes the parts of one exchange, see `ExchangeWriter`."""

    __slots__ = (
        "_began",
        "_direction",
        "_hash",
        "_head",
        "_messages",
        "_over",
        "_parent",
        "_pieces",
        "_received",
        "_recorder",
        "_request",
        "_size",
        "_started",
        "_trailers",
        "id",
    )

    def __init__(
        self,
        recorder: MemoryRecorder,
        id: str,  # noqa: A002 - the attribute's name is the protocol's
        direction: Direction,
        request: Request,
        parent: str | None,
    ) -> None:
        self.id: str = id
        self._recorder = recorder
        self._direction = direction
        self._request = request
        self._parent = parent
        self._received = bytearray()
        self._head: tuple[int, str, Headers, str] | None = None
        self._pieces: list[Piece] = []
        self._size = 0
        self._hash: Hash | None = None
        self._trailers: Headers = ()
        self._messages: list[Message] = []
        self._over = False
        self._started = recorder.wall()
        self._began = recorder.now()

    def request_piece(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        if not self._over:
            self._received += data

    def response_head(
        self, status: int, reason: str, headers: Headers, http_version: str = "1.1"
    ) -> None:
        """Take the head of the answer."""
        if not self._over:
            self._head = (status, reason, headers, http_version)

    def response_piece(self, data: bytes) -> None:
        """Take a piece of the answer's body."""
        if self._over:
            return
        self._size += len(data)
        if self._hash is not None:
            self._hash.update(data)
            return
        self._pieces.append(Piece(self._recorder.now() - self._began, data))
        limit = self._recorder.max_body
        if limit is not None and self._size > limit:
            self._hash = hashlib.sha256()
            for piece in self._pieces:
                self._hash.update(piece.data)
            self._pieces.clear()

    def trailers(self, headers: Headers) -> None:
        """Take the trailers of the answer."""
        if not self._over:
            self._trailers += headers

    def message(
        self, sender: Literal["client", "server"], data: str | bytes, close_code: int | None = None
    ) -> None:
        """Take a WebSocket message, or a close."""
        if not self._over:
            at = self._recorder.now() - self._began
            self._messages.append(Message(at, sender, data, close_code))

    def end(self) -> None:
        """The answer is whole."""
        self._finish(None)

    def fail(self, error: BaseException) -> None:
        """The exchange ended before its answer was whole."""
        self._finish(failure_of(error))

    def _finish(self, failure: Failure | None) -> None:
        if self._over:
            return
        self._over = True
        asked, response = self._request, None
        if self._head is not None:
            status, reason, headers, version = self._head
            pieces = tuple(self._pieces)
            omitted = None
            if self._hash is not None:
                reason_left = f"it was longer than {self._recorder.max_body} bytes"
                omitted = Omitted(self._size, self._hash.hexdigest(), reason_left)
            response = Response(status, reason, headers, pieces, version, self._trailers, omitted)
        body = bytes(self._received)
        self._recorder.keep(
            Exchange(
                id=self.id,
                direction=self._direction,
                request=Request(asked.method, asked.url, asked.headers, body, asked.http_version),
                response=response,
                started_at=self._started,
                ended_at=self._recorder.wall(),
                failure=failure,
                parent=self._parent,
                messages=tuple(self._messages),
            )
        )
