"""A request that is read out of the way of the traffic is recorded as one that is read at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework import asgi, wsgi
from keploy_framework.model import Direction
from keploy_framework.recording.journal import read_journal
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.recording.session import journals
from keploy_framework.recording.sink import begun

if TYPE_CHECKING:
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from keploy_framework.model import Exchange
    from keploy_framework.recording.sink import RequestHead

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

HEAD: RequestHead = ("GET", "http://t/a", (("host", "t"),), "1.1")


def recorded(folder: Path) -> list[Exchange]:
    """Read all journals of a folder."""
    return [entry.exchange for _, path in journals(folder) for entry in read_journal(path)]


def recorder_at(folder: Path, **options: Any) -> Recorder:
    return Recorder(folder, enabled=True, compact=False, redact=Unredacted(), **options)


def deaf(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
    """Stand in for a server's ``start_response``."""
    del status, headers
    return len


async def _receive() -> Event:
    return {"type": "http.request", "body": b"asked"}


async def _send(event: Event) -> None:
    del event


def scope_of(path: str, headers: list[tuple[bytes, bytes]]) -> Event:
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "server": ("t", 80),
    }


async def meddling(scope: Event, receive: Receive, send: Send) -> None:
    """Answer, and leave nothing of the scope as it came."""
    await receive()
    scope["path"] = scope["raw_path"] = b"/other"
    scope["method"] = "DELETE"
    scope["headers"].append((b"x-added", b"1"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})
    scope.clear()


def test_what_the_application_does_to_its_scope_is_not_recorded(tmp_path: Path) -> None:
    """The request is that of the wire, also where it is read after the application has run."""
    headers = [(b"host", b"t"), (b"x-a", b"\xe9")]
    with recorder_at(tmp_path) as recorder:
        app = asgi.RecordingMiddleware(meddling, recorder)
        asyncio.run(app(scope_of("/a", headers), _receive, _send))

    (exchange,) = recorded(tmp_path)
    request = exchange.request
    assert (request.method, request.url) == ("GET", "http://t/a")
    assert request.headers == (("host", "t"), ("x-a", "\xe9"))
    assert request.body == b"asked"


def test_what_the_application_does_to_its_environment_is_not_recorded(tmp_path: Path) -> None:
    """The same for WSGI."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ.clear()
        start_response("200 OK", [])
        return [b"answered"]

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a",
        "HTTP_HOST": "t",
        "HTTP_X_A": "1",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    with recorder_at(tmp_path) as recorder:
        wsgi.RecordingMiddleware(app, recorder)(environ, deaf)

    (exchange,) = recorded(tmp_path)
    assert (exchange.request.method, exchange.request.url) == ("GET", "http://t/a")
    assert exchange.request.headers == (("Host", "t"), ("X-A", "1"))


@pytest.mark.parametrize("options", [{}, {"exclude": ["/never"]}, {"sample": 0.999_999, "seed": 1}])
def test_it_makes_no_difference_when_the_request_is_told(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """A selection has to know the request at once; what is recorded is the same."""
    with recorder_at(tmp_path, **options) as recorder:
        exchange = begun(recorder, lambda: HEAD)
        assert exchange is not None
        exchange.response_head(204, "", ())
        exchange.end()

    (found,) = recorded(tmp_path)
    assert (found.request.method, found.request.url, found.request.headers) == HEAD[:3]
    assert found.direction is Direction.INBOUND


def test_a_selection_still_decides(tmp_path: Path) -> None:
    """What it leaves out is not begun."""
    with recorder_at(tmp_path, exclude=["/a"]) as recorder:
        assert begun(recorder, lambda: HEAD) is None

    assert recorded(tmp_path) == []


def test_a_request_that_cannot_be_read_costs_nothing_but_itself(tmp_path: Path) -> None:
    """It is left out with its long body; it is no failure of the recorder."""
    with recorder_at(tmp_path, max_body=8, store_large=True) as recorder:
        unread = begun(recorder, lambda: None)
        assert unread is not None
        unread.request_piece(b"longer than eight")
        unread.response_head(200, "", ())
        unread.response_piece(b"this one as well")
        unread.end()
        read = begun(recorder, lambda: HEAD)
        assert read is not None
        read.response_head(204, "", ())
        read.end()
        recorder.flush()

    (found,) = recorded(tmp_path)
    assert found.request.url == "http://t/a"
    assert recorder.problem is None
    assert recorder.dropped == 0
    assert not list((tmp_path / ".journal").glob("*.body"))


def test_a_sink_that_knows_nothing_of_it_is_told_at_once() -> None:
    """Any `Sink` will do, also one that makes up attributes: it is not asked for any."""

    class Anything(MemoryRecorder):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    sink = Anything()

    assert begun(sink, lambda: None) is None
    assert begun(sink, lambda: HEAD) is not None
    assert len(sink.under_way) == 1


def test_a_long_request_is_told_before_its_end(tmp_path: Path) -> None:
    """How a long body is searched depends on the head that it came with."""
    with recorder_at(tmp_path, max_body=8, store_large=True) as recorder:
        exchange = begun(recorder, lambda: HEAD)
        assert exchange is not None
        exchange.request_piece(b"longer than eight")
        exchange.response_head(204, "", ())
        exchange.end()

    (_, path), *_ = journals(tmp_path)
    (entry,) = read_journal(path)
    assert entry.request_file is not None
    assert entry.exchange.request.url == "http://t/a"
