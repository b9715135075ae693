"""urllib3, and requests above it, patched at the connection: what is sent, and its socket's file.

Everything that sends through `urllib3.connection.HTTPConnection` is seen, whatever adapters,
sessions and pools are above it (also botocore). Recording reads along below the buffer of the
socket's file, so that reads keep their size and their time. Answering puts a socket in place that
is connected to a recording. urllib3's experimental HTTP/2 has a connection of its own, which is not
seen.
"""

# ruff: noqa: SLF001 - a patch has to know what the library keeps to itself

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from keploy_framework.recording.clients.conversation import Conversation
from keploy_framework.recording.clients.failures import Trouble
from keploy_framework.recording.clients.outbound import outbound_tap
from keploy_framework.recording.clients.patching import attributes
from keploy_framework.recording.clients.seam import current
from keploy_framework.recording.clients.urllib3_socket import AnswerSocket, TeeSocket, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from keploy_framework.recording.clients.patching import Patches
    from keploy_framework.recording.clients.seam import Interception
    from keploy_framework.recording.clients.urllib3_socket import ReadingAlong
    from keploy_framework.recording.tap import ConnectionTap

__all__ = ("patch_urllib3",)

_CALL: Final = "_keploy_call"
_CONNECTING: Final = "_keploy_connecting"


def patch_urllib3(patches: Patches, module: ModuleType) -> None:
    """Patch the connections of urllib3; `module` is its `connectionpool`."""
    from importlib import import_module  # noqa: PLC0415 - urllib3 may be absent

    connection: Any = import_module("urllib3.connection")
    pool: Any = module
    base = connection.HTTPConnection
    patches.wrap(base, "putrequest", _putrequest)
    patches.wrap(base, "send", _send)
    patches.wrap(base, "getresponse", _getresponse)
    patches.wrap(base, "connect", _connect)
    patches.wrap(connection.HTTPSConnection, "connect", _connect)
    patches.wrap(pool.HTTPConnectionPool, "_make_request", _make_request)


class _Call:
    """One request on a connection, until its answer's head has come."""

    def __init__(self, interception: Interception, connection: Any) -> None:
        origin = _origin(connection)
        self.interception = interception
        self.tap: ConnectionTap = outbound_tap(interception, origin)
        self.conversation: Conversation | None = None
        self.live: Any = None
        host, port = _target(connection)
        if interception.answers(host, port):
            self.conversation = Conversation(interception, origin)

    def sent(self, data: bytes) -> None:
        if self.conversation is None:
            self.tap.from_client(data)


def _target(connection: Any) -> tuple[str, int | None]:
    """Return the host and the port that are really called, behind a tunnel if there is one."""
    if connection._tunnel_host is not None:
        return connection._tunnel_host, connection._tunnel_port
    return connection.host, connection.port


def _origin(connection: Any) -> str | None:
    """Return scheme, host and port; None on the way to a forwarding proxy."""
    if connection.proxy is not None and connection._tunnel_host is None:
        return None
    host, port = _target(connection)
    scheme = "https" if connection.default_port == 443 else "http"  # noqa: PLR2004 - HTTPSConnection's
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{scheme}://{shown}" + (
        f":{port}" if port not in {None, connection.default_port} else ""
    )


def _putrequest(original: Callable[..., None]) -> Callable[..., None]:
    def putrequest(self: Any, *args: Any, **kwargs: Any) -> None:
        state = attributes(self)
        state.pop(_CALL, None)
        interception = current("urllib3")
        if interception is not None:
            call = state[_CALL] = _Call(interception, self)
            state["_keploy_asked"] = True
            if call.conversation is not None:
                if isinstance(self.sock, AnswerSocket):
                    self.sock.call = call
                else:
                    call.live, self.sock = self.sock, AnswerSocket(call)
        original(self, *args, **kwargs)

    return putrequest


def _connect(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def connect(self: Any) -> None:
        interception = current("urllib3")
        if interception is not None and interception.answers(*_target(self)):
            # Which request is coming nobody knows yet; the certificate is as good as it was.
            self.sock = AnswerSocket(None)
            self.is_verified = True
            return
        with _connecting(self):
            original(self)

    return connect


class _connecting:  # noqa: N801 - reads as the statement that it is
    """While a connection is made, what it sends is a tunnel's and no call."""

    def __init__(self, connection: Any) -> None:
        self._state = attributes(connection)

    def __enter__(self) -> None:
        self._state[_CONNECTING] = True

    def __exit__(self, *exc: object) -> None:
        self._state.pop(_CONNECTING, None)


def _send(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def send(self: Any, data: Any) -> None:
        state = attributes(self)
        call: _Call | None = state.get(_CALL)
        if call is None or _CONNECTING in state or call.conversation is not None:
            original(self, data)
            return
        if isinstance(data, bytes | bytearray | memoryview):
            call.sent(bytes(cast("bytes", data)))
        elif hasattr(data, "read"):
            data = _ReadAlong(data, call)
        else:
            data = _passing(data, call)
        original(self, data)

    return send


class _ReadAlong:
    """A file that is being sent."""

    def __init__(self, file: Any, call: _Call) -> None:
        self._file = file
        self._call = call

    def read(self, size: int = -1) -> Any:
        data = self._file.read(size)
        self._call.sent(data.encode("iso-8859-1") if isinstance(data, str) else data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _passing(parts: Iterable[Any], call: _Call) -> Iterator[Any]:
    for part in parts:
        call.sent(bytes(part))
        yield part


def _getresponse(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def getresponse(self: Any) -> Any:
        call: _Call | None = attributes(self).pop(_CALL, None)
        if call is None:
            return original(self)
        if call.conversation is not None:
            if _answer(self, call, call.conversation):
                answering = self.sock
                try:
                    return original(self)
                finally:
                    if self.sock is answering:
                        self.sock = call.live
            _go_live(self, call, call.conversation)
        files: list[ReadingAlong] = []
        made = self.response_class
        own = "response_class" in attributes(self)

        def response_class(sock: Any, *args: Any, **kwargs: Any) -> Any:
            tee = TeeSocket(sock, call.tap, files)
            return made(tee, *args, **kwargs)

        self.response_class = response_class
        try:
            response = original(self)
        except BaseException as error:
            call.tap.closed(error)
            raise
        finally:
            if own:
                self.response_class = made
            else:
                del self.response_class
        for file in files:
            file.begun = True
        return response

    return getresponse


def _answer(connection: Any, call: _Call, conversation: Conversation) -> bool:
    """Prepare the recorded answer; False when the call goes to the network.

    Raises:
        UnrecordedCallError: No recording answers.
    """
    try:
        found = conversation.answer()
    except BaseException:
        connection.close()
        raise
    if not found:
        return False
    exchange = conversation.exchange
    if exchange is not None and exchange.response is None:
        error = _connect_error(connection, conversation)
        if error is not None:
            wait_until(call.interception, conversation.end, call.interception.clock(), None)
            raise error
    return True


def _connect_error(connection: Any, conversation: Conversation) -> Exception | None:
    """Return the error of a call that got no connection; others come with the answer."""
    from importlib import import_module  # noqa: PLC0415 - urllib3 may be absent

    errors: Any = import_module("urllib3.exceptions")
    failure = conversation.exchange.failure if conversation.exchange is not None else None
    text = failure.text if failure is not None else ""
    found = conversation.trouble
    if found is Trouble.CONNECT_TIMEOUT:
        return cast("Exception", errors.ConnectTimeoutError(connection, text))
    if found is Trouble.CONNECT and failure is not None:
        if "SSL" in failure.kind or "Certificate" in failure.kind:
            return cast("Exception", errors.SSLError(text))
        return cast("Exception", errors.NewConnectionError(connection, text))
    return None


def _go_live(connection: Any, call: _Call, conversation: Conversation) -> None:
    """Send to the network what was taken for a recording."""
    connection.sock = call.live
    if call.live is None:
        with _connecting(connection):
            _unpatched_connect(connection)
    raw = bytes(conversation.raw)
    call.conversation = None
    call.tap.from_client(raw)
    connection.sock.settimeout(connection.timeout)
    connection.sock.sendall(raw)


def _unpatched_connect(connection: Any) -> None:
    """Connect, although its calls are answered."""
    connect: Callable[[Any], None] = connection.connect.__func__
    getattr(connect, "__wrapped__", connect)(connection)


def _make_request(original: Callable[..., Any]) -> Callable[..., Any]:
    def make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        interception = current("urllib3")
        state = attributes(conn)
        state.pop("_keploy_asked", None)
        try:
            return original(self, conn, method, url, *args, **kwargs)
        except BaseException as error:
            call: _Call | None = state.pop(_CALL, None)
            if call is not None:
                call.tap.closed(error)
            elif interception is not None and "_keploy_asked" not in state:
                _write_failure(interception, conn, method, url, kwargs.get("headers"), error)
            raise

    return make_request


def _write_failure(
    interception: Interception,
    connection: Any,
    method: str,
    target: str,
    headers: Any,
    error: BaseException,
) -> None:
    """Record a call whose connection failed before it could be sent."""
    if interception.answers(*_target(connection)):
        return
    given: Any = headers or {}
    lines = tuple((str(name), str(value)) for name, value in given.items())
    writer = interception.open(method, (_origin(connection) or "") + target, lines)
    if writer is not None:
        writer.fail(error)
