"""`RecordingMiddleware` for ASGI: it watches an application and changes nothing about it.

Messages go on as the very objects that came, at the moment they came; the recorder gets what it
needs from them beside. Nothing of a body is kept here. Lifespan, and whatever else is not a
request, passes by untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.files import file_pieces, position_of
from keploy_framework.recording.inbound import is_authority, request_target
from keploy_framework.recording.sink import begun, inbound_exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.model import Headers
    from keploy_framework.recording.sink import ExchangeWriter, RequestHead, Sink

__all__ = ("ASGIApp", "RecordingMiddleware")

_Event: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[_Event, _Receive, _Send], Awaitable[None]]
"""An application after ASGI 3: ``await app(scope, receive, send)``."""

_SWITCHING: Final = 101
_FORBIDDEN: Final = 403
_NORMAL: Final = 1000
_NO_STATUS: Final = 1005


class RecordingMiddleware:
    """Record what an ASGI application is asked and what it answers, over HTTP and WebSockets.

    Put it outermost, so that it sees what clients see. What the application raises arrives with its
    own type; what it sends and receives is not delayed, joined or copied. While the application
    runs, `inbound_exchange` holds the id of the exchange, so that outbound calls find their parent.

    A body that is sent as a file (the ``pathsend`` and ``zerocopysend`` extensions) is read for the
    recording after the server has sent it.

    Args:
        app: The application.
        recorder: Where exchanges go: a recorder, or any other `Sink`.

    Example:
        ```text
        app = RecordingMiddleware(app, recorder)                            # any application
        app.add_middleware(RecordingMiddleware, recorder=recorder)          # Starlette, FastAPI
        ```
    """

    __slots__ = ("app", "recorder")

    def __init__(self, app: ASGIApp, recorder: Sink) -> None:
        self.app: ASGIApp = app
        self.recorder: Sink = recorder

    async def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        """Run the application for one connection."""
        kind = scope["type"]
        if kind == "http":
            writer = _opened(self.recorder, scope, "http")
            watch: type[_Request | _Conversation] = _Request
        elif kind == "websocket":
            writer = _opened(self.recorder, scope, "ws")
            watch = _Conversation
        else:
            writer, watch = None, _Request
        if writer is None:
            await self.app(scope, receive, send)
            return
        exchange = watch(writer, scope, receive, send)
        token = inbound_exchange.set(writer.id)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            writer.fail(error)
            raise
        else:
            exchange.returned()
        finally:
            try:  # noqa: SIM105 - `suppress` costs as much as half of all else here
                inbound_exchange.reset(token)
            except ValueError:
                # A coroutine that is closed, not run to its end, may be closed in another context.
                pass


class _Request:
    """One request over HTTP.

    What every request passes through stands in one function each: here, a call costs more than what
    most of them do.
    """

    __slots__ = (
        "_bodiless",
        "_gone",
        "_inner_receive",
        "_inner_send",
        "_over",
        "_started",
        "_trailers",
        "_version",
        "_writer",
    )

    def __init__(
        self, writer: ExchangeWriter, scope: _Event, receive: _Receive, send: _Send
    ) -> None:
        self._writer = writer
        self._inner_receive = receive
        self._inner_send = send
        self._version: str = scope.get("http_version", "1.1")
        # Applications answer HEAD as they answer GET; servers leave the body out.
        self._bodiless: bool = scope["method"] == "HEAD"
        self._started = False
        self._trailers = False
        self._over = False
        self._gone = False

    async def receive(self) -> _Event:
        """Pass on what the client sent."""
        event = await self._inner_receive()
        try:
            kind = event["type"]
            if kind == "http.request":
                data = event.get("body")
                if data:
                    self._writer.request_piece(data if type(data) is bytes else bytes(data))
            elif kind == "http.disconnect":
                self._gone = True
        except Exception as error:  # noqa: BLE001 - an event no one can read is the server's to judge
            self._writer.fail(error)
        return event

    def send(self, event: _Event) -> Awaitable[None]:
        """Pass on what the application answers.

        It is recorded first: whoever has the last piece of an answer finds it in the recording.
        """
        later = None
        try:
            kind = event["type"]
            if kind == "http.response.body":
                if self._started:  # else the server refuses it
                    data = event.get("body")
                    if data and not self._bodiless:
                        self._writer.response_piece(data if type(data) is bytes else bytes(data))
                    if not event.get("more_body", False) and not self._trailers:
                        self._end()
            elif kind == "http.response.start":
                if not self._started:
                    self._started = True
                    self._trailers = bool(event.get("trailers", False))
                    headers = _headers(event.get("headers", ()))
                    self._writer.response_head(event["status"], "", headers, self._version)
            else:
                later = self._seldom(kind, event)
        except Exception as error:  # noqa: BLE001 - as in `receive`
            self._writer.fail(error)
        # No coroutine of our own where none is needed: the server's does the work.
        return self._inner_send(event) if later is None else later

    def _seldom(self, kind: str, event: _Event) -> Awaitable[None] | None:
        """Record what few applications send; return what has to be done instead of sending it."""
        if kind == "http.response.trailers":
            self._writer.trailers(_headers(event.get("headers", ())))
            if not event.get("more_trailers", False):
                self._end()
        elif kind == "http.response.pathsend":
            return self._send_path(event)
        elif kind == "http.response.zerocopysend":
            return self._send_file(event)
        return None

    def _end(self) -> None:
        """The answer is whole."""
        self._over = True
        self._writer.end()

    async def _send_path(self, event: _Event) -> None:
        await self._inner_send(event)
        await self._record_file(event["path"], 0, None)
        if not self._trailers:
            self._end()

    async def _send_file(self, event: _Event) -> None:
        file, start = event["file"], event.get("offset")
        if start is None:
            start = position_of(file)  # sending moves it
        await self._inner_send(event)
        await self._record_file(file, start, event.get("count"))
        if not event.get("more_body", False) and not self._trailers:
            self._end()

    async def _record_file(self, file: Any, start: int, count: int | None) -> None:
        if self._bodiless:
            return
        try:
            async for data in file_pieces(file, start, count):
                self._writer.response_piece(data)
        except Exception as error:  # noqa: BLE001 - the file was sent; only its recording failed
            self._writer.fail(error)

    def returned(self) -> None:
        """Take note that the application has returned."""
        if self._over:
            return
        self._writer.fail(
            IncompleteAnswerError(
                "the client left before the answer was whole"
                if self._gone
                else "the application returned before its answer was whole"
                if self._started
                else "the application returned without an answer"
            )
        )


class _Conversation:
    """One WebSocket."""

    __slots__ = ("_accepted", "_inner_receive", "_inner_send", "_version", "_writer")

    def __init__(
        self, writer: ExchangeWriter, scope: _Event, receive: _Receive, send: _Send
    ) -> None:
        self._writer = writer
        self._inner_receive = receive
        self._inner_send = send
        self._version: str = scope.get("http_version", "1.1")
        self._accepted = False

    async def receive(self) -> _Event:
        """Pass on what the client sent."""
        event = await self._inner_receive()
        try:
            self._received(event)
        except Exception as error:  # noqa: BLE001 - as in `_Request`
            self._writer.fail(error)
        return event

    def send(self, event: _Event) -> Awaitable[None]:
        """Pass on what the application sends."""
        try:
            self._sent(event)
        except Exception as error:  # noqa: BLE001 - as in `_Request`
            self._writer.fail(error)
        return self._inner_send(event)

    def _received(self, event: _Event) -> None:
        kind = event["type"]
        if kind == "websocket.receive":
            self._writer.message("client", _payload(event))
        elif kind == "websocket.disconnect":
            # Both are optional, and may be None.
            code, reason = event.get("code"), event.get("reason")
            self._writer.message("client", reason or "", _NO_STATUS if code is None else code)
            self._ended("the client left before it was answered")

    def _sent(self, event: _Event) -> None:
        kind = event["type"]
        if kind == "websocket.send":
            self._writer.message("server", _payload(event))
        elif kind == "websocket.accept":
            self._accepted = True
            headers = _headers(event.get("headers", ()))
            protocol = event.get("subprotocol")
            if protocol is not None:
                headers = (("sec-websocket-protocol", protocol), *headers)
            self._writer.response_head(_SWITCHING, "Switching Protocols", headers, self._version)
        elif kind == "websocket.close":
            if self._accepted:
                code = event.get("code", _NORMAL)
                self._writer.message("server", event.get("reason") or "", code)
            else:
                self._writer.response_head(_FORBIDDEN, "Forbidden", (), self._version)
            self._writer.end()
        elif kind == "websocket.http.response.start":
            headers = _headers(event.get("headers", ()))
            self._writer.response_head(event["status"], "", headers, self._version)
        elif kind == "websocket.http.response.body":
            data = event.get("body")
            if data:
                self._writer.response_piece(bytes(data))
            if not event.get("more_body", False):
                self._writer.end()

    def returned(self) -> None:
        """Take note that the application has returned."""
        self._ended("the application returned without accepting or closing the WebSocket")

    def _ended(self, unless_accepted: str) -> None:
        if self._accepted:
            self._writer.end()
        else:
            self._writer.fail(IncompleteAnswerError(unless_accepted))


def _opened(recorder: Sink, scope: _Event, scheme: str) -> ExchangeWriter | None:
    """Open the exchange that ``scope`` begins; None when it is not recorded."""
    try:
        # A copy: below the middleware, the scope belongs to the application.
        tell = partial(_told, dict(scope), tuple(scope["headers"]), scheme)
    except Exception:  # noqa: BLE001 - a scope that no one can read is the application's to judge
        return None
    return begun(recorder, tell)


def _told(scope: _Event, lines: tuple[tuple[bytes, bytes], ...], scheme: str) -> RequestHead | None:
    """Return the head of the request that ``scope`` begins; None if it cannot be read."""
    try:
        headers = _headers(lines)
        host = None
        for name, value in headers:  # in lower case, after the specification
            if name == "host":
                host = value
                break
        raw: bytes | None = scope.get("raw_path")
        if raw is None:
            raw = quote(scope["path"], safe="/:@!$&'()*+,;=~").encode("ascii")
        # Some servers leave the query in it, against the specification.
        target = request_target(raw.partition(b"?")[0], scope.get("query_string", b""))
        if host is None or not is_authority(host):
            host = _server(scope)
        url = f"{scope.get('scheme', scheme)}://{host}{target}"
        return scope.get("method", "GET"), url, headers, scope.get("http_version", "1.1")
    except Exception:  # noqa: BLE001 - as in `_opened`
        return None


def _server(scope: _Event) -> str:
    """Return the address that was called, for a request that names no host."""
    server = scope.get("server")
    if server is None or server[1] is None:  # unknown, or a Unix socket
        return "localhost"
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _headers(lines: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the header lines of an answer as text."""
    # A list first: a generator would cost twice as much, for every request.
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines])


def _payload(event: _Event) -> str | bytes:
    """Return what a WebSocket message carries: one of the two keys may be absent or None."""
    text: str | None = event.get("text")
    return bytes(event["bytes"]) if text is None else text
