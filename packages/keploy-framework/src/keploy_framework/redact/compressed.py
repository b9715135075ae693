"""Bodies that come compressed: opened piece by piece, within a bound, and closed again."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ("MOST", "CannotOpenError", "closed", "encoding_of", "is_text", "opened")

MOST: Final = 16 << 20
"""How many bytes a body may have when it is opened; one with more is not searched."""

_SLICE: Final = 256
_GZIP: Final = 31
_ZLIB: Final = 15
_ZLIB_BARE: Final = -15
_ZLIB_METHOD: Final = 8


class CannotOpenError(Exception):
    """A body cannot be searched; the text says why."""


class _Opener(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class _Brotli(Protocol):
    def process(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...
    def finish(self) -> bytes: ...


class _Zstd(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


def encoding_of(encodings: Iterable[str]) -> str:
    """Return the one encoding of a body; "" if it has none.

    Raises:
        CannotOpenError: It has more than one.
    """
    named = [
        part.strip().lower()
        for value in encodings
        for part in value.split(",")
        if part.strip().lower() not in {"", "identity"}
    ]
    if len(named) > 1:
        raise CannotOpenError("it is compressed more than once: " + ", ".join(named))
    return named[0].removeprefix("x-") if named else ""


class _BrotliModule(Protocol):
    def Decompressor(self) -> _Brotli: ...  # noqa: N802 - as the module calls it
    def Compressor(self, *, quality: int) -> _Brotli: ...  # noqa: N802


class _ZstdOpener(Protocol):
    def decompressobj(self) -> _Opener: ...


class _ZstdCloser(Protocol):
    def compressobj(self) -> _Zstd: ...


class _ZstdModule(Protocol):
    COMPRESSOBJ_FLUSH_BLOCK: int

    def ZstdDecompressor(self) -> _ZstdOpener: ...  # noqa: N802
    def ZstdCompressor(self) -> _ZstdCloser: ...  # noqa: N802


class _BrotliOpener:
    """Calls what all the others call ``decompress`` by its name here."""

    def __init__(self, brotli: _Brotli) -> None:
        self._brotli = brotli

    def decompress(self, data: bytes, /) -> bytes:
        return self._brotli.process(data)


def _load(module: str, encoding: str) -> object:
    try:
        return import_module(module)
    except ImportError:
        raise CannotOpenError(
            f"it is compressed with {encoding}, and {module} is not installed"
        ) from None


def _opener(encoding: str, start: bytes) -> _Opener:
    if encoding == "gzip":
        return zlib.decompressobj(_GZIP)
    if encoding == "deflate":
        wrapped = (
            len(start) > 1
            and start[0] & 15 == _ZLIB_METHOD
            and not ((start[0] << 8) + start[1]) % 31
        )
        return zlib.decompressobj(_ZLIB if wrapped else _ZLIB_BARE)
    if encoding == "br":
        return _BrotliOpener(cast("_BrotliModule", _load("brotli", encoding)).Decompressor())
    if encoding == "zstd":
        zstd = cast("_ZstdModule", _load("zstandard", encoding))
        return zstd.ZstdDecompressor().decompressobj()
    raise CannotOpenError(f"it is compressed with {encoding}, which is not known here")


def opened(pieces: Sequence[bytes], encoding: str) -> list[bytes]:
    """Return what each piece adds to the text.

    Raises:
        CannotOpenError: The encoding is not known, its library is not installed, the body is not
            what it says, or it is longer than `MOST`.
    """
    opener = _opener(encoding, b"".join(pieces[:2])[:2])
    result: list[bytes] = []
    length = 0
    for piece in pieces:
        parts: list[bytes] = []
        for at in range(0, len(piece), _SLICE):
            try:
                part = opener.decompress(piece[at : at + _SLICE])
            except Exception as error:  # each library has an error of its own
                raise CannotOpenError(f"it is not what {encoding} makes: {error}") from error
            length += len(part)
            if length > MOST:
                raise CannotOpenError(f"it has more than {MOST} bytes when it is opened")
            parts.append(part)
        result.append(b"".join(parts))
    return result


def closed(pieces: Sequence[bytes], encoding: str) -> list[bytes]:
    """Compress again, so that each piece can be opened as soon as it has come."""
    result: list[bytes] = []
    if encoding in {"gzip", "deflate"}:
        packer = zlib.compressobj(wbits=_GZIP if encoding == "gzip" else _ZLIB)
        result = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
        end = packer.flush()
    elif encoding == "br":
        brotli = cast("_BrotliModule", _load("brotli", encoding)).Compressor(quality=4)
        result = [brotli.process(piece) + brotli.flush() for piece in pieces]
        end = brotli.finish()
    else:
        module = cast("_ZstdModule", _load("zstandard", encoding))
        zstd = module.ZstdCompressor().compressobj()
        block = module.COMPRESSOBJ_FLUSH_BLOCK
        result = [zstd.compress(piece) + zstd.flush(block) for piece in pieces]
        end = zstd.flush()
    if result:
        result[-1] += end
    return result


def is_text(pieces: Sequence[bytes]) -> bool:
    """Say whether a body looks like text, whatever its headers say of how it is compressed."""
    start = b"".join(pieces)[:512]
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)  # noqa: PLR2004 - the space
