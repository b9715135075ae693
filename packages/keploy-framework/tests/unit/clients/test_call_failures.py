"""What goes wrong on the wire is recorded, and raised again as the client's own exception."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from keploy_framework.errors import IncompleteAnswerError, UnrecordedCallError
from keploy_framework.model import Direction, Exchange, Failure, Omitted, Request, Response
from keploy_framework.recording.clients import install
from keploy_framework.recording.clients.failures import Trouble, trouble
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network

if TYPE_CHECKING:
    from collections.abc import Callable


PATIENCE = 60.0
"""Seconds for all that is not the subject: only reading is to take too long, where it does."""


async def _aiohttp(url: str, seconds: float = PATIENCE) -> bytes:
    timeout = aiohttp.ClientTimeout(sock_read=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as got:
        return await got.read()


async def _httpx(url: str, seconds: float = PATIENCE) -> bytes:
    timeout = httpx.Timeout(PATIENCE, read=seconds)
    async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
        return (await client.get(url)).content


def _urllib3(url: str, seconds: float = PATIENCE) -> bytes:
    timeout = urllib3.Timeout(connect=PATIENCE, read=seconds)
    with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
        return pool.request("GET", url).data


def _blocking_httpx(url: str, seconds: float = PATIENCE) -> bytes:
    return httpx.get(url, trust_env=False, timeout=httpx.Timeout(PATIENCE, read=seconds)).content


def _requests(url: str, seconds: float = PATIENCE) -> bytes:
    return requests.get(url, timeout=(PATIENCE, seconds)).content


def _run_httpx(url: str, seconds: float = PATIENCE) -> bytes:
    return asyncio.run(_httpx(url, seconds))


def _run_aiohttp(url: str, seconds: float = PATIENCE) -> bytes:
    return asyncio.run(_aiohttp(url, seconds))


CLIENTS: dict[str, Callable[..., bytes]] = {
    "httpx": _blocking_httpx,
    "httpx-async": _run_httpx,
    "requests": _requests,
    "urllib3": _urllib3,
    "aiohttp": _run_aiohttp,
}


@pytest.fixture(params=CLIENTS)
def get(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    """Get a URL."""
    return CLIENTS[request.param]


def failing(call: Callable[..., bytes], *given: Any) -> type[BaseException]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, the tests compare
        call(*given)
    return caught.type


@pytest.mark.parametrize("path", ["/cut", "/silent"])
def test_an_answer_that_is_cut_fails_as_it_did(
    get: Any, path: str, server: Any, recordings: Any
) -> None:
    """Bare, recorded and replayed, the same exception is raised."""
    bare = failing(get, server.url(path))
    recorder = MemoryRecorder()
    with install(sink=recorder):
        recorded = failing(get, server.url(path))
    with blocked_network(), install(responder=recordings(*recorder.exchanges)):
        replayed = failing(get, server.url(path))

    assert recorded is bare
    assert replayed is bare
    assert not recorder.under_way
    failure = recorder.exchanges[0].failure
    assert failure is not None
    assert trouble(failure) is Trouble.CUT


def test_a_refused_connection_fails_as_it_did(get: Any, recordings: Any) -> None:
    """A call that got no connection is recorded, and replayed as the same exception."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/refused?a=1"
        bare = failing(get, url)
        recorder = MemoryRecorder()
        with install(sink=recorder):
            recorded = failing(get, url)
    with blocked_network(), install(responder=recordings(*recorder.exchanges)):
        replayed = failing(get, url)

    assert recorded is bare
    assert replayed is bare
    assert recorder.exchanges[0].request.url == url


def test_a_read_that_times_out_fails_as_it_did(get: Any, server: Any, recordings: Any) -> None:
    """No answer in time is recorded, and replayed without waiting."""
    url = server.url("/hanging")
    recorder = MemoryRecorder()
    with install(sink=recorder):
        recorded = failing(get, url, 0.05)
    with blocked_network(), install(responder=recordings(*recorder.exchanges)):
        assert failing(get, url, 60.0) is recorded

    failure = recorder.exchanges[0].failure
    assert failure is not None
    assert trouble(failure) is Trouble.READ_TIMEOUT


@pytest.mark.parametrize("kind", ["httpx.ReadTimeout", "builtins.TimeoutError"])
def test_a_failure_of_one_client_is_raised_as_that_of_another(
    get: Any, recordings: Any, kind: str
) -> None:
    """Recordings name exceptions; each client raises its own kind of them."""
    exchange = replace(_failed(Failure(kind, "too late")), response=None)

    with install(responder=recordings(exchange)):
        kind_raised = failing(get, exchange.request.url)

    assert "Timeout" in kind_raised.__name__


def test_reading_on_where_the_recorded_client_stopped_is_an_error(
    get: Any, recordings: Any
) -> None:
    """What nobody has read was not recorded; that is said instead of made up."""
    exchange = _failed(Failure("x.IncompleteAnswerError", "the client stopped reading"))

    with (
        install(responder=recordings(exchange)),
        pytest.raises(IncompleteAnswerError, match="stopped reading"),
    ):
        get(exchange.request.url)


def _failed(failure: Failure) -> Exchange:
    return Exchange(
        id="1",
        direction=Direction.OUTBOUND,
        request=Request("GET", "http://recorded.invalid/"),
        response=Response(200, "OK", (("Content-Length", "5"),)),
        started_at=0,
        ended_at=1,
        failure=failure,
    )


def test_a_call_without_a_recording_names_the_nearest_and_the_line_to_paste(
    get: Any, recordings: Any
) -> None:
    """The error is typed, arrives through every client, and can be acted on."""
    exchange = _failed(Failure("x.ReadError", ""))

    with (
        blocked_network(),
        install(responder=recordings(exchange)),
        pytest.raises(UnrecordedCallError) as caught,
    ):
        get("http://recorded.invalid/?page=2")

    error = caught.value
    assert (error.method, error.url) == ("GET", "http://recorded.invalid/?page=2")
    assert error.nearest == "1"
    assert "page" in error.differences[0]
    assert "page" in error.paste
    for said in ("GET http://recorded.invalid/?page=2", "nearest is 1", error.paste):
        assert said in str(error)


def test_a_body_that_was_not_stored_is_not_made_up(get: Any, recordings: Any) -> None:
    """A recording that kept only length and digest says so."""
    exchange = Exchange(
        id="1",
        direction=Direction.OUTBOUND,
        request=Request("GET", "http://recorded.invalid/"),
        response=Response(200, omitted=Omitted(12, "ab" * 32, "too long")),
        started_at=0,
        ended_at=0,
    )
    with (
        install(responder=recordings(exchange)),
        pytest.raises(UnrecordedCallError, match="12 bytes were not stored"),
    ):
        get("http://recorded.invalid/")


def _first_of_httpx(url: str, step: Callable[[], None]) -> None:
    with httpx.stream("GET", url, trust_env=False) as response:
        step()
        next(response.iter_raw())


def _first_of_requests(url: str, step: Callable[[], None]) -> None:
    with requests.get(url, stream=True, timeout=PATIENCE) as response:
        step()
        next(response.iter_content(None))


def _first_of_aiohttp(url: str, step: Callable[[], None]) -> None:
    async def first() -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            step()
            await response.content.readany()

    asyncio.run(first())


@pytest.mark.parametrize("first", [_first_of_httpx, _first_of_requests, _first_of_aiohttp])
def test_leaving_a_stream_early_is_recorded_as_that(first: Any, server: Any) -> None:
    """What was read before the client left is kept."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        first(server.url("/pieces"), server.step)

    (exchange,) = recorder.exchanges
    assert exchange.failure is not None
    assert trouble(exchange.failure) is Trouble.LEFT
    assert exchange.response is not None
    assert exchange.response.body == b"data: 0\n\n"


@pytest.mark.parametrize("client", [_httpx, _aiohttp])
async def test_a_cancelled_call_is_recorded_and_stays_cancelled(client: Any, server: Any) -> None:
    """Cancellation passes through, and leaves no exchange open."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        task = asyncio.create_task(client(server.url("/hanging")))
        while not server.served:  # noqa: ASYNC110 - the server runs in a thread
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    assert not recorder.under_way
    (exchange,) = recorder.exchanges
    assert exchange.failure is not None
    assert trouble(exchange.failure) is Trouble.LEFT
