"""What `tta-keploy` says when an application or a person is in the way: no traceback of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from keploy_framework.cli import run
from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Piece, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"changed"]
"""
HANGING = """
import sys, time
from wsgiref.simple_server import make_server
def app(environ, start):
    open("asked", "w").close()
    time.sleep(600)
if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own, with a recorded case."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("shop", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "shop.py").write_text(APP)
    answer = Response(200, "OK", (("Content-Type", "text/plain"),), (Piece(0, b"recorded"),))
    asked = Request("GET", "http://localhost/a")
    store_exchanges(tmp_path / "keploy", [Exchange("a", Direction.INBOUND, asked, answer, 1, 1)])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("raise RuntimeError('no database')", "RuntimeError: no database"),
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("import sys; sys.exit('set SHOP_URL')", "SystemExit: set SHOP_URL"),
        ("raise ValueError", "raises ValueError\n"),
    ],
)
def test_an_application_that_cannot_be_imported_did_not_start(
    text: str, words: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, its own words and lines; none of Python's import, and none of ours."""
    (project / "broken.py").write_text(f"\n{text}\n" if "def (" not in text else text)

    assert run(["replay", "broken:app"]) == 3
    told = capsys.readouterr().err
    assert told.startswith("tta-keploy: broken cannot be imported: it raises ")
    assert words in told
    assert "broken.py" in told
    assert "importlib" not in told
    assert "keploy_framework" not in told


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nosuch:app", "there is no module 'nosuch' in "),
        ("shop:nosuch", "has no 'nosuch'"),
        ("shop.py", "write http://host:port, or as in Python's import, shop:app"),
        ("./shop.py:api", "shop:api"),
        (".", "module:app"),
        (":app", "neither a URL nor module:application"),
        ("", "neither a URL nor module:application"),
        ("shop.inner:app", "there is no module 'shop.inner'"),
    ],
)
def test_what_names_no_application_is_wrong_use(
    target: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one line that says what to write."""
    assert run(["replay", target]) == 2

    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_what_a_replay_found_is_told_also_if_a_report_cannot_be_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "taken").mkdir()
    assert run(["replay", "shop:app", "--html", "taken"]) == 2

    told = capsys.readouterr()
    assert "0 passed, 1 failed of 1" in told.out
    assert "cannot write taken" in told.err


def test_a_function_that_makes_the_application_is_not_the_application(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "shop.py").write_text("def create_app():\n    return None\n")

    assert run(["replay", "shop:create_app"]) == 2
    assert "if it makes the application, give what it returns" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_replay_that_is_stopped_stops_what_it_started(
    number: signal.Signals, code: int, project: Path, free_port: Callable[[], int]
) -> None:
    """By Ctrl-C or by a CI system: one word, and nothing stays behind that holds the port."""
    (project / "hanging.py").write_text(textwrap.dedent(HANGING))
    port = free_port()
    before = signal.signal(number, signal.SIG_DFL)  # shells let what runs behind ignore Ctrl-C
    process = subprocess.Popen(
        [
            sys.executable, "-m", "keploy_framework.cli", "replay",
            "--command", f"{sys.executable} hanging.py {port}", "--app-port", str(port),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    signal.signal(number, before)
    deadline = time.monotonic() + 60
    while not (project / "asked").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, told = process.communicate(timeout=60)

    assert (out, told, process.returncode) == ("", "tta-keploy: interrupted\n", code)
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("arguments", [["mock"], ["record", "http://127.0.0.1:1"]])
def test_who_is_told_that_all_is_ready_may_stop_it_at_once(arguments: list[str]) -> None:
    """The signals are taken before the line is written: none ends it the wrong way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keploy_framework.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)

    assert (told, process.returncode) in {("", 0), ("nothing was recorded\n", 5)}
