"""`RecordingMiddleware` for WSGI: it watches an application and changes nothing about it.

Bodies pass item by item, in both directions; nothing of them is kept here. An answer that is a list
or tuple goes back as the very object that came, because servers look at its length.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote, unquote_to_bytes

from keploy_framework.errors import IncompleteAnswerError
from keploy_framework.model import header_value
from keploy_framework.recording.inbound import absolute_url, request_target
from keploy_framework.recording.sink import begun, inbound_exchange
from keploy_framework.recording.wsgi_input import RecordedInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keploy_framework.model import Headers
    from keploy_framework.recording.sink import ExchangeWriter, RequestHead, Sink

__all__ = ("RecordingMiddleware",)

T = TypeVar("T")

_BARE: Final = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length"}
"""The two headers that a server hands over without the prefix `HTTP_`."""
_UNQUOTED: Final = "/:@!$&'()*+,;=~"


class RecordingMiddleware:
    """Record what a WSGI application is asked and what it answers.

    Put it outermost, so that it sees what clients see. Generators stay generators: an item is
    recorded when the server asks for it. ``close()``, ``write()``, a second ``start_response`` with
    ``exc_info`` and every way of reading ``wsgi.input`` work as without it. While code of the
    application runs, also that which makes the items, `inbound_exchange` holds the exchange's id.

    An answer that is wrapped in the server's ``wsgi.file_wrapper`` keeps its bytes and pieces, but
    is read by Python: servers that would send it by ``sendfile`` do not recognize it.

    Args:
        app: The application.
        recorder: Where exchanges go: a recorder, or any other `Sink`.

    Example:
        ```text
        app = RecordingMiddleware(app, recorder)                            # any application
        app.wsgi_app = RecordingMiddleware(app.wsgi_app, recorder)          # Flask
        ```
    """

    __slots__ = ("app", "recorder")

    def __init__(self, app: WSGIApplication, recorder: Sink) -> None:
        self.app: WSGIApplication = app
        self.recorder: Sink = recorder

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application for one request."""
        writer = _opened(self.recorder, environ)
        if writer is None:
            return self.app(environ, start_response)
        source = environ.get("wsgi.input")
        if source is not None:
            environ["wsgi.input"] = RecordedInput(source, writer.request_piece)
        answer = _Answer(writer, start_response, bodiless=environ.get("REQUEST_METHOD") == "HEAD")
        items = answer.watched(self.app, environ, answer.start)
        if isinstance(items, (list, tuple)):
            # The typing of the standard library knows no more than that it is iterable.
            for item in cast("Iterable[bytes]", items):
                answer.piece(item)
            answer.finish()
            return items
        return _Sized(items, answer) if hasattr(items, "__len__") else _Items(items, answer)


class _Answer:
    """The answer to one request, as it comes."""

    __slots__ = ("_begun", "_bodiless", "_due", "_head", "_start", "_writer", "over")

    def __init__(
        self, writer: ExchangeWriter, start_response: StartResponse, *, bodiless: bool
    ) -> None:
        self._writer = writer
        self._start = start_response
        self._bodiless = bodiless
        self._head: tuple[int, str, Headers] | None = None
        self._begun = False
        self._due: int | None = None
        self.over = False

    def watched(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call a part of the application as the exchange's own; what it raises ends the exchange.

        The variable is set anew for each part: a server may run them in different threads, and
        between them the thread belongs to the server.
        """
        token = inbound_exchange.set(self._writer.id)
        try:
            return call(*arguments)
        except BaseException as error:
            if call is not next or not isinstance(error, StopIteration):
                self._writer.fail(error)
            raise
        finally:
            inbound_exchange.reset(token)

    def start(
        self, status: str, headers: list[tuple[str, str]], *exc_info: Any
    ) -> Callable[[bytes], object]:
        """Stand in for the server's ``start_response``."""
        # Servers add lines of their own to the list that they are given.
        given = tuple(headers)
        inner = self._start(status, headers, *exc_info)
        try:
            code, _, reason = status.partition(" ")
            # Kept until the first item: until then, the application may replace it.
            self._head = (int(code), reason, given)
        except Exception as error:  # noqa: BLE001 - a head no one can read is the server's to judge
            self._writer.fail(error)

        def write(data: bytes) -> object:
            self.piece(data)
            return inner(data)

        return write

    def piece(self, data: bytes) -> None:
        """Record an item of the body."""
        if not data:
            return  # servers send the head with the first item that is not empty
        self._flush()
        if self._due is not None:
            self._due -= len(data)
        if not self._bodiless:
            self._writer.response_piece(data)

    def finish(self) -> None:
        """The last item has come."""
        self.over = True
        if self._flush():
            self._writer.end()
        else:
            self._writer.fail(
                IncompleteAnswerError("the application ended without calling start_response")
            )

    def abandon(self) -> None:
        """Take note that the server asks for no more items."""
        if self.over:
            return
        self.over = True
        # A server need not ask on when it has as many bytes as were announced, or needs none.
        if self._flush() and (self._bodiless or (self._due is not None and self._due <= 0)):
            self._writer.end()
        else:
            self._writer.fail(IncompleteAnswerError("the answer was closed before its last item"))

    def _flush(self) -> bool:
        """Record the head if that is still to be done; whether there is one."""
        if self._begun or self._head is None:
            return self._begun
        self._begun = True
        status, reason, headers = self._head
        self._writer.response_head(status, reason, headers)
        length = header_value(headers, "content-length")
        self._due = int(length) if length is not None and length.isdecimal() else None
        return True


class _Items:
    """The iterable of an answer, recorded as the server asks for its items."""

    __slots__ = ("_answer", "_items", "_source")

    def __init__(self, source: Iterable[bytes], answer: _Answer) -> None:
        self._source = source
        self._answer = answer
        self._items: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._items = self._answer.watched(iter, self._source)
        return self

    def __next__(self) -> bytes:
        items = self._items
        if items is None:  # asked as an iterator, which generators are from the start
            items = self._items = self._answer.watched(iter, self._source)
        try:
            data: bytes = self._answer.watched(next, items)
        except StopIteration:
            if not self._answer.over:
                self._answer.finish()
            raise
        self._answer.piece(data)
        return data

    def close(self) -> None:
        """Close the application's iterable, as the server does at the end of every request."""
        self._answer.abandon()
        close = getattr(self._source, "close", None)
        if close is not None:
            self._answer.watched(close)


class _Sized(_Items):
    """An iterable that knows its length, from which some servers make a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(cast("list[bytes]", self._source))


def _opened(recorder: Sink, environ: WSGIEnvironment) -> ExchangeWriter | None:
    """Open the exchange that ``environ`` begins; None when it is not recorded."""
    # A copy: below the middleware, the environment belongs to the application.
    return begun(recorder, partial(_told, dict(environ)))


def _told(environ: WSGIEnvironment) -> RequestHead | None:
    """Return the head of the request that ``environ`` begins; None if it cannot be read."""
    try:
        headers = tuple(_header_lines(environ))
        port = environ.get("SERVER_PORT", "")
        server = f"{environ.get('SERVER_NAME') or 'localhost'}{':' if port else ''}{port}"
        url = absolute_url(
            environ.get("wsgi.url_scheme", "http"),
            environ.get("HTTP_HOST"),
            server,
            _target(environ),
        )
        version = str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")).rpartition("/")[2]
        method: str = environ["REQUEST_METHOD"]
    except Exception:  # noqa: BLE001 - an environment no one can read is the application's to judge
        return None
    return method, url, headers, version


def _header_lines(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    """Yield the headers of the request; their spelling is lost, `HTTP_X_ID` becomes `X-Id`."""
    for key, value in environ.items():
        if key[:5] == "HTTP_":
            yield key[5:].replace("_", "-").title(), value
        elif key in _BARE and value:
            yield _BARE[key], value


def _target(environ: WSGIEnvironment) -> str:
    """Return the request target: as the client wrote it, where the server tells that."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    query = environ.get("QUERY_STRING", "").encode("latin-1")
    for key in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(key, "").encode("latin-1").partition(b"?")[0]
        if raw and unquote_to_bytes(raw) == path:
            return request_target(raw, query)
    return request_target(quote(path, safe=_UNQUOTED).encode("ascii"), query)
