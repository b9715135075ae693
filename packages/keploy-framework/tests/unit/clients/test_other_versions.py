"""What older versions of a library lack or do otherwise neither stops a program nor a replay."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import aiohttp.http_writer
import pytest
import websockets.asyncio.client
import websockets.exceptions
from websockets.uri import parse_uri

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.model import Direction, Exchange, Failure, Piece, Request, Response
from keploy_framework.recording.clients import install
from keploy_framework.recording.clients.patching import Patches, hold, release
from keploy_framework.recording.clients.websockets_client import patch_websockets_sync
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network

if TYPE_CHECKING:
    from types import ModuleType

URL = "http://service.example/answer"


def answered(*pieces: bytes) -> Exchange:
    """A recorded answer, in chunks."""
    head = (("Transfer-Encoding", "chunked"),)
    body = tuple(Piece(0.0, data) for data in pieces)
    return Exchange(
        "1", Direction.OUTBOUND, Request("GET", URL), Response(200, "OK", head, body), 0, 0
    )


def refused() -> Exchange:
    """A recorded call that got no connection."""
    failure = Failure("aiohttp.client_exceptions.ClientConnectorError", "refused")
    return Exchange("2", Direction.OUTBOUND, Request("GET", URL), None, 0, 0, failure)


async def get(session: aiohttp.ClientSession) -> list[bytes]:
    async with session.get(URL) as response:
        return [piece async for piece in response.content.iter_any()]


# --- aiohttp --------------------------------------------------------------------------------


def test_pieces_come_to_a_reader_that_never_asks_for_more(
    recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 3.13 a reader tells the connection nothing as long as little has come."""
    reader: Any = aiohttp.StreamReader
    original = reader._read_nowait_chunk

    class Deaf:
        _reading_paused = False

        def resume_reading(self, *args: object, **kwargs: object) -> None:
            """Nothing is asked for."""

    def without_asking(self: Any, n: int) -> bytes:
        protocol, self._protocol = self._protocol, Deaf()
        try:
            return original(self, n)
        finally:
            self._protocol = protocol

    monkeypatch.setattr(reader, "_read_nowait_chunk", without_asking)

    async def call() -> list[bytes]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=60)) as session:
            return await get(session)

    with blocked_network(), install(["aiohttp"], responder=recordings(answered(b"1", b"2", b"3"))):
        assert asyncio.run(call()) == [b"1", b"2", b"3"]


def test_a_writer_that_writes_no_lines_is_recorded(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 3.10 a request is written part by part, and there is nothing else to patch."""
    monkeypatch.delattr(aiohttp.http_writer.StreamWriter, "_writelines", raising=False)
    recorder = MemoryRecorder()

    async def call() -> None:
        async with aiohttp.ClientSession() as session, session.get(server.url("/echo")) as got:
            await got.read()

    with install(["aiohttp"], sink=recorder):
        asyncio.run(call())

    assert [exchange.request.method for exchange in recorder.exchanges] == ["GET"]


def test_a_recorded_refusal_is_not_asked_for_again(
    recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.10 and 3.11 send again what fails behind the connection; a refusal uses one recording."""
    middlewares: dict[str, Any] = {}
    if hasattr(aiohttp, "ClientHandlerType"):  # these versions do not: something else has to

        async def again(request: Any, handler: Any) -> Any:
            try:
                return await handler(request)
            except aiohttp.ClientConnectorError:
                return await handler(request)

        monkeypatch.delattr(aiohttp, "ClientHandlerType")
        middlewares = {"middlewares": (again,)}

    async def calls() -> list[bytes]:
        async with aiohttp.ClientSession(**middlewares) as session:
            with pytest.raises(aiohttp.ClientConnectorError, match="refused"):
                await get(session)
            return await get(session)  # another call asks anew

    with blocked_network(), install(["aiohttp"], responder=recordings(refused(), answered(b"1"))):
        assert asyncio.run(calls()) == [b"1"]


# --- websockets -----------------------------------------------------------------------------


def spoken() -> Exchange:
    """A recorded conversation, in which the server says one word."""
    request = Request("GET", "ws://service.example/talk")
    return Exchange("3", Direction.OUTBOUND, request, Response(101, "Switching Protocols"), 0, 0)


async def talk() -> None:
    async with websockets.asyncio.client.connect("ws://service.example/talk") as connection:
        await connection.recv()


def test_a_client_that_cannot_be_answered_refuses_what_is_recorded(
    recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 17.1 there is no place for it: the error says so, and nothing reaches the network."""
    monkeypatch.delattr(websockets.asyncio.client.connect, "open_tcp_connection", raising=False)
    older: Any = SimpleNamespace(parse_uri=parse_uri)  # what the threading client has of it
    patch_websockets_sync(Patches(), older)
    refusal = pytest.raises(UnrecordedCallError, match=r"/talk cannot be given .* 17\.1 or later")
    with blocked_network(), install(["websockets"], responder=recordings(spoken(), spoken())):
        with refusal:
            asyncio.run(talk())
        with refusal:
            older.parse_uri("ws://service.example/talk")

    assert older.parse_uri("ws://service.example/talk").host == "service.example"


def test_a_client_that_cannot_be_answered_misses_like_any_other(
    recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody recorded is told as ever."""
    monkeypatch.delattr(websockets.asyncio.client.connect, "open_tcp_connection", raising=False)
    with (
        install(["websockets"], responder=recordings()),
        pytest.raises(UnrecordedCallError, match="no recording answers"),
    ):
        asyncio.run(talk())


@pytest.mark.filterwarnings("ignore:.*legacy.*:DeprecationWarning")
async def test_the_legacy_client_says_that_it_is_not_recorded() -> None:
    """It speaks another protocol; up to 13 it is what `websockets.connect` means."""
    legacy = pytest.importorskip("websockets.legacy.client")
    with (
        install(["websockets"], sink=MemoryRecorder()),
        pytest.warns(RuntimeWarning, match="legacy client of websockets is neither recorded"),
        pytest.raises(websockets.exceptions.InvalidURI),
    ):
        legacy.Connect("no URI")


# --- any library ----------------------------------------------------------------------------


def test_a_library_that_lacks_what_is_patched_is_passed_by_with_a_warning() -> None:
    """One line names it; what was patched of it is undone, and the program goes on."""
    before = json.dumps

    def apply(patches: Patches, module: ModuleType) -> None:
        patches.wrap(module, "dumps", lambda original: original)
        patches.wrap(module, "dumps_of_the_future", lambda original: original)

    with pytest.warns(RuntimeWarning, match=r"^json 2\.\S+ is neither recorded nor .*future"):
        hold({"json": apply})
    try:
        assert json.dumps is before
    finally:
        release({"json": apply})
