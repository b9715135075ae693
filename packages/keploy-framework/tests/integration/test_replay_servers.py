"""Replay against servers: a URL, and commands that are started, with real uvicorn processes."""

from __future__ import annotations

import asyncio
import socket
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.model import Direction, Exchange, Message, Piece, Request
from keploy_framework.model import Response as Answer
from keploy_framework.recording.recorder import Recorder
from keploy_framework.replay import Command, find_noise, replay
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.writer import SetWriter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

APP = textwrap.dedent(
    """
    import os, sys, time, json, itertools
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    numbers = itertools.count(1)

    async def now(request):
        return JSONResponse({"year": time.gmtime().tm_year, "second": int(time.time())})

    async def rate(request):
        async with httpx.AsyncClient() as client:
            answer = await client.get("http://rates.test/price")
        return JSONResponse(answer.json())

    async def count(request):
        return JSONResponse({"n": next(numbers)})

    async def die(request):
        print("key sk-live-1234567890abcdefghij goes down", flush=True)
        os._exit(9)

    app = Starlette(
        routes=[
            Route("/now", now), Route("/rate", rate), Route("/die", die),
            Route("/count", count, methods=["POST"]),
        ]
    )
    """
)


def case(number: int, method: str, path: str, body: bytes, at: int = 1) -> Exchange:
    headers = (("content-type", "application/json"), ("content-length", str(len(body))))
    response = Answer(200, "OK", headers, (Piece(0.0, body),))
    request = Request(method, f"http://h{path}", (("Host", "h"),))
    return Exchange(str(number), Direction.INBOUND, request, response, at + number, at + number + 5)


def call(number: int, parent: int, body: bytes, at: int = 1) -> Exchange:
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return Exchange(
        f"call-{number}",
        Direction.OUTBOUND,
        Request("GET", "http://rates.test/price", (("Host", "rates.test"),)),
        Answer(200, "OK", headers, (Piece(0.0, body),)),
        at + number,
        at + number,
        parent=str(parent),
    )


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """Write exchanges into a test set."""

    def storing(*exchanges: Exchange) -> Path:
        writer = SetWriter(KeployFolder(tmp_path / "new"), "test-set-0", names=CaseNames())
        for exchange in exchanges:
            writer.add(exchange)
        writer.finish()
        writer.move_into(KeployFolder(tmp_path / "keploy"))
        return tmp_path / "keploy"

    return storing


@pytest.fixture
def command(tmp_path: Path, free_port: Callable[[], int]) -> Command:
    """Starts an application with uvicorn."""
    (tmp_path / "served.py").write_text(APP)
    port = free_port()
    line = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port)]
    return Command(line, port=port, cwd=tmp_path, start_timeout=120, stop_timeout=60)


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncGenerator[str]:
    """Serve an application with uvicorn in this process."""
    config = uvicorn.Config(app, port=port, log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def site(word: str = "one") -> Starlette:
    async def hello(_: Any) -> Response:
        response = JSONResponse({"word": word})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def stream(_: Any) -> Response:
        async def parts() -> AsyncGenerator[bytes]:
            for number in range(3):
                yield b"data: %d\n\n" % number
                await asyncio.sleep(0)

        return StreamingResponse(parts(), media_type="text/event-stream")

    async def echo(request: Any) -> Response:
        return Response(request.url.path.encode() + await request.body())

    async def talk(ws: Any) -> None:
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text + word)
        await ws.close()

    return Starlette(
        routes=[
            Route("/hello", hello),
            Route("/stream", stream),
            Route("/echo/{x}", echo, methods=["PUT", "HEAD"]),
            WebSocketRoute("/talk", talk),
        ]
    )


async def test_a_url_is_asked_as_it_was(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """HTTP with every framing and a WebSocket pass over real connections, one by one and many."""
    from websockets.asyncio.client import connect

    folder = tmp_path / "keploy"
    async with (
        Recorder(folder) as recorder,
        serving(RecordingMiddleware(site(), recorder)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        await client.get("/hello")
        await client.get("/stream")
        await client.put("/echo/a%2Fb", content=b"body")
        await client.put("/echo/x", content=b"c" * 100_000)
        await client.head("/hello")
        await client.get("/missing")
        async with connect(url.replace("http", "ws") + "/talk") as talk:
            for word in ("a", "b"):
                await talk.send(word)
                await talk.recv()
    async with serving(site()) as url:
        for workers in (1, 4):
            results = await replay(url, folder, workers=workers)
            assert results.is_success, results
            assert results.total == 7
    async with serving(site("two"), free_port()) as url:
        results = await replay(url, folder)
    assert sorted(each.name for each in results.failures) == ["get-hello-1", "get-talk-1"]
    with pytest.raises(AppStartError, match="nothing answers at"):
        await replay(url, folder)


async def test_a_process_that_is_held_up_takes_no_server_for_silent(
    store: Callable[..., Path], let_pass: Callable[[float], None]
) -> None:
    """The client waits for each message, also where its whole patience is over at once."""

    async def talk(ws: Any) -> None:
        await ws.accept()
        event = await ws.receive()
        while event["type"] == "websocket.receive":
            saying = asyncio.create_task(ws.receive())
            let_pass(1.5)
            for _ in range(50):
                await asyncio.sleep(0)
            if saying.done():  # it went on before it was answered
                await ws.close()
                return
            await ws.send_text(event["text"].upper())
            event = await saying

    messages = (
        Message(0.0, "client", "one"),
        Message(0.1, "server", "ONE"),
        Message(0.2, "client", "two"),
        Message(0.3, "server", "TWO"),
        Message(0.4, "client", "", 1000),
    )
    request = Request("GET", "ws://h/talk", (("Host", "h"),))
    answer = Answer(101, "Switching Protocols")
    folder = await asyncio.to_thread(
        store, Exchange("1", Direction.INBOUND, request, answer, 1, 2, messages=messages)
    )
    async with serving(Starlette(routes=[WebSocketRoute("/talk", talk)])) as url:
        results = await replay(url, folder)
    assert [each.place for each in results.test_cases[0].differences] == []


async def test_a_url_below_a_path_and_freezing_one(store: Callable[..., Path]) -> None:
    """The path of the URL is put before those of the requests; its time cannot be frozen."""
    folder = await asyncio.to_thread(store, case(0, "HEAD", "/x", b""))
    async with serving(site()) as url:
        results = await replay(f"{url}/echo", folder)
        assert results.test_cases[0].actual is None or not results.test_cases[0].crashed
        with pytest.raises(OptionError, match="not possible for a URL"):
            await replay(url, folder, freeze=True)
    for wrong in ("ftp://h", "http://", "nothing", "http://h?x"):
        with pytest.raises(OptionError, match="no URL to replay against"):
            await replay(wrong, folder)


async def test_a_server_that_hangs_up_is_an_outcome(store: Callable[..., Path]) -> None:
    """A connection that ends early, and an answer that is none, are told."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(1000)
        if b"/garbage" in data:
            writer.write(b"220 mail server\r\n\r\n")
        elif b"/half" in data:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        if data:
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    cases = [case(n, "GET", path, b"{}") for n, path in enumerate(["/half", "/garbage", "/none"])]
    folder = await asyncio.to_thread(store, *cases)
    async with server:
        results = await replay(url, folder)
    assert results.failed == 3
    assert all(each.crashed for each in results.failures), results
    assert "closed the connection" in results.failures[0].reason


async def test_a_command_is_started_and_its_calls_are_answered(
    store: Callable[..., Path], command: Command
) -> None:
    """The application's outbound calls come from the recording, each from that of its case."""
    folder = await asyncio.to_thread(
        store,
        case(0, "GET", "/rate", b'{"price":1}'),
        call(1, 0, b'{"price":1}'),
        case(10, "GET", "/rate", b'{"price":2}'),
        call(11, 10, b'{"price":2}'),
        case(20, "GET", "/rate", b'{"price":3}'),
    )
    results = await replay(command, folder, workers=3)
    assert [each.status for each in results.test_cases] == ["PASSED", "PASSED", "FAILED"]
    assert results.test_cases[1].played == ("mock-1",)
    assert results.test_cases[2].unanswered
    assert "one after the other" in results.notices[0]
    assert "Uvicorn running" in results.app_log
    assert not await _is_open(command.port)


async def test_the_time_of_a_command_stands_still(
    store: Callable[..., Path], command: Command
) -> None:
    """With freeze, the application lives at the moment of each recording."""
    then = 1_000_000_000
    folder = await asyncio.to_thread(
        store,
        case(0, "GET", "/now", b'{"year":2001,"second":1000000000}', then * 10**9),
        case(1, "GET", "/now", b'{"year":2001,"second":1000000060}', (then + 60) * 10**9),
    )
    results = await replay(command, folder, freeze=True, outbound="live")
    assert results.is_success, results


async def test_a_command_is_started_again_for_each_pass(
    store: Callable[..., Path], command: Command
) -> None:
    """With reset="restart", a counter begins anew: there is no noise."""
    folder = await asyncio.to_thread(store, case(0, "POST", "/count", b'{"n":1}'))
    found = await find_noise(command, folder, reset="restart")
    assert found.results.is_success
    assert found.evidence == {}


async def test_a_command_that_dies_is_told_with_its_output(
    store: Callable[..., Path], command: Command
) -> None:
    """The case during which it died says so; the output has no secret."""
    folder = await asyncio.to_thread(
        store, case(0, "GET", "/die", b"{}"), case(1, "GET", "/now", b"{}")
    )
    results = await replay(command, folder)
    assert "the application has ended (exit code 9)" in results.failures[0].reason
    assert results.sets == {"test-set-0": "APP_FAULT"}
    assert "goes down" in results.app_log
    assert "sk-live" not in results.app_log


async def test_what_does_not_start_is_one_clear_error(
    store: Callable[..., Path], command: Command, tmp_path: Path
) -> None:
    """No such program, a program that ends, one that never answers, and a taken port."""
    folder = await asyncio.to_thread(store, case(0, "GET", "/now", b"{}"))
    with pytest.raises(AppStartError, match="cannot start no-such-program"):
        await replay(Command("no-such-program", port=command.port), folder)
    broken = Command([sys.executable, "-c", "raise SystemExit('no config')"], port=command.port)
    with pytest.raises(AppStartError, match=r"(?s)ended before it answered.*no config"):
        await replay(broken, folder)
    sleeper = Command(
        [sys.executable, "-c", "import time; time.sleep(60)"], port=command.port, start_timeout=0.3
    )
    with pytest.raises(AppStartError, match=r"does not answer at .* after 0\.3 s"):
        await replay(sleeper, folder)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port is held for the test
        taken.bind(("127.0.0.1", command.port))
        taken.listen()
        with pytest.raises(AppStartError, match="is taken"):
            await replay(command, folder)


async def test_a_command_without_the_hook_cannot_be_frozen(
    store: Callable[..., Path], command: Command
) -> None:
    """Python that runs isolated loads no hook: its time is not ours, and that is an error."""
    folder = await asyncio.to_thread(store, case(0, "GET", "/now", b"{}"))
    code = "import http.server as h; h.HTTPServer(('127.0.0.1', %d), h.BaseHTTPRequestHandler)"
    line = [sys.executable, "-I", "-c", code % command.port + ".serve_forever()"]
    with pytest.raises(AppStartError, match="did not load the start-up hook"):
        await replay(Command(line, port=command.port), folder, freeze=True)
    results = await replay(Command(line, port=command.port), folder)
    assert any("start-up hook" in notice for notice in results.notices), results.notices


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ("x", {"port": 0}),
        ("x", {"port": 70_000}),
        ("", {"port": 1}),
        ("'", {"port": 1}),
        ("x", {"port": 1, "start_timeout": 0}),
        ("x", {"port": 1, "stop_timeout": float("nan")}),
    ],
)
def test_options_of_commands_are_checked(argv: str, options: dict[str, Any]) -> None:
    """A port, a time or a line that cannot be is refused."""
    with pytest.raises(OptionError):
        Command(argv, **options)


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
