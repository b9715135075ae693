"""Requests as the bytes that go over a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keploy_framework.model import header_value, header_values
from keploy_framework.recording.clients.conversation import latin_1
from keploy_framework.replay.urls import parts_of
from keploy_framework.storage.headers import with_value

if TYPE_CHECKING:
    from keploy_framework.model import Headers, Request

__all__ = ("request_bytes", "upgrade_bytes")

_UPGRADE: Final = frozenset(
    {"connection", "upgrade", "sec-websocket-key", "sec-websocket-version"}
    | {"sec-websocket-extensions", "content-length"}
)


def request_bytes(request: Request, *, host: str | None = None) -> bytes:
    r"""Return a request as it is sent: target and header lines as they were recorded.

    What frames the body is made true where it is not: a length that no longer fits, chunks that
    were not stored as such. ``Expect`` is left out: nobody would wait.

    Args:
        request: The request.
        host: What ``Host`` says; None for what was recorded.

    Example:
        >>> from keploy_framework.model import Request
        >>> request_bytes(Request("PUT", "http://h/a?b=%20", (("X-A", "1"),), b"hi"))
        b'PUT /a?b=%20 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi'
    """
    headers = tuple(line for line in request.headers if line[0].lower() != "expect")
    headers = _with_host(headers, request.url, host)
    body = request.body
    coding = header_value(headers, "transfer-encoding")
    if coding is not None and coding.lower().rpartition(",")[2].strip() == "chunked":
        headers = tuple(line for line in headers if line[0].lower() != "content-length")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    else:
        headers = tuple(line for line in headers if line[0].lower() != "transfer-encoding")
        told = header_values(headers, "content-length")
        if told and told != (str(len(body)),):
            headers = with_value(headers, "Content-Length", str(len(body)))
        elif not told and body:
            headers = (*headers, ("Content-Length", str(len(body))))
    version = "1.0" if request.http_version == "1.0" else "1.1"
    return _head(request.method, request.url, version, headers) + body


def upgrade_bytes(request: Request, key: str, *, host: str | None = None) -> bytes:
    """Return a request to speak WebSocket, without compression."""
    kept = tuple(line for line in request.headers if line[0].lower() not in _UPGRADE)
    headers = (
        *_with_host(kept, request.url, host),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    )
    return _head("GET", request.url, "1.1", headers)


def _with_host(headers: Headers, url: str, host: str | None) -> Headers:
    if not header_values(headers, "host"):
        authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
        headers = (("Host", authority.rpartition("@")[2]), *headers)
    return headers if host is None else with_value(headers, "Host", host)


def _head(method: str, url: str, version: str, headers: Headers) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % (latin_1(name), latin_1(value)) for name, value in headers)
    start = f"{method} {parts_of(url).target} HTTP/{version}\r\n"
    return start.encode("latin-1", "replace") + lines + b"\r\n"
