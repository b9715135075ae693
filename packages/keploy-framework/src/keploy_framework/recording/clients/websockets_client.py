"""websockets, patched at its protocol without I/O, which its asyncio and threading clients share.

Calls are answered from websockets 17.1 on, whose clients open connections in methods of their own;
before, a call that a recording would answer is refused. Recording needs no more than the protocol.
The legacy client (`websockets.legacy`) has another one: it is passed by, with a warning.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.model import Request
from keploy_framework.recording.clients.answer_transport import AnswerTransport
from keploy_framework.recording.clients.conversation import Conversation
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.clients.outbound import SERVER_CLOSED, outbound_tap
from keploy_framework.recording.clients.patching import attributes
from keploy_framework.recording.clients.seam import current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from keploy_framework.model import Exchange
    from keploy_framework.recording.clients.patching import Patches
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.tap import ConnectionTap

__all__ = (
    "patch_websockets",
    "patch_websockets_asyncio",
    "patch_websockets_legacy",
    "patch_websockets_sync",
)

_TAP: Final = "_keploy_tap"
_ANSWERED: Final = "_keploy_answered"
_our_sockets: Final[weakref.WeakSet[socket.socket]] = weakref.WeakSet()


def patch_websockets(patches: Patches, module: ModuleType) -> None:
    """Patch the protocol of websockets; `module` is `websockets.client`."""
    api: Any = module
    protocol = api.ClientProtocol
    patches.wrap(protocol, "send_request", _send_request)
    patches.wrap(protocol, "data_to_send", _data_to_send)
    patches.wrap(protocol, "receive_data", _receive_data)
    patches.wrap(protocol, "receive_eof", _receive_eof)


def patch_websockets_asyncio(patches: Patches, module: ModuleType) -> None:
    """Patch the asyncio client; `module` is `websockets.asyncio.client`."""
    api: Any = module
    if hasattr(api.connect, "open_tcp_connection"):
        patches.wrap(api.connect, "open_tcp_connection", _open_tcp_connection)
    else:
        patches.wrap(api, "parse_uri", _refusing)


def patch_websockets_sync(patches: Patches, module: ModuleType) -> None:
    """Patch the threading client; `module` is `websockets.sync.client`."""
    api: Any = module
    if hasattr(api, "reconnect"):
        patches.wrap(api.reconnect, "open_socket", _open_socket)
        patches.wrap(api.reconnect, "enable_tls", _enable_tls)
    else:
        patches.wrap(api, "parse_uri", _refusing)


def patch_websockets_legacy(patches: Patches, module: ModuleType) -> None:
    """Let the legacy client say that it is not seen; `module` is `websockets.legacy.client`."""
    api: Any = module
    patches.wrap(api.Connect, "__init__", _telling)


def _telling(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if current("websockets") is not None:
            warnings.warn(
                "the legacy client of websockets is neither recorded nor answered: call "
                "websockets.asyncio.client.connect, or websockets.connect of 14 and later",
                RuntimeWarning,
                stacklevel=2,
            )
        original(self, *args, **kwargs)

    return init


# --- recording ------------------------------------------------------------------------------


def _authority(uri: Any) -> str:
    """Return host and port; the port only where the scheme does not say it."""
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return host if uri.port == (443 if uri.secure else 80) else f"{host}:{uri.port}"


def _origin(uri: Any) -> str:
    return f"{'https' if uri.secure else 'http'}://{_authority(uri)}"


def _send_request(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def send_request(self: Any, request: Any) -> None:
        interception = current("websockets")
        uri = getattr(self, "uri", None) or self.wsuri
        if interception is not None and not getattr(self, _ANSWERED, False):
            attributes(self)[_TAP] = outbound_tap(interception, _origin(uri))
        original(self, request)

    return send_request


def _tap_of(protocol: Any) -> ConnectionTap | None:
    return getattr(protocol, _TAP, None)


def _data_to_send(original: Callable[[Any], list[bytes]]) -> Callable[[Any], list[bytes]]:
    def data_to_send(self: Any) -> list[bytes]:
        parts = original(self)
        tap = _tap_of(self)
        if tap is not None:
            tap.from_client(b"".join(parts))
        return parts

    return data_to_send


def _receive_data(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def receive_data(self: Any, data: Any) -> None:
        tap = _tap_of(self)
        if tap is not None:
            tap.from_server(bytes(data))
        original(self, data)

    return receive_data


def _receive_eof(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def receive_eof(self: Any) -> None:
        tap = _tap_of(self)
        if tap is not None:
            tap.server_ended(SERVER_CLOSED)
            attributes(self).pop(_TAP, None)
        original(self)

    return receive_eof


def _write_failure(interception: Interception, uri: Any, error: BaseException) -> None:
    """Record a call that got no connection."""
    writer = interception.open("GET", _url(uri), (("Host", _authority(uri)),))
    if writer is not None:
        writer.fail(error)


# --- answering ------------------------------------------------------------------------------


def _url(uri: Any) -> str:
    return f"{'wss' if uri.secure else 'ws'}://{_authority(uri)}{uri.resource_name}"


def _ask(interception: Interception, connect: Any) -> Exchange | None:
    """Ask for the answer to a handshake that is about to be sent; None: it goes to the network.

    Raises:
        UnrecordedCallError: No recording answers.
        OSError: The recorded call got no connection.
    """
    uri = connect.ws_uri
    additional: Any = connect.additional_headers or ()
    lines: Any = additional.items() if hasattr(additional, "items") else additional
    headers = (
        ("Host", _authority(uri)),
        ("Upgrade", "websocket"),
        *((str(name), str(value)) for name, value in lines),
    )
    exchange = interception.ask(Request("GET", _url(uri), headers))
    if exchange is not None and exchange.response is None and exchange.failure is not None:
        found = trouble(exchange.failure)
        if found in {Trouble.CONNECT_TIMEOUT, Trouble.READ_TIMEOUT}:
            raise TimeoutError(exchange.failure.text)
        raise ConnectionRefusedError(exchange.failure.text)
    return exchange


def _refusing(original: Callable[[str], Any]) -> Callable[[str], Any]:
    """Refuse the calls that would be answered, where nobody can step in to do so."""

    def parse_uri(uri: str) -> Any:
        parsed = original(uri)
        interception = current("websockets")
        if interception is not None and interception.answers(parsed.host, parsed.port):
            request = Request("GET", _url(parsed), (("Upgrade", "websocket"),))
            if interception.ask(request) is not None:
                raise UnrecordedCallError(
                    f"the recorded answer to {_url(parsed)} cannot be given to this version of "
                    f"websockets: it takes 17.1 or later",
                    method="GET",
                    url=_url(parsed),
                )
        return parsed

    return parse_uri


def _open_tcp_connection(
    original: Callable[[Any], Awaitable[Any]],
) -> Callable[[Any], Awaitable[Any]]:
    async def open_tcp_connection(self: Any) -> Any:
        interception = current("websockets")
        if interception is None:
            return await original(self)
        uri = self.ws_uri
        exchange = None
        if interception.answers(uri.host, uri.port):
            exchange = _ask(interception, self)
        if exchange is not None:
            return _answered(interception, self.factory(uri), _origin(uri), exchange)
        try:
            return await original(self)
        except BaseException as error:
            _write_failure(interception, uri, error)
            raise

    return open_tcp_connection


def _answered(
    interception: Interception, connection: Any, origin: str, exchange: Exchange
) -> object:
    """Connect a protocol of asyncio to a recording."""
    loop = asyncio.get_running_loop()

    def failed(error: BaseException, found: Trouble | None) -> None:
        del found
        connection.transport.close()
        connection.protocol.fail(1006, str(error))

    transport = AnswerTransport(
        loop,
        connection,
        Conversation(interception, origin, exchange),
        interception,
        failed=failed,
        forward=lambda _: None,
    )
    attributes(connection.protocol)[_ANSWERED] = True
    connection.connection_made(transport)
    return connection


def _open_socket(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def open_socket(self: Any, deadline: Any) -> Any:
        interception = current("websockets")
        if interception is None:
            return original(self, deadline)
        uri = self.ws_uri
        exchange = None
        if interception.answers(uri.host, uri.port):
            exchange = _ask(interception, self)
        if exchange is not None:
            return _serve(interception, Conversation(interception, _origin(uri), exchange))
        try:
            return original(self, deadline)
        except BaseException as error:
            _write_failure(interception, uri, error)
            raise

    return open_socket


def _enable_tls(original: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    def enable_tls(self: Any, sock: Any, deadline: Any) -> Any:
        if isinstance(sock, socket.socket) and sock in _our_sockets:
            return sock
        return original(self, sock, deadline)

    return enable_tls


def _serve(interception: Interception, conversation: Conversation) -> socket.socket:
    """Return a socket at whose other end a thread plays the recording, until it is closed."""
    ours, theirs = socket.socketpair()
    _our_sockets.add(theirs)
    threading.Thread(
        target=_play, args=(interception, conversation, ours), name="keploy-answer", daemon=True
    ).start()
    return theirs


def _play(interception: Interception, conversation: Conversation, ours: socket.socket) -> None:
    """Be the server of one conversation."""
    started: float | None = None
    with ours:
        try:
            while True:
                wait: float | None = None
                if started is not None and conversation.segments:
                    segment = conversation.segments[0]
                    wait = started + interception.due(segment.at) - interception.clock()
                    if not interception.speed or wait <= 0:
                        ours.sendall(conversation.segments.popleft().data)
                        continue
                elif conversation.hangs_up:
                    return
                ours.settimeout(wait)
                try:
                    data = ours.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    return
                conversation.feed(data)
                if conversation.whole and started is None:
                    conversation.answer()
                    started = interception.clock()
        except OSError:  # the client has closed its end
            return
