"""Replay against ASGI applications in this process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.model import Direction, Exchange, Message, Piece, Request
from keploy_framework.model import Response as Answer
from keploy_framework.replay import replay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    import httpx
    from starlette.requests import Request as Asked
    from starlette.responses import Response
    from starlette.websockets import WebSocket

Record = Callable[..., Awaitable[None]]
Store = Callable[..., Awaitable[None]]


def shop(first: int = 1, price: int = 3) -> Starlette:
    """A shop whose orders are numbered from `first`."""
    numbers = itertools.count(first)
    orders: dict[str, dict[str, Any]] = {}

    async def create(request: Asked) -> Response:
        number = str(next(numbers))
        orders[number] = {"id": int(number), **await request.json()}
        return JSONResponse(orders[number], 201, headers={"Location": f"/orders/{number}"})

    async def show(request: Asked) -> Response:
        order = orders.get(request.path_params["number"])
        return JSONResponse(order or {"error": "unknown"}, 200 if order else 404)

    async def prices(_: Asked) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for number in range(price):
                yield f"data: {number}\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def form(request: Asked) -> Response:
        return PlainTextResponse((await request.body()).decode() + request.url.query)

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text.upper() if price == 3 else text)

    return Starlette(
        routes=[
            Route("/orders", create, methods=["POST"]),
            Route("/orders/{number}", show),
            Route("/prices", prices),
            Route("/form", form, methods=["POST"]),
            WebSocketRoute("/echo", echo),
        ]
    )


async def buy(client: httpx.AsyncClient) -> None:
    made = await client.post("/orders", json={"item": "tea"})
    await client.get(made.headers["location"])
    await client.get("/orders/999")
    await client.get("/prices")
    await client.post("/form?q=a%20b&q=%c3%a9", data={"name": "Ann & Bob", "note": "50 %"})


async def test_the_same_application_passes(folder: Path, record: Record) -> None:
    """What was recorded passes against the application that it was recorded from."""
    await record(shop(), buy)
    results = await replay(shop(), folder)
    assert results.is_success, results
    assert results.total == 5
    assert next(case.name for case in results.test_cases) == "post-orders-1"
    assert all(case.actual is None for case in results.test_cases)


async def test_cases_run_in_parallel_with_the_same_outcome(folder: Path, record: Record) -> None:
    """Workers wait for the answers that a request needs, and outcomes keep their order."""
    await record(shop(), buy)
    one, many = await replay(shop(7), folder), await replay(shop(7), folder, workers=4)
    assert [(case.id, case.status) for case in one.test_cases] == [
        (case.id, case.status) for case in many.test_cases
    ]


async def test_a_changed_answer_fails_with_its_differences(folder: Path, record: Record) -> None:
    """A stream that lost a piece is a difference in its content."""
    await record(shop(), buy)
    results = await replay(shop(price=2), folder)
    failed = results.failures
    assert [case.name for case in failed] == ["get-prices-1"]
    assert [(each.path, each.kind) for each in failed[0].differences] == [("body", "length")]
    assert failed[0].actual is not None
    assert failed[0].reason == "1 difference"


async def test_pieces_count_when_asked(folder: Path, record: Record) -> None:
    """The same bytes in other pieces pass, unless pieces are asked for."""
    await record(shop(), buy)

    async def joined(scope: Any, receive: Any, send: Any) -> None:
        parts: list[bytes] = []

        async def once(event: Any) -> None:
            if event["type"] == "http.response.body" and scope["path"] == "/prices":
                parts.append(event.get("body", b""))
                if event.get("more_body"):
                    return
                event = {"type": event["type"], "body": b"".join(parts)}
            await send(event)

        await shop_again(scope, receive, once)

    shop_again = shop()
    assert (await replay(joined, folder)).is_success
    shop_again = shop()
    results = await replay(joined, folder, pieces=True)
    assert [case.name for case in results.failures] == ["get-prices-1"]
    assert "pieces of the answer" in str(results.failures[0])


async def test_only_chosen_cases_are_replayed_with_those_they_need(
    folder: Path, record: Record
) -> None:
    """A chosen case brings along the case whose answer it needs."""
    await record(shop(), buy)
    results = await replay(shop(), folder, cases=["get-orders-by-id-1"])
    assert [case.name for case in results.test_cases] == ["post-orders-1", "get-orders-by-id-1"]
    with pytest.raises(OptionError, match="no test case 'get-nothing'"):
        await replay(shop(), folder, cases=["get-nothing"])


def conversation(*messages: Message) -> Exchange:
    request = Request("GET", "ws://shop/echo", (("host", "shop"),))
    return Exchange(
        "1",
        Direction.INBOUND,
        request,
        Answer(101, "Switching Protocols"),
        1,
        2,
        messages=messages,
    )


async def test_a_websocket_is_spoken_again(folder: Path, store: Store) -> None:
    """The client says what it said, and what the server says is compared, in order."""
    await store(
        conversation(
            Message(0.0, "client", "one"),
            Message(0.1, "server", "ONE"),
            Message(0.2, "client", "two"),
            Message(0.3, "server", "TWO"),
            Message(0.4, "client", "", 1000),
        )
    )
    assert (await replay(shop(), folder)).is_success
    # Keploy has no rules for conversations, so that ours hold under its rules as well.
    assert (await replay(shop(price=1), folder, rules="keploy")).failed == 1
    results = await replay(shop(price=1), folder)
    assert [each.place for each in results.failures[0].differences] == [
        "message 1 of the server: body, line 1",
        "message 2 of the server: body, line 1",
    ]


async def test_a_process_that_is_held_up_takes_no_application_for_silent(
    folder: Path, store: Store, let_pass: Callable[[float], None]
) -> None:
    """The client waits for each message, also where its whole patience is over at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        await receive()
        await send({"type": "websocket.accept"})
        event = await receive()
        while event["type"] == "websocket.receive":
            saying = asyncio.create_task(receive())  # as servers do that say something unasked
            let_pass(1.5)
            for _ in range(50):
                await asyncio.sleep(0)
            if saying.done():  # it went on before it was answered
                return
            await send({"type": "websocket.send", "text": event["text"].upper()})
            event = await saying

    await store(
        conversation(
            Message(0.0, "client", "one"),
            Message(0.1, "server", "ONE"),
            Message(0.2, "client", "two"),
            Message(0.3, "server", "TWO"),
            Message(0.4, "client", "", 1000),
        )
    )
    results = await replay(app, folder)
    assert results.is_success, results


async def test_an_application_that_says_less_than_recorded_is_a_difference(
    folder: Path, store: Store, let_pass: Callable[[float], None]
) -> None:
    """The client waits for a while, and goes on: it may be its turn."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        await receive()
        await send({"type": "websocket.accept"})
        saying = asyncio.create_task(receive())
        while not saying.done() or saying.result()["type"] == "websocket.receive":
            if saying.done():
                saying = asyncio.create_task(receive())
            let_pass(0.05)
            await asyncio.sleep(0)

    await store(
        conversation(
            Message(0.0, "client", "one"),
            Message(0.1, "server", "ONE"),
            Message(0.2, "client", "two"),
            Message(0.4, "client", "", 1000),
        )
    )
    results = await replay(app, folder)
    assert [each.kind for each in results.failures[0].differences] == ["length"]


async def test_a_server_that_says_more_than_recorded_is_a_difference(
    folder: Path, store: Store
) -> None:
    """A message too many is told as a length."""
    await store(conversation(Message(0.0, "client", "one"), Message(0.4, "client", "", 1000)))
    results = await replay(shop(), folder)
    assert [each.kind for each in results.failures[0].differences] == ["length"]


async def test_the_lifespan_runs_around_the_cases(folder: Path, record: Record) -> None:
    """An application with a start and an end gets both, and its state reaches the requests."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, str]]:
        seen.append("start")
        yield {"word": "ready"}
        seen.append("end")

    async def word(request: Asked) -> Response:
        seen.append("ask")
        return PlainTextResponse(getattr(request.state, "word", "ready"))

    app = Starlette(routes=[Route("/", word)], lifespan=lifespan)

    async def ask(client: httpx.AsyncClient) -> None:
        await client.get("/")

    await record(app, ask)
    seen.clear()
    assert (await replay(app, folder)).is_success
    assert seen == ["start", "ask", "end"]
    seen.clear()
    await record(app, ask)
    assert (await replay(app, folder, reset="restart")).is_success
    assert seen.count("start") == 2


async def test_an_application_that_does_not_start_is_an_error(folder: Path, record: Record) -> None:
    """A failed start is told with its reason, and nothing is replayed."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        if not app.debug:
            raise RuntimeError("no database")
        yield

    await record(shop(), buy)
    with pytest.raises(AppStartError, match="no database"):
        await replay(Starlette(lifespan=lifespan), folder)


async def test_each_case_has_a_context_of_its_own(folder: Path, store: Store) -> None:
    """What an application puts into the context of one request is not there in the next."""
    from contextvars import ContextVar

    word: ContextVar[str] = ContextVar("word", default="new")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        body = word.get().encode()
        word.set("old")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def case(number: int) -> Exchange:
        response = Answer(200, "", (), (Piece(0.0, b"new"),))
        return Exchange(
            str(number), Direction.INBOUND, Request("GET", "http://h/"), response, number, number
        )

    await store(*map(case, range(1, 4)))
    assert (await replay(app, folder)).passed == 3


async def test_a_target_that_is_none_is_refused(folder: Path, record: Record) -> None:
    """What is neither application, URL nor command is told so."""
    await record(shop(), buy)
    with pytest.raises(OptionError, match="nothing to replay against"):
        await replay(7, folder)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="takes 1 arguments"):
        await replay(lambda one: one, folder)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers must be"),
        ({"workers": True}, "workers must be"),
        ({"speed": -1}, "speed must be"),
        ({"speed": float("nan")}, "speed must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"outbound": "maybe"}, 'outbound must be "recorded" or "live"'),
        ({"reset": "again"}, 'reset must be a callable or "restart"'),
        ({"test_sets": "test-set-0"}, "list of names"),
        ({"test_sets": ["none"]}, "no test set 'none'"),
        ({"cases": "one"}, "list of names"),
    ],
)
async def test_options_are_checked(
    folder: Path, record: Record, options: dict[str, Any], words: str
) -> None:
    """A value that an option cannot have is refused with its name."""
    await record(shop(), buy)
    with pytest.raises(OptionError, match=words):
        await replay(shop(), folder, **options)


async def test_no_cases_is_no_success(folder: Path) -> None:
    """A folder without cases gives a result that is no pass and says why; no folder is an error."""
    with pytest.raises(OptionError, match="is no folder"):
        await replay(shop(), folder)
    folder.mkdir()  # noqa: ASYNC240 - at once
    results = await replay(shop(), folder)
    assert not results.is_success
    assert results.total == 0
    assert "nothing was replayed" in results.notices[0]


async def test_cancelling_a_replay_leaves_no_task(folder: Path, store: Store) -> None:
    """A replay that is cancelled ends its cases first."""
    started = asyncio.Event()
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    response = Answer(200)
    await store(Exchange("1", Direction.INBOUND, Request("GET", "http://h/"), response, 1, 1))
    before = asyncio.all_tasks()
    task = asyncio.create_task(replay(app, folder))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert asyncio.all_tasks() == before
