"""Shapes: what requests and values have in common when their ids and contents are taken out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from keploy_framework.matching import decoded_body
from keploy_framework.model import header_value

if TYPE_CHECKING:
    from keploy_framework.model import Headers, Request

__all__ = ("json_body", "media_type", "path_template", "query_names", "request_shape", "shape_of")

_ID: Final = re.compile(
    r"\d+|[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\[redacted:[^\]]*\]",
    re.IGNORECASE,
)


def path_template(url: str) -> str:
    """Return the path of a URL with its ids taken out.

    Example:
        >>> path_template("http://h/users/17/orders/550e8400-e29b-41d4-a716-446655440000?x=1")
        '/users/{id}/orders/{id2}'
    """
    parts: list[str] = []
    count = 0
    path = _split(url)[0]
    for segment in path.split("/")[1:]:
        if _ID.fullmatch(unquote(segment, errors="replace")):
            count += 1
            parts.append("{id}" if count == 1 else f"{{id{count}}}")
        else:
            parts.append(segment.replace("{", "%7B").replace("}", "%7D"))
    return "/" + "/".join(parts)


def query_names(url: str) -> tuple[str, ...]:
    """Return the names of the query parameters, each once, in order."""
    pairs = parse_qsl(_split(url)[1], keep_blank_values=True)
    return tuple(dict.fromkeys(name for name, _ in pairs))


def media_type(headers: Headers) -> str:
    """Return the media type of a body, in lower case and without parameters; "" if unknown."""
    return (header_value(headers, "content-type") or "").partition(";")[0].strip().lower()


def json_body(headers: Headers, body: bytes) -> tuple[bool, Any]:
    """Return whether a body is JSON, and its value."""
    media = media_type(headers)
    if not body or not (media.endswith("json") or not media):
        return False, None
    try:
        return True, json.loads(decoded_body(headers, body))
    except (ValueError, RecursionError):
        return False, None


def shape_of(value: Any) -> str:
    """Return the types of a value and of what is in it; the same for values of one shape.

    Example:
        >>> shape_of({"b": [1, 2.5, "x"], "a": None})
        '{a:null,b:[number|string]}'
    """
    if isinstance(value, dict):
        pairs = sorted(cast("dict[str, Any]", value).items())
        return f"{{{','.join(f'{name}:{shape_of(item)}' for name, item in pairs)}}}"
    if isinstance(value, list):
        shapes = {shape_of(item) for item in cast("list[object]", value)}
        return f"[{'|'.join(sorted(shapes))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def request_shape(request: Request) -> str:
    """Return what a request asks for, without the values that it asks with."""
    is_json, value = json_body(request.headers, request.body)
    body = shape_of(value) if is_json else media_type(request.headers) if request.body else ""
    names = ",".join(sorted(query_names(request.url)))
    return f"{request.method} {path_template(request.url)}?{names} {body}"


def _split(url: str) -> tuple[str, str]:
    """Return the path and the query; placeholders may stand where urllib expects an address."""
    rest = url.partition("://")[2]
    if "[redacted:" not in rest:
        split = urlsplit(url)
        return split.path, split.query
    tail = re.sub(r"^[^/?#]*", "", rest).partition("#")[0]
    path, _, query = tail.partition("?")
    return path, query
