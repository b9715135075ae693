"""Patches hold as long as somebody asks for them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import aiohttp
import aiohttp.client_proto
import httpx
import httpx2
import pytest
import requests
import urllib3.connection
import websockets.asyncio.client
import websockets.client
import websockets.sync.client

from keploy_framework.errors import OptionError, UnrecordedCallError
from keploy_framework.recording.clients import CLIENTS, RecordedAnswers, install
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.sink import inbound_exchange
from keploy_framework.redact import Redaction

PATCHED: tuple[Any, ...] = (
    httpx.HTTPTransport,
    httpx.AsyncHTTPTransport,
    httpx2.HTTPTransport,
    httpx2.AsyncHTTPTransport,
    urllib3.connection.HTTPConnection,
    urllib3.connection.HTTPSConnection,
    urllib3.HTTPConnectionPool,
    aiohttp.BaseConnector,
    aiohttp.client_proto.ResponseHandler,
    aiohttp.ClientRequest,
    websockets.client.ClientProtocol,
    websockets.asyncio.client.connect,
    websockets.sync.client.reconnect,
)


def attributes() -> list[dict[str, object]]:
    return [dict(owner.__dict__) for owner in PATCHED]


def test_nothing_is_patched_before_and_after() -> None:
    """Every attribute is the very object that it was, and none is new."""
    before, finders = attributes(), list(sys.meta_path)

    with install(sink=MemoryRecorder()):
        assert attributes() != before

    assert attributes() == before
    assert sys.meta_path == finders


def test_blocks_may_be_nested_and_may_overlap(server: Any) -> None:
    """The innermost has the calls; patches go with the last."""
    before = attributes()
    outer, inner = MemoryRecorder(), MemoryRecorder()
    first, second = install(sink=outer), install(["httpx"], sink=inner)

    first.__enter__()
    second.__enter__()
    httpx.get(server.url("/echo"))
    requests.get(server.url("/echo"), timeout=60)
    first.__exit__(None, None, None)
    httpx.get(server.url("/echo"))
    requests.get(server.url("/echo"), timeout=60)
    second.__exit__(None, None, None)
    httpx.get(server.url("/echo"))

    assert (len(outer.exchanges), len(inner.exchanges)) == (1, 2)
    assert attributes() == before


def test_a_patch_that_somebody_put_over_ours_is_left_alone() -> None:
    """Instrumentation that came later stays in place."""
    first = httpx.HTTPTransport.handle_request
    block = install(["httpx"], sink=MemoryRecorder())
    block.__enter__()

    def theirs(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(418)

    httpx.HTTPTransport.handle_request = theirs  # type: ignore[method-assign]
    try:
        block.__exit__(None, None, None)
        assert httpx.HTTPTransport.handle_request is theirs
    finally:
        httpx.HTTPTransport.handle_request = first  # type: ignore[method-assign]


@pytest.mark.parametrize("names", [["htpx"], ["requests", "curl"], "httpx", ["httpx", ""]])
def test_an_unknown_name_is_an_error_that_lists_the_known(names: Any) -> None:
    """No option is ignored."""
    before = attributes()

    with pytest.raises(OptionError, match=", ".join(CLIENTS)), install(names):
        pass
    assert attributes() == before


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf"), True, "1"])
def test_a_speed_that_is_none_is_an_error(speed: Any) -> None:
    """A speed is a number, 0 or more."""
    with pytest.raises(OptionError, match="speed must be a number"), install(speed=speed):
        pass


def test_libraries_are_patched_when_they_are_imported() -> None:
    """Nothing is imported for the sake of a patch; what comes later is patched at once."""
    code = """
import sys
from keploy_framework.recording.clients import install
from keploy_framework.recording.memory import MemoryRecorder
names = ("httpx", "httpx2", "urllib3", "requests", "aiohttp", "websockets")
assert not [name for name in names if name in sys.modules]
with install(sink=MemoryRecorder()):
    assert not [name for name in names if name in sys.modules]
    import httpx, urllib3.connection, aiohttp, websockets.client
    owners = (httpx.HTTPTransport.handle_request, urllib3.connection.HTTPConnection.send,
              aiohttp.BaseConnector.connect, websockets.client.ClientProtocol.send_request)
    assert all(hasattr(owner, "__wrapped__") for owner in owners), owners
assert not hasattr(httpx.HTTPTransport.handle_request, "__wrapped__")
assert not hasattr(aiohttp.BaseConnector.connect, "__wrapped__")
assert "send" not in vars(urllib3.connection.HTTPConnection)
assert "exec_module" not in vars(httpx.__spec__.loader)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_outbound_call_knows_the_inbound_exchange_that_caused_it(server: Any) -> None:
    """Calls of concurrent requests are told apart, in every client."""
    recorder = MemoryRecorder()

    async def handle(number: int) -> None:
        inbound_exchange.set(f"inbound-{number}")
        url = server.url(f"/echo?{number}")
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(url)
        async with aiohttp.ClientSession() as session, session.get(url) as got:
            await got.read()
        await asyncio.to_thread(requests.get, url, timeout=60)

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(handle(number))

    with install(sink=recorder):
        asyncio.run(both())

    told = [(exchange.parent, exchange.request.url[-1]) for exchange in recorder.exchanges]
    assert sorted(told) == sorted((f"inbound-{n}", str(n)) for n in range(4) for _ in range(3))


def test_a_block_of_its_own_context_leaves_others_alone(server: Any, recordings: Any) -> None:
    """Two tasks have different recordings for the same call."""
    recorder = MemoryRecorder()
    with install(["httpx"], sink=recorder):
        for word in (b"one", b"two"):
            httpx.post(server.url("/echo"), content=word)
    one, two = recorder.exchanges
    served = len(server.served)

    async def replay(exchange: Any, word: bytes) -> bytes:
        with install(["httpx"], responder=recordings(exchange), context=True):
            await asyncio.sleep(0)
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.post(server.url("/echo"), content=word)).content

    async def both() -> list[bytes]:
        return list(await asyncio.gather(replay(one, b"one"), replay(two, b"two")))

    assert asyncio.run(both()) == [b"one", b"two"]
    assert len(server.served) == served


def test_a_block_of_the_process_holds_in_threads(server: Any) -> None:
    """Threads that were started elsewhere are recorded as well."""
    recorder = MemoryRecorder()
    with install(sink=recorder):
        thread = threading.Thread(
            target=requests.get, args=(server.url("/echo"),), kwargs={"timeout": 60}
        )
        thread.start()
        thread.join()

    assert len(recorder.exchanges) == 1


def test_allowed_hosts_are_called_for_real(server: Any, recordings: Any) -> None:
    """They are not even asked about, and are recorded if there is a sink."""
    recorder, responder = MemoryRecorder(), recordings()
    with install(sink=recorder, responder=responder, allow_hosts=["127.0.0.1"]):
        assert httpx.get(server.url("/echo")).status_code == 200
        assert requests.get(server.url("/echo"), timeout=60).status_code == 200

    assert len(recorder.exchanges) == 2
    assert responder.asked == []


class _LetsGo:
    """Knows no answer, and lets every call go to the network."""

    def answer(self, request: object) -> None:
        return None


async def _post_with_aiohttp(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, data=b"live") as got:
        return await got.read()


def test_a_call_that_a_responder_lets_go_is_made_and_recorded(server: Any) -> None:
    """A body that was taken for the responder is sent all the same."""
    recorder = MemoryRecorder()
    url = server.url("/echo")
    with install(sink=recorder, responder=_LetsGo()):
        assert httpx.post(url, content=iter([b"li", b"ve"])).content == b"live"
        assert requests.post(url, data=b"live", timeout=60).content == b"live"
        assert asyncio.run(_post_with_aiohttp(url)) == b"live"

    assert [body for _, body in server.served] == [b"live"] * 3
    assert [exchange.request.body for exchange in recorder.exchanges] == [b"live"] * 3


def test_secrets_are_no_hindrance_and_stay_out_of_the_error(server: Any) -> None:
    """A request is looked up without its secrets, if those of the recordings were taken out."""
    redact = Redaction.default()
    recorder = MemoryRecorder()
    url = server.url("/echo?api_key=sk-abcdefghijklmnopqrstuvwx0123456789AB")
    with install(["httpx"], sink=recorder):
        httpx.get(url)
    recorded = [redact.exchange(exchange) for exchange in recorder.exchanges]
    assert "sk-abc" not in recorded[0].request.url

    answers = RecordedAnswers(recorded, redact=redact)
    with install(["httpx"], responder=answers):
        assert httpx.get(url).status_code == 200
        with pytest.raises(UnrecordedCallError) as caught:
            httpx.get(url.replace("echo", "other"))

    assert answers.unplayed == ()
    assert "sk-abc" not in str(caught.value) + caught.value.url
