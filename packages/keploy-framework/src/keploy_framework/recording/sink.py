"""Where recorders of traffic put what they see: the seam between the wire and the journal.

A middleware, a proxy or a patched client opens an exchange at a `Sink` and writes its parts as they
pass. Every method is synchronous, may be called from any thread, never blocks on the disk and never
raises into the traffic that it watches.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from keploy_framework.model import Direction, Failure, Headers

if TYPE_CHECKING:
    from collections.abc import Callable

    _Late: TypeAlias = Callable[
        ["Sink", Callable[[], "RequestHead | None"]], "ExchangeWriter | None"
    ]

__all__ = (
    "ExchangeWriter",
    "LateSink",
    "RequestHead",
    "Sink",
    "begun",
    "failure_of",
    "inbound_exchange",
)

inbound_exchange: ContextVar[str | None] = ContextVar("keploy_inbound_exchange", default=None)
"""The id of the inbound exchange that the running code answers: the parent of outbound calls."""

RequestHead: TypeAlias = tuple[str, str, Headers, str]
"""The head of a request: its method, absolute URL, headers and version of HTTP."""


class ExchangeWriter(Protocol):
    """Takes the parts of one exchange, in the order in which they pass."""

    @property
    def id(self) -> str:
        """The id of the exchange, unique within the session."""
        ...

    def request_piece(self, data: bytes) -> None:
        """Take a piece of the request's body, as on the wire (without chunk framing)."""
        ...

    def response_head(
        self, status: int, reason: str, headers: Headers, http_version: str = "1.1"
    ) -> None:
        """Take the head of the final answer; informational answers (1xx) are not given."""
        ...

    def response_piece(self, data: bytes) -> None:
        """Take a piece of the answer's body; its time is the time of this call."""
        ...

    def trailers(self, headers: Headers) -> None:
        """Take the trailers of the answer."""
        ...

    def message(
        self, sender: Literal["client", "server"], data: str | bytes, close_code: int | None = None
    ) -> None:
        """Take a WebSocket message, or with ``close_code`` a close and its reason as ``data``."""
        ...

    def end(self) -> None:
        """The answer is whole. A call after `end` or `fail` does nothing."""
        ...

    def fail(self, error: BaseException) -> None:
        """The exchange ended with ``error`` before the answer was whole."""
        ...


class Sink(Protocol):
    """Opens exchanges."""

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> ExchangeWriter | None:
        """Begin an exchange; None when it is not recorded (excluded, sampled out, closed, full).

        ``url`` is absolute. The parent of an outbound exchange is read from `inbound_exchange`.
        """
        ...


class LateSink(Sink, Protocol):
    """A sink that need not know the request at once, which keeps reading it out of the way."""

    def open_late(self, tell: Callable[[], RequestHead | None]) -> ExchangeWriter | None:
        """Begin an inbound exchange, see `Sink.open`.

        Args:
            tell: Returns the head of the request, or None if it cannot be read; then nothing is
                recorded. Called from any thread, so what it reads must not change.
        """
        ...


def begun(sink: Sink, tell: Callable[[], RequestHead | None]) -> ExchangeWriter | None:
    """Begin an inbound exchange at a sink of either kind; None when it is not recorded.

    Args:
        sink: The sink.
        tell: See `LateSink.open_late`.
    """
    # Asked of the class: an object that makes up attributes, as mocks do, is none of this kind.
    late = cast("_Late | None", getattr(type(sink), "open_late", None))
    if late is not None:
        return late(sink, tell)
    request = tell()
    return None if request is None else sink.open(Direction.INBOUND, *request)


def failure_of(error: BaseException) -> Failure:
    """Return an exception as recordings tell of it, also one that cannot be printed.

    >>> failure_of(ValueError("no such item"))
    Failure(kind='builtins.ValueError', text='no such item')
    """
    kind = type(error)
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an error that cannot be printed
        text = f"(its text raised {type(broken).__name__})"
    return Failure(f"{kind.__module__}.{kind.__qualname__}", text)
