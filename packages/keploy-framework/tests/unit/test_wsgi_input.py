"""The request body of WSGI: recorded as it is read, whichever way that is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.recording.wsgi_input import RecordedInput

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b"one\ntwo\nx"


def at_once(source: Any) -> bytes:
    return bytes(source.read())


def in_parts(source: Any) -> bytes:
    return bytes(source.read(2) + source.read(100) + source.read())


def by_lines(source: Any) -> bytes:
    return bytes(source.readline() + source.readline(2) + b"".join(source.readlines()))


def iterated(source: Any) -> bytes:
    return b"".join(source)


def stepped(source: Any) -> bytes:
    return bytes(next(source) + source.read1(100))


def into_a_buffer(source: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: source.readinto(buffer)])


@pytest.mark.parametrize("read", [at_once, in_parts, by_lines, iterated, stepped, into_a_buffer])
def test_every_way_of_reading_is_recorded_once(read: Callable[[Any], bytes]) -> None:
    """What the application got is what is recorded."""
    seen: list[bytes] = []

    assert read(RecordedInput(io.BytesIO(BODY), seen.append)) == BODY
    assert b"".join(seen) == BODY


def test_the_input_has_the_methods_of_the_servers_own_no_more_no_less() -> None:
    """An application that asks what the input can do gets the same answer."""

    class Bare:
        closed = 0

        def read(self, size: int = -1) -> bytes:
            return b""

    wrapped = RecordedInput(Bare(), print)

    assert not hasattr(wrapped, "readinto")
    assert wrapped.closed == 0
    assert wrapped.read(5) == b""


def test_an_error_of_the_servers_input_passes_through() -> None:
    """A client that is gone in the middle of a body is the application's to handle."""

    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    seen: list[bytes] = []

    with pytest.raises(ConnectionResetError, match="gone"):
        RecordedInput(Broken(), seen.append).read()
    assert seen == []
