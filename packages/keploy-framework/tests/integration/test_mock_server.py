"""The mock server, asked by real clients."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from keploy_framework.errors import ListenError, OptionError
from keploy_framework.mock import MockServer, Play
from keploy_framework.model import (
    Direction,
    Exchange,
    Failure,
    Message,
    Omitted,
    Piece,
    Request,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.model import Headers

JSON = (("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
SSE = (("Content-Type", "text/event-stream"),)


def exchange(
    path: str = "/",
    pieces: Sequence[Piece] = (),
    headers: Headers = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    status: int = 200,
    **changed: Any,
) -> Exchange:
    """Return a recorded exchange."""
    fields: dict[str, Any] = {
        "id": path,
        "direction": Direction.OUTBOUND,
        "request": Request(method, f"https://api.example.com{path}", (), body),
        "response": Response(status, "OK", headers, tuple(pieces)),
        "started_at": 0,
        "ended_at": 50_000_000,
        "name": f"mock{path.replace('/', '-')}",
    }
    return Exchange(**{**fields, **changed})


def server_of(*exchanges: Exchange, **options: Any) -> MockServer:
    return MockServer(Play(exchanges), **options)


def pieces(*data: bytes, every: float = 0.0) -> list[Piece]:
    return [Piece(every * (number + 1), part) for number, part in enumerate(data)]


async def test_an_answer_has_the_status_headers_and_body_of_the_recording() -> None:
    """Repeated headers stay apart; a connection serves many requests."""
    one = exchange("/users?id=1", pieces(b'{"a": ', b"1}"), JSON, status=201)
    async with server_of(one) as server, httpx.AsyncClient(base_url=server.url) as client:
        for _ in range(3):
            answer = await client.get("/users?id=1")
            assert (answer.status_code, answer.reason_phrase) == (201, "OK")
            assert answer.json() == {"a": 1}
            assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]

    assert server.missed == ()


def test_blocking_clients_are_served_from_a_thread() -> None:
    """As a context manager without `async`; afterwards the thread is gone."""
    one = exchange("/a", pieces(b"fine"), method="POST", body=b"x" * 100_000)
    with server_of(one) as server, requests.Session() as session:
        answer = session.post(f"{server.url}/a", data=b"x" * 100_000)
        assert answer.text == "fine"

    assert not [thread for thread in threading.enumerate() if thread.name == "keploy-mock"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served_also_when_it_waits_to_proceed() -> None:
    """`Expect: 100-continue` is answered, so nothing waits for a second."""
    body = b"x" * 2_000_000
    with server_of(exchange("/a", pieces(b"fine"), method="PUT", body=body)) as server:
        command = ["curl", "-sS", "-m", "20", "-T", "-", "-H", "Expect: 100-continue"]
        command += [f"{server.url}/a"]
        done = subprocess.run(command, input=body, capture_output=True, check=True)

    assert done.stdout == b"fine"


async def test_pieces_arrive_one_by_one() -> None:
    """Also without pauses: what was sent in pieces is not joined."""
    sent = [b"data: %d\n\n" % number for number in range(10)]
    async with (
        server_of(exchange("/s", pieces(*sent, every=5.0), SSE)) as server,
        httpx.AsyncClient(base_url=server.url) as client,
        client.stream("GET", "/s") as answer,
    ):
        assert [piece async for piece in answer.aiter_raw()] == sent


@pytest.mark.parametrize(("speed", "least"), [(1.0, 0.09), (3.0, 0.03)])
async def test_pieces_keep_their_times(speed: float, least: float) -> None:
    """None comes before it is due: at speed 1 as recorded, at 3 in a third of the time."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    one = exchange("/s", pieces(b"a", b"b", b"c", every=0.03), SSE)
    async with (
        server_of(one, speed=speed) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        began = loop.time()
        async with client.stream("GET", "/s") as answer:
            times.extend([loop.time() - began async for _ in answer.aiter_raw()])

    assert [at >= least * part for at, part in zip(times, (1 / 3, 2 / 3, 1), strict=True)] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("one", "method", "length"),
    [
        (exchange("/", (), (("Content-Length", "99"),), method="HEAD"), "HEAD", "99"),
        (exchange("/", (), status=204), "GET", None),
        (exchange("/", (), status=304), "GET", None),
        (exchange("/", ()), "GET", "0"),
        (exchange("/", pieces(b"redacted"), (("Content-Length", "999"),)), "GET", "8"),
    ],
)
async def test_every_answer_tells_where_it_ends(
    one: Exchange, method: str, length: str | None
) -> None:
    """Without a body, with an empty one, with one that redaction has changed."""
    async with server_of(one) as server, httpx.AsyncClient(base_url=server.url) as client:
        for _ in range(2):
            answer = await client.request(method, "/")
            assert answer.headers.get("content-length") == length


async def test_trailers_and_old_clients_are_served() -> None:
    """HTTP/1.0 knows no chunks: there, the end of the connection is that of the body."""
    one = exchange("/t", pieces(b"a", b"b"), (("Transfer-Encoding", "chunked"),))
    with_trailers = exchange(
        "/t", response=Response(200, "", (), (Piece(0, b"a"),), "1.1", (("X-Sum", "1"),))
    )

    async with server_of(one) as server:
        old = await raw(server, b"GET /t HTTP/1.0\r\n\r\n")
    async with server_of(with_trailers) as server:
        new = await raw(server, b"GET /t HTTP/1.1\r\nConnection: close\r\n\r\n")

    assert old == b"HTTP/1.1 200 OK\r\n\r\nab"
    assert new.endswith(b"\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")


async def raw(server: MockServer, data: bytes) -> bytes:
    """Send bytes and return all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    found = await reader.read()
    writer.close()
    return found


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    """What is sent ahead is not lost, wherever it is cut."""
    first, second = exchange("/1", pieces(b"one")), exchange("/2", pieces(b"two"))
    async with server_of(first, second) as server:
        found = await raw(
            server,
            b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
            b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n",
        )

    assert [found.count(body) for body in (b"one", b"two")] == [2, 1]
    assert found.index(b"one") < found.index(b"two")


async def test_a_miss_is_a_404_that_names_the_nearest_recording() -> None:
    """In plain words, for whoever looks why a test fails; and it is written down."""
    async with (
        server_of(exchange("/a")) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/b?c=d")

    assert answer.status_code == 404
    assert answer.headers["x-keploy-mock"] == "miss"
    first, *differences = answer.text.splitlines()
    assert first.startswith("no recording answers GET https://api.example.com/b?c=d")
    assert first.endswith("the nearest is mock-a")
    assert "  url.path: '/a' became '/b'" in differences
    assert [request.url for request in server.missed] == [f"{server.url}/b?c=d"]


async def test_a_body_that_was_not_stored_is_a_501() -> None:
    """The mock has nothing to send, and says how that can be changed."""
    gone = Response(200, "OK", omitted=Omitted(5_000_000, "0" * 64, "longer than 1 MiB"))
    async with (
        server_of(exchange("/a", response=gone)) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/a")

    assert answer.status_code == 501
    assert "5000000 bytes were not stored" in answer.text
    assert server.missed == ()


@pytest.mark.parametrize("response", [None, Response(200, "OK", SSE, (Piece(0.0, b"half"),))])
async def test_a_recorded_failure_is_acted_out(response: Response | None) -> None:
    """No answer, or one that breaks off: a client raises what it would raise."""
    failed = exchange("/a", response=response, failure=Failure("builtins.EOFError", "gone"))
    async with server_of(failed) as server, httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(httpx.TransportError):
            await client.get("/a")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"PUT / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", b"413 Content Too Large"),
        (
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101,
            b"413 Content Too Large",
        ),
    ],
)
async def test_what_cannot_be_a_request_is_refused(data: bytes, status: bytes) -> None:
    """With words, and without holding what comes."""
    async with server_of(exchange(), max_body=100) as server:
        found = await raw(server, data)

    assert found.startswith(b"HTTP/1.1 " + status)


async def test_a_websocket_is_acted_out() -> None:
    """The server's messages come when the client has sent what it sent then."""
    talk = (
        Message(0.0, "server", "welcome"),
        Message(0.1, "client", "hello"),
        Message(0.2, "server", "you said hello"),
        Message(0.2, "server", b"\x00\x01"),
        Message(0.3, "client", "bye"),
        Message(0.4, "server", "see you", 4000),
    )
    one = exchange(
        "/chat",
        request=Request("GET", "wss://api.example.com/chat"),
        response=Response(101, "", (("Sec-WebSocket-Accept", "old"), ("X-A", "1"))),
        messages=talk,
    )
    async with (
        server_of(one, speed=10.0) as server,
        connect(f"ws://127.0.0.1:{server.port}/chat", ping_interval=None) as socket_,
    ):
        assert socket_.response is not None
        assert socket_.response.headers["X-A"] == "1"
        assert await socket_.recv() == "welcome"
        await (await socket_.ping())
        await socket_.send("hello")
        assert await socket_.recv() == "you said hello"
        assert await socket_.recv() == b"\x00\x01"
        await socket_.send("bye")
        with pytest.raises(ConnectionClosedError) as closed:
            await socket_.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "see you")


async def test_a_websocket_stays_open_until_the_client_closes() -> None:
    """Its close is answered."""
    one = exchange(
        "/chat",
        request=Request("GET", "wss://api.example.com/chat"),
        response=Response(101, ""),
        messages=(Message(0.0, "client", "hello"),),
    )
    async with server_of(one) as server:
        socket_ = await connect(f"ws://127.0.0.1:{server.port}/chat")
        await socket_.send("hello")
        await socket_.close()
        with pytest.raises(ConnectionClosedOK):
            await socket_.recv()


async def test_closing_cuts_what_is_under_way_and_leaves_nothing_behind() -> None:
    """A stream that has a minute to go does not hold up the end of a test."""
    tasks = asyncio.all_tasks()
    server = server_of(exchange("/s", pieces(b"a", b"b", every=60.0), SSE), speed=1.0)
    await server.start()
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /s HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")

    await server.aclose()
    await server.aclose()

    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert asyncio.all_tasks() == tasks


def test_a_taken_port_is_an_error_that_names_it() -> None:
    """Also from the thread of a blocking test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f":{port}.*choose another port"):
            server_of(exchange(), port=port).__enter__()


@pytest.mark.parametrize(
    "options", [{"port": -1}, {"speed": -1.0}, {"speed": float("inf")}, {"max_body": 0}]
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, float]) -> None:
    """Each names itself and its value."""
    ((name, value),) = options.items()

    with pytest.raises(OptionError, match=f"{name} must be .* not {value!r}"):
        server_of(**options)
