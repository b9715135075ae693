"""Bodies as Keploy stores them: decompressed, forms percent-decoded, bytes only where needed."""

from __future__ import annotations

import gzip
import zlib
from email.message import Message
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "FORM_TYPE",
    "FormPart",
    "as_bytes",
    "as_text",
    "build_multipart",
    "compress",
    "decompress",
    "form_decoded",
    "form_encoded",
    "split_multipart",
)

FORM_TYPE = "application/x-www-form-urlencoded"
_MOST = 64 << 20  # a small body that unfolds beyond this is an attack, not a recording


def as_text(data: bytes) -> str | bytes:
    """Return text where the bytes are UTF-8, else the bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def as_bytes(value: str | bytes) -> bytes:
    """Return the bytes of what a file holds."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def decompress(data: bytes, coding: str) -> bytes | None:
    """Undo the content codings of a body; None if that cannot be done here.

    Args:
        data: The body.
        coding: The value of `Content-Encoding`; "" for none.
    """
    for name in reversed([part.strip().lower() for part in coding.split(",") if part.strip()]):
        if name == "identity" or not data:
            continue
        try:
            data = _undo(name, data)
        except Exception:  # noqa: BLE001 - each library has errors of its own
            return None
    return data


def compress(data: bytes, coding: str) -> bytes | None:
    """Apply content codings to a body; None if that cannot be done here."""
    for name in [part.strip().lower() for part in coding.split(",") if part.strip()]:
        if name in {"gzip", "x-gzip"}:
            data = gzip.compress(data, 6, mtime=0)
        elif name == "deflate":
            data = zlib.compress(data)
        elif name != "identity":
            library: Any
            try:
                library = import_module({"br": "brotli", "zstd": "zstandard"}.get(name, ""))
                data = library.compress(data)
            except (ImportError, AttributeError, ValueError):
                return None
    return data


def form_decoded(body: bytes) -> str | bytes:
    """Return a form's body with its escapes undone, as Keploy stores it."""
    return as_text(unquote_to_bytes(body.replace(b"+", b" ")))


def form_encoded(text: str | bytes, length: int | None) -> bytes:
    """Return the bytes that a stored form was sent as, as near as can be told.

    Args:
        text: What the file holds: decoded by Keploy today, as it was sent in old files.
        length: The length that the request announced, which tells the two apart; None if unknown.

    >>> form_encoded("q=a b&to=+1", None)
    b'q=a+b&to=%2B1'
    """
    raw = as_bytes(text)
    if length == len(raw):
        return raw
    pairs = (pair.partition("=") for pair in raw.decode("latin-1").split("&"))
    return "&".join(
        quote_plus(key.encode("latin-1")) + equals + quote_plus(value.encode("latin-1"))
        for key, equals, value in pairs
    ).encode("ascii")


class FormPart:
    """One part of a multipart form: a field's text, or a file with its name."""

    __slots__ = ("data", "file_name", "key")

    def __init__(self, key: str, data: bytes, file_name: str | None) -> None:
        self.key: str = key
        self.data: bytes = data
        self.file_name: str | None = file_name


def split_multipart(body: bytes, content_type: str) -> list[FormPart] | None:
    """Return the parts of a form; None if it is no form that can be taken apart without loss."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        return None
    mark = b"--" + boundary.encode("latin-1", "replace")
    first, *parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if first or not parts or not parts[-1].startswith(b"--"):
        return None
    found: list[FormPart] = []
    for part in parts[:-1]:
        head, blank, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        key = fields.get_param("name", header="content-disposition")
        if not blank or not isinstance(key, str):
            return None
        file_name = fields.get_param("filename", header="content-disposition")
        found.append(FormPart(key, data, file_name if isinstance(file_name, str) else None))
    return found


def build_multipart(parts: Sequence[FormPart], boundary: str) -> bytes:
    """Return the body of a form."""
    lines: list[bytes] = []
    for part in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part.key}"'
        if part.file_name is not None:
            head += f'; filename="{part.file_name}"\r\nContent-Type: application/octet-stream'
        lines.append(f"{head}\r\n\r\n".encode() + part.data + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def _undo(name: str, data: bytes) -> bytes:
    """Undo one content coding, up to a bound."""
    if name in {"gzip", "x-gzip", "deflate"}:
        bits = 47 if data[:1] in {b"\x1f", b"\x78"} else -15
        result = b""
        while data:  # gzip may hold several members
            machine = zlib.decompressobj(bits)
            result += machine.decompress(data, _MOST - len(result))
            if machine.unconsumed_tail or not machine.eof:
                raise ValueError(name)
            data = machine.unused_data
        return result
    library: Any
    if name == "br":
        library = import_module("brotli")
        return bytes(library.decompress(data))
    if name == "zstd":
        library = import_module("zstandard")
        reader = library.ZstdDecompressor().decompressobj()
        return bytes(reader.decompress(data))
    raise ValueError(name)
