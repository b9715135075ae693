"""What the readers of foreign files share: the file itself, header lines, times, whole bodies."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, cast

from keploy_framework.errors import FormatError
from keploy_framework.model import header_value
from keploy_framework.storage.bodies import compress, decompress
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.headers import with_value
from keploy_framework.storage.times import from_rfc3339
from keploy_framework.storage.tree import Plain, as_bool, load_one

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from keploy_framework.model import Exchange, Headers

__all__ = ("header_lines", "in_order", "load_fields", "plain_value", "time_of", "whole_body")

_STEP: Final = 1_000_000
_NO_BODY: Final = frozenset({204, 304})
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "identity"})


def load_fields(path: Path) -> Fields:
    """Read a file of one document, JSON or YAML, whatever it is called.

    Raises:
        FormatError: It cannot be read, is neither, or is no mapping.
    """
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=name) from error
    if not data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return Fields(load_one(data, name), name, data)
    try:
        tree: Any = json.loads(
            data.decode("utf-8-sig"), parse_int=Plain, parse_float=Plain, parse_constant=Plain
        )
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise FormatError(message, path=name, line=line) from None
    except json.JSONDecodeError as error:
        raise FormatError(f"is not JSON: {error.msg}", path=name, line=error.lineno) from None
    except RecursionError:
        raise FormatError("is not JSON that can be read: it nests too deep", path=name) from None
    return Fields(tree, name, data)


def header_lines(fields: Fields, name: str) -> Headers:
    """Return the headers of a field: a map to values or lists of values, or pairs of name, value.

    What stands for HTTP/2's own fields (`:authority`) is left out.
    """
    stored = fields.get(name)
    lines: list[tuple[str, str]] = []
    if isinstance(stored, list):
        for item in fields.items(name):
            key = item.text("name") or item.text("key")
            if not item.truth("disabled"):
                lines.append((key, _latin(item.content("value"))))
    else:
        nested = fields.nested(name)
        for key in nested.names():
            values = nested.listed(key) if isinstance(nested.get(key), list) else [nested.get(key)]
            for value in values:
                if value is not None and not isinstance(value, (str, bytes)):
                    raise fields.error(f"the header {key!r:.60} has a value that is no text", name)
                lines.append((str(key), _latin(value or "")))
    return tuple((key, value) for key, value in lines if key and not key.startswith(":"))


def _latin(value: str | bytes) -> str:
    """Return a header's value in the form of the model: bytes of the wire as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if max(value, default="") <= "\xff":
        return value
    return value.encode("utf-8", "replace").decode("latin-1")


def time_of(text: str, headers: Headers = ()) -> int:
    """Return a moment in nanoseconds since the epoch: what a file says, else the Date header."""
    found = from_rfc3339(text) if text else None
    if found is not None:
        return found
    try:
        moment = parsedate_to_datetime(header_value(headers, "date") or "")
        return max(0, int(moment.timestamp())) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0


def whole_body(headers: Headers, body: bytes, *, status: int = 200) -> tuple[Headers, bytes]:
    """Make a body and its headers agree: many tools store it without the compression it came in.

    What cannot be compressed again here loses its Content-Encoding.
    """
    coding = header_value(headers, "content-encoding") or ""
    if coding and body and decompress(body, coding) is None:
        known = _CODINGS.issuperset(name.strip().lower() for name in coding.split(","))
        packed = compress(body, coding) if known else None
        if packed is None:
            headers = tuple(line for line in headers if line[0].lower() != "content-encoding")
        body = body if packed is None else packed
    if body and status not in _NO_BODY:
        headers = with_value(headers, "content-length", str(len(body)))
    return headers, body


def in_order(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Give each exchange a time after the one before it, where the file has none or equal ones."""
    last = 0
    ordered: list[Exchange] = []
    for exchange in exchanges:
        started = max(exchange.started_at, last + _STEP)
        spent = max(0, exchange.ended_at - exchange.started_at)
        last = started
        ordered.append(replace(exchange, started_at=started, ended_at=started + spent))
    return ordered


def plain_value(tree: object) -> object:
    """Return a tree as values of JSON: numbers and truth values are what they look like."""
    if isinstance(tree, Plain):
        return _scalar(tree)
    if isinstance(tree, dict):
        pairs = cast("dict[object, object]", tree).items()
        return {str(key): plain_value(item) for key, item in pairs}
    if isinstance(tree, list):
        return [plain_value(item) for item in cast("list[object]", tree)]
    return tree


def _scalar(text: Plain) -> object:
    truth = as_bool(text)
    if truth is not None:
        return truth
    for number in (int, float):
        with suppress(ValueError):
            found = number(text)
            return found if abs(found) < float("inf") else str(text)
    return str(text)
