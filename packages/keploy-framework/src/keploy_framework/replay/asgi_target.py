"""Replay against an ASGI application in this process, without any client or server between."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from keploy_framework.errors import AppStartError
from keploy_framework.recording.asgi import RecordingMiddleware
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.replay.target import Answered, kept_of, trouble_of
from keploy_framework.replay.urls import parts_of

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from keploy_framework.model import Exchange, Message, Request
    from keploy_framework.recording.asgi import ASGIApp

__all__ = ("ASGITarget",)

_CLIENT: Final = ("127.0.0.1", 50000)
_NORMAL: Final = 1000
_PATIENCE: Final = 1.0
"""How long (s) a WebSocket's client waits for a message that was recorded, before it goes on."""
_LOOKS: Final = 10
"""In how many parts: a process that was held up for long has used up only one."""


class ASGITarget:
    """An ASGI application.

    Args:
        app: The application.
        start_timeout: How long (s) its start, in the words of the lifespan protocol, may take.
    """

    def __init__(self, app: ASGIApp, *, start_timeout: float) -> None:
        self._app = app
        self._start_timeout = start_timeout
        self._lifespan: _Lifespan | None = None
        self._state: dict[str, Any] = {}

    @property
    def in_process(self) -> bool:
        """It runs here."""
        return True

    async def start(self) -> None:
        """Run the application's start, if it has one.

        Raises:
            AppStartError: It failed, or took too long.
        """
        self._state = {}
        self._lifespan = _Lifespan(self._app, self._state)
        await self._lifespan.start(self._start_timeout)

    async def aclose(self) -> None:
        """Run its end."""
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop(self._start_timeout)

    async def play(self, request: Request, recorded: Exchange, speed: float) -> Answered:
        """Send a request. See `Target`."""
        recorder = MemoryRecorder(max_body=kept_of(recorded))
        watched = RecordingMiddleware(self._app, recorder)
        websocket = request.url.startswith(("ws:", "wss:"))
        client = _Talker(recorded, speed) if websocket else _Asker(request, recorded)
        error: Exception | None = None
        try:
            await watched(self._scope(request, websocket=websocket), client.receive, client.send)
        except Exception as raised:  # noqa: BLE001 - what the application raises is its outcome
            error = raised
        exchanges = recorder.exchanges
        exchange = exchanges[0] if exchanges else None
        if exchange is None or exchange.failure is None:
            # What is raised behind a whole answer is what middleware does for the server's log.
            return Answered(exchange, "" if exchange is not None else "there was no answer")
        return Answered(exchange, exchange.failure.text if error is None else trouble_of(error))

    def _scope(self, request: Request, *, websocket: bool) -> MutableMapping[str, Any]:
        parts = parts_of(request.url)
        scope: dict[str, Any] = {
            "type": "websocket" if websocket else "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.http_version,
            "scheme": parts.scheme,
            "path": unquote(parts.path) if "%" in parts.path else parts.path,
            "raw_path": parts.path.encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in request.headers
            ],
            "client": _CLIENT,
            "server": (parts.host, parts.port),
            "state": self._state.copy(),
        }
        if websocket:
            scope["subprotocols"] = [
                part.strip()
                for name, value in request.headers
                if name.lower() == "sec-websocket-protocol"
                for part in value.split(",")
            ]
            scope["extensions"] = {"websocket.http.response": {}}
        else:
            scope["method"] = request.method
        return scope


class _Asker:
    """The client of one request: it sends the whole body at once, and takes what comes."""

    __slots__ = ("_asked", "_gone", "_left", "_over", "_request")

    def __init__(self, request: Request, recorded: Exchange) -> None:
        self._request = request
        self._asked = False
        self._over: asyncio.Event | None = None
        self._gone = False
        # Where the recorded client left before the end, this one leaves at the same place.
        self._left = -1
        if recorded.failure is not None and trouble(recorded.failure) is Trouble.LEFT:
            response = recorded.response
            self._left = len(response.body) if response is not None else 0

    async def receive(self) -> MutableMapping[str, Any]:
        """Give the application the request; later, when the answer is whole, that it is over."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        if not self._gone:
            if self._over is None:
                self._over = asyncio.Event()
            await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """Take a part of the answer."""
        kind = event["type"]
        if kind == "http.response.body":
            if self._left >= 0:
                self._left -= len(event.get("body", b""))
                if self._left <= 0:
                    self._leave()
                    await asyncio.sleep(0)
            if not event.get("more_body", False):
                self._leave()

    def _leave(self) -> None:
        self._gone = True
        if self._over is not None:
            self._over.set()


class _Talker:
    """The client of a WebSocket: it says what was recorded, when it has heard what came before."""

    def __init__(self, recorded: Exchange, speed: float) -> None:
        self._script: deque[tuple[int, Message]] = deque()
        heard = 0
        for message in recorded.messages:
            if message.sender == "server":
                heard += 1
            else:
                self._script.append((heard, message))
        self._speed = speed
        self._connected = False
        self._heard = 0
        self._news = asyncio.Event()
        self._closed: int | None = None
        self._at = 0.0

    async def receive(self) -> MutableMapping[str, Any]:
        """Give the application what the client says next."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        while self._script and self._closed is None:
            due, message = self._script[0]
            if not await self._heard_enough(due):
                continue
            self._script.popleft()
            if self._speed:
                await asyncio.sleep(max(0.0, message.at - self._at) / self._speed)
                self._at = message.at
            if message.close_code is not None:
                self._closed = message.close_code
                return {
                    "type": "websocket.disconnect",
                    "code": message.close_code,
                    "reason": message.data,
                }
            if isinstance(message.data, str):
                return {"type": "websocket.receive", "text": message.data}
            return {"type": "websocket.receive", "bytes": message.data}
        while self._closed is None:
            # Nobody closed when it was recorded: the application may still say something.
            if await self._next():
                continue
            self._closed = 1006
        return {"type": "websocket.disconnect", "code": self._closed}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """Take what the application says."""
        kind = event["type"]
        if kind == "websocket.send":
            self._heard += 1
        elif kind == "websocket.close":
            self._heard += 1
            self._closed = event.get("code", _NORMAL)
        self._news.set()

    async def _heard_enough(self, due: int) -> bool:
        """Wait until so many messages have come; False when the conversation is over."""
        while self._heard < due:
            if self._closed is not None:
                return False
            if not await self._next():
                return True  # the application is silent, and may be waiting itself
        return True

    async def _next(self) -> bool:
        """Wait for something to be said; False when nothing is for a while."""
        self._news.clear()
        for _ in range(_LOOKS):
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE / _LOOKS):
                    await self._news.wait()
                return True
        return False


class _Lifespan:
    """The start and the end of an application, in a task of its own."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self._said: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109 - what is over becomes an error of ours
        """Ask the application to start; one that knows no lifespan needs none."""
        self._task = asyncio.create_task(self._run(), name="keploy-lifespan")
        answer = await self._ask("startup", timeout)
        if answer is None:
            await self._end()
            raise AppStartError(f"the application did not start within {timeout:g} s")
        if answer["type"] == "lifespan.startup.failed":
            await self._end()
            raise AppStartError(
                f"the application failed to start: {answer.get('message') or 'it gives no reason'}"
            )

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        """Ask it to end."""
        if self._task is not None and not self._task.done():
            await self._ask("shutdown", timeout)
        await self._end()

    async def _ask(self, what: str, timeout: float) -> MutableMapping[str, Any] | None:  # noqa: ASYNC109 - as above
        self._asked.put_nowait(f"lifespan.{what}")
        try:
            async with asyncio.timeout(timeout):
                return await self._said.get()
        except TimeoutError:
            return None

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_PATIENCE)

    async def _run(self) -> None:
        async def receive() -> MutableMapping[str, Any]:
            return {"type": await self._asked.get()}

        scope: MutableMapping[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        with suppress(Exception):  # applications without a lifespan raise here, by custom
            await self._app(scope, receive, self._told)
        await self._told({"type": "lifespan.over"})

    async def _told(self, event: MutableMapping[str, Any]) -> None:
        self._said.put_nowait(event)
