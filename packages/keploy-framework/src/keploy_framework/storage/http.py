"""An HTTP exchange as Keploy's `Http` kind tells it, and back.

Keploy's form loses things: the order and spelling of headers, repeated ones, compression, the
pieces of streams. What is read from it alone is the nearest exchange that it describes; the sidecar
(`keploy_framework.storage.sidecar`) keeps the exact one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http.client import responses
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from keploy_framework.model import (
    Direction,
    Exchange,
    Omitted,
    Piece,
    Request,
    Response,
    header_value,
    header_values,
)
from keploy_framework.storage.bodies import (
    FORM_TYPE,
    FormPart,
    as_bytes,
    as_text,
    build_multipart,
    compress,
    decompress,
    form_decoded,
    form_encoded,
    split_multipart,
)
from keploy_framework.storage.curl import curl_command
from keploy_framework.storage.headers import folded, unfolded, with_value
from keploy_framework.storage.streams import frames, is_stream, joined
from keploy_framework.storage.times import from_rfc3339, to_rfc3339
from keploy_framework.storage.tree import Plain, Repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keploy_framework.model import Headers
    from keploy_framework.storage.fields import Fields
    from keploy_framework.storage.tree import Tree

__all__ = ("ASSET_LIMIT", "VERSION", "HttpDocument", "decode_http", "encode_http")

VERSION = "api.keploy.io/v1beta1"
ASSET_LIMIT = 1 << 20
"""Request bodies longer than this stand in a file of their own; answers are not stored."""

_BOUNDARY = "keploy-framework-boundary"


@dataclass(slots=True)
class HttpDocument:
    """A test case or mock, ready to be written: its document, and the files that it names."""

    tree: dict[str, Any]
    assets: dict[str, bytes] = field(default_factory=dict[str, bytes])


def encode_http(
    exchange: Exchange,
    name: str,
    *,
    test_set: str,
    request_asset: tuple[str, int] | None = None,
    noise: Mapping[str, list[str]] | None = None,
    description: str = "",
) -> HttpDocument:
    """Return the document of an exchange that was answered.

    Args:
        exchange: Inbound for a test case, outbound for a mock; it has a response.
        name: The name of the test case or mock.
        test_set: The set that it belongs to: the names of its files begin with it.
        request_asset: The file that holds a long request body already, and its length.
        noise: What replay ignores, in the words of Keploy; only test cases have it.
        description: What the test case is about.
    """
    response = cast("Response", exchange.response)
    inbound = exchange.direction is Direction.INBOUND
    made = HttpDocument({})
    request = _encode_request(exchange, name, test_set, made.assets, request_asset)
    metadata: dict[str, Any] = {}
    if description:
        metadata["description"] = description
    if not inbound:
        metadata |= {
            "name": "Http",
            "operation": exchange.request.method,
            "type": "HTTP_CLIENT",
            "connID": exchange.id,
        }
    spec: dict[str, Any] = {
        "metadata": metadata,
        "req": request,
        "resp": _encode_response(exchange, response),
        "objects": [],
    }
    if inbound:
        spec["assertions"] = {"noise": dict(noise or {})}
    spec["created"] = exchange.started_at // 1_000_000_000
    if not inbound:
        spec["reqTimestampMock"] = Plain(to_rfc3339(exchange.started_at))
        spec["resTimestampMock"] = Plain(to_rfc3339(exchange.ended_at))
    elif port := urlsplit(exchange.request.url).port:
        spec["app_port"] = port
    made.tree = {"version": VERSION, "kind": "Http", "name": name, "spec": spec}
    if inbound and "form" not in request and "body_ref" not in request:
        body = request["body"]
        made.tree["curl"] = curl_command(
            request["method"],
            request["url"],
            request["header"],
            body if isinstance(body, str) else "",
        )
    return made


def decode_http(
    spec: Fields, name: str, direction: Direction, read_asset: Callable[[Fields, str], bytes]
) -> Exchange:
    """Return the exchange that a document tells of.

    Args:
        spec: The `spec` of the document.
        name: The name of the test case or mock, which also becomes the exchange's id.
        direction: What it is: a test case or a mock.
        read_asset: Reads a file that a field names.

    Raises:
        FormatError: A field is missing or is not what it has to be.
    """
    req, resp = spec.required("req"), spec.required("resp")
    if req.get("timestamp") is not None and resp.get("timestamp") is None:
        raise spec.error("the field spec.resp.timestamp is missing; is the file cut off?", "resp")
    started = _time(req, "timestamp") or _time(spec, "reqTimestampMock")
    started = started or spec.number("created") * 1_000_000_000
    ended = _time(resp, "timestamp") or _time(spec, "resTimestampMock") or started
    return Exchange(
        id=name,
        direction=direction,
        request=_decode_request(req, read_asset),
        response=_decode_response(resp, started, ended),
        started_at=started,
        ended_at=max(started, ended),
        name=name,
    )


def _encode_request(
    exchange: Exchange,
    name: str,
    test_set: str,
    assets: dict[str, bytes],
    asset: tuple[str, int] | None,
) -> dict[str, Any]:
    request = exchange.request
    url = request.url
    if exchange.direction is Direction.INBOUND:
        parts = urlsplit(url)
        host = header_value(request.headers, "host") or parts.netloc
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        url = f"http://{host}{target or '/'}"
    major, minor = _version(request.http_version)
    header = folded(request.headers)
    result: dict[str, Any] = {
        "method": request.method,
        "proto_major": major,
        "proto_minor": minor,
        "url": url,
    }
    if params := _params(url):
        result["url_params"] = params
    result["header"] = header
    result["body"] = ""
    folder = f"{test_set}/assets/{name}"
    content_type = header_value(request.headers, "content-type") or ""
    coding = header_value(request.headers, "content-encoding") or ""
    plain = decompress(request.body, coding)
    body = request.body if plain is None else plain
    form = split_multipart(body, content_type) if body else None
    if asset is not None:
        result["body_ref"] = {"path": asset[0], "size": asset[1]}
    elif form is not None:
        header["Content-Type"] = "multipart/form-data"
        result["form"] = _encode_form(form, folder, assets)
    elif len(body) > ASSET_LIMIT:
        path = f"{folder}/body.txt"
        assets[path] = body
        result["body_ref"] = {"path": path, "size": len(body)}
    elif content_type.strip() == FORM_TYPE:
        result["body"] = form_decoded(body)
    else:
        result["body"] = as_text(body)
    result["timestamp"] = Plain(to_rfc3339(exchange.started_at))
    return result


def _encode_form(
    parts: list[FormPart], folder: str, assets: dict[str, bytes]
) -> list[dict[str, Any]]:
    """Return the fields of a multipart form; its files become assets."""
    fields: list[dict[str, Any]] = []
    for part in parts:
        if not fields or fields[-1]["key"] != part.key:
            fields.append({"key": part.key})
        entry = fields[-1]
        if part.file_name is None:
            entry.setdefault("values", []).append(as_text(part.data))
            continue
        base = re.sub(r"[^\w.-]+", "_", re.split(r"[/\\]", part.file_name)[-1]).strip(".") or "file"
        path = f"{folder}/{base}"
        number = 1
        while path in assets:
            number += 1
            path = f"{folder}/{number}/{base}"
        assets[path] = part.data
        entry.setdefault("paths", []).append(path)
    return fields


def _encode_response(exchange: Exchange, response: Response) -> dict[str, Any]:
    result: dict[str, Any] = {
        "status_code": response.status,
        "header": folded(response.headers),
        "body": "",
    }
    coding = header_value(response.headers, "content-encoding") or ""
    body = decompress(response.body, coding)
    size = response.omitted.size if response.omitted else len(response.body)
    if response.omitted or (body is not None and len(body) > ASSET_LIMIT) or size > ASSET_LIMIT:
        result["body_skipped"] = True
        result["body_size"] = size if body is None or response.omitted else len(body)
    else:
        whole = response.body if body is None else body
        result["body"] = _stream(exchange, response, coding) or as_text(whole)
    result["status_message"] = response.reason or responses.get(response.status, "")
    result["proto_major"] = 0
    result["proto_minor"] = 0
    result["timestamp"] = Plain(to_rfc3339(exchange.ended_at))
    return result


def _stream(exchange: Exchange, response: Response, coding: str) -> list[Any] | None:
    """Return the frames of a streamed answer; None if it is not stored as a stream."""
    content_type = header_value(response.headers, "content-type") or ""
    sized = bool(header_values(response.headers, "content-length"))
    if not response.pieces or not is_stream(content_type, sized=sized):
        return None
    pieces = [(piece.at, piece.data) for piece in response.pieces]
    if coding and coding.strip().lower() != "identity":
        plain = decompress(response.body, coding)
        if plain is None:
            return None
        pieces = [(pieces[-1][0], plain)]
    sse = content_type.lower().startswith("text/event-stream")
    try:
        found = frames(pieces, sse=sse, started_at=exchange.started_at)
    except UnicodeDecodeError:
        return None
    result: list[Any] = []
    for time, fields in found:
        names = [name for name, _ in fields]
        data: Any = Repeated(fields) if len(set(names)) < len(names) else dict(fields)
        result.append({"ts": time, "data": data})
    return result


def _decode_request(req: Fields, read_asset: Callable[[Fields, str], bytes]) -> Request:
    headers = unfolded(req)
    content_type = header_value(headers, "content-type") or ""
    announced = header_value(headers, "content-length") or ""
    length = int(announced) if announced.isdecimal() and len(announced) < 19 else None  # noqa: PLR2004 - a count
    body = as_bytes(req.content("body"))
    again = False
    if form := req.items("form"):
        parts: list[FormPart] = []
        for entry in form:
            key = entry.text("key")
            parts += [FormPart(key, _item(value), None) for value in entry.listed("values")]
            for path in entry.listed("paths"):
                data = read_asset(entry, str(path))
                parts.append(FormPart(key, data, PurePosixPath(str(path)).name))
        body = build_multipart(parts, _BOUNDARY)
        if "boundary" not in content_type:
            content_type = f"multipart/form-data; boundary={_BOUNDARY}"
            headers = with_value(headers, "Content-Type", content_type)
        again = True
    elif ref := req.nested("body_ref").text("path"):
        body = read_asset(req, ref)
    elif content_type.strip() == FORM_TYPE and body:
        body = form_encoded(req.content("body"), length)
        again = True
    headers, body, packed = _packed(headers, body)
    if (again or packed) and length is not None:
        headers = with_value(headers, "Content-Length", str(len(body)))
    return Request(
        req.text("method", None),
        req.text("url", None),
        headers,
        body,
        f"{req.number('proto_major', 1)}.{req.number('proto_minor', 1)}".replace("2.0", "2"),
    )


def _decode_response(resp: Fields, started: int, ended: int) -> Response:
    headers = unfolded(resp)
    omitted = None
    pieces: tuple[Piece, ...] = ()
    value = resp.get("body")
    if resp.truth("body_skipped"):
        omitted = Omitted(resp.number("body_size"), "", "Keploy stores no answers over 1 MiB")
    elif isinstance(value, list):
        pieces = tuple(
            Piece(max(0, (_time(item, "ts") or started) - started) / 1e9, _frame(item))
            for item in resp.items("body")
        )
        headers = tuple(pair for pair in headers if pair[0].lower() != "content-encoding")
    elif value:
        headers, body, packed = _packed(headers, as_bytes(resp.content("body")))
        if packed and header_values(headers, "content-length"):
            headers = with_value(headers, "Content-Length", str(len(body)))
        pieces = (Piece((ended - started) / 1e9 if ended > started else 0.0, body),)
    return Response(
        resp.number("status_code", None),
        resp.text("status_message"),
        headers,
        pieces,
        omitted=omitted,
    )


def _frame(item: Fields) -> bytes:
    data = item.get("data")
    if isinstance(data, (str, bytes)):
        return as_bytes(data)
    pairs: list[tuple[str, Tree]] = []
    if isinstance(data, Repeated):
        pairs = [*data]
    elif isinstance(data, dict):
        pairs = [*data.items()]
    return joined([(name, _item(value).decode("utf-8", "replace")) for name, value in pairs])


def _packed(headers: Headers, body: bytes) -> tuple[Headers, bytes, bool]:
    """Compress a stored body again; where that cannot be done, drop the header that says so."""
    coding = header_value(headers, "content-encoding")
    if not coding or not body:
        return headers, body, False
    packed = compress(body, coding)
    if packed is not None:
        return headers, packed, packed != body
    return tuple(pair for pair in headers if pair[0].lower() != "content-encoding"), body, True


def _params(url: str) -> dict[str, str]:
    """Return the parameters of a URL, for display."""
    result: dict[str, str] = {}
    for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        result[key] = f"{result[key]}, {value}" if key in result else value
    return result


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major) if major.isdecimal() else 1, int(minor) if minor.isdecimal() else 0


def _time(fields: Fields, name: str) -> int | None:
    text = fields.text(name)
    found = from_rfc3339(text) if text else None
    if text and found is None:
        raise fields.error(f"{name} is no time: {text[:60]!r}", name)
    return found


def _item(value: Tree) -> bytes:
    return as_bytes(value) if isinstance(value, (str, bytes)) else b""
