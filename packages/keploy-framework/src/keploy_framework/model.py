"""What was said over HTTP or a WebSocket: requests, answers in their pieces, and exchanges.

Everything here is plain, immutable data: no file, no clock, no socket. Recording fills it, storage
writes and reads it, replay and mocks act it out again.

Headers are kept as they came: in order, repeated, in their own spelling, decoded as Latin-1 (RFC
9110, section 5.5), so that encoding them again gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

__all__ = (
    "Direction",
    "Exchange",
    "Failure",
    "Headers",
    "Message",
    "Omitted",
    "Piece",
    "Request",
    "Response",
    "header_value",
    "header_values",
)

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Header lines in the order of the wire: (name, value), names in the sender's own spelling."""


class Direction(Enum):
    """Who called whom."""

    INBOUND = "inbound"
    """Somebody called the application: it becomes a test case."""
    OUTBOUND = "outbound"
    """The application called somebody: it becomes a mock."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a body as it came: an ASGI message, an item of a WSGI iterable, one read.

    ``at`` is in seconds after the request began. ``data`` is the bytes of the wire, before any
    decompression.
    """

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Omitted:
    """A body that was not stored: how long it was, its SHA-256 in hex, and why it was left out."""

    size: int
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request: ``url`` is absolute, ``body`` is the bytes of the wire without chunk framing."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""
    http_version: str = "1.1"
    omitted: Omitted | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: its head, and its body in the pieces in which it came."""

    status: int
    reason: str = ""
    headers: Headers = ()
    pieces: tuple[Piece, ...] = ()
    http_version: str = "1.1"
    trailers: Headers = ()
    omitted: Omitted | None = None

    @property
    def body(self) -> bytes:
        """The whole body, as it was on the wire: still compressed where it was sent compressed."""
        return b"".join(piece.data for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message: text as ``str``, binary as ``bytes``; ``at`` as in `Piece`.

    A close carries its code, and its reason as text; it is the last message of its sender.
    """

    at: float
    sender: Literal["client", "server"]
    data: str | bytes
    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How an exchange ended without a whole answer: the exception's qualified name and its text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    Attributes:
        id: Unique within its recording session.
        direction: Inbound (a test case) or outbound (a mock).
        request: What was asked.
        response: What was answered; None when the exchange failed before a head came.
        failure: Why the answer is missing or cut short; None when it is whole.
        started_at: When the request began, in nanoseconds since the epoch (UTC).
        ended_at: When the last piece came, in the same unit.
        parent: The id of the inbound exchange that caused an outbound one, if any.
        messages: The messages of a WebSocket, of both sides, in the order in which they came.
        name: The name of the test case or mock; empty until storage gives it one.
    """

    id: str
    direction: Direction
    request: Request
    response: Response | None
    started_at: int
    ended_at: int
    failure: Failure | None = None
    parent: str | None = None
    messages: tuple[Message, ...] = field(default=())
    name: str = ""


def header_values(headers: Headers, name: str) -> tuple[str, ...]:
    """Every value of the header ``name``, in order; names are compared without case."""
    wanted = name.lower()
    # A list first: a generator would cost twice as much, for every request.
    return tuple([value for key, value in headers if key.lower() == wanted])


def header_value(headers: Headers, name: str) -> str | None:
    """The values of ``name`` as one list, joined with ``", "``; None when it is absent."""
    values = header_values(headers, name)
    return ", ".join(values) if values else None
