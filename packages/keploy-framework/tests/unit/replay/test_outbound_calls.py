"""Outbound calls of the application, answered from the recording of the case that makes them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from keploy_framework.errors import KeployError
from keploy_framework.model import Direction, Exchange, Piece, Request
from keploy_framework.model import Response as Answer
from keploy_framework.recording.network import blocked_network
from keploy_framework.replay import replay
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request as Asked
    from starlette.responses import Response

Record = Callable[..., Awaitable[None]]
World = Callable[..., AbstractContextManager[object]]

_count = iter(range(1_000_000))


def outside(_: Request) -> tuple[int, bytes]:
    """Answer the same call with another number each time."""
    return 200, b'{"price": %d}' % next(_count)


def alive(_: Request) -> tuple[int, bytes]:
    """Answer as the network would."""
    return 200, b'{"price": "live"}'


def teller(
    url: str = "http://rates.test/price", *, gate: asyncio.Barrier | None = None
) -> Starlette:
    """An application that asks a neighbor for each of its answers."""

    async def price(request: Asked) -> Response:
        if gate is not None:
            await gate.wait()
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.get(url)
            except LookupError:
                return JSONResponse({"error": "unknown"}, 502)
        return JSONResponse({"for": request.query_params["n"], **answer.json()})

    async def quiet(_: Asked) -> Response:
        return JSONResponse({})

    return Starlette(routes=[Route("/price", price), Route("/quiet", quiet)])


async def ask_thrice(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.get(f"/price?n={number}")


async def test_calls_are_answered_as_they_were(folder: Path, record: Record, world: World) -> None:
    """Without a network, each case gets the answers that were recorded for it, and tells which."""
    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    results = await replay(teller(), folder)
    assert results.is_success, results
    assert [case.played for case in results.test_cases] == [("mock-0",), ("mock-1",), ("mock-2",)]


async def test_parallel_cases_get_their_own_answers(
    folder: Path, record: Record, world: World
) -> None:
    """Three cases that make the same call at the same moment each get their own recording."""
    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    results = await replay(teller(gate=asyncio.Barrier(3)), folder, workers=3, timeout=60)
    assert results.is_success, results
    assert [case.played for case in results.test_cases] == [("mock-0",), ("mock-1",), ("mock-2",)]


async def test_a_call_that_nobody_recorded_is_told(
    folder: Path, record: Record, world: World
) -> None:
    """The nearest recording and the difference stand in the outcome of the case that called."""
    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    results = await replay(teller("http://rates.test/prices"), folder)
    assert results.failed == 3
    call = results.test_cases[0].unanswered[0]
    assert call.nearest == "mock-0"
    assert [each.path for each in call.differences] == ["url.path"]
    assert results.test_cases[0].unplayed == ("mock-0",)


async def test_a_mock_answers_once_and_only_in_its_case(
    folder: Path, record: Record, world: World
) -> None:
    """A case that calls more often than it did gets no answer of another case."""

    async def twice(request: Asked) -> Response:
        async with httpx.AsyncClient() as client:
            await client.get("http://rates.test/price")
            try:
                again = await client.get("http://rates.test/price")
            except LookupError:
                return JSONResponse({"for": request.query_params["n"], "price": "spent"})
        return JSONResponse({"for": request.query_params["n"], **again.json()})

    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    results = await replay(Starlette(routes=[Route("/price", twice)]), folder)
    assert [case.differences[-1].actual for case in results.failures] == ["spent"] * 3
    assert results.failures[0].unanswered[0].hint


async def test_a_thread_without_the_context_is_answered_too(
    folder: Path, record: Record, world: World
) -> None:
    """A call of a plain thread is answered from the case that runs."""

    async def threaded(request: Asked) -> Response:
        found: list[Any] = []

        def call() -> None:
            found.append(httpx.get("http://rates.test/price").json())

        thread = threading.Thread(target=call)
        thread.start()
        while thread.is_alive():  # noqa: ASYNC110 - threads set no events of asyncio
            await asyncio.sleep(0)
        return JSONResponse({"for": request.query_params["n"], **found[0]})

    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    app = Starlette(routes=[Route("/price", threaded)])
    assert (await replay(app, folder)).is_success


async def test_live_lets_calls_go(folder: Path, record: Record, world: World) -> None:
    """With outbound="live" nothing is answered from the recording."""
    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    with world(alive):
        results = await replay(teller(), folder, outbound="live")
    assert [case.differences[-1].actual for case in results.failures] == ["live"] * 3
    assert results.test_cases[0].unplayed == ()


async def test_mocks_without_a_mapping_belong_to_the_case_of_their_time(
    folder: Path, record: Record, world: World
) -> None:
    """As Keploy's older recordings have no mapping, the time of a call tells its case."""
    with world(outside):
        await record(teller(), ask_thrice)
    await _with_mocks(folder)
    (folder / "test-set-0" / "mappings.yaml").unlink()
    side = folder / "test-set-0" / "tta" / "mocks.yaml"
    side.unlink()
    results = await replay(teller(), folder)
    assert [case.played for case in results.test_cases] == [("mock-0",), ("mock-1",), ("mock-2",)]


async def test_what_goes_past_all_clients_is_refused_and_told(folder: Path, record: Record) -> None:
    """A socket that no recording answers is not opened; where the test itself calls, it may be."""

    async def reach(_: Asked) -> Response:
        try:
            await asyncio.open_connection("192.0.2.1", 9)
        except KeployError as error:
            return JSONResponse({"error": type(error).__name__})
        return JSONResponse({})

    async def local(_: Asked) -> Response:
        connection = await asyncio.open_connection("127.0.0.1", port)
        connection[1].close()
        return JSONResponse({})

    async def ask(client: httpx.AsyncClient) -> None:
        await client.get("/reach")
        await client.get("/local")

    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    app = Starlette(routes=[Route("/reach", reach), Route("/local", local)])
    async with server:
        with blocked_network(["127.0.0.1"]):
            await record(app, ask)
        results = await replay(app, folder)
        assert results.is_success, results
        (notice,) = results.notices
        assert "192.0.2.1:9" in notice
        assert "allow_hosts=['192.0.2.1']" in notice


async def _with_mocks(folder: Path) -> None:
    await asyncio.to_thread(_write_mocks, folder)


def _write_mocks(folder: Path) -> None:
    """Add, for each case, the call that its answer tells of."""
    import json

    from keploy_framework.storage.names import CaseNames
    from keploy_framework.storage.writer import SetWriter

    place = KeployFolder(folder)
    found = place.set("test-set-0")
    cases = [case.exchange for case in found]
    writer = SetWriter(KeployFolder(folder.with_name("again")), "test-set-0", names=CaseNames())
    for case in cases:
        assert case is not None
        assert case.response is not None
        writer.add(case)
        body = json.dumps({"price": json.loads(case.response.body)["price"]}).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        moment = case.started_at + 1
        writer.add(
            Exchange(
                f"call-{case.id}",
                Direction.OUTBOUND,
                Request("GET", "http://rates.test/price", (("Host", "rates.test"),)),
                Answer(200, "OK", headers, (Piece(0.0, body),)),
                moment,
                moment,
                parent=case.id,
            )
        )
    writer.finish()
    import shutil

    shutil.rmtree(folder)
    writer.move_into(place)
