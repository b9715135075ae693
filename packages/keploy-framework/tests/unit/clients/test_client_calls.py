"""Calls are as they were without us: while recording, and from a recording."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from keploy_framework.model import header_values
from keploy_framework.recording.clients import install
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.model import Exchange

Seen = tuple[Any, ...]
Call = Callable[[str, str, Any, dict[str, str]], Seen]


def _httpx(library: Any) -> Call:
    def call(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
        with library.Client(trust_env=False, follow_redirects=True) as client:
            got = client.request(method, url, content=content, headers=headers)
        history = [answer.status_code for answer in got.history]
        return got.status_code, got.reason_phrase, got.headers.multi_items(), got.content, history

    return call


def _async_httpx(library: Any) -> Call:
    async def call(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
        if content is not None and not isinstance(content, bytes):
            content = _later(list(content))
        async with library.AsyncClient(trust_env=False, follow_redirects=True) as client:
            got = await client.request(method, url, content=content, headers=headers)
        history = [answer.status_code for answer in got.history]
        return got.status_code, got.reason_phrase, got.headers.multi_items(), got.content, history

    def run(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
        return asyncio.run(call(method, url, content, headers))

    return run


async def _later(parts: list[bytes]) -> Any:
    for part in parts:
        yield part


def _requests(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
    with requests.Session() as session:
        got = session.request(method, url, data=content, headers=headers, timeout=60)
    history = [answer.status_code for answer in got.history]
    return got.status_code, got.reason, list(got.raw.headers.items()), got.content, history


def _urllib3(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
    with urllib3.PoolManager(timeout=60) as pool:
        got = pool.request(method, url, body=content, headers=headers)
    return got.status, got.reason, list(got.headers.items()), got.data, got.geturl()


def _aiohttp(method: str, url: str, content: Any, headers: dict[str, str]) -> Seen:
    async def call() -> Seen:
        data = content
        if content is not None and not isinstance(content, bytes):
            data = _later(list(content))
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=data, headers=headers) as got,
        ):
            body = await got.read()
            history = [answer.status for answer in got.history]
            return got.status, got.reason, list(got.headers.items()), body, history

    return asyncio.run(call())


CALLS: dict[str, Call] = {
    "httpx": _httpx(httpx),
    "httpx-async": _async_httpx(httpx),
    "httpx2": _httpx(httpx2),
    "httpx2-async": _async_httpx(httpx2),
    "requests": _requests,
    "urllib3": _urllib3,
    "aiohttp": _aiohttp,
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    """Make a call and return everything that can be seen of its answer."""
    return CALLS[request.param]


def _generated() -> Iterator[bytes]:
    yield b"first "
    yield b"second"


CASES: dict[str, tuple[str, str, Callable[[], Any], dict[str, str]]] = {
    "get": ("GET", "/echo?a=1&a=2", lambda: None, {}),
    "post": ("POST", "/echo", lambda: b"\x00\xff body", {"X-One": "1"}),
    "head": ("HEAD", "/echo", lambda: None, {}),
    "no-content": ("GET", "/empty", lambda: None, {}),
    "gzip": ("GET", "/gzip", lambda: None, {}),
    "deflate": ("GET", "/deflate", lambda: None, {}),
    "redirect": ("PUT", "/moved", lambda: b"kept", {}),
    "early-hints": ("POST", "/early", lambda: b"after the hints", {}),
    "trailers": ("GET", "/trailed", lambda: None, {}),
    "generator": ("POST", "/echo", _generated, {}),
    "until-close": ("GET", "/unmeasured", lambda: None, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_call_is_the_same_bare_recorded_and_replayed(
    call: Call, case: str, server: Any, recordings: Any
) -> None:
    """Status, reason, header lines, decoded body and redirects do not change."""
    method, path, body, headers = CASES[case]
    if case == "early-hints" and call in {_urllib3, _requests}:
        pytest.skip("http.client itself takes a 103 for the answer")
    server.open = True
    url = server.url(path)
    bare = call(method, url, body(), headers)
    served = server.served[:]
    server.served.clear()

    recorder = MemoryRecorder()
    with install(sink=recorder):
        recorded = call(method, url, body(), headers)
    assert server.served == served
    with blocked_network(), install(responder=recordings(*recorder.exchanges)):
        replayed = call(method, url, body(), headers)

    assert recorded == bare
    assert replayed == bare
    assert not recorder.under_way


def only(recorder: MemoryRecorder) -> Exchange:
    (exchange,) = recorder.exchanges
    return exchange


def test_a_recording_holds_what_was_on_the_wire(call: Call, server: Any) -> None:
    """Request and answer are recorded with repeated headers, their spelling, and Latin-1 bytes."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        call("POST", server.url("/echo?q=%20x"), b"body", {"X-One": "1"})

    exchange = only(recorder)
    assert exchange.request.method == "POST"
    assert exchange.request.url == server.url("/echo?q=%20x")
    assert exchange.request.body == b"body"
    assert header_values(exchange.request.headers, "x-one") == ("1",)
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.reason) == (200, "Fine By Me")
    assert exchange.response.headers == (
        ("X-Twice", "1"),
        ("x-twice", "2"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Latin", "caf\xe9"),
        ("Content-Length", "4"),
    )


def test_a_compressed_answer_is_recorded_as_it_came(call: Call, server: Any) -> None:
    """Pieces are those of the wire, before decompression."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        call("GET", server.url("/gzip"), None, {})

    response = only(recorder).response
    assert response is not None
    assert response.body.startswith(b"\x1f\x8b")


def test_a_body_from_a_generator_is_recorded_without_its_chunks(call: Call, server: Any) -> None:
    """The framing of a chunked request is no part of its body."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        call("POST", server.url("/echo"), _generated(), {})

    assert only(recorder).request.body == b"first second"


def test_each_step_of_a_redirect_is_an_exchange(call: Call, server: Any) -> None:
    """Both the redirect and what it leads to are recorded."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        call("PUT", server.url("/moved"), b"kept", {})

    assert [exchange.request.url for exchange in recorder.exchanges] == [
        server.url("/moved"),
        server.url("/echo?again"),
    ]
    assert recorder.exchanges[1].request.body == b"kept"


def test_trailers_are_recorded_where_the_client_reads_bytes(server: Any) -> None:
    """urllib3 and aiohttp show the trailers that came behind the last chunk."""
    for name in ("urllib3", "aiohttp"):
        recorder = MemoryRecorder()
        with install(sink=recorder):
            CALLS[name]("GET", server.url("/trailed"), None, {})
        response = only(recorder).response
        assert response is not None
        assert (response.body, response.trailers) == (b"hi", (("X-Sum", "42"),))


def test_a_session_keeps_its_connection_over_both_worlds(server: Any, recordings: Any) -> None:
    """A pooled connection is used before, while recording, past a replay, and after."""
    server.open = True
    recorder = MemoryRecorder()
    url = server.url("/echo")
    with requests.Session() as session:
        session.get(url, timeout=60)
        with install(sink=recorder):
            session.get(url, timeout=60)
        adapter: Any = session.get_adapter(url)
        connection = adapter.poolmanager.connection_from_url(url)
        before = connection.num_connections
        with install(responder=recordings(*recorder.exchanges)):
            assert session.get(url, timeout=60).status_code == 200
        assert session.get(url, timeout=60).status_code == 200
        assert connection.num_connections == before
    assert len(server.served) == 3
    assert len(recorder.exchanges) == 1


def test_an_aiohttp_session_outlives_a_replay(server: Any, recordings: Any) -> None:
    """A session whose calls were answered goes on with real ones, and is closed without a rest."""
    server.open = True
    recorder = MemoryRecorder()
    url = server.url("/echo")

    async def run() -> list[int]:
        statuses: list[int] = []

        async def get() -> None:
            async with session.get(url) as got:
                await got.read()
                statuses.append(got.status)

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            await get()
            with install(sink=recorder):
                await get()
            with install(responder=recordings(*recorder.exchanges)):
                await get()
            await get()
        return statuses

    assert asyncio.run(run()) == [200] * 4
    assert len(server.served) == 3


class _Adapter(HTTPAdapter):
    """An adapter of a user's own."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().send(*args, **kwargs)
        answer.headers["X-Adapted"] = "yes"
        return answer


def test_session_send_and_custom_adapters_are_seen(server: Any, recordings: Any) -> None:
    """Calls that avoid `Session.request`, or have an adapter of their own, are not missed."""
    recorder = MemoryRecorder()
    request = requests.Request("POST", server.url("/echo"), files={"f": io.BytesIO(b"file")})

    def send() -> tuple[str, bytes]:
        with requests.Session() as session:
            session.mount("http://", _Adapter())
            got = session.send(prepared, timeout=60)
            return got.headers["X-Adapted"], got.content

    prepared = request.prepare()
    with install(sink=recorder):
        sent = send()
    with blocked_network(), install(responder=recordings(*recorder.exchanges)):
        assert send() == sent
    assert b'filename="f"' in only(recorder).request.body


class _Wrapped(httpx.BaseTransport):
    """A transport of a user's own, around the one that is patched."""

    def __init__(self) -> None:
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


def test_wrapped_and_mounted_transports_are_seen(server: Any) -> None:
    """A transport around `HTTPTransport` is recorded; one that reaches no network is not."""
    recorder = MemoryRecorder()
    mock = httpx.MockTransport(lambda request: httpx.Response(201))
    with (
        install(sink=recorder),
        httpx.Client(mounts={"http://": _Wrapped(), "https://": mock}) as client,
    ):
        assert client.get(server.url("/echo")).status_code == 200
        assert client.get("https://mocked.invalid/").status_code == 201

    assert only(recorder).request.url == server.url("/echo")


def test_a_call_through_a_proxy_names_whom_it_calls(server: Any, recordings: Any) -> None:
    """A forwarding proxy is the way, not the host, in every client."""
    proxy = server.url("")
    url = "http://far.invalid/echo"

    async def with_aiohttp() -> int:
        async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy) as got:
            return got.status

    ways: list[Callable[[], int]] = [
        lambda: httpx.get(url, proxy=proxy).status_code,
        lambda: requests.get(url, proxies={"http": proxy}, timeout=60).status_code,
        lambda: asyncio.run(with_aiohttp()),
    ]
    for way in ways:
        recorder = MemoryRecorder()
        with install(sink=recorder):
            assert way() == 200
        assert only(recorder).request.url == url
        with blocked_network(), install(responder=recordings(*recorder.exchanges)):
            assert way() == 200
