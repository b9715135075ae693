"""Replay against WSGI applications in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flask
import pytest
from werkzeug.wsgi import ClosingIterator

from keploy_framework.errors import OptionError
from keploy_framework.model import Request
from keploy_framework.recording.recorder import Recorder
from keploy_framework.replay import replay
from keploy_framework.replay.wsgi_target import environ_of
from keploy_framework.wsgi import RecordingMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

RecordWSGI = Callable[..., None]


def notes(first: int = 1) -> flask.Flask:
    """An application of notes, numbered from `first`."""
    app = flask.Flask("notes")
    numbers = itertools.count(first)
    kept: dict[int, str] = {}

    @app.post("/notes")
    def create() -> Any:
        number = next(numbers)
        kept[number] = flask.request.get_data(as_text=True)
        response = flask.jsonify(id=number)
        response.set_cookie("last", f"note-{number:08d}")
        return response, 201

    @app.get("/notes/<int:number>")
    def show(number: int) -> Any:
        return {"text": kept[number], "last": "last" in flask.request.cookies}

    @app.get("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            yield from ("one\n", "two\n")

        return flask.Response(parts(), mimetype="text/plain")

    @app.route("/head", methods=["HEAD", "GET"])
    def head() -> Any:
        return "hello"

    return app


def write(client: httpx.Client) -> None:
    made = client.post("/notes", content=b"buy tea").json()
    client.get(f"/notes/{made['id']}")
    client.get("/stream")
    client.head("/head")
    client.get("/missing")


@pytest.mark.parametrize("workers", [1, 3])
async def test_the_same_application_passes(
    folder: Path, record_wsgi: RecordWSGI, workers: int
) -> None:
    """What was recorded from a Flask application passes against it, one by one and in parallel."""
    _recorded(record_wsgi)
    results = await replay(notes(), folder, workers=workers)
    assert results.is_success, results
    assert results.total == 5


def _recorded(record_wsgi: RecordWSGI) -> None:
    import threading

    thread = threading.Thread(target=record_wsgi, args=(notes(), write))
    thread.start()
    thread.join()


async def test_ids_and_cookies_are_those_of_the_replay(
    folder: Path, record_wsgi: RecordWSGI
) -> None:
    """Later requests ask for the note that the replay made."""
    _recorded(record_wsgi)
    results = await replay(notes(80), folder)
    assert [each.name for each in results.failures] == ["post-notes-1"]


async def test_the_iterable_of_the_application_is_closed(
    folder: Path, record_wsgi: RecordWSGI
) -> None:
    """As a server does, the replay closes what the application returned."""
    _recorded(record_wsgi)
    app = notes()
    closed: list[str] = []

    def wrapped(environ: Any, start_response: Any) -> Any:
        items = app(environ, start_response)
        return ClosingIterator(items, lambda: closed.append(environ["PATH_INFO"]))

    assert (await replay(wrapped, folder)).is_success
    assert len(closed) == 5


async def test_a_client_that_left_leaves_again(folder: Path) -> None:
    """A stream that its client left is replayed as far as it was read, and passes."""
    asked = Request("GET", "http://h/stream", (("Host", "h"),))
    async with Recorder(folder, enabled=True) as recorder:
        items: Any = RecordingMiddleware(notes(), recorder)(environ_of(asked), _start_response)
        assert next(iter(items)) == b"one\n"
        items.close()  # which is all that a server does then

    results = await replay(notes(), folder)
    assert results.is_success, results
    assert results.total == 1


def _start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
    """Take the head of an answer, as a server does."""
    return lambda data: None


async def test_an_application_of_wsgi_has_no_restart(folder: Path, record_wsgi: RecordWSGI) -> None:
    """What cannot be started again is put back by a callable."""
    _recorded(record_wsgi)
    with pytest.raises(OptionError, match="give a callable"):
        await replay(notes(), folder, reset="restart")
    done: list[bool] = []
    assert (await replay(notes(), folder, reset=lambda: done.append(True))).is_success
    assert done == [True]
