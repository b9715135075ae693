"""Cassettes of vcrpy (today's and older ones, YAML and JSON) and of cassetter."""

from __future__ import annotations

import base64
import binascii
import json
from http.client import responses
from typing import TYPE_CHECKING, Final

from keploy_framework.importers.source import header_lines, plain_value, time_of, whole_body
from keploy_framework.model import Exchange, Message, Piece, Request, Response
from keploy_framework.storage.bodies import as_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.model import Direction
    from keploy_framework.storage.fields import Fields
    from keploy_framework.storage.tree import Tree

__all__ = ("is_cassetter", "read_cassette")

_MILLISECOND: Final = 1_000_000
_GRPC: Final = "grpc_interactions"
_WEBSOCKET: Final = "ws_interactions"


def is_cassetter(top: Fields) -> bool:
    """Say whether a cassette is cassetter's: its bodies name their type."""
    if top.get(_WEBSOCKET) is not None or top.get(_GRPC) is not None:
        return True
    return any(
        isinstance(item.nested(side).get("body"), dict)
        and "type" in item.nested(side).nested("body").names()
        for item in top.items("interactions")
        for side in ("request", "response")
    )


def read_cassette(top: Fields, direction: Direction, notices: list[str]) -> Iterator[Exchange]:
    """Yield the exchanges of a cassette, in its order.

    Args:
        top: The file.
        direction: What the exchanges become.
        notices: Gets what could not be taken over.

    Raises:
        FormatError: A field is missing, or is not what it has to be.
    """
    for number, item in enumerate(top.items("interactions")):
        yield _interaction(item, direction, f"interaction-{number}")
    for number, item in enumerate(top.items(_WEBSOCKET)):
        yield _conversation(item, direction, f"websocket-{number}")
    if count := len(top.listed(_GRPC)):
        notices.append(f"{count} gRPC interactions are left out: only Keploy can replay those")


def _interaction(item: Fields, direction: Direction, name: str) -> Exchange:
    asked, answered = item.required("request"), item.required("response")
    url = asked.text("uri") or asked.text("url", None)
    if "://" not in url:
        raise asked.error(f"{url!r:.100} is no absolute URL", "uri")
    status, reason = _status(answered)
    headers, body = whole_body(header_lines(answered, "headers"), _answer(answered), status=status)
    started = time_of(item.text("recorded_at"), headers)
    return Exchange(
        id=name,
        direction=direction,
        request=Request(
            asked.text("method", None).upper(),
            url,
            header_lines(asked, "headers"),
            _content(asked, "body"),
        ),
        response=Response(status, reason, headers, (Piece(0.0, body),) if body else ()),
        started_at=started,
        ended_at=started,
    )


def _status(answered: Fields) -> tuple[int, str]:
    """Return the status and its words: a mapping today, a number in cassetter and in old files."""
    if isinstance(answered.get("status"), dict):
        fields = answered.nested("status")
        code, reason = fields.number("code", None), fields.text("message")
    else:
        old = "status_code" if answered.get("status") is None else "status"
        code, reason = answered.number(old, None), answered.text("reason")
    return code, reason or responses.get(code, "")


def _answer(answered: Fields) -> bytes:
    name = "body" if answered.get("body") is not None else "content"
    return _content(answered, name)


def _content(fields: Fields, name: str) -> bytes:
    """Return a body, in whichever of its forms it is stored."""
    stored = fields.get(name)
    if stored is None or isinstance(stored, (str, bytes)):
        return as_bytes(fields.content(name))
    body = fields.nested(name)
    if "type" in body.names():
        return _typed(body)
    if body.get("base64_string") is not None:
        return _decoded(body, "base64_string")
    return as_bytes(body.content("string"))


def _typed(body: Fields) -> bytes:
    """Return a body of cassetter's: text, JSON as YAML, or bytes in hex."""
    kind = body.text("type", None)
    if kind == "none":
        return b""
    if kind == "json":
        return json.dumps(plain_value(body.get("content"))).encode()
    if kind == "binary":
        stored: Tree = body.get("content")
        try:
            return stored if isinstance(stored, bytes) else bytes.fromhex(body.text("content"))
        except ValueError:
            raise body.error("a binary body has to be hex digits", "content") from None
    if kind != "text":
        raise body.error(f"{kind[:60]!r} is no type of body", "type")
    return as_bytes(body.content("content"))


def _decoded(body: Fields, name: str) -> bytes:
    try:
        return base64.b64decode(body.text(name), validate=True)
    except (binascii.Error, ValueError):
        raise body.error("is no Base64", name) from None


def _conversation(item: Fields, direction: Direction, name: str) -> Exchange:
    """Return a WebSocket of cassetter's."""
    messages: list[Message] = []
    for frame in item.items("frames"):
        sent = frame.text("direction", None)
        if sent not in {"send", "recv"}:
            raise frame.error(f"{sent[:60]!r} is no direction; send and recv are", "direction")
        data = _typed(frame.required("body"))
        kind = frame.text("frame_type", None)
        text = data if kind == "binary" else data.decode("utf-8", "replace")
        messages.append(
            Message(
                frame.real("offset_ms") / 1000,
                "client" if sent == "send" else "server",
                text,
                1000 if kind == "close" else None,
            )
        )
    started = time_of(item.text("recorded_at"))
    last = messages[-1].at if messages else 0
    return Exchange(
        id=name,
        direction=direction,
        request=Request("GET", item.text("uri", None), header_lines(item, "headers")),
        response=Response(101, responses[101]),
        started_at=started,
        ended_at=started + round(last * 1000) * _MILLISECOND,
        messages=tuple(messages),
    )
