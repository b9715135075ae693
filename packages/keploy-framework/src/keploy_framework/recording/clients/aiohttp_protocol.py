"""aiohttp, patched where bytes come and go: `ResponseHandler.data_received` and the connector.

Sessions, redirects, retries, proxies, middlewares and pools do as before. WebSockets of aiohttp are
calls like any other; their messages are read out of the frames.
"""

# ruff: noqa: SLF001 - a patch has to know what the library keeps to itself

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.recording.clients.answer_transport import AnswerTransport
from keploy_framework.recording.clients.conversation import Conversation
from keploy_framework.recording.clients.failures import Trouble
from keploy_framework.recording.clients.outbound import SERVER_CLOSED, outbound_tap
from keploy_framework.recording.clients.patching import attributes
from keploy_framework.recording.clients.seam import current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from keploy_framework.recording.clients.patching import Patches
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.tap import ConnectionTap

__all__ = ("patch_aiohttp",)

_TAP: Final = "_keploy_tap"
_TOLD: Final = "_keploy_told"


def patch_aiohttp(patches: Patches, module: ModuleType) -> None:
    """Patch the client of aiohttp."""
    from importlib import import_module  # noqa: PLC0415 - aiohttp may be absent

    api: Any = module
    proto: Any = import_module("aiohttp.client_proto")
    request: Any = import_module("aiohttp.client_reqrep")
    writer: Any = import_module("aiohttp.http_writer")
    websocket: Any = import_module("aiohttp.http_websocket")
    handler = proto.ResponseHandler

    patches.wrap(api.BaseConnector, "connect", partial(_connect, _Answers(api)))
    patches.wrap(request.ClientRequest, "send", _send)
    patches.wrap(writer.StreamWriter, "_write", _write)
    if hasattr(writer.StreamWriter, "_writelines"):  # before 3.11 there is only the other
        patches.wrap(writer.StreamWriter, "_writelines", _writelines)
    frames = "send_frame" if hasattr(websocket.WebSocketWriter, "send_frame") else "_send_frame"
    patches.wrap(websocket.WebSocketWriter, frames, _send_frame)
    patches.wrap(handler, "data_received", _data_received)
    patches.wrap(handler, "connection_lost", _connection_lost)
    patches.wrap(handler, "_on_read_timeout", _on_read_timeout)
    patches.wrap(handler, "close", _close)
    # What these give to data_received has been there before.
    for name in ("set_parser", "set_response_params", "_drain_tail"):
        if hasattr(handler, name):
            patches.wrap(handler, name, _quietly)


def _origin(request: Any) -> str | None:
    """Return scheme, host and port of a call; None on the way to a forwarding proxy."""
    url = request.url
    if request.proxy and not request.is_ssl():
        return None
    return f"{url.scheme.replace('ws', 'http')}://{_authority(url)}"


def _authority(url: Any) -> str:
    """Return host and port; the port only where the scheme does not say it."""
    host = url.raw_host or ""
    shown = f"[{host}]" if ":" in host else host
    usual = 443 if url.scheme in {"https", "wss"} else 80
    return shown if url.port in {None, usual} else f"{shown}:{url.port}"


# --- recording ------------------------------------------------------------------------------


def _send(original: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def send(self: Any, conn: Any) -> Any:
        protocol = conn.protocol
        interception = current("aiohttp")
        if interception is not None and self.method != "CONNECT":
            if not isinstance(protocol.transport, AnswerTransport):
                attributes(protocol)[_TAP] = outbound_tap(interception, _origin(self))
        elif protocol is not None:
            attributes(protocol).pop(_TAP, None)
        return await original(self, conn)

    return send


def _tap_of(protocol: Any) -> ConnectionTap | None:
    """Return the tap of a connection; those of servers have none."""
    return getattr(protocol, _TAP, None)


def _write(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def write(self: Any, chunk: Any) -> None:
        tap = _tap_of(self._protocol)
        if tap is not None:
            tap.from_client(bytes(chunk))
        original(self, chunk)

    return write


def _writelines(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def writelines(self: Any, chunks: Any) -> None:
        tap = _tap_of(self._protocol)
        if tap is not None:
            chunks = tuple(chunks)
            tap.from_client(b"".join(chunks))
        original(self, chunks)

    return writelines


class _Written:
    """The transport of a WebSocket: what is written to it is shown to a tap."""

    def __init__(self, transport: Any, tap: ConnectionTap) -> None:
        self._transport = transport
        self._tap = tap

    def write(self, data: Any) -> None:
        self._tap.from_client(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _send_frame(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def send_frame(self: Any, *args: Any, **kwargs: Any) -> None:
        tap = _tap_of(self.protocol)
        if tap is not None and not isinstance(self.transport, _Written):
            self.transport = _Written(self.transport, tap)
        await original(self, *args, **kwargs)

    return send_frame


def _data_received(original: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    def data_received(self: Any, data: bytes) -> None:
        tap = _tap_of(self)
        if tap is None or _TOLD in attributes(self):
            original(self, data)
            return
        if data:
            tap.from_server(bytes(data))
        attributes(self)[_TOLD] = True
        try:
            original(self, data)
        finally:
            attributes(self).pop(_TOLD, None)

    return data_received


def _quietly(original: Callable[..., None]) -> Callable[..., None]:
    def quietly(self: Any, *args: Any, **kwargs: Any) -> None:
        told = _TOLD in attributes(self)
        attributes(self)[_TOLD] = True
        try:
            original(self, *args, **kwargs)
        finally:
            if not told:
                attributes(self).pop(_TOLD, None)

    return quietly


def _connection_lost(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def connection_lost(self: Any, exc: BaseException | None) -> None:
        tap = _tap_of(self)
        if tap is not None:
            if exc is None:
                tap.server_ended(SERVER_CLOSED)
            else:
                tap.closed(exc)
            attributes(self).pop(_TAP, None)
        original(self, exc)

    return connection_lost


def _on_read_timeout(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def on_read_timeout(self: Any) -> None:
        tap = _tap_of(self)
        if tap is not None:
            tap.closed(TimeoutError("Timeout on reading data from socket"))
        original(self)

    return on_read_timeout


def _close(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def close(self: Any) -> None:
        tap = _tap_of(self)
        if tap is not None and tap.waiting:
            error = sys.exc_info()[1]
            if not isinstance(error, TimeoutError | asyncio.CancelledError):
                error = IncompleteAnswerError("the client stopped reading")
            tap.closed(error)
        attributes(self).pop(_TAP, None)
        original(self)

    return close


# --- answering ------------------------------------------------------------------------------


def _connect(
    answers: _Answers, original: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        interception = current("aiohttp")
        if interception is None:
            return await original(self, req, *args, **kwargs)
        if interception.answers(req.url.raw_host or "", req.url.port):
            traces = kwargs.get("traces", args[0] if args else None)
            answers.fail_again(traces)
            live = partial(original, self, req, *args, **kwargs)
            return answers.connect(self, req, interception, live, traces)
        try:
            return await original(self, req, *args, **kwargs)
        except BaseException as error:
            _write_failure(interception, req, error)
            raise

    return connect


def _write_failure(interception: Interception, request: Any, error: BaseException) -> None:
    """Record a call that got no connection."""
    origin = _origin(request) or f"{request.url.scheme}://{_authority(request.url)}"
    headers = tuple((str(name), str(value)) for name, value in request.headers.items())
    writer = interception.open(request.method, origin + request.url.raw_path_qs, headers)
    if writer is not None:
        writer.fail(error)


def _answering_handler(handler: Any, stream_reader: Any) -> Any:
    """Return a class of response handlers that are connected to recordings."""

    class AnsweringReader(stream_reader):  # type: ignore[misc]  # known only at run time
        """A reader that asks for the next segment when what has come is taken."""

        __slots__ = ()

        def _read_nowait_chunk(self, n: int) -> Any:
            data = stream_reader._read_nowait_chunk(self, n)
            if self._protocol._answer is not None:
                self._protocol._answer.go_on()
            return data

    class AnsweringHandler(handler):  # type: ignore[misc]  # known only at run time
        """A response handler whose readers are of that kind."""

        _answer: AnswerTransport | None = None
        _reader: Any = None

        @property
        def _payload(self) -> Any:
            return self._reader

        @_payload.setter
        def _payload(self, reader: Any) -> None:
            # Parsers make the reader, in C. When it asks the connection for more differs from one
            # version of aiohttp to the next, and some never do as long as little has come.
            if type(reader) is stream_reader:
                reader.__class__ = AnsweringReader
            self._reader = reader

        def reader_is_ready(self) -> bool:
            """Whether everything that was given has been read."""
            return self._upgraded or not getattr(self._payload, "_buffer", None)

    return AnsweringHandler


class _Answers:
    """Makes connections whose calls are answered from recordings."""

    def __init__(self, api: Any) -> None:
        from importlib import import_module  # noqa: PLC0415 - aiohttp may be absent

        handler: Any = import_module("aiohttp.client_proto").ResponseHandler
        self._api = api
        self._handler = _answering_handler(handler, api.StreamReader)
        self._connection: Any = import_module("aiohttp.connector").Connection
        # 3.10 and 3.11 send a request again when its answer fails, and not when the connection
        # does; recorded connections fail where the answer is read.
        self._sends_again = not hasattr(api, "ClientHandlerType")
        self._failed: WeakKeyDictionary[asyncio.Task[Any], tuple[Any, BaseException]] = (
            WeakKeyDictionary()
        )

    def fail_again(self, traces: Any) -> None:
        """Raise what the call has failed with before; each has a list of traces of its own."""
        task = asyncio.current_task()
        call, error = self._failed.pop(task, (None, None)) if task is not None else (None, None)
        if error is not None and call is traces:
            raise error

    def connect(
        self,
        connector: Any,
        request: Any,
        interception: Interception,
        live: Callable[[], Awaitable[Any]],
        traces: Any,
    ) -> Any:
        """Return a connection of the connector that leads to a recording."""
        loop = asyncio.get_running_loop()
        protocol: Any = self._handler(loop=loop)
        key = request.connection_key
        task = asyncio.current_task()

        def failed(error: BaseException, found: Trouble | None) -> None:
            if found is not None:
                error = self.error(key, found, str(error))
                if found is Trouble.CONNECT and self._sends_again and task is not None:
                    self._failed[task] = (traces, error)
            payload = protocol._payload
            protocol.set_exception(error)
            if payload is not None:
                payload.set_exception(error)

        def forward(transport: AnswerTransport) -> None:
            going = _go_live(connector, request, protocol, transport, live, failed)
            protocol._going_live = loop.create_task(going)

        transport = AnswerTransport(
            loop,
            protocol,
            Conversation(interception, _origin(request)),
            interception,
            failed=failed,
            forward=forward,
            ready=protocol.reader_is_ready,
        )
        protocol.connection_made(transport)
        protocol._answer = transport
        protocol._should_close = True  # the next call is another conversation
        connector._acquired.add(protocol)
        if connector._limit_per_host:
            connector._acquired_per_host[key].add(protocol)
        return self._connection(connector, key, protocol, loop)

    def error(self, key: Any, found: Trouble, text: str) -> BaseException:
        """Return what aiohttp would have raised."""
        api = self._api
        if found is Trouble.CONNECT:
            error: BaseException = api.ClientConnectorError(key, OSError(0, text))
        else:
            connecting = found is Trouble.CONNECT_TIMEOUT
            name = "ConnectionTimeoutError" if connecting else "SocketTimeoutError"
            # Before 3.10 the two are one.
            error = getattr(api, name, api.ServerTimeoutError)(text)
        return error


async def _go_live(
    connector: Any,
    request: Any,
    protocol: Any,
    transport: AnswerTransport,
    live: Callable[[], Awaitable[Any]],
    failed: Callable[[BaseException, Trouble | None], None],
) -> None:
    """Connect a call to the network after all, and send what it has written so far."""
    interception = current("aiohttp")
    try:
        connection = await live()
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
        if interception is not None:
            _write_failure(interception, request, error)
        failed(error, None)
        return
    real_protocol = connection.protocol
    real = real_protocol.transport
    raw = bytes(transport.conversation.raw)
    connector._release_acquired(connection._key, real_protocol)
    connection._protocol = None
    real.set_protocol(protocol)
    protocol.transport = transport.forwarded = real
    if interception is not None:
        tap = attributes(protocol)[_TAP] = outbound_tap(interception, _origin(request))
        tap.from_client(raw)
    real.write(raw)
