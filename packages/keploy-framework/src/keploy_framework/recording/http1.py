"""A tolerant reader of HTTP/1.x messages, for a tap beside a connection.

It is not a server's parser: what it refuses has been forwarded already. So it takes bare line
feeds, folded headers and blank lines between messages, and gives up, with a `WireError`, only where
it can no longer tell where a message ends. Bodies pass through; only heads and chunk sizes are
gathered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from keploy_framework.model import header_values

if TYPE_CHECKING:
    from keploy_framework.model import Headers

__all__ = ("CHUNKED", "UNTIL_CLOSE", "Listener", "MessageParser", "WireError", "body_framing")

CHUNKED: Final = -1
"""A body in chunks."""
UNTIL_CLOSE: Final = -2
"""A body that ends with the connection."""

_HEAD_LIMIT: Final = 1 << 18
"""Longest head, in bytes; servers stop at an eighth of it or less."""
_LINE_LIMIT: Final = 1 << 14
"""Longest chunk-size or trailer line, in bytes."""
_HELD_LIMIT: Final = 1 << 20
"""Most that a client may send before the server has accepted its upgrade, in bytes."""
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_BLANKS: Final = re.compile("[ \t]+")
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)


class WireError(ValueError):
    """What came is not HTTP/1.x, or has no end that could be told."""


class Listener(Protocol):
    """Is told what a `MessageParser` reads."""

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        """Take a start line in its three parts and the headers.

        Returns:
            How the body is framed: its length in bytes, `CHUNKED` or `UNTIL_CLOSE`.
        """
        ...

    def data(self, data: bytes) -> None:
        """Take a piece of the body: what of one read lies in one chunk."""
        ...

    def done(self, trailers: Headers) -> bool:
        """Take note that the message is whole; True: hold back what follows until `resume`."""
        ...


class MessageParser:
    r"""Reads the messages that one side of a connection sends.

    Args:
        listener: Is told what is read, at once.

    Example:
        >>> class Printed:
        ...     def head(self, start, headers):
        ...         print(start, headers)
        ...         return body_framing(headers, otherwise=0)
        ...
        ...     def data(self, data):
        ...         print(data)
        ...
        ...     def done(self, trailers):
        ...         return False
        >>> MessageParser(Printed()).feed(b"PUT /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        ('PUT', '/a', 'HTTP/1.1') (('Content-Length', '2'),)
        b'hi'
    """

    __slots__ = ("_buffer", "_due", "_held", "_listener", "_step", "_trailers")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._due = 0
        self._held: bytearray | None = None
        self._trailers: list[bytes] = []
        self._step = self._in_head

    @property
    def between_messages(self) -> bool:
        """Whether no byte of a message has come whose end has not."""
        return self._step == self._in_head and not self._buffer

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            WireError: It is not HTTP/1.x; nothing more can be read.
        """
        at, size = 0, len(data)
        while at < size:
            if self._held is not None:
                self._held += data[at:]
                if len(self._held) > _HELD_LIMIT:
                    raise WireError(f"over {_HELD_LIMIT} bytes before the upgrade was answered")
                return
            at = self._step(data, at)

    def eof(self) -> None:
        """Take note that no more comes.

        Raises:
            WireError: A message is cut short.
        """
        if self._step == self._in_rest:
            self._finish(())
        elif not self.between_messages:
            raise WireError("the connection ended in the middle of a message")

    def release(self) -> bytes:
        """Return what was held back; it is no message of HTTP."""
        held, self._held = self._held, None
        return bytes(held or b"")

    def resume(self) -> None:
        """Read on with what was held back: the upgrade was not accepted."""
        self.feed(self.release())

    # --- one method for each place in a message: (read, from where) -> up to where it was used

    def _in_head(self, data: bytes, at: int) -> int:
        buffer = self._buffer
        if not buffer:
            while data[at] in b"\r\n":
                at += 1
                if at == len(data):
                    return at
            end = _HEAD_END.search(data, at)
            if end is not None:
                self._head(data[at : end.start()])
                return end.end()
        known = len(buffer)
        buffer += data[at:]
        end = _HEAD_END.search(buffer, max(0, known - 3))
        if end is None:
            if len(buffer) > _HEAD_LIMIT:
                raise WireError(f"a head of over {_HEAD_LIMIT} bytes")
            return len(data)
        raw, used = bytes(buffer[: end.start()]), end.end()
        buffer.clear()
        self._head(raw)
        return at + used - known

    def _head(self, raw: bytes) -> None:
        first, headers = _parsed_head(raw)
        framing = self._listener.head(first, headers)
        if framing == CHUNKED:
            self._step = self._in_size
        elif framing == UNTIL_CLOSE:
            self._step = self._in_rest
        elif framing == 0:
            self._finish(())
        else:
            self._due = framing
            self._step = self._in_body

    def _in_body(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._due)
        self._due -= end - at
        self._listener.data(data[at:end])
        if not self._due:
            self._finish(())
        return end

    def _in_rest(self, data: bytes, at: int) -> int:
        self._listener.data(data[at:])
        return len(data)

    def _in_size(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line is None:
            return at
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise WireError(f"{line[:40]!r} is no size of a chunk")
        self._due = int(size[1], 16)
        self._step = self._in_chunk if self._due else self._in_trailers
        return at

    def _in_chunk(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._due)
        self._due -= end - at
        self._listener.data(data[at:end])
        if not self._due:
            self._step = self._after_chunk
        return end

    def _after_chunk(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line:
            raise WireError(f"{line[:40]!r} after the end of a chunk")
        if line is not None:
            self._step = self._in_size
        return at

    def _in_trailers(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line:
            self._trailers.append(line)
            if len(self._trailers) > _HEAD_LIMIT // _LINE_LIMIT * 16:
                raise WireError("trailers without an end")
        elif line is not None:
            trailers = _parsed_lines([raw.decode("latin-1") for raw in self._trailers])
            self._trailers = []
            self._finish(trailers)
        return at

    def _line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Return the line that begins in the buffer or at ``at``, None if it has not ended."""
        end = data.find(b"\n", at)
        if end < 0:
            self._buffer += data[at:]
            if len(self._buffer) > _LINE_LIMIT:
                raise WireError(f"a line of over {_LINE_LIMIT} bytes between chunks")
            return None, len(data)
        line = bytes(self._buffer) + data[at:end]
        self._buffer.clear()
        return line.removesuffix(b"\r"), end + 1

    def _finish(self, trailers: Headers) -> None:
        self._step = self._in_head
        if self._listener.done(trailers):
            self._held = bytearray()


def body_framing(headers: Headers, *, otherwise: int) -> int:
    """Return how a body is framed after its headers: a length, `CHUNKED` or `UNTIL_CLOSE`.

    Args:
        headers: The headers of the message.
        otherwise: What to return when they do not say.

    Raises:
        WireError: They contradict themselves.
    """
    codings = ",".join(header_values(headers, "transfer-encoding"))
    if codings:
        last = codings.rpartition(",")[2].strip().lower()
        return CHUNKED if last == "chunked" else UNTIL_CLOSE
    lengths = {
        length.strip()
        for value in header_values(headers, "content-length")
        for length in value.split(",")
    }
    if not lengths:
        return otherwise
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise WireError(f"the length of a body is {length!r:.60} and {len(lengths)} other values")
    return int(length)


def _parsed_head(raw: bytes) -> tuple[tuple[str, str, str], Headers]:
    lines = raw.decode("latin-1").replace("\r\n", "\n").split("\n")
    first, second, third, *_ = (*_BLANKS.split(lines[0], 2), "", "")
    if not second:
        raise WireError(f"{lines[0]!r:.60} begins no message of HTTP/1.x")
    del lines[0]
    return (first, second, third), _parsed_lines(lines)


def _parsed_lines(lines: list[str]) -> Headers:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and headers:  # folded, as older senders do
            name, value = headers[-1]
            headers[-1] = (name, (value + " " + line.strip(" \t")).strip(" "))
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise WireError(f"{line!r:.60} is no header")
        headers.append((name.rstrip(" \t"), value.strip(" \t")))
    return tuple(headers)
