"""A command that is started is recorded in both directions, and replayed without the network."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from keploy_framework.cli import run
from keploy_framework.errors import OptionError
from keploy_framework.replay import Command, replay
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

APP = """
import json, os, socket, sys
from urllib.request import urlopen
from wsgiref.simple_server import make_server
import httpx, requests

def app(environ, start):
    path, up = environ["PATH_INFO"], os.environ["UPSTREAM"]
    try:
        if path == "/both":
            said = [httpx.get(f"{up}/httpx", timeout=60).text, requests.get(f"{up}/requests").text]
        elif path == "/token":
            headers = {"Authorization": environ["HTTP_AUTHORIZATION"]}
            said = [httpx.get(f"{up}/whose", headers=headers, timeout=60).text]
        elif path == "/past":
            said = [str(len(socket.create_connection(("192.0.2.1", 9), timeout=0.1).recv(1)))]
        else:
            said = [path]
    except Exception as error:
        start("502 Bad Gateway", [("Content-Type", "text/plain")])
        return [type(error).__name__.encode()]
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]

make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""


class Upstream(ThreadingHTTPServer):
    """What the application calls; counts how often."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Upstream)
        server.asked.append(self.path)
        token = self.headers.get("Authorization", "")
        body = f"{self.path} {len(server.asked)} {token[-4:]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Upstream]:
    """Serve what the application calls, and work in a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(APP)
    server = Upstream()
    monkeypatch.setenv("UPSTREAM", server.url)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def recorded(port: int, *options: str) -> Generator[tuple[str, list[str]]]:
    """Record the application; yields the URL to send requests to, and later what was told."""
    command = [sys.executable, "-m", "keploy_framework.cli", "record", "--app-port", str(port)]
    process = subprocess.Popen(
        [*command, "--", sys.executable, *options, "shop.py", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    told: list[str] = []
    try:
        yield re.findall(r"http://127\.0\.0\.1:\d+", line)[-1], told
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        told += [out, err]


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    """Where the application listens."""
    return free_port()


def command(port: int) -> Command:
    return Command([sys.executable, "shop.py", str(port)], port=port, start_timeout=120)


def test_what_a_command_calls_is_recorded_and_answered_from_there(
    upstream: Upstream, port: int
) -> None:
    """Each mock belongs to the case that asked for it; nothing of the replay gets out."""
    token = {"Authorization": "Bearer 0123456789abcdef-wxyz"}
    with recorded(port) as (url, told):
        assert httpx.get(f"{url}/both").json() == ["/httpx 1 ", "/requests 2 "]
        assert httpx.get(f"{url}/token", headers=token).json() == ["/whose 3 wxyz"]
        assert httpx.get(f"{url}/both").json() == ["/httpx 4 ", "/requests 5 "]
    assert told == ["test-set-0: 3 test cases, 5 mocks\n", ""]
    asked = [*upstream.asked]

    folder = KeployFolder("keploy").path
    assert "0123456789abcdef-wxyz" not in "".join(
        path.read_text("utf-8", "replace") for path in folder.rglob("*.yaml")
    )
    results = asyncio.run(replay(command(port), folder))
    assert results.is_success, results
    assert [len(case.played) for case in results.test_cases] == [2, 1, 2]
    assert not any(case.unplayed for case in results.test_cases)
    assert upstream.asked == asked


def test_what_no_recording_answers_is_refused_and_told(upstream: Upstream, port: int) -> None:
    """A socket of its own gets no further, unless it is allowed to; this machine is."""
    with recorded(port) as (url, told):
        assert httpx.get(f"{url}/past").status_code == 502
        assert httpx.get(f"{url}/both").status_code == 200
    assert "2 test cases" in told[0]
    results = asyncio.run(replay(command(port), "keploy"))
    past = results.test_cases[0]
    assert past.actual is not None
    assert past.actual.response is not None
    assert past.actual.response.body == b"NetworkBlockedError"
    (notice,) = [each for each in results.notices if "192.0.2.1" in each]
    assert "--allow-host 192.0.2.1" in notice
    asked = len(upstream.asked)
    live = asyncio.run(
        replay(command(port), "keploy", allow_hosts=["127.0.0.1"], cases=["get-both-1"])
    )
    assert len(upstream.asked) == asked + 2
    assert live.failed == 1  # it counts
    with pytest.raises(OptionError, match="allow_hosts"):
        asyncio.run(replay(command(port), "keploy", allow_hosts=["http://x/y"]))


def test_a_command_that_loads_no_hook_is_told_in_one_line(upstream: Upstream, port: int) -> None:
    """It is recorded inbound; what it called is not."""
    with recorded(port, "-I") as (url, told):
        assert httpx.get(f"{url}/both").status_code == 200
    assert told[0] == "test-set-0: 1 test cases, 0 mocks\n"
    assert told[1].count("\n") == 1
    assert "did not load our start-up hook" in told[1]
    assert "outbound calls were not recorded" in told[1]
    assert upstream.asked == ["/httpx", "/requests"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["record", "--command", "x", "--", "y"], "give the command once"),
        (["record", "--"], "give the command once"),
        (["scan", "--", "y"], "a command behind -- is for"),
        (["record", "--", "y"], "--app-port"),
        (["replay", "http://127.0.0.1:1", "--", "y"], "not both"),
        (["record", "http://127.0.0.1:1", "--", "y"], "not both"),
    ],
)
def test_a_command_that_is_given_wrongly_exits_with_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = run(arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert says in capsys.readouterr().err
