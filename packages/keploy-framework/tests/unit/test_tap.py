"""What passes on a connection of HTTP/1.x, as exchanges."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.recording.frames import BINARY, TEXT, close_frame, frame
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.tap import ConnectionTap

if TYPE_CHECKING:
    from keploy_framework.model import Exchange

GET = b"GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
CUT = "the server closed the connection in its answer"
MASK = b"\x01\x02\x03\x04"


def tapped(*passed: tuple[str, bytes]) -> tuple[MemoryRecorder, ConnectionTap]:
    """Let bytes pass on a connection, each with its sender."""
    recorder = MemoryRecorder(clock=lambda: 0.0)
    tap = ConnectionTap(recorder, "http", "127.0.0.1:8000")
    for sender, data in passed:
        (tap.from_client if sender == "client" else tap.from_server)(data)
    return recorder, tap


def bodies(recorder: MemoryRecorder) -> list[bytes | None]:
    """Return the bodies of the answers."""
    return [
        exchange.response.body if exchange.response else None for exchange in recorder.exchanges
    ]


def said(exchange: Exchange) -> list[tuple[str, str | bytes, int | None]]:
    """Return the messages without their times."""
    return [(message.sender, message.data, message.close_code) for message in exchange.messages]


def test_an_exchange_has_what_passed_in_both_directions() -> None:
    """Spelling, order, reason and version are those of the wire."""
    recorder, tap = tapped(
        ("client", b"POST /a?b HTTP/1.1\r\nhOst: example.com\r\nContent-Length: 2\r\n\r\nhi"),
        ("server", b"HTTP/1.0 299 Rather Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nyes"),
    )
    assert tap.waiting
    tap.server_ended(CUT)

    (exchange,) = recorder.exchanges
    assert exchange.request.method == "POST"
    assert exchange.request.url == "http://example.com/a?b"
    assert exchange.request.headers == (("hOst", "example.com"), ("Content-Length", "2"))
    assert exchange.request.body == b"hi"
    assert exchange.failure is None
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.reason) == (299, "Rather Fine")
    assert exchange.response.http_version == "1.0"
    assert exchange.response.headers == (("Set-Cookie", "a"), ("set-cookie", "b"))
    assert exchange.response.body == b"yes"


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (b"GET http://other.org/x?y HTTP/1.1\r\nHost: example.com", "http://other.org/x?y"),
        (b"GET /x? HTTP/1.1\r\nHost: example.com", "http://example.com/x?"),
        (b"GET /\xe9 HTTP/1.1\r\nHost: example.com", "http://example.com/%E9"),
        (b"GET /x HTTP/1.0", "http://127.0.0.1:8000/x"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a/b", "http://127.0.0.1:8000/*"),
    ],
)
def test_the_url_is_absolute(line: bytes, url: str) -> None:
    """Whatever form the target has."""
    recorder, _ = tapped(("client", line + b"\r\n\r\n"), ("server", OK))

    assert recorder.exchanges[0].request.url == url


@pytest.mark.parametrize(
    ("request_line", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100"),
        (b"GET", b"HTTP/1.1 204 No Content"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100"),
    ],
)
def test_answers_without_a_body_do_not_take_the_next_one_for_it(
    request_line: bytes, head: bytes
) -> None:
    """HEAD, 204 and 304 end with their head, whatever length it announces."""
    recorder, tap = tapped(
        ("client", GET.replace(b"GET", request_line)), ("server", head + b"\r\n\r\n")
    )
    assert not tap.waiting
    tap.from_client(GET)
    tap.from_server(OK)

    assert bodies(recorder) == [b"", b"ok"]


def test_informational_answers_are_not_the_answer() -> None:
    """`100 Continue` and early hints pass; the request's body comes between."""
    recorder, _ = tapped(
        (
            "client",
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        ),
        ("server", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("server", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        ("client", b"hi"),
        ("server", OK),
    )

    (exchange,) = recorder.exchanges
    assert exchange.request.body == b"hi"
    assert exchange.response is not None
    assert exchange.response.status == 200


def test_pipelined_requests_are_answered_in_their_order() -> None:
    """Three requests in one write, three answers in another, one of them to HEAD."""
    recorder, _ = tapped(
        ("client", GET + GET.replace(b"GET", b"HEAD") + GET.replace(b"/a", b"/c")),
        ("server", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + OK),
    )

    assert bodies(recorder) == [b"ok", b"", b"ok"]
    assert recorder.exchanges[2].request.url == "http://example.com/c"


def test_trailers_are_recorded() -> None:
    """They follow the last chunk."""
    recorder, _ = tapped(
        ("client", GET),
        (
            "server",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: 1\r\n\r\n",
        ),
    )

    response = recorder.exchanges[0].response
    assert response is not None
    assert response.trailers == (("X", "1"),)


def test_an_answer_before_the_end_of_the_request_is_whole() -> None:
    """A server may refuse a long body early; what still comes of it disturbs nothing."""
    recorder, _ = tapped(
        ("client", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhi"),
        ("server", b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
        ("client", b"ho" + GET),
        ("server", OK),
    )

    assert [exchange.request.body for exchange in recorder.exchanges] == [b"hi", b""]
    assert bodies(recorder) == [b"", b"ok"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", CUT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", CUT),
    ],
)
def test_a_server_that_ends_early_leaves_a_failure(answer: bytes, text: str) -> None:
    """What came of the answer is kept."""
    recorder, tap = tapped(("client", GET), ("server", answer))
    assert tap.unanswered == (not answer)
    tap.server_ended(CUT)
    tap.closed(None)

    (exchange,) = recorder.exchanges
    assert exchange.failure is not None
    assert exchange.failure.text == text
    assert (exchange.response is None) == (not answer)


def test_a_client_that_leaves_is_a_failure_of_all_that_it_waited_for() -> None:
    """Each of the pipelined requests says so."""
    recorder, tap = tapped(("client", GET + GET), ("server", OK[:-1]))

    tap.closed(None)

    assert [exchange.failure and exchange.failure.text for exchange in recorder.exchanges] == [
        "the client left before the answer was whole"
    ] * 2


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""),
        (b"\x16\x03\x01 \r\n\r\n", b""),
        (GET, b"ICY 200 OK\r\n\r\n"),
        (GET, b"SSH-2.0-x\r\n\r\n"),
        (GET + b"nonsense\r\n\r\n", b""),
    ],
)
def test_what_is_no_http_1_is_not_followed_any_more(client: bytes, server: bytes) -> None:
    """The open exchanges fail with the reason, and nothing afterwards is recorded or raised."""
    recorder, tap = tapped(("client", client), ("server", server), ("client", GET), ("server", OK))

    assert not tap.waiting
    tap.server_ended(CUT)
    tap.closed(None)
    assert all(exchange.failure for exchange in recorder.exchanges)
    assert len(recorder.exchanges) == client.startswith(b"GET")
    assert recorder.under_way == ()


def test_an_answer_that_nobody_asked_for_is_not_recorded() -> None:
    """Servers send 408 to idle clients; the next exchange is not confused by it."""
    recorder, _ = tapped(
        ("server", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        ("client", GET),
        ("server", OK),
    )

    assert bodies(recorder) == [b"ok"]


# --- WebSockets and other tunnels -----------------------------------------------------------


def test_a_websocket_is_recorded_in_both_directions() -> None:
    """Messages, in their order, until the first close; the echo of it is none."""
    recorder, tap = tapped(
        ("client", UPGRADE),
        ("server", SWITCH + b"\r\n" + frame(TEXT, b"welcome")),
        ("client", frame(TEXT, "hé".encode(), mask=MASK) + frame(BINARY, b"\x00", mask=MASK)),
        ("client", close_frame(1000, "bye", mask=MASK)),
        ("server", close_frame(1000)),
    )
    tap.closed(None)

    (exchange,) = recorder.exchanges
    assert exchange.request.url == "ws://example.com/chat"
    assert exchange.failure is None
    assert exchange.response is not None
    assert exchange.response.status == 101
    assert said(exchange) == [
        ("server", "welcome", None),
        ("client", "hé", None),
        ("client", b"\x00", None),
        ("client", "bye", 1000),
    ]


def test_a_websocket_is_read_through_its_compression() -> None:
    """What the server agreed to holds for each direction."""
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(b"hello") + compressor.flush(zlib.Z_SYNC_FLUSH)
    message = frame(TEXT, body[:-4])
    recorder, tap = tapped(
        ("client", UPGRADE),
        ("server", SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("server", bytes((message[0] | 0x40,)) + message[1:]),
    )
    tap.closed(None)

    (exchange,) = recorder.exchanges
    assert said(exchange) == [("server", "hello", None)]
    assert exchange.failure is None


def test_a_client_may_speak_before_the_upgrade_is_answered() -> None:
    """If it is accepted, that was a message; if not, it was the next request."""
    early = frame(TEXT, b"early", mask=MASK)
    recorder, tap = tapped(("client", UPGRADE + early), ("server", SWITCH + b"\r\n"))
    tap.closed(None)
    assert said(recorder.exchanges[0]) == [("client", "early", None)]

    recorder, _ = tapped(("client", UPGRADE + GET), ("server", OK + OK))
    assert bodies(recorder) == [b"ok", b"ok"]
    assert recorder.exchanges[0].messages == ()


def test_a_websocket_that_breaks_keeps_its_messages() -> None:
    """A frame that no one can read is a failure that says why."""
    recorder, tap = tapped(
        ("client", UPGRADE), ("server", SWITCH + b"\r\n" + frame(TEXT, b"a") + frame(3, b"b"))
    )
    tap.from_server(frame(TEXT, b"c"))

    (exchange,) = recorder.exchanges
    assert said(exchange) == [("server", "a", None)]
    assert exchange.failure is not None
    assert "opcode 3 out of turn" in exchange.failure.text


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (UPGRADE.replace(b": websocket", b": h2c"), SWITCH.replace(b"websocket", b"h2c") + b"\r\n"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
)
def test_other_tunnels_are_recorded_up_to_their_head(request_head: bytes, answer: bytes) -> None:
    """What passes through them is no exchange, and never an error."""
    recorder, tap = tapped(
        ("client", request_head),
        ("server", answer + b"\x00\x01"),
        ("client", b"\x02"),
        ("server", b"\x03"),
    )
    tap.closed(None)

    (exchange,) = recorder.exchanges
    assert exchange.failure is None
    assert exchange.response is not None
    assert exchange.response.body == b""


# --- a law ----------------------------------------------------------------------------------


@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=30)), max_size=12),
)
def test_no_bytes_can_raise_into_the_traffic(
    begun: bool,  # noqa: FBT001 - drawn
    passed: list[tuple[str, bytes]],
) -> None:
    """Whatever passes: no error comes out, and every exchange ends."""
    first = [("client", GET), ("server", OK[:20])] if begun else []
    recorder, tap = tapped(*first, *passed)

    tap.server_ended(CUT)
    tap.closed(None)

    assert recorder.under_way == ()
