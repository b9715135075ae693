"""WebSocket frames, as they are read beside a connection and written by mocks."""

from __future__ import annotations

import zlib
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.recording.frames import (
    BINARY,
    MESSAGE_LIMIT,
    PING,
    TEXT,
    Deflated,
    FrameReader,
    close_frame,
    deflated,
    frame,
)
from keploy_framework.recording.http1 import WireError

MASK = b"\x01\x02\x03\x04"
CONTINUED = 0


class Compressor(Protocol):
    """What `zlib.compressobj` makes; its type has no public name."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


def read(
    *reads: bytes, compression: Deflated | None = None
) -> list[tuple[str | bytes, int | None]]:
    """Return the messages of what was read."""
    found: list[tuple[str | bytes, int | None]] = []
    reader = FrameReader(lambda data, code: found.append((data, code)), compression)
    for data in reads:
        reader.feed(data)
    return found


def compressed(data: bytes, compressor: Compressor, *, mask: bytes = MASK) -> bytes:
    """Return a message as a client with ``permessage-deflate`` sends it."""
    body = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    plain = frame(TEXT, body[:-4], mask=mask)
    return bytes((plain[0] | 0x40,)) + plain[1:]


@given(st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=300))), st.data())
def test_messages_come_out_as_they_went_in(
    messages: list[str | bytes], data: st.DataObject
) -> None:
    """Masked or not, in fragments with pings between them, cut anywhere."""
    wire = b""
    for message in messages:
        opcode = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        cut = data.draw(st.integers(0, len(payload)))
        mask = data.draw(st.sampled_from([b"", MASK]))
        if data.draw(st.booleans()):
            wire += frame(opcode, payload[:cut], final=False, mask=mask) + frame(PING, b"?")
            wire += frame(CONTINUED, payload[cut:], mask=mask)
        else:
            wire += frame(opcode, payload, mask=mask)
    cut = data.draw(st.integers(0, len(wire)))

    assert read(wire[:cut], wire[cut:]) == [(message, None) for message in messages]


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_every_form_of_a_length_is_read(size: int) -> None:
    """A length takes one, three or nine bytes."""
    assert read(frame(BINARY, b"a" * size, mask=MASK)) == [(b"a" * size, None)]


def test_nothing_is_read_after_a_close() -> None:
    """A close has its code and reason; without them it is 1005."""
    assert read(close_frame(1001, "bye", mask=MASK) + frame(TEXT, b"late")) == [("bye", 1001)]
    assert read(close_frame(1005)) == [("", 1005)]


def test_a_long_reason_is_cut_between_characters() -> None:
    """A control frame has at most 125 bytes."""
    ((reason, code),) = read(close_frame(1008, "é" * 100))

    assert (reason, code) == ("é" * 61, 1008)


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed_messages_are_read(takeover: bool) -> None:  # noqa: FBT001 - a parameter
    """With and without memory of the messages before."""
    compressor = zlib.compressobj(wbits=-15)
    wire = b""
    for _ in range(3):
        wire += compressed(b"the same words again", compressor)
        if not takeover:
            compressor = zlib.compressobj(wbits=-15)

    found = read(wire, compression=Deflated(takeover=takeover))

    assert found == [("the same words again", None)] * 3


def test_a_message_that_ends_its_stream_does_not_end_the_next() -> None:
    """RFC 7692 lets a sender finish the stream with a message."""
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(b"one") + compressor.flush(zlib.Z_FINISH)
    first = frame(TEXT, body)
    second = compressed(b"two", zlib.compressobj(wbits=-15), mask=b"")

    found = read(bytes((first[0] | 0x40,)) + first[1:] + second, compression=Deflated())

    assert found == [("one", None), ("two", None)]


@pytest.mark.parametrize(
    ("extensions", "sender", "found"),
    [
        ("", "client", False),
        ("x-other; a=1", "client", False),
        ("permessage-deflate", "client", True),
        ("x-other, Permessage-Deflate; server_max_window_bits=8", "server", True),
        (
            'permessage-deflate; client_max_window_bits="9"; client_no_context_takeover',
            "client",
            True,
        ),
        ("permessage-deflate; client_max_window_bits=99", "client", True),
    ],
)
def test_compression_is_what_the_server_agreed_to(
    extensions: str, sender: str, *, found: bool
) -> None:
    """Absent, alone, with parameters, with wrong ones."""
    assert (deflated(extensions, sender) is not None) == found


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (frame(CONTINUED, b"a"), "out of turn"),
        (frame(TEXT, b"a", final=False) + frame(TEXT, b"b"), "out of turn"),
        (frame(3, b"a"), "out of turn"),
        (frame(TEXT, b"\xff"), "not UTF-8"),
        (b"\xc1\x01a", "not agreed"),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), "of 1099511627776 bytes"),
    ],
    ids=["continued", "two texts", "reserved", "utf-8", "compressed", "huge"],
)
def test_what_is_no_websocket_is_given_up(wire: bytes, text: str) -> None:
    """The reader says what is wrong."""
    with pytest.raises(WireError, match=text):
        read(wire)


def test_a_message_that_is_too_long_is_given_up_before_it_fills_the_memory() -> None:
    """In fragments, or when a small message inflates to a huge one."""
    part = frame(BINARY, bytes(MESSAGE_LIMIT // 2), final=False)
    rest = frame(CONTINUED, bytes(MESSAGE_LIMIT // 2), final=False) + frame(CONTINUED, b"a")
    with pytest.raises(WireError, match="of over"):
        read(part + rest)

    bomb = compressed(bytes(MESSAGE_LIMIT + 1), zlib.compressobj(wbits=-15))
    assert len(bomb) < MESSAGE_LIMIT // 100
    with pytest.raises(WireError, match="of over"):
        read(bomb, compression=Deflated())


def test_damaged_compression_is_given_up() -> None:
    """It is told apart from a text that is wrong."""
    damaged = frame(TEXT, b"\xff\xff\xff")

    with pytest.raises(WireError, match="damaged"):
        read(bytes((damaged[0] | 0x40,)) + damaged[1:], compression=Deflated())
