r"""Streamed answers as Keploy stores them: a list of frames, each with the time at which it ended.

Keploy keeps the fields of a server-sent event and the lines of other streams, not their bytes; the
sidecar keeps those.

    >>> frames([(0.5, b"data: a\n\ndata: b\n"), (1.5, b"\n")], sse=True, started_at=0)
    [('1970-01-01T00:00:00.5Z', [('data', 'a')]), ('1970-01-01T00:00:01.5Z', [('data', 'b')])]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keploy_framework.storage.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ("frames", "is_stream", "joined")

_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_UNSIZED = frozenset({"text/plain", "application/octet-stream"})


def is_stream(content_type: str, *, sized: bool) -> bool:
    """Say whether Keploy stores an answer of this type as a stream."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "text/event-stream" or kind in _LINES or (kind in _UNSIZED and not sized)


def frames(
    pieces: Iterable[tuple[float, bytes]], *, sse: bool, started_at: int
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Cut a stream into frames.

    Args:
        pieces: Times in seconds after the start, and bytes.
        sse: Whether these are server-sent events; else every line is a frame.
        started_at: The start, in nanoseconds since the epoch.

    Raises:
        UnicodeDecodeError: The stream is no UTF-8.
    """
    found: list[tuple[str, list[tuple[str, str]]]] = []
    frame: list[tuple[str, str]] = []
    rest = b""
    at = 0.0
    for at, data in pieces:
        time = to_rfc3339(started_at + round(at * 1e9))
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        for raw in lines:
            line = raw.removesuffix(b"\r").decode()
            if not sse:
                found.append((time, [("raw", line)]))
            elif line:
                _add_field(frame, line)
            elif frame:
                found.append((time, frame))
                frame = []
    time = to_rfc3339(started_at + round(at * 1e9))
    if rest:
        line = rest.decode()
        if sse:
            _add_field(frame, line)
        else:
            found.append((time, [("raw", line)]))
    if frame:
        found.append((time, frame))
    return found


def joined(data: Sequence[tuple[str, str]]) -> bytes:
    """Return the bytes of one stored frame, as near as its fields tell."""
    if len(data) == 1 and data[0][0] == "raw":
        return f"{data[0][1]}\n".encode()
    text = ""
    for name, value in data:
        start = "" if name == "comment" else name
        text += "".join(f"{start}: {line}\n" for line in value.split("\n"))
    return f"{text}\n".encode()


def _add_field(frame: list[tuple[str, str]], line: str) -> None:
    """Add a line of a server-sent event; neighboring `data` lines are one field."""
    name, colon, value = line.partition(":")
    value = value.removeprefix(" ")
    if not name and colon:
        name = "comment"
    name = name.lower()
    if frame and name == "data" and frame[-1][0] == "data":
        frame[-1] = ("data", f"{frame[-1][1]}\n{value}")
    else:
        frame.append((name, value))
