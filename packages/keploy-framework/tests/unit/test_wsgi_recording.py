"""What `RecordingMiddleware` records of a WSGI application, and what it leaves alone."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.sink import inbound_exchange
from keploy_framework.wsgi import RecordingMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keploy_framework.model import Exchange


def environment(body: bytes = b"", changed: dict[str, object] | None = None) -> WSGIEnvironment:
    """Return what a server hands over for a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "q=a%20b&q=",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.com",
        "HTTP_X_ID": "1,\xff",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        **(changed or {}),
    }
    return environ


def serve(app: WSGIApplication, environ: WSGIEnvironment | None = None) -> bytes:
    """Act as the server of the standard library; return what went over the wire."""
    out = io.BytesIO()
    environ = environ or environment()
    handler = SimpleHandler(environ["wsgi.input"], out, io.StringIO(), environ, multithread=False)
    handler.run(app)
    return out.getvalue()


def recorded(app: WSGIApplication, environ: WSGIEnvironment | None = None) -> Exchange:
    """Return the one exchange that a run of ``app`` records."""
    recorder = MemoryRecorder()
    with suppress(AssertionError, LookupError):
        serve(RecordingMiddleware(app, recorder), environ)
    (exchange,) = recorder.exchanges
    return exchange


def deaf(
    status: str, headers: list[tuple[str, str]], exc_info: object = None, /
) -> Callable[[bytes], object]:
    """Act as the `start_response` of a server that sends nothing."""
    return len


def texts(exchange: Exchange) -> list[bytes]:
    """Return the pieces of the answer."""
    assert exchange.response is not None
    return [piece.data for piece in exchange.response.pieces]


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 Fine", [("X-A", "1"), ("X-A", "\xe9")])
    return [b"hello ", b"world"]


def generated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    yield b""
    yield b"two"


def test_request_and_answer_are_recorded_as_they_passed() -> None:
    """Method, URL, headers and reason; only the spelling of names in the request is lost."""
    exchange = recorded(hello)

    assert exchange.request.url == "http://example.com/caf%C3%A9?q=a%20b&q="
    assert exchange.request.headers == (
        ("Host", "example.com"),
        ("X-Id", "1,\xff"),
        ("Content-Type", "text/plain"),
    )
    assert exchange.failure is None
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.reason) == (200, "Fine")
    assert exchange.response.headers == (("X-A", "1"), ("X-A", "\xe9"))
    assert texts(exchange) == [b"hello ", b"world"]


@pytest.mark.parametrize(
    ("changed", "url"),
    [
        ({"RAW_URI": "/caf%c3%a9?q=1"}, "http://example.com/caf%c3%a9?q=a%20b&q="),
        ({"REQUEST_URI": "/other"}, "http://example.com/caf%C3%A9?q=a%20b&q="),
        ({"SCRIPT_NAME": "/api", "QUERY_STRING": ""}, "http://example.com/api/caf%C3%A9"),
        ({"HTTP_HOST": ""}, "http://127.0.0.1:8000/caf%C3%A9?q=a%20b&q="),
        ({"HTTPS": "on"}, "https://example.com/caf%C3%A9?q=a%20b&q="),
    ],
)
def test_the_url_is_absolute_and_as_the_client_wrote_it_where_the_server_tells(
    changed: dict[str, object], url: str
) -> None:
    """A raw target that means another path, as behind a rewriting middleware, is not trusted."""
    assert recorded(hello, environment(changed=changed)).request.url == url


def test_items_are_recorded_when_the_server_asks_for_them() -> None:
    """A generator is not run ahead, and each item goes on before the next is made."""
    made: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for item in "abc":
            made.append(item)
            yield item.encode()

    recorder = MemoryRecorder()
    items = iter(RecordingMiddleware(app, recorder)(environment(), deaf))

    assert made == []
    assert next(items) == b"a"
    assert made == ["a"]
    assert list(items) == [b"b", b"c"]
    assert texts(recorder.exchanges[0]) == [b"a", b"b", b"c"]


def test_write_is_recorded_like_items() -> None:
    """The callable of `start_response` passes on at once; items follow."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    exchange = recorded(app)

    assert texts(exchange) == [b"a", b"b", b"c"]
    assert serve(app) == serve(RecordingMiddleware(app, MemoryRecorder()))


def test_a_second_head_replaces_the_first_until_something_was_sent() -> None:
    """With `exc_info`, an application may change its mind; the last head counts."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("X-First", "1")])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Broken", [("X-Second", "2")], sys.exc_info())
        yield b"sorry"

    exchange = recorded(app)

    assert exchange.response is not None
    assert exchange.response.status == 500
    assert exchange.response.headers == (("X-Second", "2"),)


def test_a_second_head_after_the_first_item_raises_as_without_us() -> None:
    """The server raises what it was given, in the application, and the exchange failed."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise LookupError("late")
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())

    exchange = recorded(app)

    assert exchange.response is not None
    assert exchange.response.status == 200
    assert exchange.failure is not None
    assert exchange.failure.text == "late"


def test_an_error_among_the_items_keeps_the_ones_before_it() -> None:
    """The answer is recorded as far as it came, and as failed."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise LookupError("in the middle")

    exchange = recorded(app)

    assert texts(exchange) == [b"a"]
    assert exchange.failure is not None
    assert exchange.failure.kind == "builtins.LookupError"


def test_an_error_before_the_head_is_a_failure_without_an_answer() -> None:
    """The same exception reaches the server."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("early")

    recorder = MemoryRecorder()
    with pytest.raises(LookupError, match="early"):
        RecordingMiddleware(app, recorder)(environment(), deaf)

    assert recorder.exchanges[0].response is None


def test_an_application_without_a_head_is_a_failure_that_says_so() -> None:
    """The server complains about it as it would without us."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return [b"x"]

    failure = recorded(app).failure

    assert failure is not None
    assert failure.text == "the application ended without calling start_response"


@pytest.mark.parametrize(
    ("headers", "method", "whole"),
    [([], "GET", False), ([("Content-Length", "1")], "GET", True), ([], "HEAD", True)],
)
def test_a_server_that_stops_asking_leaves_a_failure_unless_it_had_all(
    headers: list[tuple[str, str]], method: str, *, whole: bool
) -> None:
    """Closing early is a client that left, except where no more was to come."""
    closed: list[bool] = []

    class Items:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(inbound_exchange.get() is not None)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return Items()

    recorder = MemoryRecorder()
    wrapped = RecordingMiddleware(app, recorder)
    answer: Any = wrapped(environment(changed={"REQUEST_METHOD": method}), deaf)
    next(iter(answer))
    answer.close()
    answer.close()

    assert closed == [True, True]
    assert (recorder.exchanges[0].failure is None) == whole


def test_a_list_goes_back_as_the_very_object_and_lengths_are_kept() -> None:
    """Servers make a Content-Length of an answer with one item."""
    items = [b"a"]

    class Sized:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            return iter(items)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Sized() if environ["PATH_INFO"] == "/sized" else items

    wrapped = RecordingMiddleware(app, MemoryRecorder())

    assert wrapped(environment(), deaf) is items
    assert b"Content-Length: 1" in serve(wrapped, environment(changed={"PATH_INFO": "/sized"}))


def test_a_file_wrapper_keeps_its_bytes_and_is_closed() -> None:
    """The wrapper is the server's own; its blocks are the pieces."""
    file = io.BytesIO(b"abcdef")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4)
        return wrapped

    exchange = recorded(app, environment(changed={"wsgi.file_wrapper": FileWrapper}))

    assert texts(exchange) == [b"abcd", b"ef"]
    assert file.closed


def test_the_exchange_is_known_wherever_the_application_runs_and_nowhere_else() -> None:
    """In the call, in the items and in `close`; between them the thread is the server's."""
    seen: list[str | None] = []

    class Items:
        def __iter__(self) -> Iterator[bytes]:
            seen.append(inbound_exchange.get())
            yield b"a"
            seen.append(inbound_exchange.get())

        def close(self) -> None:
            seen.append(inbound_exchange.get())

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(inbound_exchange.get())
        start_response("200 OK", [])
        return Items()

    answer: Any = RecordingMiddleware(app, MemoryRecorder())(environment(), deaf)
    for _ in answer:
        assert inbound_exchange.get() is None
    answer.close()

    assert seen == ["1", "1", "1", "1"]


def test_the_middleware_is_a_valid_application_and_server_at_once() -> None:
    """The validator of the standard library stands on both sides."""
    environ = environment(changed={"PATH_INFO": "/a", "HTTP_X_ID": "1"})
    environ.update(
        {
            "wsgi.version": (1, 0),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": True,
        }
    )
    del environ["CONTENT_LENGTH"]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"fine"]

    recorder = MemoryRecorder()
    wrapped = validator(RecordingMiddleware(validator(app), recorder))

    assert serve(wrapped, environ).endswith(b"fine")
    assert texts(recorder.exchanges[0]) == [b"fine"]


def test_the_body_that_the_application_reads_is_recorded() -> None:
    """Also when it reads while it already answers."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield environ["wsgi.input"].read(2)
        yield environ["wsgi.input"].read()

    exchange = recorded(app, environment(b"body"))

    assert exchange.request.body == b"body"
    assert texts(exchange) == [b"bo", b"dy"]
