"""Servers for applications of both kinds, on a thread, for as long as a block runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

from keploy_framework.recording.proxy import RecordingProxy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keploy_framework.asgi import ASGIApp
    from keploy_framework.recording.sink import Sink

__all__ = ("asgi_server", "proxy", "wsgi_server")


@contextmanager
def asgi_server(app: ASGIApp, *, lifespan: bool = False) -> Generator[str]:
    """Serve an ASGI application with uvicorn on a free port; yield its URL.

    Args:
        app: The application.
        lifespan: Whether it is told of the start and the end. Default: not.
    """
    options = uvicorn.Config(
        app,
        port=0,
        log_level="critical",
        access_log=False,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(options)
    ready: Future[int] = Future()

    async def serve() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started and not task.done():  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(0.005)
        if server.started:
            # A socket of its own making sends each piece at once; one that is handed in does not.
            ready.set_result(server.servers[0].sockets[0].getsockname()[1])
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    port = ready.result(30)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


class _Handler(WSGIRequestHandler):
    """Speaks HTTP/1.1, so that streams come in chunks."""

    protocol_version = "HTTP/1.1"


@contextmanager
def wsgi_server(app: WSGIApplication) -> Generator[str]:
    """Serve a WSGI application with werkzeug's threads on a free port; yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)

    def bounded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # Some read to the end of the input: here that would be the end of the connection.
        environ["wsgi.input"] = get_input_stream(environ)
        return app(environ, start)

    server = make_server("127.0.0.1", 0, bounded, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def proxy(upstream: str, sink: Sink) -> Generator[str]:
    """Run the recording proxy in front of a server; yield its URL."""
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with RecordingProxy(upstream, sink) as running:
            stop = asyncio.Event()
            ready.set_result((running.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    url, loop, stop = ready.result(30)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
