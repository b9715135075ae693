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

    patches.wrap(api.BaseConnector, "connect", partial(_connect, _Answers(api, handler)))
    patches.wrap(request.ClientRequest, "send", _send)
    patches.wrap(writer.StreamWriter, "_write", _write)
    patches.wrap(writer.StreamWriter, "_writelines", _writelines)
    patches.wrap(websocket.WebSocketWriter, "send_frame", _send_frame)
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
    return f"{url.scheme.replace('ws', 'http')}://{url.host_port_subcomponent}"


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
            live = partial(original, self, req, *args, **kwargs)
            return answers.connect(self, req, interception, live)
        try:
            return await original(self, req, *args, **kwargs)
        except BaseException as error:
            _write_failure(interception, req, error)
            raise

    return connect


def _write_failure(interception: Interception, request: Any, error: BaseException) -> None:
    """Record a call that got no connection."""
    origin = _origin(request) or f"{request.url.scheme}://{request.url.host_port_subcomponent}"
    headers = tuple((str(name), str(value)) for name, value in request.headers.items())
    writer = interception.open(request.method, origin + request.url.raw_path_qs, headers)
    if writer is not None:
        writer.fail(error)


def _answering_handler(handler: Any) -> Any:
    """Return a class of response handlers that are connected to recordings."""

    class AnsweringHandler(handler):  # type: ignore[misc]  # known only at run time
        """A response handler that takes the next segment when its reader has taken the last."""

        _answer: AnswerTransport | None = None
        _held = False

        @property
        def _reading_paused(self) -> bool:
            # Older readers ask for more only where reading is paused.
            return self._held or not self.reader_is_ready()

        @_reading_paused.setter
        def _reading_paused(self, value: bool) -> None:
            self._held = value

        def reader_is_ready(self) -> bool:
            """Whether everything that was given has been read."""
            return self._upgraded or not getattr(self._payload, "_buffer", None)

        def pause_reading(self) -> None:
            if not self._held:
                handler.pause_reading(self)

        def resume_reading(self, *args: Any, **kwargs: Any) -> None:
            handler.resume_reading(self, *args, **kwargs)
            if self._answer is not None:
                self._answer.go_on()

    return AnsweringHandler


class _Answers:
    """Makes connections whose calls are answered from recordings."""

    def __init__(self, api: Any, handler: Any) -> None:
        from importlib import import_module  # noqa: PLC0415 - aiohttp may be absent

        self._api = api
        self._handler = _answering_handler(handler)
        self._connection: Any = import_module("aiohttp.connector").Connection

    def connect(
        self,
        connector: Any,
        request: Any,
        interception: Interception,
        live: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Return a connection of the connector that leads to a recording."""
        loop = asyncio.get_running_loop()
        protocol: Any = self._handler(loop=loop)
        key = request.connection_key

        def failed(error: BaseException, found: Trouble | None) -> None:
            if found is not None:
                error = self.error(key, found, str(error))
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
        protocol.force_close()  # the next call is another conversation
        connector._acquired.add(protocol)
        if connector._limit_per_host:
            connector._acquired_per_host[key].add(protocol)
        return self._connection(connector, key, protocol, loop)

    def error(self, key: Any, found: Trouble, text: str) -> BaseException:
        """Return what aiohttp would have raised."""
        api = self._api
        if found is Trouble.CONNECT:
            error: BaseException = api.ClientConnectorError(key, OSError(0, text))
        elif found is Trouble.CONNECT_TIMEOUT:
            error = api.ConnectionTimeoutError(text)
        else:
            error = api.SocketTimeoutError(text)
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
