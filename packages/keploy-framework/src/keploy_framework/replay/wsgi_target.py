"""Replay against a WSGI application in this process, each request on a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import io
import queue
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote_to_bytes

from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.wsgi import RecordingMiddleware
from keploy_framework.replay.target import Answered, kept_of, trouble_of
from keploy_framework.replay.urls import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

    from keploy_framework.model import Exchange, Request

__all__ = ("WSGITarget", "environ_of")

_BARE: Final = {"CONTENT_TYPE", "CONTENT_LENGTH"}


class WSGITarget:
    """A WSGI application.

    A request that hangs keeps its thread, which cannot be stopped; the next one gets another.

    Args:
        app: The application.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._idle: list[_Worker] = []

    @property
    def in_process(self) -> bool:
        """It runs here."""
        return True

    async def start(self) -> None:
        """Do nothing: these applications have no start."""

    async def aclose(self) -> None:
        """Let the threads end."""
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    async def play(self, request: Request, recorded: Exchange, speed: float) -> Answered:
        """Send a request. See `Target`."""
        del speed  # there are no WebSockets
        if request.url.startswith(("ws:", "wss:")):
            return Answered(None, "a WSGI application speaks no WebSocket")
        worker = self._idle.pop() if self._idle else _Worker()
        answered = await worker.run(lambda: _called(self._app, request, recorded))
        self._idle.append(worker)
        return answered


class _Worker:
    """A thread that runs one call after the other; a daemon, since a call may never return."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="keploy-replay", daemon=True).start()

    async def run(self, call: Callable[[], Answered]) -> Answered:
        """Run a call in a copy of this context."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        context = contextvars.copy_context()

        def done(answered: Answered) -> None:
            if not future.done():
                future.set_result(answered)

        def work() -> None:
            try:
                answered = context.run(call)
            except BaseException as error:  # noqa: BLE001 - an application may raise SystemExit too
                answered = Answered(None, trouble_of(error))
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, answered)

        self._calls.put(work)
        try:
            return await future
        except asyncio.CancelledError:
            self._calls.put(None)  # the thread ends with the call, if that ever ends
            raise

    def stop(self) -> None:
        """End the thread."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _called(app: WSGIApplication, request: Request, recorded: Exchange) -> Answered:
    """Act as the server of one request."""
    recorder = MemoryRecorder(max_body=kept_of(recorded))
    watched = RecordingMiddleware(app, recorder)
    left = -1
    if recorded.failure is not None and trouble(recorded.failure) is Trouble.LEFT:
        left = len(recorded.response.body) if recorded.response is not None else 0
    error: BaseException | None = None
    try:
        items: Any = watched(environ_of(request), _start_response)
        try:
            for item in items:
                left -= len(item)
                if left <= 0 <= left + len(item):
                    break
        finally:
            if hasattr(items, "close"):
                items.close()
    except Exception as raised:  # noqa: BLE001 - what the application raises is its outcome
        error = raised
    exchanges = recorder.exchanges
    exchange = exchanges[0] if exchanges else None
    if exchange is not None and exchange.failure is None:
        return Answered(exchange)
    if error is not None:
        return Answered(exchange, trouble_of(error))
    text = exchange.failure.text if exchange is not None and exchange.failure is not None else ""
    return Answered(exchange, text or "there was no answer")


def _start_response(
    status: str, headers: list[tuple[str, str]], exc_info: Any = None
) -> Callable[[bytes], object]:
    del status, headers, exc_info  # the recording has them
    return lambda _: None


def environ_of(request: Request) -> dict[str, Any]:
    """Return the environment of a request, as a server makes it.

    Example:
        >>> from keploy_framework.model import Request
        >>> environ_of(Request("GET", "http://h:8000/a%20b?c=d"))["PATH_INFO"]
        '/a b'
    """
    parts = parts_of(request.url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
        "RAW_URI": parts.target,
        "REQUEST_URI": parts.target,
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.host,
        "SERVER_PORT": str(parts.port),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        key = key if key in _BARE else f"HTTP_{key}"
        if key in environ and key.startswith("HTTP_"):
            between = "; " if key == "HTTP_COOKIE" else ","
            environ[key] = f"{cast('str', environ[key])}{between}{value}"
        else:
            environ[key] = value
    if request.body and not environ.get("CONTENT_LENGTH"):
        environ["CONTENT_LENGTH"] = str(len(request.body))
    return environ
