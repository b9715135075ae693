"""HAR 1.2: what browsers, proxies and test tools export."""

from __future__ import annotations

import base64
import binascii
from http.client import responses
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from keploy_framework.importers.source import header_lines, time_of, whole_body
from keploy_framework.model import Exchange, Failure, Message, Omitted, Piece, Request, Response
from keploy_framework.storage.bodies import as_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.model import Direction
    from keploy_framework.storage.fields import Fields

__all__ = ("read_har",)

_MILLISECOND: Final = 1_000_000
_VERSIONS: Final = {"h2": "2", "h3": "3", "http/2": "2", "http/2.0": "2", "http/3": "3"}
_SWITCHING: Final = 101
_TEXT: Final = 1


def read_har(top: Fields, direction: Direction, notices: list[str]) -> Iterator[Exchange]:
    """Yield the exchanges of a HAR file, in its order.

    Args:
        top: The file.
        direction: What the exchanges become.
        notices: Gets what could not be taken over.

    Raises:
        FormatError: A field is missing, or is not what it has to be.
    """
    skipped = 0
    for number, entry in enumerate(top.required("log").items("entries")):
        if not entry.required("request").text("url").startswith(("http", "ws")):
            skipped += 1  # data:, blob:, chrome-extension:
            continue
        yield _entry(entry, direction, f"entry-{number}")
    if skipped:
        notices.append(f"{skipped} entries are left out: they are no HTTP requests")


def _entry(entry: Fields, direction: Direction, name: str) -> Exchange:
    asked, answered = entry.required("request"), entry.nested("response")
    started = time_of(entry.text("startedDateTime"), header_lines(answered, "headers"))
    waited = max(0.0, entry.real("time"))
    ended = started + round(waited * _MILLISECOND)
    response, failure = _response(answered, waited / 1000)
    headers, body = header_lines(asked, "headers"), _posted(asked)
    return Exchange(
        id=name,
        direction=direction,
        request=Request(
            asked.text("method", None).upper(),
            asked.text("url", None).partition("#")[0],
            headers,
            body,
            _version(asked),
        ),
        response=response,
        started_at=started,
        ended_at=ended,
        failure=failure,
        messages=tuple(_messages(entry, started)),
    )


def _version(fields: Fields) -> str:
    stored = fields.text("httpVersion").lower()
    return _VERSIONS.get(stored, "1.0" if stored == "http/1.0" else "1.1")


def _posted(asked: Fields) -> bytes:
    """Return the body of a request: its text, or the form that its parameters make."""
    if asked.get("postData") is None:
        return b""
    posted = asked.nested("postData")
    if posted.get("text") is not None:
        if posted.text("encoding") == "base64":
            return _decoded(posted)
        return as_bytes(posted.content("text"))
    pairs = [(item.text("name"), item.text("value")) for item in posted.items("params")]
    return urlencode(pairs).encode()


def _response(answered: Fields, at: float) -> tuple[Response | None, Failure | None]:
    status = answered.number("status")
    if status <= 0:
        text = answered.text("_error") or answered.text("statusText") or "no answer came"
        return None, Failure("har.NoAnswer", text)
    content = answered.nested("content")
    omitted, body = None, b""
    if content.get("text") is not None:
        encoded = content.text("encoding") == "base64"
        body = _decoded(content) if encoded else as_bytes(content.content("text"))
    elif (size := content.number("size")) > 0:
        omitted = Omitted(size, "", "the HAR file does not hold it")
    headers, body = whole_body(header_lines(answered, "headers"), body, status=status)
    reason = answered.text("statusText") or responses.get(status, "")
    pieces = (Piece(at, body),) if body else ()
    return Response(status, reason, headers, pieces, _version(answered), omitted=omitted), None


def _messages(entry: Fields, started: int) -> Iterator[Message]:
    """Yield the messages of a WebSocket, which Chrome writes into a field of its own."""
    for item in entry.items("_webSocketMessages"):
        text = item.text("data")
        data: str | bytes = text
        if item.number("opcode", _TEXT) != _TEXT:
            data = _decoded(item, "data")
        at = max(0.0, item.real("time") - started / 1_000_000_000)
        yield Message(at, "client" if item.text("type") == "send" else "server", data)


def _decoded(fields: Fields, name: str = "text") -> bytes:
    try:
        return base64.b64decode(fields.text(name), validate=True)
    except (binascii.Error, ValueError):
        raise fields.error("is no Base64", name) from None
