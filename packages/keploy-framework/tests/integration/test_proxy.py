"""`RecordingProxy` between real clients and real servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from keploy_framework.errors import KeployError, ListenError, OptionError
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.proxy import RecordingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = b"GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def listening(handler: Handler) -> AsyncGenerator[str]:
    """Serve with ``handler`` at a free port of this machine."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def answers_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


async def connected(proxy: RecordingProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


def failures(recorder: MemoryRecorder) -> list[str]:
    return [exchange.failure.text if exchange.failure else "" for exchange in recorder.exchanges]


async def test_requests_on_one_connection_are_recorded_one_by_one() -> None:
    """A client with keep-alive gets what the server sends, and each exchange is there."""
    recorder = MemoryRecorder()
    async with (
        listening(answers_ok) as upstream,
        RecordingProxy(upstream, recorder) as proxy,
        httpx.AsyncClient(base_url=proxy.url) as client,
    ):
        found = [(await client.get(f"/{number}")).text for number in range(3)]

    assert found == ["ok"] * 3
    assert [exchange.request.url for exchange in recorder.exchanges] == [
        f"{proxy.url}/{number}" for number in range(3)
    ]
    assert failures(recorder) == ["", "", ""]


async def test_bytes_pass_untouched_and_at_once() -> None:
    """Whatever the spelling, each part is through before the next is sent."""
    head = b"GET  /a HTTP/1.1\nhOST:example.com\r\nX-Odd :\t1\r\n\r\n"
    got: list[bytes] = []
    turn = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readexactly(len(head)))
        for part in (b"HTTP/1.1 200 ok\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"):
            writer.write(part)
            await turn.wait()
            turn.clear()
        writer.write(b"0\r\n\r\n")

    recorder = MemoryRecorder()
    async with listening(serve) as upstream, RecordingProxy(upstream, recorder) as proxy:
        reader, writer = await connected(proxy)
        writer.write(head)
        first = await reader.read(1000)
        turn.set()
        second = await reader.read(1000)
        turn.set()
        rest = await reader.read()
        writer.close()

    assert got == [head]
    assert first == b"HTTP/1.1 200 ok\nTransfer-Encoding: chunked\r\n\r\n"
    assert (second, rest) == (b"1\r\na\r\n", b"0\r\n\r\n")
    response = recorder.exchanges[0].response
    assert response is not None
    assert [piece.data for piece in response.pieces] == [b"a"]


async def test_a_server_that_cannot_be_reached_is_a_502_and_a_recorded_failure(
    free_port: Callable[[], int],
) -> None:
    """The answer names the server; the next try may find it again."""
    port = free_port()
    recorder = MemoryRecorder()
    async with (
        RecordingProxy(f"http://127.0.0.1:{port}", recorder) as proxy,
        httpx.AsyncClient() as client,
    ):
        answer = await client.post(f"{proxy.url}/x", content=b"a" * 300_000)

    assert answer.status_code == 502
    assert answer.text.startswith(f"The server at 127.0.0.1:{port} gave no answer: ")
    assert answer.headers["connection"] == "close"
    (exchange,) = recorder.exchanges
    assert exchange.response is None
    assert exchange.failure is not None
    assert exchange.failure.kind == "builtins.ConnectionRefusedError"


async def test_a_server_that_closes_instead_of_answering_is_a_502() -> None:
    """As when it crashes with the request in its hands."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    recorder = MemoryRecorder()
    async with (
        listening(serve) as upstream,
        RecordingProxy(upstream, recorder) as proxy,
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(proxy.url)

    assert answer.status_code == 502
    assert "it closed the connection without an answer" in answer.text
    assert failures(recorder) == ["it closed the connection without an answer"]


async def test_a_server_that_dies_in_its_answer_leaves_what_came() -> None:
    """The client sees the same cut as without the proxy."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])

    recorder = MemoryRecorder()
    async with listening(serve) as upstream, RecordingProxy(upstream, recorder) as proxy:
        reader, writer = await connected(proxy)
        writer.write(GET)
        assert await reader.read() == OK[:-1]
        writer.close()

    assert failures(recorder) == ["the server closed the connection in its answer"]
    assert recorder.exchanges[0].response is not None


async def test_a_reset_is_no_end_of_a_body_that_lasts_until_the_end() -> None:
    """A body without a length is whole only if the server closes in order."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        await passed.wait()
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        writer.transport.abort()

    passed = asyncio.Event()
    recorder = MemoryRecorder()
    async with listening(serve) as upstream, RecordingProxy(upstream, recorder) as proxy:
        reader, writer = await connected(proxy)
        writer.write(GET)
        await reader.readuntil(b"half")
        passed.set()
        await reader.read()
        writer.close()

    assert failures(recorder)[0].startswith("the connection to the server broke: ")


async def test_a_client_that_leaves_takes_the_servers_connection_with_it() -> None:
    """The server notices, as it would without the proxy, and the exchange failed."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        await reader.read()
        left.set()

    recorder = MemoryRecorder()
    async with listening(serve) as upstream, RecordingProxy(upstream, recorder) as proxy:
        reader, writer = await connected(proxy)
        writer.write(GET)
        await reader.readexactly(len(OK) - 1)
        writer.write_eof()
        await left.wait()
        assert await reader.read() == b""
        writer.close()

    assert failures(recorder) == ["the client left before the answer was whole"]


async def test_a_client_that_only_ends_its_request_still_gets_the_answer() -> None:
    """Half-closed connections pass: the end of the request is what the server waits for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == GET
        writer.write(OK)

    recorder = MemoryRecorder()
    async with listening(serve) as upstream, RecordingProxy(upstream, recorder) as proxy:
        reader, writer = await connected(proxy)
        writer.write(GET)
        writer.write_eof()
        assert await reader.read() == OK
        writer.close()

    assert failures(recorder) == [""]


async def test_a_slow_reader_slows_the_sender_and_nothing_piles_up() -> None:
    """32 MiB wait at the server while the client does not read; then all of it arrives."""
    size = 32 << 20
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 16))
            sent += 1 << 16
            await writer.drain()

    async with listening(serve) as upstream, RecordingProxy(upstream, Nothing()) as proxy:
        reader, writer = await connected(proxy)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < size // 2

        received = 0
        while received < size:
            received += len(await reader.read(1 << 20))
        writer.close()

    assert received == size


class Nothing:
    """A recorder that takes no exchange."""

    def open(self, *_: object, **__: object) -> None:
        return None


async def test_closing_cuts_what_is_under_way_and_leaves_nothing_behind() -> None:
    """Connections, tasks and the port are given back; the exchange says why it failed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        await reader.read()

    recorder = MemoryRecorder()
    tasks = asyncio.all_tasks()
    async with listening(serve) as upstream:
        proxy = RecordingProxy(upstream, recorder)
        await proxy.start()
        await proxy.start()
        reader, writer = await connected(proxy)
        writer.write(GET)
        await reader.readexactly(len(OK) - 1)
        idle, idle_writer = await connected(proxy)

        await proxy.aclose()
        await proxy.aclose()

        assert await idle.read() == b""
        with pytest.raises(ConnectionError):
            await connected(proxy)
        writer.close()
        idle_writer.close()

    assert failures(recorder) == ["the proxy was closed before the answer was whole"]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks


async def test_closing_while_the_server_is_being_reached_waits_for_nothing() -> None:
    """A server that never accepts does not hold up the end."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        begun = asyncio.Event()

        def told() -> int:
            begun.set()
            return 0

        recorder = MemoryRecorder(wall=told)
        async with RecordingProxy(f"http://127.0.0.1:{port}", recorder) as proxy:
            _, writer = await connected(proxy)
            writer.write(GET)
            await begun.wait()
        writer.close()
        for one in waiting:
            one.close()

    assert failures(recorder) == ["the proxy was closed before the answer was whole"]


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    """And says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        proxy = RecordingProxy("http://127.0.0.1:1", Nothing(), port=port)

        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port}.*choose another port") as info:
            await proxy.start()

    assert isinstance(info.value, (KeployError, OSError))


@pytest.mark.parametrize(
    ("upstream", "options", "text"),
    [
        ("127.0.0.1:80", {}, "upstream must be a URL"),
        ("ftp://a", {}, "upstream must be a URL"),
        ("http://a:b", {}, "is no URL"),
        ("http://a/path", {}, "must name a server only"),
        ("http://u@a", {}, "must name a server only"),
        ("http://a", {"port": 70000}, "port must be between"),
        ("http://a", {"port": True}, "port must be between"),
        ("http://a", {"connect_timeout": 0}, "connect_timeout must be"),
        ("http://a", {"connect_timeout": float("nan")}, "connect_timeout must be"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(
    upstream: str, options: dict[str, Any], text: str
) -> None:
    """Each names itself and its value."""
    with pytest.raises(OptionError, match=text):
        RecordingProxy(upstream, Nothing(), **options)
