"""Read for the recording what a server sends straight from a file, beside its reading."""

from __future__ import annotations

import asyncio
import os
from typing import IO, TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("file_pieces", "position_of")

_READ: Final = 1 << 18  # bytes at a time: large enough for few trips to the thread, small to hold


def position_of(file: object) -> int:
    """Return where reading of ``file`` (a descriptor, or an object that has one) continues."""
    return os.lseek(_descriptor(file), 0, os.SEEK_CUR)


async def file_pieces(file: object, start: int, count: int | None) -> AsyncIterator[bytes]:
    """Yield the content of a file in pieces, read in a thread and without moving its position.

    Args:
        file: A path, a descriptor, or an object with ``fileno()``. Descriptors stay open.
        start: The first byte, from 0.
        count: How many bytes; None: to the end.

    Raises:
        OSError: The file cannot be read.
    """
    opened = isinstance(file, (str, bytes, os.PathLike))
    source = (
        await asyncio.to_thread(os.open, cast("str", file), os.O_RDONLY)
        if opened
        else _descriptor(file)
    )
    try:
        while count is None or count > 0:
            size = _READ if count is None else min(count, _READ)
            data = await asyncio.to_thread(os.pread, source, size, start)
            if not data:
                return
            start += len(data)
            count = None if count is None else count - len(data)
            yield data
    finally:
        if opened:
            os.close(source)


def _descriptor(file: object) -> int:
    return file if isinstance(file, int) else cast("IO[Any]", file).fileno()
