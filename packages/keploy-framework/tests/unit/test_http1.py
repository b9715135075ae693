"""The reader of HTTP/1.x messages that works beside a connection."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.recording.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    MessageParser,
    WireError,
    body_framing,
)

if TYPE_CHECKING:
    from keploy_framework.model import Headers


class Heard:
    """Writes down what a parser reads; bodies are joined, their pieces kept beside."""

    def __init__(self, otherwise: int = 0, *, hold: bool = False) -> None:
        self.messages: list[tuple[tuple[str, str, str], Headers, bytes, Headers]] = []
        self.pieces: list[bytes] = []
        self.parser = MessageParser(self)
        self._otherwise = otherwise
        self._hold = hold
        self._start = ("", "", "")
        self._headers: Headers = ()
        self._body = b""

    def head(self, start: tuple[str, str, str], headers: Headers) -> int:
        self._start, self._headers, self._body = start, headers, b""
        return body_framing(headers, otherwise=self._otherwise)

    def data(self, data: bytes) -> None:
        assert data, "an empty piece is none"
        self._body += data
        self.pieces.append(data)

    def done(self, trailers: Headers) -> bool:
        self.messages.append((self._start, self._headers, self._body, trailers))
        return self._hold


def heard(*reads: bytes, otherwise: int = 0) -> Heard:
    """Feed a parser with reads."""
    listener = Heard(otherwise)
    for data in reads:
        listener.parser.feed(data)
    return listener


def test_messages_follow_one_another_on_a_connection() -> None:
    """Keep-alive and pipelining: each message has its own head and body."""
    listener = heard(
        b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nX: \xe9 \r\n\r\nhiGET /b?c d HTTP/1.0\r\n\r\n"
    )

    assert listener.messages == [
        (("POST", "/a", "HTTP/1.1"), (("Content-Length", "2"), ("X", "\xe9")), b"hi", ()),
        (("GET", "/b?c", "d HTTP/1.0"), (), b"", ()),
    ]


def test_chunks_are_pieces_and_trailers_follow_them() -> None:
    """What clients of HTTP/1.1 hand on one by one is not joined, even if one read brought it."""
    listener = heard(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
        b"1;ext=1\r\na\r\n 02 \r\nbc\r\n0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n"
    )

    assert listener.pieces == [b"a", b"bc"]
    assert listener.messages[0][3] == (("X-Sum", "1"), ("X-End", "2"))
    assert listener.parser.between_messages


def test_a_chunk_over_several_reads_is_several_pieces() -> None:
    """A piece is what one read brought: nothing waits for the end of its chunk."""
    listener = heard(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"cd", b"e\r\n0\r\n\r\n"
    )

    assert listener.pieces == [b"ab", b"cd", b"e"]


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    """Until then it is not done; afterwards it is whole."""
    listener = heard(b"HTTP/1.0 200 OK\r\n\r\nab", b"c", otherwise=UNTIL_CLOSE)

    assert listener.messages == []
    listener.parser.eof()
    assert listener.messages[0][2] == b"abc"


def test_untidy_senders_are_understood() -> None:
    """Bare line feeds, blank lines between messages, folded headers, blanks around names."""
    listener = heard(b"\r\n\nGET / HTTP/1.1\nA : b\n\tc \nEmpty:\n\n\r\n")

    assert listener.messages == [(("GET", "/", "HTTP/1.1"), (("A", "b c"), ("Empty", "")), b"", ())]
    assert listener.parser.between_messages


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 20000,
        b"GET /" + b"a" * 300_000,
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 400,
    ],
    ids=[
        "tls",
        "no target",
        "no colon",
        "two lengths",
        "negative",
        "no size",
        "too long",
        "endless size",
        "endless head",
        "endless trailers",
    ],
)
def test_what_has_no_end_that_could_be_told_is_given_up(data: bytes) -> None:
    """The reader says so instead of guessing, and gathers no memory."""
    with pytest.raises(WireError):
        heard(data)


@pytest.mark.parametrize("data", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"])
def test_an_end_in_the_middle_of_a_message_is_an_error(data: bytes) -> None:
    """An answer that is cut short does not pass for a whole one."""
    with pytest.raises(WireError, match="in the middle"):
        heard(data).parser.eof()


def test_the_same_length_twice_is_that_length() -> None:
    """RFC 9110 allows senders to repeat it."""
    assert body_framing((("Content-Length", "5, 5"), ("content-length", "5")), otherwise=0) == 5
    assert body_framing((("Transfer-Encoding", "chunked, gzip"),), otherwise=0) == UNTIL_CLOSE
    assert body_framing(
        (("Transfer-Encoding", "chunked"), ("Content-Length", "5")), otherwise=0
    ) == (CHUNKED)


def test_what_follows_an_upgrade_is_held_back_until_it_is_answered() -> None:
    """Then it is read on as HTTP, or handed out as it came."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    listener = Heard(hold=True)

    listener.parser.feed(request + request)
    listener.parser.feed(request)
    assert len(listener.messages) == 1
    listener.parser.resume()
    assert len(listener.messages) == 2
    assert listener.parser.release() == request
    with pytest.raises(WireError, match="before the upgrade was answered"):
        endless(Heard(hold=True), request)


def endless(listener: Heard, request: bytes) -> None:
    for _ in range(3):
        listener.parser.feed(request + bytes(1 << 19))


# --- a law ----------------------------------------------------------------------------------

names = st.sampled_from(["Host", "X-A", "accept", "X-Empty"])
values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\x85")
)
nothing: list[bytes] = []
bodies = st.one_of(
    st.tuples(st.just("none"), st.just(nothing)),
    st.tuples(st.just("length"), st.lists(st.binary(min_size=1, max_size=20), max_size=3)),
    st.tuples(st.just("chunked"), st.lists(st.binary(min_size=1, max_size=20), max_size=3)),
)
wanted = st.lists(st.tuples(st.lists(st.tuples(names, values), max_size=3), bodies), max_size=4)


@given(wanted, st.lists(st.integers(0, 400), max_size=12))
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    messages: list[tuple[list[tuple[str, str]], tuple[str, list[bytes]]]], cuts: list[int]
) -> None:
    """TCP keeps no borders: any cutting of the stream gives the same messages, with all bytes."""
    wire = b""
    expected: list[tuple[tuple[str, str, str], Headers, bytes, Headers]] = []
    for number, (lines, (kind, pieces)) in enumerate(messages):
        headers: Headers = tuple(lines)
        trailers: Headers = ()
        body = b"".join(pieces)
        if kind == "length":
            headers += (("Content-Length", str(len(body))),)
            sent = body
        elif kind == "chunked":
            headers += (("Transfer-Encoding", "chunked"),)
            trailers = (("X-Sum", "1"),)
            sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            sent += b"0\r\nX-Sum: 1\r\n\r\n"
        else:
            sent = b""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
        wire += b"PUT /%d HTTP/1.1\r\n%b\r\n%b" % (number, head, sent)
        expected.append((("PUT", f"/{number}", "HTTP/1.1"), headers, body, trailers))
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]

    listener = heard(*(wire[a:b] for a, b in pairwise(edges)))

    assert listener.messages == expected
    assert listener.parser.between_messages
    listener.parser.eof()
