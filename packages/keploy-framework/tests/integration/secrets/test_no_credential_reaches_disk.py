"""Real traffic through the real recorder: no secret can be read in any byte of what it leaves.

Inbound (ASGI, WSGI, the proxy) and outbound (httpx, requests, aiohttp), in the journal while it
records, after a process was killed, and in the files that are made of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import httpx
import pytest
import requests

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.matching import Difference, MockIndex, Recording
from keploy_framework.recording.compact import compact
from keploy_framework.recording.proxy import RecordingProxy
from keploy_framework.recording.recorder import Recorder
from keploy_framework.redact import Redaction, scan_path
from keploy_framework.report import (
    html_report,
    junit_report,
    markdown_report,
    terminal_report,
    write_report,
)
from keploy_framework.results import CaseOutcome, TestResults
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.wsgi import RecordingMiddleware as WSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path


async def talk_over_asgi(  # noqa: C901 - an application and its server
    recorder: Any, plants: Sequence[Any], conversations: Sequence[Any]
) -> None:
    """Let an ASGI application answer every plant; some of the answers break off with an error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        plant = scope["plant"]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            for data in plant.messages:
                key = "text" if isinstance(data, str) else "bytes"
                await send({"type": "websocket.send", key: data})
            await send({"type": "websocket.close", "code": 1000, "reason": plant.messages[0][:40]})
            return
        await receive()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(n.encode(), v.encode("latin-1")) for n, v in plant.answer_headers],
                "trailers": bool(plant.trailers),
            }
        )
        for piece in plant.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if scope["breaks"]:
            secret = plant.secrets[0]
            raise ValueError(f"cannot take {{'password': '{secret}'}} at https://a:{secret}@h/")
        await send({"type": "http.response.body", "body": b""})
        if plant.trailers:
            lines = [(n.encode(), v.encode()) for n, v in plant.trailers]
            await send({"type": "http.response.trailers", "headers": lines})

    recorded = RecordingMiddleware(app, recorder)

    async def send(event: Any) -> None:
        del event

    for number, plant in enumerate([*plants, *conversations]):
        waiting = [{"type": "http.request", "body": plant.body, "more_body": False}]
        path, _, query = plant.target.partition("?")
        scope: dict[str, Any] = {
            "type": "websocket" if plant.messages else "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "ws" if plant.messages else "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in plant.headers],
            "server": ("h.example", 80),
            "extensions": {"http.response.trailers": {}},
            "plant": plant,
            "breaks": number % 5 == 4 and not plant.messages and len(plant.secrets[0]) > 10,
        }
        if plant.messages:
            waiting = [{"type": "websocket.connect"}]

        async def receive(waiting: list[Any] = waiting) -> Any:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        with suppress(ValueError):
            await recorded(scope, receive, send)


def _start(*_: object) -> Callable[[bytes], object]:
    return bytes


def talk_over_wsgi(recorder: Any, plants: Sequence[Any]) -> None:
    """Let a WSGI application answer every plant."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        plant = environ["plant"]
        environ["wsgi.input"].read()
        start_response(f"200 {plant.reason}", list(plant.answer_headers))
        yield from plant.pieces or (b"",)

    recorded = WSGIMiddleware(cast("Any", app), recorder)
    for plant in plants:
        path, _, query = plant.target.partition("?")
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "h.example",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(plant.body),
            "CONTENT_LENGTH": str(len(plant.body)),
            "plant": plant,
        }
        for name, value in plant.headers:
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        answer = recorded(environ, _start)
        list(answer)
        cast("Any", answer).close()


@contextmanager
def serving(plants: Sequence[Any]) -> Generator[str]:
    """Serve the answers of plants at a free port; a header of the request says which."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name is the library's
            plant = plants[int(self.headers["X-Number"])]
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200, plant.reason)
            for name, value in plant.answer_headers:
                if name not in {"Location", "Refresh"}:
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in plant.pieces:
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            trailers = "".join(f"{name}: {value}\r\n" for name, value in plant.trailers)
            self.wfile.write(b"0\r\n" + trailers.encode() + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call_with_httpx(base: str, plants: Sequence[Any]) -> None:
    """Ask for every plant; a header that httpx refuses is left out."""
    with httpx.Client() as client:
        for number, plant in enumerate(plants):
            url = f"http://{plant.user}{base}{plant.target}"
            headers = [*plant.headers, ("X-Number", str(number))]
            client.post(url, headers=headers, content=plant.body)


def call_with_requests(base: str, plants: Sequence[Any]) -> None:
    """Ask for every plant."""
    with requests.Session() as session:
        for number, plant in enumerate(plants):
            headers: dict[str, str] = dict((*plant.headers, ("X-Number", str(number))))
            url = f"http://{plant.user}{base}{plant.target}"
            try:
                session.post(url, headers=headers, data=plant.body, timeout=60)
            except requests.RequestException:
                assert plant.name in {"gzip", "compressed"}, plant.name


async def call_with_aiohttp(base: str, plants: Sequence[Any]) -> None:
    """Ask for every plant."""
    async with aiohttp.ClientSession() as session:
        for number, plant in enumerate(plants):
            headers = [*plant.headers, ("X-Number", str(number))]
            url = f"http://{plant.user}{base}{plant.target}"
            async with session.post(url, headers=headers, data=plant.body) as answer:
                await answer.read()


def check(folder: Path, leaked_in: Callable[[Path], dict[str, list[str]]], at_least: int) -> None:
    """Look at the journal, make files of it, and look at those."""
    assert leaked_in(folder) == {}
    compact(folder)
    assert leaked_in(folder) == {}
    assert list(scan_path(folder)) == []
    stored = KeployFolder(folder).set("test-set-0")
    assert len(list(stored)) + len(list(stored.mocks())) >= at_least


def test_of_inbound_traffic_over_asgi(
    tmp_path: Path, wire: Any, talk: Any, leaked_in: Any, leaked: Any
) -> None:
    """HTTP, WebSockets, and exceptions that tell secrets."""
    recorder = Recorder(tmp_path, compact=False)
    with recorder:
        asyncio.run(talk_over_asgi(recorder, wire, talk))
        assert recorder.flush()
        assert leaked_in(tmp_path) == {}

    check(tmp_path, leaked_in, len(wire))
    assert recorder.problem is None
    assert leaked(f"{recorder!r} {vars(recorder)!r}".encode()) == []


def test_of_inbound_traffic_over_wsgi(tmp_path: Path, wire: Any, leaked_in: Any) -> None:
    """The same, with headers in the environment."""
    with Recorder(tmp_path, compact=False) as recorder:
        talk_over_wsgi(recorder, wire)

    check(tmp_path, leaked_in, len(wire))


@pytest.mark.slow
async def test_of_inbound_traffic_through_the_proxy(
    tmp_path: Path, wire: Any, leaked_in: Any
) -> None:
    """The bytes of a connection, with trailers and chunks."""
    with serving(wire) as base:
        recorder = Recorder(tmp_path, compact=False)
        async with recorder, RecordingProxy(f"http://{base}", recorder) as proxy:
            address = proxy.url.removeprefix("http://")
            await asyncio.to_thread(call_with_httpx, address, wire)

    await asyncio.to_thread(check, tmp_path, leaked_in, len(wire))


@pytest.mark.slow
@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_of_outbound_traffic(tmp_path: Path, wire: Any, leaked_in: Any, client: str) -> None:
    """What clients send and get at transport level."""
    with serving(wire) as base, Recorder(tmp_path, compact=False, outbound=[client]):
        if client == "httpx":
            call_with_httpx(base, wire)
        elif client == "requests":
            call_with_requests(base, wire)
        else:
            asyncio.run(call_with_aiohttp(base, wire))

    check(tmp_path, leaked_in, len(wire) - 2)


def test_of_calls_that_fail(tmp_path: Path, leaked_in: Any) -> None:
    """The text of a client's exception names the URL, with all that it holds."""
    secret = "hunter10-and-more"  # noqa: S105 - made for this test
    url = f"http://ada:{secret}@127.0.0.1:9/a?api_key={secret}"
    with Recorder(tmp_path, compact=False, outbound=["httpx", "requests"]):
        with pytest.raises(httpx.ConnectError):
            httpx.post(url, json={"password": secret})
        with pytest.raises(requests.ConnectionError):
            requests.post(url, json={"password": secret}, timeout=60)

    check(tmp_path, leaked_in, 1)
    assert not any(secret.encode() in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


CHILD = """
import asyncio, importlib.util, sys
from keploy_framework.recording.recorder import Recorder
for name, path in (("conftest", sys.argv[1]), ("disk", sys.argv[2])):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
plants = sys.modules["conftest"].WIRE
recorder = Recorder(sys.argv[3], store_large=True, max_body=4096)
recorder.start()
asyncio.run(sys.modules["disk"].talk_over_asgi(recorder, plants[: len(plants) // 2], ()))
sys.modules["disk"].talk_over_wsgi(recorder, plants[len(plants) // 2 :])
half = sys.modules["disk"].open_long_body(recorder)
recorder.flush()
print("ready", flush=True)
sys.stdin.read()
"""


def open_long_body(recorder: Any) -> Any:
    """Begin an exchange whose body is stored while it comes, and does not end."""
    from keploy_framework.model import Direction

    secret = "hunter6-and-more"  # noqa: S105 - one of the plants
    exchange = recorder.open(Direction.INBOUND, "POST", "http://h.example/long", ())
    exchange.response_head(200, "OK", (("Content-Type", "multipart/form-data; boundary=xx"),))
    for number in range(40):
        exchange.response_piece(
            b"--xx\r\nContent-Disposition: form-data; name=password\r\n\r\n%b\r\n"
            b"--xx\r\n\r\n<x><password>%b</password></x> password=%b; %b\n"
            % (*[secret.encode()] * 3, b"filler %d " % number * 2000)
        )
    return exchange


@pytest.mark.slow
def test_of_a_process_that_is_killed(
    tmp_path: Path, wire: Any, leaked_in: Any, request: Any
) -> None:
    """Its journal, with half an exchange in it, holds no secret; nor does what is made of it."""
    folder = tmp_path / "keploy"
    here = str(request.path)
    conftest = str(request.path.with_name("conftest.py"))
    secret = "hunter7-and-more"  # noqa: S105 - one of the plants
    options = [sys.executable, "-c", CHILD, conftest, here, str(folder), f"--password={secret}"]
    child = subprocess.Popen(options, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        assert leaked_in(folder) == {}
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()

    check(folder, leaked_in, len(wire))


def outcome(plant: Any, number: int) -> CaseOutcome:
    """Return a failed case in which the secret of a plant is wherever a report could show it."""
    exchange = plant.exchange()
    secret = plant.secrets[0]
    # What is a secret only because the request has it can be told within one exchange alone.
    known = () if "repeated" in plant.name else plant.answer_headers
    found = [Difference(f"header.{name}", "value", value, value) for name, value in known]
    found.append(Difference("body.password", "value", secret, f"new {secret}"))
    found.append(Difference("body.text", "value", f"password={secret!r}", f"api_key={secret!r}"))
    return CaseOutcome(
        test_set="test-set-0",
        name=f"post-a-{number}",
        status="FAILED",
        reason=f"OSError: https://ada:{secret}@h.example/ {{'password': '{secret}'}}"
        if secret.replace("-", "").isalnum() and len(secret) > 10
        else "differs",
        differences=tuple(found),
        expected=exchange,
        actual=exchange,
    )


def test_of_reports(tmp_path: Path, wire: Any, leaked_in: Any, leaked: Any) -> None:
    """Terminal, JUnit, HTML, Markdown, Keploy's own: also where the results still hold secrets."""
    cases = tuple(outcome(plant, number) for number, plant in enumerate(wire))
    log = "\n".join(
        f"password={plant.secrets[0]!r}" for plant in wire if "'" not in plant.secrets[0]
    )
    results = TestResults(
        total=len(cases), passed=0, failed=len(cases), test_cases=cases, app_log=log
    )

    write_report(results, tmp_path)

    assert leaked_in(tmp_path) == {}
    for report in (terminal_report, junit_report, html_report, markdown_report):
        assert leaked(report(results).encode()) == [], report.__name__


def test_of_what_is_generated_and_explained(tmp_path: Path, wire: Any, leaked: Any) -> None:
    """A miss names the recording in the words of what was redacted."""
    del tmp_path
    redaction = Redaction.default()
    clean = [redaction.exchange(plant.exchange()) for plant in wire]
    index = MockIndex([Recording(str(n), each.request, n) for n, each in enumerate(clean)])
    misses = [
        str(index.find(redaction.exchange(plant.exchange()).request))
        for plant in wire
        for _ in "123"
    ]

    assert leaked("\n".join(misses).encode()) == []
    assert leaked(json.dumps(vars(redaction.__class__).keys().__repr__()).encode()) == []
    assert leaked(f"{redaction!r}".encode()) == []


def test_of_a_redaction_that_breaks(tmp_path: Path, leaked_in: Any, leaked: Any) -> None:
    """An exchange that cannot be redacted is dropped; what is told of it has no secret."""

    class Broken:
        """Fails on every exchange."""

        def exchange(self, exchange: Any) -> Any:
            raise ValueError("it broke")

        def window(self, headers: Any) -> None:
            del headers

    secret = "hunter6-and-more"  # noqa: S105 - one of the plants
    with Recorder(tmp_path, redact=Broken()) as recorder:
        asyncio.run(
            talk_over_asgi(recorder, [_plant_with(secret)], ()),
        )

    assert recorder.dropped == 1
    assert recorder.problem is not None
    told = "".join(traceback.format_exception(recorder.problem))
    assert leaked(told.encode()) == []
    assert leaked_in(tmp_path) == {}


def _plant_with(secret: str) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(
        target=f"/a?api_key={secret}",
        headers=(("Authorization", f"Bearer {secret}"),),
        body=b"",
        messages=(),
        secrets=(secret,),
        answer_headers=(),
        pieces=(secret.encode(),),
        trailers=(),
    )
