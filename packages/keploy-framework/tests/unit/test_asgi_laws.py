"""Laws of the ASGI middleware: it changes nothing, and keeps nothing of a body."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.recording.memory import MemoryRecorder

if TYPE_CHECKING:
    from keploy_framework.asgi import ASGIApp
    from keploy_framework.model import Headers

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
START: Event = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"\xe9")]}


def scope_of(method: str) -> Event:
    """Return the scope of a request."""
    return {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"example.com")],
    }


def body(data: bytes, *, more: bool) -> Event:
    return {"type": "http.response.body", "body": data, "more_body": more}


def question(data: bytes, *, more: bool) -> Event:
    return {"type": "http.request", "body": data, "more_body": more}


def start(status: int, *, trailers: bool) -> Event:
    return {**START, "status": status, "trailers": trailers}


ODD: list[Event] = [
    {"type": "http.response.trailers", "headers": [(b"a", b"b")]},
    {"type": "http.response.push", "path": "/", "headers": []},
    {"type": "http.response.body", "body": bytearray(b"x")},
    {"type": "http.response.body"},
    {"type": "no.such.thing"},
    {"type": "http.response.start", "status": None},
    {},
]
ODD_QUESTIONS: list[Event] = [{"type": "http.disconnect"}, {"type": "http.request"}, {"odd": 1}]
few = st.binary(max_size=8)
steps: st.SearchStrategy[list[Event | str]] = st.lists(
    st.one_of(
        st.sampled_from(["receive", "raise"]),
        st.builds(body, few, more=st.booleans()),
        st.builds(start, st.integers(100, 599), trailers=st.booleans()),
        st.sampled_from(ODD),
    ),
    max_size=8,
)
questions = st.lists(
    st.one_of(st.builds(question, few, more=st.booleans()), st.sampled_from(ODD_QUESTIONS)),
    min_size=8,
    max_size=8,
)


@given(steps, questions, st.sampled_from(["GET", "HEAD", "POST"]))
def test_no_application_behaves_differently_under_the_middleware(
    script: list[Event | str], asked: list[Event], method: str
) -> None:
    """Whatever is sent, received and raised, in whatever order: object by object the same."""

    async def run(recorder: MemoryRecorder | None) -> tuple[object, ...]:
        got: list[Event] = []

        async def app(scope: Event, receive: Receive, send: Send) -> None:
            for step in script:
                if step == "receive":
                    got.append(await receive())
                elif isinstance(step, str):
                    raise LookupError("on purpose")
                else:
                    await send(step)

        async def receive() -> Event:
            return asked[len(got)]

        async def send(event: Event) -> None:
            sent.append(event)

        sent: list[Event] = []
        target: ASGIApp = RecordingMiddleware(app, recorder) if recorder else app
        error: type[BaseException] | None = None
        try:
            await target(scope_of(method), receive, send)
        except LookupError as raised:
            error = type(raised)
        return [id(event) for event in sent], [id(event) for event in got], error

    recorder = MemoryRecorder()

    assert asyncio.run(run(recorder)) == asyncio.run(run(None))
    assert len(recorder.exchanges) == 1
    assert recorder.under_way == ()


class Counter:
    """A recorder that counts bytes and keeps none."""

    id = "1"

    def __init__(self) -> None:
        self.size = 0
        self.ended = False

    def open(self, *_: Any, **__: Any) -> Counter:
        return self

    def request_piece(self, data: bytes) -> None:
        self.size += len(data)

    def response_piece(self, data: bytes) -> None:
        self.size += len(data)

    def response_head(
        self, status: int, reason: str, headers: Headers, http_version: str = "1.1"
    ) -> None: ...

    def trailers(self, headers: Headers) -> None: ...

    def message(self, sender: str, data: str | bytes, close_code: int | None = None) -> None: ...

    def end(self) -> None:
        self.ended = True

    def fail(self, error: BaseException) -> None:
        raise AssertionError from error


async def test_a_long_body_leaves_no_memory_behind() -> None:
    """64 MiB in each direction pass, and no more than a few pieces are ever held."""
    piece = os.urandom(1 << 16)

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(1024):
            event = await receive()
            await send({"type": "http.response.body", "body": event["body"], "more_body": True})
        await send({"type": "http.response.body"})

    async def receive() -> Event:
        return {"type": "http.request", "body": bytes(bytearray(piece)), "more_body": True}

    async def send(event: Event) -> None:
        pass

    counter = Counter()
    tracemalloc.start()
    try:
        await RecordingMiddleware(app, counter)(scope_of("PUT"), receive, send)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert counter.ended
    assert counter.size == 2 << 26
    assert peak < 1 << 20
