"""The reverse proxy in front of servers that nobody here wrote."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.proxy import RecordingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from websockets.asyncio.server import ServerConnection


async def hello(request: web.Request) -> web.StreamResponse:
    """Answer in pieces, after the whole body has come."""
    body = await request.read()
    response = web.StreamResponse(headers={"X-Length": str(len(body))})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(5):
        await response.write(b"piece %d\n" % number)
    await response.write_eof()
    return response


async def chat(request: web.Request) -> web.WebSocketResponse:
    """Repeat what is said, in upper case."""
    socket = web.WebSocketResponse(compress=True)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


@pytest.fixture
async def aiohttp_port() -> AsyncGenerator[int]:
    """Serve with aiohttp at a free port of this machine."""
    app = web.Application()
    app.add_routes([web.post("/hello", hello), web.get("/chat", chat)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_chunked_bodies_in_both_directions_are_recorded(aiohttp_port: int) -> None:
    """Each chunk that the server wrote is a piece; the request's body is whole."""
    recorder = MemoryRecorder()
    got: list[bytes] = []

    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(50):
            yield b"x" * 10_000

    async with (
        RecordingProxy(f"http://127.0.0.1:{aiohttp_port}", recorder) as proxy,
        httpx.AsyncClient(base_url=proxy.url) as client,
    ):
        for _ in range(2):
            async with client.stream("POST", "/hello", content=parts()) as answer:
                got = [piece async for piece in answer.aiter_raw()]
            assert answer.headers["x-length"] == "500000"

    assert len(recorder.exchanges) == 2
    for exchange in recorder.exchanges:
        assert exchange.failure is None
        assert exchange.request.body == b"x" * 500_000
        assert exchange.response is not None
        assert [piece.data for piece in exchange.response.pieces] == got
        assert exchange.response.reason == "OK"


async def test_concurrent_clients_are_not_mixed_up(aiohttp_port: int) -> None:
    """Each connection has its own place; the bodies tell which request is which."""
    recorder = MemoryRecorder()
    async with (
        RecordingProxy(f"http://127.0.0.1:{aiohttp_port}", recorder) as proxy,
        httpx.AsyncClient(base_url=proxy.url) as client,
    ):
        await asyncio.gather(
            *(client.post("/hello", content=b"y" * number) for number in range(30))
        )

    assert sorted(len(exchange.request.body) for exchange in recorder.exchanges) == list(range(30))
    for exchange in recorder.exchanges:
        assert exchange.response is not None
        assert dict(exchange.response.headers)["X-Length"] == str(len(exchange.request.body))


async def test_a_compressed_websocket_of_aiohttp_is_recorded(aiohttp_port: int) -> None:
    """With permessage-deflate, as browsers speak it."""
    recorder = MemoryRecorder()
    async with (
        RecordingProxy(f"http://127.0.0.1:{aiohttp_port}", recorder) as proxy,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{proxy.url}/chat", compress=15) as socket,
    ):
        for word in ("hello " * 50, "hello " * 50, "é"):
            await socket.send_str(word)
            assert await socket.receive_str() == word.upper()

    (exchange,) = recorder.exchanges
    assert exchange.failure is None
    assert exchange.request.url == f"{proxy.url.replace('http', 'ws')}/chat"
    assert [message.data for message in exchange.messages if message.close_code is None] == [
        text for word in ("hello " * 50, "hello " * 50, "é") for text in (word, word.upper())
    ]


async def test_a_websocket_of_websockets_is_recorded_with_its_close() -> None:
    """Fragmented messages are joined; pings are not messages; the server closes."""
    recorder = MemoryRecorder()

    async def handler(socket: ServerConnection) -> None:
        await (await socket.ping())
        await socket.send(["frag", "men", "ted"])
        message = await socket.recv()
        await socket.send(message)
        await socket.close(4001, "enough")

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            RecordingProxy(f"http://127.0.0.1:{port}", recorder) as proxy,
            connect(proxy.url.replace("http", "ws")) as client,
        ):
            assert await client.recv() == "fragmented"
            await client.send(b"\x00" * 70_000)
            assert await client.recv() == b"\x00" * 70_000
            await client.wait_closed()

    (exchange,) = recorder.exchanges
    assert [(one.sender, one.data, one.close_code) for one in exchange.messages] == [
        ("server", "fragmented", None),
        ("client", b"\x00" * 70_000, None),
        ("server", b"\x00" * 70_000, None),
        ("server", "enough", 4001),
    ]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate for localhost."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_a_server_behind_tls_is_reached_and_an_unknown_certificate_is_a_502(
    tmp_path: Path,
) -> None:
    """The certificate is checked with what the proxy was given."""
    recorder = MemoryRecorder()
    key, certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        upstream = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        async with (
            RecordingProxy(upstream, recorder, ssl_context=trusting) as proxy,
            httpx.AsyncClient() as client,
        ):
            assert (await client.get(proxy.url)).text == "ok"
        async with RecordingProxy(upstream, recorder) as proxy, httpx.AsyncClient() as client:
            assert (await client.get(proxy.url)).status_code == 502

    assert [exchange.failure is None for exchange in recorder.exchanges] == [True, False]
