r"""The journal: exchanges appended to one file per process while recording, read back afterwards.

A file begins with a magic line; every record after it is framed as length, CRC-32, payload. A
payload is one line of JSON followed by the bytes that it describes, so nothing in a journal is ever
executed when it is read. Whatever a crash cut off at the end is left out; all before it is read.

    >>> import io
    >>> file = io.BytesIO()
    >>> write_record(file, b"hello\n")
    14
    >>> file.write(b"torn") and file.seek(0)
    0
    >>> [record for record in read_records(file)]
    [b'hello\n']
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast
from zlib import crc32

from keploy_framework.errors import JournalError
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from keploy_framework.model import Headers

__all__ = (
    "MAGIC",
    "Journaled",
    "Opening",
    "Place",
    "decode_exchange",
    "encode_exchange",
    "encode_piece",
    "read_frames",
    "read_journal",
    "read_journaled",
    "read_opening",
    "read_records",
    "scan_journal",
    "unread_bytes",
    "write_record",
)

MAGIC = b"keploy-framework journal 1\n"
_FRAME = struct.Struct("<II")
_PIECE = struct.Struct("<dI")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_LARGEST = 1 << 31  # no honest record is longer: a length beyond it is damage


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record of a journal: which session and which process it belongs to.

    Attributes:
        session: The id of the recording session; journals that share it are merged.
        pid: The process that wrote the journal.
        started: When that process started, in the words of the operating system; "" if unknown.
        host: The machine it ran on.
        test_set: The test set that was asked for; None to take the next number.
        naming: How test cases are named.
    """

    session: str
    pid: int
    started: str
    host: str
    test_set: str | None
    naming: Literal["descriptive", "sequential"] = "descriptive"

    def encode(self) -> bytes:
        """Return the record."""
        return _line({name: getattr(self, name) for name in Opening.__slots__})

    @classmethod
    def decode(cls, record: bytes) -> Opening:
        """Read the record back."""
        return cls(**json.loads(record))


@dataclass(frozen=True, slots=True)
class Journaled:
    """An exchange from a journal, and the files that hold its long bodies, if it has any."""

    exchange: Exchange
    request_file: str | None = None
    response_file: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange stands: its journal, the offset in it, its id, and when it began."""

    path: Path
    offset: int
    id: str
    started_at: int


def write_record(file: BinaryIO, payload: bytes) -> int:
    """Append one record; return the bytes written, so that a caller can count."""
    return file.write(_FRAME.pack(len(payload), crc32(payload)) + payload)


def read_records(file: BinaryIO) -> Iterator[bytes]:
    """Yield the whole records up to the end, or to the first that is torn or damaged."""
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        length, checksum = _FRAME.unpack(head)
        if length > _LARGEST:
            return
        payload = file.read(length)
        if len(payload) < length or crc32(payload) != checksum:
            return
        yield payload


def read_opening(path: Path) -> Opening | None:
    """Return what a journal says of itself; None if its process died before it said so.

    Raises:
        JournalError: The file is no journal of ours.
    """
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        first = next(read_records(file), None) if magic == MAGIC else None
    if magic != MAGIC and not MAGIC.startswith(magic):
        raise JournalError(f"{path} is not a journal of this version of keploy-framework; move it")
    try:
        return None if first is None else Opening.decode(first)
    except (ValueError, TypeError) as error:
        raise JournalError(f"{path} begins with what this version cannot read; move it") from error


def read_journal(path: Path) -> Iterator[Journaled]:
    """Yield the exchanges of a journal, up to the first that is torn or damaged."""
    return (read_journaled(place) for place in scan_journal(path))


def scan_journal(path: Path) -> Iterator[Place]:
    """Yield where each exchange of a journal stands, without holding their bodies.

    Raises:
        JournalError: The file is no journal of ours.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        records = read_records(file)
        if next(records, None) is None:
            return
        at = file.tell()
        for record in records:
            meta = cast("dict[str, Any]", json.loads(record[: record.index(b"\n")]))
            yield Place(path, at, meta["id"], meta["at"][0])
            at = file.tell()


def unread_bytes(path: Path) -> int:
    """Return how many bytes of a journal stand behind its last whole record."""
    with path.open("rb") as file:
        end = file.seek(len(MAGIC))
        for _ in read_records(file):
            end = file.tell()
        return max(0, file.seek(0, os.SEEK_END) - end)


def read_journaled(place: Place) -> Journaled:
    """Read one exchange of a journal."""
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return decode_exchange(next(read_records(file)))


def read_frames(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield the pieces of a long body: their times, and their bytes."""
    with path.open("rb") as file:
        for record in read_records(file):
            at, _ = _PIECE.unpack_from(record)
            yield at, record[_PIECE.size :]


def encode_piece(at: float, data: bytes) -> bytes:
    """Return the record of one piece of a long body."""
    return _PIECE.pack(at, len(data)) + data


def encode_exchange(
    exchange: Exchange, *, request_file: str | None = None, response_file: str | None = None
) -> bytes:
    """Return the record of an exchange, with the names of the files of its long bodies."""
    request, response = exchange.request, exchange.response
    blobs: list[bytes] = [request.body]
    meta: dict[str, Any] = {
        "id": exchange.id,
        "direction": exchange.direction.value,
        "at": [exchange.started_at, exchange.ended_at],
        "parent": exchange.parent,
        "name": exchange.name,
        "request": [
            request.method,
            request.url,
            request.http_version,
            request.headers,
            len(request.body),
            _omitted(request.omitted),
            request_file,
        ],
        "response": None,
        "failure": exchange.failure and [exchange.failure.kind, exchange.failure.text],
        "messages": [],
    }
    if response is not None:
        blobs += [piece.data for piece in response.pieces]
        meta["response"] = [
            response.status,
            response.reason,
            response.http_version,
            response.headers,
            response.trailers,
            [(piece.at, len(piece.data)) for piece in response.pieces],
            _omitted(response.omitted),
            response_file,
        ]
    for message in exchange.messages:
        text = isinstance(message.data, str)
        data = message.data if isinstance(message.data, bytes) else _utf8(message.data)
        blobs.append(data)
        meta["messages"].append((message.at, message.sender, text, len(data), message.close_code))
    return b"".join((_line(meta), *blobs))


def decode_exchange(record: bytes) -> Journaled:
    """Read an exchange back from its record."""
    end = record.index(b"\n") + 1
    meta = cast("dict[str, Any]", json.loads(record[:end]))
    rest = _Blobs(record, end)
    method, url, version, headers, length, omitted, request_file = meta["request"]
    request = Request(
        method, url, _headers(headers), rest.take(length), version, _as_omitted(omitted)
    )
    response = None
    response_file = None
    if meta["response"] is not None:
        status, reason, version, headers, trailers, sizes, omitted, response_file = meta["response"]
        pieces = tuple(Piece(at, rest.take(size)) for at, size in sizes)
        response = Response(
            status,
            reason,
            _headers(headers),
            pieces,
            version,
            _headers(trailers),
            _as_omitted(omitted),
        )
    messages: list[Message] = []
    for at, sender, text, size, code in meta["messages"]:
        data = rest.take(size)
        messages.append(
            Message(at, sender, data.decode("utf-8", "surrogatepass") if text else data, code)
        )
    exchange = Exchange(
        id=meta["id"],
        direction=Direction(meta["direction"]),
        request=request,
        response=response,
        started_at=meta["at"][0],
        ended_at=meta["at"][1],
        failure=meta["failure"] and Failure(*meta["failure"]),
        parent=meta["parent"],
        messages=tuple(messages),
        name=meta["name"],
    )
    return Journaled(exchange, request_file, response_file)


class _Blobs:
    """The bytes behind a record's line, taken in order."""

    __slots__ = ("_at", "_record")

    def __init__(self, record: bytes, at: int) -> None:
        self._record = record
        self._at = at

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        start = self._at
        self._at += length
        return self._record[start : self._at]


def _line(value: dict[str, Any]) -> bytes:
    """Return the value as one line of JSON; ASCII, so that no text can break it."""
    return _encode(value).encode("ascii") + b"\n"


def _utf8(text: str) -> bytes:
    """Return the text's bytes, lone surrogates included: a peer may send them."""
    return text.encode("utf-8", "surrogatepass")


def _headers(pairs: Sequence[Sequence[str]]) -> Headers:
    """Return header lines as the model holds them."""
    return tuple((name, value) for name, value in pairs)


def _omitted(value: Omitted | None) -> tuple[int, str, str] | None:
    return None if value is None else (value.size, value.sha256, value.reason)


def _as_omitted(value: list[Any] | None) -> Omitted | None:
    return None if value is None else Omitted(*value)
