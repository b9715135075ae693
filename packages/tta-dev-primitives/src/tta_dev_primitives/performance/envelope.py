"""The envelope around a value's bytes in a store that other processes use.

`seal` puts it on and `unseal` takes it off; what is damaged, from another version, or was written
for another key or by another codec, is not taken.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

__all__ = ("Opened", "seal", "unseal")

_MAGIC = b"TTA\x01"
_HEAD = struct.Struct(">4s16s16sdd")
"""Magic and version, checksum, digest of key and codec, when it was written, until when it is good
(both in seconds since the epoch: another process has another monotonic clock)."""
_SUMMED = 20  # what stands behind magic and checksum is summed


class Opened(NamedTuple):
    """What an envelope held.

    Attributes:
        payload: The value's bytes.
        written: When it was written, in seconds since the epoch.
        until: From when on it is too old, likewise; infinity for never.
    """

    payload: bytes
    written: float
    until: float


def seal(key: str, codec: str, payload: bytes, *, written: float, until: float) -> bytes:
    """Return `payload` in an envelope.

    Args:
        key: Under what it will be kept.
        codec: The name of the codec that wrote it.
        payload: The value's bytes.
        written: The time now, in seconds since the epoch.
        until: From when on it is too old, likewise; infinity for never.

    Example:
        >>> sealed = seal("k", "json-1", b"[1]", written=100.0, until=160.0)
        >>> unseal("k", "json-1", sealed)
        Opened(payload=b'[1]', written=100.0, until=160.0)
        >>> unseal("k", "json-1", sealed[:-1]) is unseal("other", "json-1", sealed) is None
        True
    """
    rest = _HEAD.pack(_MAGIC, b"", _bound(key, codec), written, until)[_SUMMED:]
    return _MAGIC + _digest(rest, payload) + rest + payload


def unseal(key: str, codec: str, data: bytes) -> Opened | None:
    """Return what an envelope holds; None where it is not whole, or not meant for `key`.

    The checksum finds damage, not forgery: who may write to the store may write any value.
    """
    if len(data) < _HEAD.size:
        return None
    magic, checksum, bound, written, until = _HEAD.unpack_from(data)
    payload = bytes(data[_HEAD.size :])
    if (
        magic != _MAGIC
        or bound != _bound(key, codec)
        or checksum != _digest(data[_SUMMED : _HEAD.size], payload)
    ):
        return None
    return Opened(payload, written, until)


def _bound(key: str, codec: str) -> bytes:
    return _digest(key.encode("utf-8", "surrogatepass"), codec.encode())


def _digest(*parts: bytes) -> bytes:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8))
        made.update(part)
    return made.digest()
