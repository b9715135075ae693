"""The sidecar: the exact exchange beside Keploy's lossy form of it.

`keploy/<set>/tta/<name>.yaml` keeps what `keploy/<set>/tests/<name>.yaml` cannot say: header lines
in order, compressed bytes, the pieces of the answer and their times, WebSocket messages, failures.
It names the digest of what the case file says was asked and answered; when the two no longer agree,
since the case was edited or rewritten by another tool, the case file is right and the sidecar is
ignored. Changed noise or another indent does not matter.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, cast

from keploy_framework.model import (
    Direction,
    Exchange,
    Failure,
    Message,
    Omitted,
    Piece,
    Request,
    Response,
)
from keploy_framework.storage.bodies import as_bytes, as_text
from keploy_framework.storage.tree import Plain, Repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keploy_framework.model import Headers
    from keploy_framework.storage.fields import Fields
    from keploy_framework.storage.tree import Tree

__all__ = ("SIDECAR_VERSION", "LongFile", "decode_sidecar", "digest_of", "encode_sidecar")

SIDECAR_VERSION = "keploy-framework/1"
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

LongFile = tuple[str, "Sequence[tuple[float, int]]"]
"""A long body in a file: its path in the `keploy` folder, the times and lengths of its pieces."""


def digest_of(tree: Tree) -> str:
    """Return the digest of what a document says was asked and answered."""
    spec = tree.get("spec") if isinstance(tree, dict) else None
    parts: Tree = {}
    if isinstance(spec, dict):
        parts = {name: spec.get(name) for name in ("req", "resp")}
    return f"sha256:{sha256(_encode(_plain(parts)).encode()).hexdigest()}"


def encode_sidecar(  # noqa: C901 - one branch for each part that may be absent
    exchange: Exchange,
    name: str,
    *,
    digest: str | None,
    request_file: LongFile | None = None,
    response_file: LongFile | None = None,
) -> dict[str, Any]:
    """Return the sidecar of an exchange.

    Args:
        exchange: The exact exchange.
        name: The name of its test case or mock.
        digest: That of the case file; None when there is none, and the sidecar is the case.
        request_file: Where the request's body stands, if it is long.
        response_file: Where the answer's body stands, if it is long.
    """
    request, response = exchange.request, exchange.response
    tree: dict[str, Any] = {"version": SIDECAR_VERSION, "name": name}
    if digest is not None:
        tree["digest"] = digest
    tree |= {"id": exchange.id, "direction": exchange.direction.value}
    if exchange.parent is not None:
        tree["parent"] = exchange.parent
    tree |= {"started_at": exchange.started_at, "ended_at": exchange.ended_at}
    asked: dict[str, Any] = {
        "method": request.method,
        "url": request.url,
        "http_version": request.http_version,
        "headers": _encode_headers(request.headers),
    }
    if request.omitted is not None:
        asked["omitted"] = _encode_omitted(request.omitted)
    elif request_file is not None:
        asked["file"] = request_file[0]
    elif request.body:
        asked["body"] = as_text(request.body)
    tree["request"] = asked
    if response is not None:
        answered: dict[str, Any] = {
            "status": response.status,
            "reason": response.reason,
            "http_version": response.http_version,
            "headers": _encode_headers(response.headers),
        }
        if response.trailers:
            answered["trailers"] = _encode_headers(response.trailers)
        if response.omitted is not None:
            answered["omitted"] = _encode_omitted(response.omitted)
        elif response_file is not None:
            answered["file"] = response_file[0]
            answered["pieces"] = [{"at": _real(at), "size": size} for at, size in response_file[1]]
        else:
            answered["pieces"] = [
                {"at": _real(piece.at), "data": as_text(piece.data)} for piece in response.pieces
            ]
        tree["response"] = answered
    if exchange.failure is not None:
        tree["failure"] = {
            "kind": exchange.failure.kind,
            "text": exchange.failure.text.encode("utf-8", "replace").decode(),
        }
    if exchange.messages:
        tree["messages"] = [_encode_message(message) for message in exchange.messages]
    return tree


def decode_sidecar(fields: Fields, read_asset: Callable[[Fields, str], bytes]) -> Exchange:
    """Return the exchange of a sidecar.

    Raises:
        FormatError: A field is missing or is not what it has to be.
    """
    if fields.text("version") != SIDECAR_VERSION:
        raise fields.error(
            f"this sidecar is of version {fields.text('version')[:60]!r}; this is "
            f"{SIDECAR_VERSION!r}: use the version of keploy-framework that wrote it",
            "version",
        )
    asked = fields.required("request")
    body = as_bytes(asked.content("body"))
    if path := asked.text("file"):
        body = read_asset(asked, path)
    request = Request(
        asked.text("method", None),
        asked.text("url", None),
        _decode_headers(asked, "headers"),
        body,
        asked.text("http_version", "1.1"),
        _decode_omitted(asked),
    )
    failure = fields.get("failure")
    name = fields.text("name", None)
    return Exchange(
        id=fields.text("id", name),
        direction=Direction(fields.checked("direction", Direction)),
        request=request,
        response=None if fields.get("response") is None else _decode_response(fields, read_asset),
        started_at=fields.number("started_at", None),
        ended_at=fields.number("ended_at", None),
        failure=None
        if failure is None
        else Failure(fields.nested("failure").text("kind"), fields.nested("failure").text("text")),
        parent=None if fields.get("parent") is None else fields.text("parent"),
        messages=tuple(_decode_message(item) for item in fields.items("messages")),
        name=name,
    )


def _decode_response(fields: Fields, read_asset: Callable[[Fields, str], bytes]) -> Response:
    answered = fields.nested("response")
    items = answered.items("pieces")
    if path := answered.text("file"):
        whole = memoryview(read_asset(answered, path))
        pieces: list[Piece] = []
        start = 0
        for item in items:
            end = start + item.number("size")
            pieces.append(Piece(item.real("at"), bytes(whole[start:end])))
            start = end
        if start != len(whole):
            raise answered.error(
                f"the file {path} has {len(whole)} bytes, its pieces have {start}: it was cut off "
                "or changed",
                "file",
            )
    else:
        pieces = [Piece(item.real("at"), as_bytes(item.content("data"))) for item in items]
    return Response(
        answered.number("status", None),
        answered.text("reason"),
        _decode_headers(answered, "headers"),
        tuple(pieces),
        answered.text("http_version", "1.1"),
        _decode_headers(answered, "trailers"),
        _decode_omitted(answered),
    )


def _encode_headers(headers: Headers) -> list[Any]:
    return [{name: value} for name, value in headers]


def _decode_headers(fields: Fields, name: str) -> Headers:
    """Read header lines, each a mapping of one name."""
    result: list[tuple[str, str]] = []
    for at, item in enumerate(fields.listed(name)):
        if not isinstance(item, dict) or len(item) != 1:
            raise fields.error("a header line has to be one name and its value", name, at)
        for key, value in item.items():
            if value is not None and not isinstance(value, str):
                raise fields.error("the value of a header has to be text", name, at)
            result.append((str(key), str(value or "")))
    return tuple(result)


def _encode_omitted(omitted: Omitted) -> dict[str, Any]:
    return {"size": omitted.size, "sha256": omitted.sha256, "reason": omitted.reason}


def _decode_omitted(fields: Fields) -> Omitted | None:
    if fields.get("omitted") is None:
        return None
    omitted = fields.nested("omitted")
    return Omitted(omitted.number("size"), omitted.text("sha256"), omitted.text("reason"))


def _encode_message(message: Message) -> dict[str, Any]:
    tree: dict[str, Any] = {"at": _real(message.at), "sender": message.sender}
    try:
        if isinstance(message.data, str):
            message.data.encode()
        tree["data"] = message.data
    except UnicodeEncodeError:  # half a surrogate pair, which no YAML can hold
        tree["data"] = cast("str", message.data).encode("utf-8", "surrogatepass")
        tree["text"] = True
    if message.close_code is not None:
        tree["close_code"] = message.close_code
    return tree


def _decode_message(fields: Fields) -> Message:
    sender = fields.checked("sender", _sender)
    data = fields.content("data")
    if isinstance(data, bytes) and fields.truth("text"):
        data = data.decode("utf-8", "surrogatepass")
    code = None if fields.get("close_code") is None else fields.number("close_code")
    return Message(fields.real("at"), cast("Literal['client', 'server']", sender), data, code)


def _sender(value: str) -> None:
    if value not in {"client", "server"}:
        raise ValueError("the sender of a message has to be client or server")


def _real(value: float) -> Plain:
    """Write a time of seconds so that it reads back as the same number."""
    return Plain(repr(float(value)))


def _plain(value: Any) -> Any:
    """Return a tree in the form that is digested: of how it is written nothing is left."""
    if isinstance(value, Repeated):
        return [[name, _plain(item)] for name, item in value]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {str(name): _plain(item) for name, item in pairs}
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_plain(item) for item in items]
    if isinstance(value, bytes):
        return {"!!binary": value.hex()}
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else value
