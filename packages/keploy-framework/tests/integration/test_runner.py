"""The names of the first version: they record, and they replay."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.runner import KeployTestRunner, RecordingSession, record_tests
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from keploy_framework.storage.stored import StoredCase


class API:
    """An API that answers with the word that it is given."""

    def __init__(self) -> None:
        self.word = "one"
        self.url = ""
        self.numbers = itertools.count()
        self.app = Starlette(
            routes=[
                Route("/word", self.say),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/stream", self.stream),
            ]
        )

    async def say(self, _: Any) -> Response:
        return JSONResponse({"word": self.word})

    async def echo(self, request: Any) -> Response:
        return Response(await request.body(), headers={"X-Echo": "1"})

    async def stream(self, _: Any) -> Response:
        async def parts() -> AsyncGenerator[bytes]:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.01)
            yield b"data: 2\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")


@pytest.fixture
async def api() -> AsyncGenerator[API]:
    """Serve the API with uvicorn."""
    served = API()
    server = uvicorn.Server(uvicorn.Config(served.app, port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    served.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield served
    server.should_exit = True
    await task


def cases(folder: Path) -> list[StoredCase]:
    return list(KeployFolder(folder).set("test-set-0"))


async def recorded(api: API, folder: Path) -> None:
    async with RecordingSession(api.url, folder) as session:
        await session.client.get("/word")
        await session.client.post("/echo", json={"a": 1})
        await session.client.get("/stream")


async def test_a_session_records_what_its_client_asks(api: API, tmp_path: Path) -> None:
    """Calls of the client become test cases, streams piece by piece; others' calls do not."""
    folder = tmp_path / "keploy"
    async with RecordingSession(api.url, folder) as session:
        assert (await session.client.get("/word")).json() == {"word": "one"}
        assert (await session.client.post("/echo", content=b"body")).content == b"body"
        async with session.client.stream("GET", "/stream") as response:
            got = [piece async for piece in response.aiter_raw()]
        async with httpx.AsyncClient() as other:
            await other.get(f"{api.url}/word")
    found = await asyncio.to_thread(cases, folder)
    assert [case.name for case in found] == ["get-word-1", "post-echo-1", "get-stream-1"]
    assert all(case.exact for case in found)
    echo, stream = found[1].exchange, found[2].exchange
    assert echo is not None
    assert echo.request.body == b"body"
    assert stream is not None
    assert stream.response is not None
    assert [piece.data for piece in stream.response.pieces] == got


async def test_a_client_is_there_only_while_the_session_is_open(api: API, tmp_path: Path) -> None:
    """Before and after, asking for it is an error that says how."""
    session = record_tests(api.url, tmp_path / "keploy")
    with pytest.raises(RuntimeError, match="async with RecordingSession"):
        _ = session.client
    async with session:
        assert session.client.base_url == httpx.URL(api.url)
    with pytest.raises(RuntimeError):
        _ = session.client


async def test_a_call_that_fails_is_recorded_as_such(tmp_path: Path) -> None:
    """No answer is a recording too, and the client's error arrives."""
    folder = tmp_path / "keploy"
    async with RecordingSession("http://127.0.0.1:9", folder) as session:
        with pytest.raises(httpx.ConnectError):
            await session.client.get("/word")
    found = await asyncio.to_thread(cases, folder)
    assert found[0].exchange is not None
    assert found[0].exchange.failure is not None


async def test_the_runner_replays_what_a_session_recorded(api: API, tmp_path: Path) -> None:
    """The same API passes; one that has changed does not, and the report is written."""
    folder = tmp_path / "keploy"
    await recorded(api, folder)
    runner = KeployTestRunner(api.url, folder)
    results = await runner.run_all_tests(generate_report=True)
    assert (results.total, results.pass_rate, results.is_success) == (3, 1.0, True)
    page = await asyncio.to_thread((folder / "test-report.html").read_text)
    assert "get-word-1" in page
    api.word = "two"
    with pytest.raises(AssertionError, match=r"body\.word: 'one' became 'two'"):
        await runner.run_all_tests()
    assert (await runner.run_all_tests(validate=False)).failed == 1
    lenient = KeployTestRunner(api.url, folder, min_pass_rate=0.5)
    assert (await lenient.run_tests("test-set-0")).passed == 2
    with pytest.raises(OptionError, match="no test set 'other'"):
        await runner.run_tests(test_set="other")


async def test_nothing_recorded_is_no_pass(api: API, tmp_path: Path) -> None:
    """A run without cases fails its validation."""
    folder = tmp_path / "keploy"
    folder.mkdir()
    with pytest.raises(AssertionError, match="nothing was compared"):
        await KeployTestRunner(api.url, folder).run_all_tests()


async def test_an_api_that_is_not_there_is_an_error(api: API, tmp_path: Path) -> None:
    """That nobody answers is told apart from answers that differ."""
    folder = tmp_path / "keploy"
    await recorded(api, folder)
    with pytest.raises(AppStartError, match="nothing answers at"):
        await KeployTestRunner("http://127.0.0.1:9", folder).run_all_tests()


def test_a_docker_image_is_refused_with_the_reason() -> None:
    """Nothing of this runs in a container."""
    with pytest.raises(OptionError, match="needs no container"):
        KeployTestRunner("http://localhost", docker_image="keploy/keploy")


@pytest.mark.parametrize("url", ["localhost:8000", "", None, 8000, "ftp://h"], ids=repr)
def test_an_api_url_is_one_of_http(url: Any) -> None:
    """Whatever is no URL is refused, by both classes."""
    with pytest.raises(OptionError, match="http://"):
        RecordingSession(url)
    with pytest.raises(OptionError, match="http://"):
        KeployTestRunner(url)
