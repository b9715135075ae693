"""What recording and replay read of a request of httpx, and write of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from keploy_framework.model import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.model import Headers
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.sink import ExchangeWriter

__all__ = ("Call", "open_exchange", "recorded_request", "url_of", "with_stream", "write_head")


class _URL(Protocol):
    scheme: str
    host: str
    port: int | None
    netloc: bytes
    raw_path: bytes


class Call(Protocol):
    """A request of httpx, as far as it is read here."""

    method: str
    url: _URL
    headers: Any
    stream: Any
    extensions: dict[str, Any]


def url_of(request: Call) -> str:
    """Return the URL as it stands on the wire: without user, password and fragment."""
    url = request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def recorded_request(request: Call, body: bytes) -> Request:
    """Return the request as recordings are asked for it."""
    return Request(request.method, url_of(request), _headers(request.headers.raw), body)


def open_exchange(interception: Interception, request: Call) -> ExchangeWriter | None:
    """Begin to record a call; None when it is not recorded."""
    return interception.open(request.method, url_of(request), _headers(request.headers.raw))


def with_stream(request: Call, stream: object) -> Call:
    """Return the request with another body, so that the caller's own stays as it is."""
    twin = object.__new__(type(request))
    vars(twin).update(vars(request))
    twin.stream = stream
    return twin


def write_head(writer: ExchangeWriter, response: Any) -> None:
    """Write the head of an answer down."""
    extensions: dict[str, Any] = response.extensions
    version: bytes = extensions.get("http_version", b"HTTP/1.1")
    reason: bytes = extensions.get("reason_phrase", b"")
    writer.response_head(
        response.status_code,
        reason.decode("latin-1"),
        _headers(response.headers.raw),
        version.decode("ascii", "replace").removeprefix("HTTP/"),
    )
