"""What `RecordingMiddleware` records of a WebSocket over ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.recording.memory import MemoryRecorder

if TYPE_CHECKING:
    from keploy_framework.model import Exchange

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ACCEPT: Event = {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"1")]}


async def converse(
    script: list[Event | None], events: list[Event], error: Exception | None = None
) -> tuple[Exchange, list[Event], list[Event]]:
    """Run an application that sends the events of its script; a None there receives."""
    sent: list[Event] = []
    received: list[Event] = []
    waiting = list(events)

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        for step in script:
            if step is None:
                received.append(await receive())
            else:
                await send(step)
        if error is not None:
            raise error

    async def receive() -> Event:
        return waiting.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    recorder = MemoryRecorder(clock=lambda: 0.0)
    scope: Event = {
        "type": "websocket",
        "scheme": "wss",
        "path": "/chat",
        "query_string": b"room=1",
        "headers": [(b"host", b"example.com"), (b"upgrade", b"websocket")],
    }
    if error is None:
        await RecordingMiddleware(app, recorder)(scope, receive, send)
    else:
        with pytest.raises(type(error), match=str(error)):
            await RecordingMiddleware(app, recorder)(scope, receive, send)
    (exchange,) = recorder.exchanges
    return exchange, sent, received


def said(exchange: Exchange) -> list[tuple[object, ...]]:
    """Return the messages without their times."""
    return [(message.sender, message.data, message.close_code) for message in exchange.messages]


async def test_messages_of_both_sides_are_recorded_in_order() -> None:
    """Text stays text, bytes stay bytes, and the close of the client is its last message."""
    events: list[Event] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hé", "bytes": None},
        {"type": "websocket.receive", "bytes": b"\x00"},
        {"type": "websocket.disconnect", "code": 1001, "reason": "bye"},
    ]
    script: list[Event | None] = [
        None,
        ACCEPT,
        None,
        {"type": "websocket.send", "text": "you said hé"},
        None,
        {"type": "websocket.send", "bytes": b"\x01", "text": None},
        None,
    ]

    exchange, sent, received = await converse(script, events)

    assert exchange.request.url == "wss://example.com/chat?room=1"
    assert exchange.request.method == "GET"
    assert exchange.failure is None
    assert exchange.response is not None
    assert exchange.response.status == 101
    assert exchange.response.headers == (("sec-websocket-protocol", "chat"), ("x-a", "1"))
    assert said(exchange) == [
        ("client", "hé", None),
        ("server", "you said hé", None),
        ("client", b"\x00", None),
        ("server", b"\x01", None),
        ("client", "bye", 1001),
    ]
    assert received == events
    assert sent == [step for step in script if step is not None]


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        ({"type": "websocket.close"}, 1000, ""),
        ({"type": "websocket.close", "code": 4000, "reason": "full"}, 4000, "full"),
        ({"type": "websocket.close", "code": 1000, "reason": None}, 1000, ""),
    ],
)
async def test_the_close_of_the_server_ends_the_exchange(
    close: Event, code: int, reason: str
) -> None:
    """The disconnect that the server reports afterwards is no close of the client."""
    events: list[Event] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]

    exchange, _, _ = await converse([None, ACCEPT, close, None], events)

    assert said(exchange) == [("server", reason, code)]
    assert exchange.failure is None


async def test_a_client_that_vanishes_leaves_the_code_that_the_server_reports() -> None:
    """A disconnect without a code is 1005: no status was received."""
    events: list[Event] = [{"type": "websocket.disconnect", "code": None}]

    exchange, _, _ = await converse([ACCEPT, None], events, error=RuntimeError("gone"))

    assert said(exchange) == [("client", "", 1005)]
    assert exchange.failure is None


async def test_a_refused_websocket_is_an_answer_of_403() -> None:
    """That is what the server makes of a close before the accept."""
    exchange, _, _ = await converse([{"type": "websocket.close"}], [])

    assert exchange.response is not None
    assert exchange.response.status == 403
    assert exchange.messages == ()


async def test_a_websocket_may_be_answered_over_http() -> None:
    """The denial extension: head and body are those of any answer."""
    start: Event = {"type": "websocket.http.response.start", "status": 401, "headers": []}
    body: Event = {"type": "websocket.http.response.body", "body": b"who?", "more_body": True}

    exchange, _, _ = await converse([start, body, {**body, "more_body": False}], [])

    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (401, b"who?who?")
    assert exchange.failure is None


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([], "the application returned without accepting or closing the WebSocket"),
        ([None], "the client left before it was answered"),
    ],
)
async def test_a_websocket_that_nobody_answers_is_a_failure(
    script: list[Event | None], text: str
) -> None:
    """Neither accepted nor refused: the recording says who gave up."""
    exchange, _, _ = await converse(script, [{"type": "websocket.disconnect", "code": 1006}])

    assert exchange.failure is not None
    assert exchange.failure.text == text


async def test_an_application_that_returns_leaves_a_whole_conversation() -> None:
    """The server closes in its place; what was said stands."""
    exchange, _, _ = await converse([ACCEPT, {"type": "websocket.send", "text": "a"}], [])

    assert said(exchange) == [("server", "a", None)]
    assert exchange.failure is None


async def test_an_error_in_a_conversation_is_recorded_with_what_was_said() -> None:
    """The messages before it are kept."""
    script: list[Event | None] = [ACCEPT, {"type": "websocket.send", "text": "a"}]

    exchange, _, _ = await converse(script, [], error=LookupError("lost"))

    assert exchange.failure is not None
    assert exchange.failure.text == "lost"
    assert said(exchange) == [("server", "a", None)]


async def test_a_message_that_no_one_can_read_is_left_to_the_server() -> None:
    """Neither text nor bytes: it goes on, and only the recording fails."""
    exchange, sent, _ = await converse([ACCEPT, {"type": "websocket.send"}], [])

    assert sent[-1] == {"type": "websocket.send"}
    assert exchange.failure is not None
