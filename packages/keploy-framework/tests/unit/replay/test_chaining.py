"""What answers of the replay made up goes into the requests that used the recorded values."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.responses import Response as Plain
from starlette.routing import Route

from keploy_framework.model import Direction, Exchange, Piece, Request
from keploy_framework.model import Response as Answer
from keploy_framework.replay import replay
from keploy_framework.replay.chain import Chain, chained

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from starlette.requests import Request as Asked
    from starlette.responses import Response

Record = Callable[..., Awaitable[None]]


def bank(first: int = 1) -> Starlette:
    """An application that hands out tokens, numbers, UUIDs and forms, and wants them back."""
    numbers = itertools.count(first)
    tokens: set[str] = set()
    orders: dict[str, dict[str, Any]] = {}
    forms: set[str] = set()

    async def login(_: Asked) -> Response:
        token = uuid.uuid4().hex
        tokens.add(token)
        response = JSONResponse({"access_token": token, "expires": 60})
        response.set_cookie("session", token[::-1], httponly=True)
        return response

    async def create(request: Asked) -> Response:
        if request.headers.get("authorization", "")[7:] not in tokens:
            return JSONResponse({"error": "who are you"}, 401)
        if request.cookies.get("session", "")[::-1] not in tokens:
            return JSONResponse({"error": "no session"}, 401)
        number = str(next(numbers))
        orders[number] = {"id": int(number), "ref": str(uuid.uuid4())}
        return JSONResponse(orders[number], 201, headers={"Location": f"/orders/{number}"})

    async def pay(request: Asked) -> Response:
        body = await request.json()
        order = orders.get(str(body["order_id"]))
        known = order is not None and order["ref"] == body["ref"] and body["count"] == 1
        return JSONResponse({"order_id": body["order_id"], "paid": known}, 200 if known else 404)

    async def show(request: Asked) -> Response:
        order = orders.get(request.path_params["number"])
        page = request.query_params.get("page")
        return JSONResponse({"found": order is not None, "page": page}, 200 if order else 404)

    async def form(request: Asked) -> Response:
        if request.method == "POST":
            body = (await request.body()).decode()
            return JSONResponse({"ok": body.partition("csrf_token=")[2] in forms})
        token = uuid.uuid4().hex
        forms.add(token)
        return HTMLResponse(f'<form><input name="csrf_token" value="{token}"></form>')

    return Starlette(
        routes=[
            Route("/login", login, methods=["POST"]),
            Route("/orders", create, methods=["POST"]),
            Route("/pay", pay, methods=["POST"]),
            Route("/orders/{number}", show),
            Route("/form", form, methods=["GET", "POST"]),
        ]
    )


async def shopping(client: httpx.AsyncClient) -> None:
    token = (await client.post("/login")).json()["access_token"]
    made = await client.post("/orders", headers={"Authorization": f"Bearer {token}"})
    order = made.json()
    await client.post("/pay", json={"order_id": order["id"], "ref": order["ref"], "count": 1})
    await client.get(f"/orders/{order['id']}?page=1")


async def test_tokens_cookies_and_numbers_are_those_of_the_replay(
    folder: Path, record: Record
) -> None:
    """Requests carry the replay's token, cookie, number and UUID; a count of 1 stays a 1."""
    await record(bank(), shopping)
    results = await replay(bank(41), folder)
    assert [case.status for case in results.test_cases] == ["PASSED", "FAILED", "PASSED", "PASSED"]
    # Only the case that made the values up tells of them.
    paths = {each.path.lower() for each in results.test_cases[1].differences}
    assert paths - {"header.content-length"} == {"header.location", "body.id", "body.ref"}
    assert [each.path for each in results.test_cases[2].excused] == ["body.order_id"]


async def test_in_parallel_requests_wait_for_the_answers_that_they_need(
    folder: Path, record: Record
) -> None:
    """With many workers the outcome is the same."""
    await record(bank(), shopping)
    results = await replay(bank(41), folder, workers=8)
    assert [case.status for case in results.test_cases] == ["PASSED", "FAILED", "PASSED", "PASSED"]


async def test_no_secret_of_the_replay_stands_in_the_outcomes(folder: Path, record: Record) -> None:
    """Live tokens are compared, and not shown."""
    await record(bank(), shopping)
    shown = repr(await replay(bank(41), folder))
    assert "[redacted:" in shown
    assert "Bearer [redacted:" in shown


async def test_a_token_in_a_page_goes_into_the_form(folder: Path, record: Record) -> None:
    """A hidden field of a page is found between the same words, and sent back."""

    async def fill(client: httpx.AsyncClient) -> None:
        page = (await client.get("/form")).text
        await client.post("/form", data={"csrf_token": page.partition('value="')[2][:32]})

    await record(bank(), fill)
    results = await replay(bank(), folder)
    assert results.test_cases[1].status == "PASSED", results


async def test_secrets_that_nobody_handed_out_are_the_callers(folder: Path, record: Record) -> None:
    """A client's own key is sent as its placeholder, with a notice, or as the value given."""

    async def keyed(request: Asked) -> Response:
        return JSONResponse({"ok": request.headers["x-api-key"] == "sk-live-1234567890abcdef"})

    async def ask(client: httpx.AsyncClient) -> None:
        await client.get("/", headers={"X-API-Key": "sk-live-1234567890abcdef"})

    app = Starlette(routes=[Route("/", keyed)])
    await record(app, ask)
    results = await replay(app, folder)
    assert results.failed == 1
    notice = next(each for each in results.notices if "secrets that were not stored" in each)
    placeholder = notice.partition("(")[2].partition(")")[0]
    given = {placeholder: "sk-live-1234567890abcdef"}
    assert (await replay(app, folder, secrets=given)).is_success


def exchange(
    number: int, request: Request, body: bytes = b"", *headers: tuple[str, str]
) -> Exchange:
    made = (("content-type", "application/json"), *headers)
    response = Answer(200, "", made, (Piece(0.0, body),))
    return Exchange(str(number), Direction.INBOUND, request, response, number, number)


def test_a_request_that_takes_nothing_stays_the_same_object() -> None:
    """Without a changed value, nothing of a request is touched."""
    one = exchange(0, Request("POST", "http://h/orders"), b'{"id": 7}')
    two = exchange(1, Request("GET", "http://h/orders/7"))
    links = chained([one, two])
    chain = Chain()
    chain.take(0, links[0], one, one)
    assert chain.request(links[1], two.request) is two.request


def test_what_the_client_brought_along_is_no_value_of_an_answer() -> None:
    """A value that stood in a request first is the client's, also where an answer repeats it."""
    one = exchange(0, Request("GET", "http://h/orders/7"), b'{"id": 7}')
    two = exchange(1, Request("GET", "http://h/orders/7"))
    assert chained([one, two])[1].uses == ()


def test_equal_numbers_of_different_things_are_kept_apart() -> None:
    """Order 1 and user 1 are two things."""
    user = exchange(0, Request("POST", "http://h/users"), b'{"id": 1}')
    order = exchange(1, Request("POST", "http://h/orders"), b'{"id": 1}')
    asked = Request(
        "PUT",
        "http://h/users/1/orders/1?user_id=1&page=1",
        (("Content-Type", "application/json"), ("Content-Length", "43")),
        b'{"order_id": 1, "user_id": "1", "count": 1}',
    )
    links = chained([user, order, exchange(2, asked)])
    chain = Chain()
    chain.take(0, links[0], user, exchange(0, user.request, b'{"id": 500}'))
    chain.take(1, links[1], order, exchange(1, order.request, b'{"id": 60}'))
    sent = chain.request(links[2], asked)
    assert sent.url == "http://h/users/500/orders/60?user_id=500&page=1"
    assert sent.body == b'{"order_id": 60, "user_id": "500", "count": 1}'
    assert dict(sent.headers)["Content-Length"] == str(len(sent.body))


_TOKEN = st.uuids().map(lambda value: value.hex)


@given(old=_TOKEN, new=_TOKEN, place=st.sampled_from(["path", "query", "header", "body", "cookie"]))
def test_a_token_is_replaced_wherever_a_request_has_it(old: str, new: str, place: str) -> None:
    """Path, query, header, cookie and body: the new value stands where the old one stood."""

    def request(token: str) -> Request:
        return Request(
            "POST",
            f"http://h/{token if place == 'path' else 'x'}?q={token if place == 'query' else 1}",
            (
                ("X-Token", f"Token {token}" if place == "header" else "none"),
                ("Cookie", f"a=1; sid={token}" if place == "cookie" else "a=1"),
                ("Content-Type", "application/json"),
            ),
            f'{{"a": "{token if place == "body" else ""}"}}'.encode(),
        )

    first = exchange(0, Request("GET", "http://h/"), f'{{"t": ["{old}"]}}'.encode())
    links = chained([first, exchange(1, request(old))])
    chain = Chain()
    chain.take(0, links[0], first, exchange(0, first.request, f'{{"t": ["{new}"]}}'.encode()))
    assert chain.request(links[1], request(old)) == request(new)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_any_bytes_can_be_looked_through(body: bytes, text: str) -> None:
    """Whatever an answer or a request holds, looking for values raises nothing."""
    asked = Request(
        "POST", f"http://h/{text}", (("x-a", text), ("content-type", "application/json")), body
    )
    chained([exchange(0, asked, body), exchange(1, asked, body)])


async def test_half_a_surrogate_pair_for_a_value_ends_no_replay(
    folder: Path, record: Record
) -> None:
    """No request can carry it: what needs it asks with the recorded one."""
    refs = [b'{"ref": "4f5a6b7c8d9e"}', b'{"ref": "\\ud800"}']

    def server(body: bytes) -> Starlette:
        async def login(_: Asked) -> Response:
            return Plain(body, media_type="application/json")

        async def use(request: Asked) -> Response:
            said = request.url.query + (await request.body()).decode()
            return Plain(said.replace("4f5a6b7c8d9e", "known"), media_type="text/plain")

        return Starlette(routes=[Route("/login", login), Route("/use", use, methods=["POST"])])

    async def talk(client: httpx.AsyncClient) -> None:
        ref = (await client.get("/login")).json()["ref"]
        await client.post("/use", params={"ref": ref})
        await client.post("/use", json={"ref": ref})
        await client.post("/use", data={"ref": ref})
        await client.post("/use", content=ref, headers={"X-Ref": ref})

    await record(server(refs[0]), talk)
    results = await replay(server(refs[1]), folder)
    assert [case.status for case in results.test_cases] == ["FAILED", *["PASSED"] * 4]
