"""WebSocket frames after RFC 6455 and RFC 7692: read beside a connection, and written by mocks."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from keploy_framework.recording.http1 import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "BINARY",
    "MESSAGE_LIMIT",
    "PING",
    "PONG",
    "TEXT",
    "Deflated",
    "FrameReader",
    "close_frame",
    "deflated",
    "frame",
)

MESSAGE_LIMIT: Final = 1 << 24
"""Longest message that is read, in bytes after decompression; a longer one is an error."""

TEXT: Final = 1
BINARY: Final = 2
_CLOSE: Final = 8
PONG: Final = 10
PING: Final = 9
_NO_STATUS: Final = 1005
_SHORT: Final = 126
_MEDIUM: Final = 1 << 16
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflated:
    """Decompresses the messages of one direction of ``permessage-deflate``.

    Args:
        window_bits: Size of the window that the sender uses, 8 to 15.
        takeover: Whether a message may refer to those before it.
    """

    __slots__ = ("_bits", "_inflate", "_takeover")

    def __init__(self, window_bits: int = 15, *, takeover: bool = True) -> None:
        self._bits = window_bits
        self._takeover = takeover
        self._inflate = zlib.decompressobj(-window_bits)

    def message(self, data: bytes) -> bytes:
        """Return a message decompressed.

        Raises:
            WireError: It is damaged, or longer than `MESSAGE_LIMIT`.
        """
        inflate = self._inflate
        if not self._takeover:
            inflate = zlib.decompressobj(-self._bits)
        try:
            plain = inflate.decompress(data + _TAIL, MESSAGE_LIMIT + 1)
        except zlib.error as error:
            raise WireError(f"a compressed WebSocket message is damaged: {error}") from error
        if len(plain) > MESSAGE_LIMIT:
            raise WireError(f"a WebSocket message of over {MESSAGE_LIMIT} bytes")
        if inflate.eof:  # a final block, which RFC 7692 allows, ends the window
            self._inflate = zlib.decompressobj(-self._bits)
        return plain


class FrameReader:
    """Reads the frames of one side of a WebSocket and joins them to messages.

    Pings and pongs are left out. After a close nothing more is read.

    Args:
        message: Is given each message: its text or bytes, and for a close its code.
        compression: Decompresses messages that are marked as compressed.
        control: Is given other control frames, (opcode, payload); nobody by default.

    Example:
        >>> reader = FrameReader(lambda data, code: print(data, code))
        >>> reader.feed(frame(1, b"hel", final=False) + frame(0, b"lo") + close_frame(1000, "bye"))
        hello None
        bye 1000
    """

    __slots__ = (
        "_buffer",
        "_closed",
        "_compressed",
        "_compression",
        "_control",
        "_message",
        "_opcode",
        "_parts",
        "_size",
    )

    def __init__(
        self,
        message: Callable[[str | bytes, int | None], None],
        compression: Deflated | None = None,
        control: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._message = message
        self._compression = compression
        self._control = control
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._size = 0
        self._opcode = 0
        self._compressed = False
        self._closed = False

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            WireError: It is no WebSocket frame, or a message is too long.
        """
        if self._closed:
            return
        self._buffer += data
        while self._frame():
            pass

    def _frame(self) -> bool:
        """Take one frame off the buffer; whether another one may follow."""
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004 - flags and opcode, mask bit and length
            return False
        size, at = buffer[1] & 0x7F, 2
        if size >= _SHORT:
            at = 4 if size == _SHORT else 10
            size = int.from_bytes(buffer[2:at], "big")
        if size > MESSAGE_LIMIT:
            raise WireError(f"a WebSocket frame of {size} bytes")
        mask = b""
        if buffer[1] & 0x80:
            mask = bytes(buffer[at : at + 4])
            at += 4
        if len(buffer) < at + size:
            return False
        flags = buffer[0]
        payload = bytes(buffer[at : at + size])
        del buffer[: at + size]
        self._take(flags, _masked(payload, mask) if mask else payload)
        return not self._closed

    def _take(self, flags: int, payload: bytes) -> None:
        opcode = flags & 0x0F
        if opcode == _CLOSE:
            self._closed = True
            code = int.from_bytes(payload[:2], "big") if payload[1:] else _NO_STATUS
            self._message(payload[2:].decode("utf-8", "replace"), code)
            return
        if opcode & 0x08:
            if self._control is not None:
                self._control(opcode, payload)
            return
        if opcode in {TEXT, BINARY} and not self._opcode:
            self._opcode = opcode
            self._compressed = bool(flags & 0x40)
        elif opcode or not self._opcode:
            raise WireError(f"a WebSocket frame with opcode {opcode} out of turn")
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > MESSAGE_LIMIT:
            raise WireError(f"a WebSocket message of over {MESSAGE_LIMIT} bytes")
        if flags & 0x80:
            self._whole()

    def _whole(self) -> None:
        data, opcode = b"".join(self._parts), self._opcode
        self._parts, self._size, self._opcode = [], 0, 0
        if self._compressed:
            if self._compression is None:
                raise WireError("a compressed WebSocket message, but compression was not agreed")
            data = self._compression.message(data)
        if opcode == BINARY:
            self._message(data, None)
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"a WebSocket text that is not UTF-8: {error}") from error
        self._message(text, None)


def deflated(extensions: str, sender: str) -> Deflated | None:
    """Return what decompresses the messages of ``sender``; None without compression.

    Args:
        extensions: The value of ``Sec-WebSocket-Extensions`` in the server's answer.
        sender: ``client`` or ``server``.

    >>> deflated("", "client") is None
    True
    """
    for extension in extensions.split(","):
        name, *parameters = (part.strip() for part in extension.split(";"))
        if name.lower() == "permessage-deflate":
            given = {
                key.strip().lower(): value.strip().strip('"')
                for key, _, value in (parameter.partition("=") for parameter in parameters)
            }
            bits = given.get(f"{sender}_max_window_bits", "")
            # zlib cannot inflate with the smallest window under that name; a larger one reads all.
            window = max(int(bits), 9) if bits.isdecimal() and int(bits) <= zlib.MAX_WBITS else 15
            return Deflated(window, takeover=f"{sender}_no_context_takeover" not in given)
    return None


def frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"") -> bytes:
    r"""Return a frame as it goes over the wire.

    >>> frame(1, b"hi")
    b'\x81\x02hi'
    """
    size, masked = len(payload), 0x80 if mask else 0
    if size < _SHORT:
        length = bytes((masked | size,))
    elif size < _MEDIUM:
        length = bytes((masked | _SHORT,)) + size.to_bytes(2, "big")
    else:
        length = bytes((masked | 127,)) + size.to_bytes(8, "big")
    body = _masked(payload, mask) if mask else payload
    return bytes(((0x80 if final else 0) | opcode,)) + length + mask + body


def close_frame(code: int, reason: str = "", *, mask: bytes = b"") -> bytes:
    """Return a close; ``reason`` is cut to what fits. 1005 stands for a close without a code."""
    if code == _NO_STATUS:
        return frame(_CLOSE, b"", mask=mask)
    text = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore").encode("utf-8")
    return frame(_CLOSE, code.to_bytes(2, "big") + text, mask=mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Apply a mask of four bytes; the same again takes it off."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    # One operation on two large integers: a loop over bytes would hold up what passes.
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
