"""WebSockets of aiohttp and websockets: recorded in both directions, and answered again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets
import websockets.asyncio.client
import websockets.sync.client
from websockets.asyncio.server import serve

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.model import Direction, Exchange, Message, Request, Response
from keploy_framework.recording.clients import install
from keploy_framework.recording.clients.conversation import accept_value
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.asyncio.server import ServerConnection

LONG = b"\x00\xff" * 40_000
SAID = ("hi", b"\x00\x01", "h\xe9\u20ac")
Talk = Callable[[str], list[Any]]


async def _answer(connection: ServerConnection) -> None:
    await connection.send("welcome")
    async for message in connection:
        if message == "bye":
            await connection.close(4001, "done")
            return
        await connection.send(message if isinstance(message, bytes) else message.upper())
        await connection.send(LONG)


@pytest.fixture
def url() -> Iterator[str]:
    """Serve WebSockets until the test is over."""
    ready = threading.Event()
    found: list[Any] = []

    async def run() -> None:
        async with serve(_answer, "127.0.0.1", 0) as server:
            over = asyncio.Event()
            found.extend((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), over))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(60)
    port, loop, over = found
    yield f"ws://127.0.0.1:{port}/chat?room=1"
    loop.call_soon_threadsafe(over.set)
    thread.join(60)


def _with_websockets(url: str) -> list[Any]:
    async def talk() -> list[Any]:
        async with websockets.asyncio.client.connect(url) as connection:
            heard: list[Any] = [await connection.recv()]
            for message in SAID:
                await connection.send(message)
                heard += [await connection.recv(), await connection.recv()]
            await connection.send("bye")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            return [*heard, closed.value.rcvd.code, closed.value.rcvd.reason]

    return asyncio.run(talk())


def _with_threads(url: str) -> list[Any]:
    with websockets.sync.client.connect(url) as connection:
        heard: list[Any] = [connection.recv()]
        for message in SAID:
            connection.send(message)
            heard += [connection.recv(), connection.recv()]
        connection.send("bye")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            connection.recv()
        assert closed.value.rcvd is not None
        return [*heard, closed.value.rcvd.code, closed.value.rcvd.reason]


def _with_aiohttp(url: str, compress: int = 0) -> list[Any]:
    async def talk() -> list[Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, compress=compress) as connection,
        ):
            heard: list[Any] = [await connection.receive_str()]
            for message in SAID:
                if isinstance(message, str):
                    await connection.send_str(message)
                else:
                    await connection.send_bytes(message)
                heard += [(await connection.receive()).data, (await connection.receive()).data]
            await connection.send_str("bye")
            closed = await connection.receive()
            return [*heard, closed.data, closed.extra]

    return asyncio.run(talk())


TALKS: dict[str, Talk] = {
    "websockets": _with_websockets,
    "websockets-threads": _with_threads,
    "aiohttp": _with_aiohttp,
    "aiohttp-compressed": lambda url: _with_aiohttp(url, 15),
}
EXPECTED = (
    ("server", "welcome", None),
    *(
        line
        for message in SAID
        for line in (
            ("client", message, None),
            ("server", message.upper() if isinstance(message, str) else message, None),
            ("server", LONG, None),
        )
    ),
    ("client", "bye", None),
    ("server", "done", 4001),
)


@pytest.fixture(params=TALKS)
def talk(request: pytest.FixtureRequest) -> Talk:
    """Talk over a WebSocket; return all that was heard."""
    return TALKS[request.param]


def test_a_conversation_is_recorded_and_answered_again(
    talk: Talk, url: str, recordings: Any
) -> None:
    """Text, bytes, long messages and the close come again, without a network."""
    bare = talk(url)
    recorder = MemoryRecorder()
    with install(sink=recorder):
        recorded = talk(url)
    (exchange,) = recorder.exchanges
    with blocked_network(), install(responder=recordings(exchange)):
        replayed = talk(url)

    assert recorded == bare
    assert replayed == bare
    assert exchange.request.url == url
    assert exchange.failure is None
    said = tuple((m.sender, m.data, m.close_code) for m in exchange.messages)
    assert said == EXPECTED


def test_a_handshake_without_a_recording_is_a_typed_error(talk: Talk, recordings: Any) -> None:
    """The miss arrives at the caller, whichever client he has."""
    with (
        blocked_network(),
        install(responder=recordings()),
        pytest.raises(UnrecordedCallError, match="ws://recorded"),
    ):
        talk("ws://recorded.invalid/")


class _LetsGo:
    def answer(self, request: object) -> None:
        return None


def test_a_conversation_that_a_responder_lets_go_is_made_and_recorded(talk: Talk, url: str) -> None:
    """What has no answer goes to the network, if the responder says so."""
    recorder = MemoryRecorder()
    with install(sink=recorder, responder=_LetsGo()):
        heard = talk(url)

    (exchange,) = recorder.exchanges
    assert heard[0] == "welcome"
    assert len(exchange.messages) == len(EXPECTED)


def spoken(url: str, message: Message) -> Exchange:
    """Make the recording of a conversation in which the server says one thing."""
    return Exchange(
        id="1",
        direction=Direction.OUTBOUND,
        request=Request("GET", url),
        response=Response(101, "Switching Protocols", (("Sec-WebSocket-Accept", "old"),)),
        started_at=0,
        ended_at=0,
        messages=(message,),
    )


def test_a_secure_conversation_needs_no_certificate_to_be_answered(recordings: Any) -> None:
    """A `wss` URL is answered like any other."""
    exchange = spoken("wss://recorded.invalid/a", Message(0.0, "server", "hello"))

    async def with_websockets() -> Any:
        async with websockets.asyncio.client.connect(exchange.request.url) as connection:
            return await connection.recv()

    async def with_aiohttp() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(exchange.request.url) as connection,
        ):
            return await connection.receive_str()

    for run in (with_websockets, with_aiohttp):
        with blocked_network(), install(responder=recordings(exchange)):
            assert asyncio.run(run()) == "hello"
    with (
        blocked_network(),
        install(responder=recordings(exchange)),
        websockets.sync.client.connect(exchange.request.url) as connection,
    ):
        assert connection.recv() == "hello"


@pytest.mark.parametrize("code", [None, 1000])
def test_text_that_is_no_unicode_is_played_as_it_came(code: int | None, recordings: Any) -> None:
    """A peer may send half a surrogate pair: the client refuses it, as it did the peer's."""
    exchange = spoken("ws://recorded.invalid/a", Message(0.0, "server", "\ud800", code))

    with (
        blocked_network(),
        install(responder=recordings(exchange)),
        websockets.sync.client.connect(exchange.request.url) as connection,
        pytest.raises(websockets.exceptions.ConnectionClosed) as caught,
    ):
        connection.recv()

    closed = caught.value.sent if code is None else caught.value.rcvd
    assert closed is not None
    assert closed.code == (code or 1007)  # RFC 6455, 7.4.1: data that is not of its type


def test_no_thread_outlives_an_answered_conversation(url: str, recordings: Any) -> None:
    """The thread that plays a recording ends with the connection."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        _with_threads(url)
    with install(responder=recordings(*recorder.exchanges)):
        _with_threads(url)
    for thread in threading.enumerate():
        if thread.name == "keploy-answer":
            thread.join(60)
            assert not thread.is_alive()


def test_the_accept_value_is_that_of_the_key() -> None:
    """The example of RFC 6455, section 1.3."""
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
