"""What `RecordingMiddleware` records of an ASGI application over HTTP, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.sink import inbound_exchange

if TYPE_CHECKING:
    from pathlib import Path

    from keploy_framework.asgi import ASGIApp
    from keploy_framework.model import Exchange

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
START: Event = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"\xe9")]}
END: Event = {"type": "http.response.body", "body": b""}


def http(**changed: object) -> Event:
    """Return the scope of a request, as servers make it."""
    scope: Event = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/caf\u00e9",
        "raw_path": b"/caf%C3%A9",
        "query_string": b"q=a%20b&q=",
        "headers": [(b"host", b"example.com"), (b"x-id", b"1"), (b"x-id", b"\xff")],
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
    }
    return {**scope, **changed}


async def drive(
    app: ASGIApp, scope: Event, *events: Event
) -> tuple[list[Event], BaseException | None]:
    """Act as a server: hand over events, then wait for ever; return what came back."""
    waiting, sent = list(events), list[Event]()

    async def receive() -> Event:
        return waiting.pop(0) if waiting else await asyncio.Future[Event]()

    async def send(event: Event) -> None:
        sent.append(event)

    try:
        await app(scope, receive, send)
    except BaseException as error:  # noqa: BLE001 - what is raised is what is compared
        return sent, error
    return sent, None


def app_of(*answers: Event, read: int = 0) -> ASGIApp:
    """Return an application that reads some events, then sends the given ones."""

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        for _ in range(read):
            await receive()
        for event in answers:
            await send(event)

    return app


async def recorded(app: ASGIApp, scope: Event | None = None, *events: Event) -> Exchange:
    """Return the one exchange that a run of ``app`` records."""
    recorder = MemoryRecorder()
    await drive(RecordingMiddleware(app, recorder), scope or http(), *events)
    (exchange,) = recorder.exchanges
    return exchange


async def test_request_and_answer_are_recorded_as_they_passed() -> None:
    """Method, URL, headers in order and repeated, body, status: nothing is normalized."""
    asked: Event = {"type": "http.request", "body": b"on", "more_body": True}
    app = app_of(START, {"type": "http.response.body", "body": b"yes"}, read=2)

    exchange = await recorded(
        app, http(method="PUT"), asked, {"type": "http.request", "body": b"e"}
    )

    assert exchange.request.method == "PUT"
    assert exchange.request.url == "http://example.com/caf%C3%A9?q=a%20b&q="
    assert exchange.request.headers == (("host", "example.com"), ("x-id", "1"), ("x-id", "\xff"))
    assert exchange.request.body == b"one"
    assert exchange.failure is None
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.headers) == (200, (("x-a", "\xe9"),))
    assert exchange.response.body == b"yes"


@pytest.mark.parametrize(
    ("changed", "url"),
    [
        ({"raw_path": None}, "http://example.com/caf%C3%A9?q=a%20b&q="),
        ({"headers": []}, "http://127.0.0.1:8000/caf%C3%A9?q=a%20b&q="),
        ({"headers": [], "server": ("::1", 80)}, "http://[::1]:80/caf%C3%A9?q=a%20b&q="),
        ({"headers": [], "server": ("/run/a.sock", None)}, "http://localhost/caf%C3%A9?q=a%20b&q="),
        ({"headers": [(b"host", b"a/../b")]}, "http://127.0.0.1:8000/caf%C3%A9?q=a%20b&q="),
        ({"root_path": "/api", "raw_path": b"/api/x"}, "http://example.com/api/x?q=a%20b&q="),
        ({"raw_path": b"/x?q=1", "query_string": b"q=1"}, "http://example.com/x?q=1"),
        ({"raw_path": b"/\xc3\xa9 x", "query_string": b""}, "http://example.com/%C3%A9%20x"),
        ({"scheme": "https", "http_version": "2"}, "https://example.com/caf%C3%A9?q=a%20b&q="),
    ],
)
async def test_the_url_is_absolute_and_keeps_the_bytes_of_the_client(
    changed: dict[str, object], url: str
) -> None:
    """Whatever the server leaves out of the scope, the URL is whole."""
    exchange = await recorded(app_of(START, END), http(**changed))

    assert exchange.request.url == url


async def test_every_body_message_is_a_piece_with_its_time() -> None:
    """Pieces are neither joined nor split; an empty message is none."""
    now = 0.0

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        nonlocal now
        await send(START)
        for data in (b"a", b"", b"bc"):
            now += 0.25
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send(END)

    recorder = MemoryRecorder(clock=lambda: now)
    await drive(RecordingMiddleware(app, recorder), http())

    response = recorder.exchanges[0].response
    assert response is not None
    assert [(piece.at, piece.data) for piece in response.pieces] == [(0.25, b"a"), (0.75, b"bc")]


async def test_a_piece_is_with_the_server_before_the_application_makes_the_next() -> None:
    """Nothing is held back: after each `send`, the server has the very object that was sent."""
    seen: list[int] = []
    events: list[Event] = [START, {"type": "http.response.body", "body": b"1", "more_body": True}]

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        for event in (*events, END):
            await send(event)
            seen.append(len(sent))
            assert sent[-1] is event

    sent: list[Event] = []

    async def keep(event: Event) -> None:
        sent.append(event)

    async def silent() -> Event:
        return await asyncio.Future[Event]()

    await RecordingMiddleware(app, MemoryRecorder())(http(), silent, keep)

    assert seen == [1, 2, 3]


async def test_the_exchange_ends_before_the_client_has_the_last_piece() -> None:
    """Whoever has the whole answer finds it recorded, while background work still runs."""
    recorder = MemoryRecorder()
    ended: list[int] = []

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)
        assert inbound_exchange.get() == recorder.exchanges[0].id
        raise RuntimeError("a background task failed")

    async def send(event: Event) -> None:
        ended.append(len(recorder.exchanges))

    with pytest.raises(RuntimeError, match="background"):
        await RecordingMiddleware(app, recorder)(http(), asyncio.Future[Event], send)

    assert ended == [0, 1]
    assert recorder.exchanges[0].failure is None


@pytest.mark.parametrize("sent", [[], [START], [START, {**END, "more_body": True}]])
@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_what_the_application_raises_passes_through_and_is_recorded(
    sent: list[Event], error: BaseException
) -> None:
    """Before the head and after it: the caller gets that very exception, the exchange failed."""

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        for event in sent:
            await send(event)
        raise error

    recorder = MemoryRecorder()
    _, raised = await drive(RecordingMiddleware(app, recorder), http())

    (exchange,) = recorder.exchanges
    assert raised is error
    assert exchange.failure is not None
    assert exchange.failure.kind.endswith(type(error).__name__)
    assert (exchange.response is None) == (not sent)


@pytest.mark.parametrize(
    ("answers", "events", "text"),
    [
        ((), (), "the application returned without an answer"),
        ((START,), (), "the application returned before its answer was whole"),
        ((START,), ({"type": "http.disconnect"},), "the client left before the answer was whole"),
    ],
)
async def test_an_answer_that_is_not_whole_is_a_failure_that_says_why(
    answers: tuple[Event, ...], events: tuple[Event, ...], text: str
) -> None:
    """An application may return early; the recording does not pass that off as an answer."""
    exchange = await recorded(app_of(*answers, read=len(events)), None, *events)

    assert exchange.failure is not None
    assert exchange.failure.text == text


async def test_trailers_are_part_of_the_answer() -> None:
    """The exchange ends with the last trailers, not with the last piece of the body."""
    lines = [(b"x-sum", b"1")]
    more: Event = {"type": "http.response.trailers", "headers": lines, "more_trailers": True}
    last: Event = {"type": "http.response.trailers", "headers": [(b"x-end", b"2")]}

    exchange = await recorded(app_of({**START, "trailers": True}, END, more, last))

    assert exchange.response is not None
    assert exchange.response.trailers == (("x-sum", "1"), ("x-end", "2"))


async def test_head_has_no_body_although_the_application_sends_one() -> None:
    """Servers leave it out, so it never was on the wire."""
    body: Event = {"type": "http.response.body", "body": b"ignored"}

    exchange = await recorded(app_of(START, body), http(method="HEAD"))

    assert exchange.response is not None
    assert exchange.response.body == b""
    assert exchange.failure is None


async def test_a_file_that_the_server_sends_by_its_path_is_recorded(tmp_path: Path) -> None:
    """`pathsend` goes to the server as it came; the recording reads the file afterwards."""
    path = tmp_path / "page"
    path.write_bytes(b"page" * 100_000)
    event: Event = {"type": "http.response.pathsend", "path": str(path)}
    recorder = MemoryRecorder()

    sent, raised = await drive(RecordingMiddleware(app_of(START, event), recorder), http())

    (exchange,) = recorder.exchanges
    assert sent[1] is event
    assert raised is None
    assert exchange.response is not None
    assert exchange.response.body == path.read_bytes()
    assert len(exchange.response.pieces) == 2


@pytest.mark.parametrize(
    ("extra", "body"), [({}, b"345"), ({"offset": 1}, b"12345"), ({"offset": 2, "count": 2}, b"23")]
)
async def test_a_file_that_the_server_sends_without_copying_is_recorded(
    tmp_path: Path, extra: dict[str, int], body: bytes
) -> None:
    """`zerocopysend` keeps the file's position: reading for the recording does not move it."""
    path = tmp_path / "digits"
    path.write_bytes(b"012345")
    with path.open("rb", buffering=0) as file:
        file.seek(3)
        event: Event = {"type": "http.response.zerocopysend", "file": file, **extra}

        exchange = await recorded(app_of(START, event))

        assert file.tell() == 3
    assert exchange.response is not None
    assert exchange.response.body == body
    assert exchange.failure is None


async def test_a_file_that_cannot_be_read_fails_the_recording_not_the_answer(
    tmp_path: Path,
) -> None:
    """The server sent it; that we could not read it is nothing to the application."""
    event: Event = {"type": "http.response.pathsend", "path": str(tmp_path / "absent")}
    recorder = MemoryRecorder()

    _, raised = await drive(RecordingMiddleware(app_of(START, event), recorder), http())

    failure = recorder.exchanges[0].failure
    assert raised is None
    assert failure is not None
    assert failure.kind == "builtins.FileNotFoundError"


async def test_an_event_that_no_one_can_read_is_left_to_the_server() -> None:
    """A malformed message goes on unchanged, and only the recording fails."""
    broken: Event = {"type": "http.response.start", "status": 200, "headers": 7}
    recorder = MemoryRecorder()

    sent, raised = await drive(
        RecordingMiddleware(app_of(broken, {}, read=1), recorder), http(), {"no": "type"}
    )

    assert sent == [broken, {}]
    assert raised is None
    assert recorder.exchanges[0].failure is not None


async def test_lifespan_and_what_is_not_recorded_reach_the_application_untouched() -> None:
    """The application gets the server's own functions, not ours."""

    class Nothing:
        def open(self, *_: Any, **__: Any) -> None:
            return None

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        given_to_app.append((scope, receive, send))

    async def send(event: Event) -> None:
        raise AssertionError

    given_to_app: list[tuple[Event, Receive, Send]] = []
    receive: Receive = asyncio.Future[Event]
    life: Event = {"type": "lifespan"}
    await RecordingMiddleware(app, MemoryRecorder())(life, receive, send)
    asked = http()
    await RecordingMiddleware(app, Nothing())(asked, receive, send)

    assert given_to_app == [(life, receive, send), (asked, receive, send)]


async def test_concurrent_requests_each_have_their_own_exchange() -> None:
    """Code of the application, its tasks included, sees the id of its own request, only there."""

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        found = await asyncio.create_task(read())
        body = str(found).encode()
        await send(START)
        await send({"type": "http.response.body", "body": body})

    async def read() -> str | None:
        return inbound_exchange.get()

    recorder = MemoryRecorder()
    wrapped = RecordingMiddleware(app, recorder)
    await asyncio.gather(*(drive(wrapped, http()) for _ in range(20)))

    assert len(recorder.exchanges) == 20
    for exchange in recorder.exchanges:
        assert exchange.response is not None
        assert exchange.response.body == exchange.id.encode()
    assert inbound_exchange.get() is None


async def test_a_coroutine_that_is_closed_elsewhere_does_not_complain() -> None:
    """A server may drop the call: closing it, in whatever context, raises nothing."""
    recorder = MemoryRecorder()

    async def waits(scope: Event, receive: Receive, send: Send) -> None:
        await receive()

    async def nothing(event: Event) -> None:
        raise AssertionError

    call = RecordingMiddleware(waits, recorder)(http(), asyncio.Future[Event], nothing)
    await asyncio.create_task(_first_step(call))
    call.close()

    failure = recorder.exchanges[0].failure
    assert failure is not None
    assert failure.kind == "builtins.GeneratorExit"


async def _first_step(call: Any) -> None:
    call.send(None)
