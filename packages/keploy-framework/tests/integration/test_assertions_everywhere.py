"""What cases assert, and Keploy's rules, hold in every way of replaying."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework import KeployTestRunner
from keploy_framework.cli import run
from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.pytest_plugin.cases import cases_of
from keploy_framework.replay import Command, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from keploy_framework.results import TestResults

APP = """
import json, os, sys
from wsgiref.simple_server import make_server, WSGIRequestHandler

def app(environ, start):
    path = environ["PATH_INFO"]
    said = {"tags": ["b", "a"]} if path == "/tags" else {"id": 8, "kind": "tea"}
    body = json.dumps(said).encode()
    length = ("Content-Length", str(len(body)))
    start("201 Created", [("Content-Type", "application/json"), length])
    return [body]

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
"""


def recorded(path: str, number: int, status: int, said: object) -> Exchange:
    body = json.dumps(said).encode()
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    answer = Response(status, "OK", headers, (Piece(0, body),))
    asked = Request("GET", f"http://localhost/{path}")
    return Exchange(path, Direction.INBOUND, asked, answer, number, number)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three cases: one asserts what holds, one what does not, one has another order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "teashop", raising=False)
    (tmp_path / "teashop.py").write_text(APP)
    place = tmp_path / "keploy"
    cases = [
        recorded("holds", 1, 200, {"id": 7, "kind": "tea"}),
        recorded("fails", 2, 201, {"id": 8, "kind": "tea"}),
        recorded("tags", 3, 201, {"tags": ["a", "b"]}),
    ]
    store_exchanges(place, cases, test_set="test-set-0")
    for name, text in (
        ("holds", "status_code_class: 2xx\n    json_contains: {kind: tea}"),
        ("fails", "status_code_in: [200, 204]\n    header_exists: [X-No]"),
    ):
        path = place / "test-set-0" / "tests" / f"get-{name}-1.yaml"
        path.write_text(path.read_text().replace("  assertions:\n", f"  assertions:\n    {text}\n"))
    return place


@pytest.fixture
def served(folder: Path, free_port: Callable[[], int]) -> Generator[str]:
    """The application, as somebody else has started it."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "teashop.py", str(port)], cwd=folder.parent)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def by_url(url: str, _: int) -> Any:
    return url


def by_command(_: str, port: int) -> Any:
    return Command([sys.executable, "teashop.py", str(port)], port=port, start_timeout=120)


def by_wsgi(_: str = "", __: int = 0) -> Any:
    return __import__("teashop").app


def by_asgi(_: str, __: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        if scope["type"] != "http":
            return
        said: list[Any] = []

        def start(*head: object) -> None:
            said.extend(head)

        body = b"".join(by_wsgi()({"PATH_INFO": scope["path"]}, start))
        headers = [(name.encode(), value.encode()) for name, value in said[1]]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def told(results: TestResults) -> dict[str, list[str]]:
    return {
        each.name: [found.asserted or found.kind for found in each.differences]
        for each in results.test_cases
    }


STRICT = {
    "get-holds-1": [],
    "get-fails-1": ["status_code_in", "header_exists"],
    "get-tags-1": ["order"],
}


@pytest.mark.parametrize("way", [by_url, by_command, by_wsgi, by_asgi])
def test_assertions_and_rules_hold_for_every_target(
    folder: Path, served: str, way: Callable[[str, int], Any], free_port: Callable[[], int]
) -> None:
    """The same is told, by name, whatever is replayed against."""
    assert told(asyncio.run(replay(way(served, free_port()), folder))) == STRICT
    keploy = asyncio.run(replay(way(served, free_port()), folder, rules="keploy"))
    assert told(keploy) == {**STRICT, "get-tags-1": []}


def test_they_hold_in_tests(folder: Path) -> None:
    """Each case is a test of its own."""
    mark = pytest.mark.keploy_cases("keploy").mark
    cases = {case.name: case for case in cases_of(mark, folder.parent, "here")}
    app = by_wsgi()
    assert cases["get-holds-1"].check(app).status == "PASSED"
    with pytest.raises(pytest.fail.Exception, match="the case asserts it: status_code_in"):
        cases["get-fails-1"].check(app)
    with pytest.raises(pytest.fail.Exception, match="order"):
        cases["get-tags-1"].check(app)
    assert cases["get-tags-1"].check(app, rules="keploy").status == "PASSED"


def test_they_hold_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the option that asks for Keploy's rules."""
    del folder
    assert run(["replay", "teashop:app"]) == 1
    out = capsys.readouterr().out
    assert "the case asserts it: header_exists" in out
    assert "1 passed, 2 failed of 3" in out
    assert run(["replay", "teashop:app", "--keploy-rules", "--case", "get-tags-1"]) == 0
    capsys.readouterr()


async def test_they_hold_for_the_runner(folder: Path, served: str) -> None:
    """That users of the first version know."""
    runner = KeployTestRunner(served, folder, rules="keploy")
    results = await runner.run_all_tests(validate=False)
    assert told(results) == {**STRICT, "get-tags-1": []}


@pytest.mark.skipif(os.name == "nt", reason="a signal ends it")
def test_an_assertion_that_is_none_is_wrong_use(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the file, and nothing was started."""
    path = folder / "test-set-0" / "tests" / "get-holds-1.yaml"
    path.write_text(path.read_text().replace("2xx", "often"))
    assert run(["replay", "--command", "no-such-program", "--app-port", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "get-holds-1.yaml: assertions: status_code_class is like 2xx, not 'often'" in err
