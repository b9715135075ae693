"""A request body of WSGI that is recorded while the application reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("RecordedInput",)

_READS: Final = frozenset({"read", "read1", "readline"})
_FILLS: Final = frozenset({"readinto", "readinto1"})


class RecordedInput:
    r"""Stands in for ``wsgi.input``: what is read from it also goes to ``record``.

    It has the methods that the server's own object has, no more and no less; what is neither
    reading nor iteration goes to it as it is.

    Example:
        >>> import io
        >>> seen: list[bytes] = []
        >>> body = RecordedInput(io.BytesIO(b"one\ntwo"), seen.append)
        >>> body.readline(), list(body), seen
        (b'one\n', [b'two'], [b'one\n', b'two'])
    """

    def __init__(self, source: Any, record: Callable[[bytes], None]) -> None:
        self._source = source
        self._record = record

    def __getattr__(self, name: str) -> Any:
        """Return what the server's object has; its ways of reading, with the recording added."""
        found = getattr(self._source, name)
        made: Callable[..., object]
        if name in _READS:
            made = self._reading(found)
        elif name in _FILLS:
            made = self._filling(found)
        elif name == "readlines":
            made = self._listing(found)
        else:
            return found
        setattr(self, name, made)  # looked up once
        return made

    def __iter__(self) -> Iterator[bytes]:
        for line in self._source:
            self._record(line)
            yield line

    def __next__(self) -> bytes:
        line: bytes = next(self._source)
        self._record(line)
        return line

    def _reading(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def reading(*arguments: Any, **named: Any) -> bytes:
            data = read(*arguments, **named)
            if data:
                self._record(data)
            return data

        return reading

    def _filling(self, fill: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
        def filling(buffer: Any) -> int | None:
            count = fill(buffer)
            if count:
                self._record(bytes(memoryview(buffer).cast("B")[:count]))
            return count

        return filling

    def _listing(self, read: Callable[..., list[bytes]]) -> Callable[..., list[bytes]]:
        def listing(*arguments: Any) -> list[bytes]:
            lines = read(*arguments)
            for line in lines:
                self._record(line)
            return lines

        return listing
