"""The middleware in real servers, asked by real clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import httpx
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.asyncio.client import connect

from keploy_framework import asgi, wsgi
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.sink import inbound_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket


@asynccontextmanager
async def uvicorn_of(app: Any) -> AsyncGenerator[int]:
    """Serve at a free port of this machine."""
    config = uvicorn.Config(app, log_level="critical", ws="websockets-sansio", lifespan="on")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def wsgiref_of(app: WSGIApplication) -> Generator[str]:
    """Serve at a free port of this machine, on a thread."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_the_first_piece_of_a_stream_arrives_before_the_second_is_made() -> None:
    """Server-sent events pass through piece by piece, in the answer and in the recording."""
    turn = asyncio.Event()

    async def events(request: Request) -> Response:
        async def generate() -> AsyncGenerator[bytes]:
            for number in range(4):
                yield b"data: %d\n\n" % number
                await turn.wait()
                turn.clear()

        return StreamingResponse(generate(), media_type="text/event-stream")

    recorder = MemoryRecorder()
    app = Starlette(
        routes=[Route("/events", events)],
        middleware=[Middleware(asgi.RecordingMiddleware, recorder=recorder)],
    )
    got: list[bytes] = []
    async with (
        uvicorn_of(app) as port,
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{port}/events?q=%20") as answer,
    ):
        async for piece in answer.aiter_raw():
            got.append(piece)
            turn.set()

    (exchange,) = recorder.exchanges
    assert len(got) == 4
    assert exchange.response is not None
    assert [piece.data for piece in exchange.response.pieces] == got
    assert exchange.request.url == f"http://127.0.0.1:{port}/events?q=%20"
    assert [piece.at for piece in exchange.response.pieces] == sorted(
        piece.at for piece in exchange.response.pieces
    )


async def test_a_client_that_leaves_a_stream_is_recorded_as_such() -> None:
    """The application notices as it does without us; what came before is kept."""
    recorder = MemoryRecorder()
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with uvicorn_of(asgi.RecordingMiddleware(app, recorder)) as port:
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"http://127.0.0.1:{port}/") as answer,
        ):
            await anext(answer.aiter_raw())
        await gone.wait()
        while recorder.under_way:  # noqa: ASYNC110 - it ends in the server's next step
            await asyncio.sleep(0)

    (exchange,) = recorder.exchanges
    assert exchange.failure is not None
    assert exchange.failure.text == "the client left before the answer was whole"
    assert exchange.response is not None
    assert exchange.response.body == b"a"


async def test_background_work_runs_after_the_answer_and_knows_its_request() -> None:
    """The exchange is whole before it; calls made there still find their parent."""
    recorder = MemoryRecorder()
    seen: list[object] = []
    done = asyncio.Event()

    async def work() -> None:
        seen.extend((inbound_exchange.get(), len(recorder.exchanges)))
        done.set()

    async def answer(request: Request) -> Response:
        return PlainTextResponse(await request.body(), background=BackgroundTask(work))

    inner = Starlette(routes=[Route("/work", answer, methods=["POST"])])
    app = asgi.RecordingMiddleware(Starlette(routes=[Mount("/api", inner)]), recorder)
    async with uvicorn_of(app) as port, httpx.AsyncClient() as client:
        found = await client.post(f"http://127.0.0.1:{port}/api/work", content=b"x" * 200_000)
        await done.wait()

    (exchange,) = recorder.exchanges
    assert found.content == exchange.request.body == b"x" * 200_000
    assert exchange.request.url.endswith("/api/work")
    assert seen == [exchange.id, 1]


async def test_a_file_is_recorded_whatever_way_the_server_sends_it(tmp_path: Path) -> None:
    """HEAD tells its length and has no body, on the wire as in the recording."""
    path = tmp_path / "page"
    path.write_bytes(b"page" * 50_000)
    recorder = MemoryRecorder()

    async def page(request: Request) -> Response:
        return FileResponse(path, media_type="text/plain")  # guessing it reads files, once

    app = Starlette(routes=[Route("/", page)])
    async with (
        uvicorn_of(asgi.RecordingMiddleware(app, recorder)) as port,
        httpx.AsyncClient() as client,
    ):
        await client.get(f"http://127.0.0.1:{port}/")
        await client.head(f"http://127.0.0.1:{port}/")

    bodies = [exchange.response and exchange.response.body for exchange in recorder.exchanges]
    assert bodies == [path.read_bytes(), b""]
    assert not [exchange for exchange in recorder.exchanges if exchange.failure]


async def test_a_websocket_of_a_real_server_is_recorded() -> None:
    """Both directions, and the close of the client."""
    recorder = MemoryRecorder()

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat")
        await websocket.send_text("you said " + await websocket.receive_text())
        await websocket.send_bytes(await websocket.receive_bytes())
        await websocket.receive()

    app = Starlette(routes=[WebSocketRoute("/chat", chat)])
    async with uvicorn_of(asgi.RecordingMiddleware(app, recorder)) as port:
        async with connect(f"ws://127.0.0.1:{port}/chat", subprotocols=["chat"]) as client:  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
            await client.send("hé")
            assert await client.recv() == "you said hé"
            await client.send(b"\x00")
            assert await client.recv() == b"\x00"
        while recorder.under_way:  # noqa: ASYNC110 - it ends in the server's next step
            await asyncio.sleep(0)

    (exchange,) = recorder.exchanges
    assert exchange.request.url == f"ws://127.0.0.1:{port}/chat"
    assert exchange.failure is None
    assert [(one.sender, one.data, one.close_code) for one in exchange.messages] == [
        ("client", "hé", None),
        ("server", "you said hé", None),
        ("client", b"\x00", None),
        ("server", b"\x00", None),
        ("client", "", 1000),
    ]


def test_a_flask_application_is_recorded_in_one_line() -> None:
    """Routes, forms, streams, errors: what clients see is what is recorded."""
    recorder = MemoryRecorder()
    app = flask.Flask(__name__)

    @app.post("/echo/<name>")
    def echo(name: str) -> dict[str, object]:
        return {"name": name, "form": flask.request.form, "id": inbound_exchange.get()}

    @app.get("/stream")
    def stream() -> flask.Response:
        def generate() -> Iterator[bytes]:
            for number in range(3):
                yield b"data: %d %s\n\n" % (number, (inbound_exchange.get() or "").encode())

        return flask.Response(generate(), mimetype="text/event-stream")

    @app.get("/broken")
    def broken() -> str:
        raise LookupError("on purpose")

    app.wsgi_app = wsgi.RecordingMiddleware(app.wsgi_app, recorder)  # type: ignore[method-assign]
    app.logger.disabled = True
    with wsgiref_of(app) as url, requests.Session() as client:
        answer = client.post(f"{url}/echo/caf%C3%A9?a=1&a=2", data={"x": "1"})
        streamed = client.get(f"{url}/stream").content
        assert client.get(f"{url}/broken").status_code == 500

    first, second, third = recorder.exchanges
    assert answer.json() == {"name": "café", "form": {"x": "1"}, "id": first.id}
    assert first.request.url == f"{url}/echo/caf%C3%A9?a=1&a=2"
    assert first.request.body == b"x=1"
    assert first.response is not None
    assert first.response.body == answer.content
    assert second.response is not None
    assert b"".join(piece.data for piece in second.response.pieces) == streamed
    assert [piece.data for piece in second.response.pieces] == [
        b"data: %d %s\n\n" % (number, second.id.encode()) for number in range(3)
    ]
    assert third.response is not None
    assert (third.response.status, third.failure) == (500, None)
