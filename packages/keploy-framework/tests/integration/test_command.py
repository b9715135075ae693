"""The `tta-keploy` command: what each part does, its exit codes, and one line for each error.

Longer than other files: all of its tests work on the project that is made here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest

from keploy_framework.cli import run
from keploy_framework.config import KeployConfig
from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.report import read_report, run_names
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

CORPUS = Path(__file__).parent.parent / "corpus" / "imports"
APP = """
import os
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [(os.environ.get("PREFIX", "") + environ["PATH_INFO"]).encode()]
"""
SERVER = (
    APP
    + """
if __name__ == "__main__":
    import sys
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own, with an application and two recorded cases."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    (tmp_path / "shop.py").write_text(SERVER)
    store_exchanges(tmp_path / "keploy", [recorded("a", 1), recorded("b", 2)])
    return tmp_path


def recorded(path: str, number: int) -> Exchange:
    headers = (("Content-Type", "text/plain"),)
    answer = Response(200, "OK", headers, (Piece(0, f"/{path}".encode()),))
    asked = Request("GET", f"http://localhost/{path}")
    return Exchange(path, Direction.INBOUND, asked, answer, number, number)


@contextmanager
def served() -> Generator[str]:
    """Serve an application here."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    scope: dict[str, Any] = {}
    exec(APP, scope)  # noqa: S102 - our own text
    with make_server("127.0.0.1", 0, scope["app"], handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command; return it and the URL that it names."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keploy_framework.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.findall(r"http://127\.0\.0\.1:\d+", line)
    if not found:
        process.kill()
        pytest.fail(f"{line}{process.communicate()[1]}")
    return process, found[-1]


# --- replay --------------------------------------------------------------------------------------


def test_a_replay_that_agrees_exits_with_0_and_leaves_a_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["replay", "shop:app"]) == 0

    assert capsys.readouterr().out.startswith("2 passed, 0 failed of 2 in ")
    assert read_report("keploy").is_success


def test_differences_exit_with_1_and_reach_every_report(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFIX", "x")
    arguments = ["--junit", "j.xml", "--html", "h.html", "--markdown", "m.md"]
    assert run(["replay", "shop:app", *arguments, "--case", "get-a-1"]) == 1

    out = capsys.readouterr().out
    assert '+ "x/a"' in out
    assert "0 passed, 1 failed of 1" in out
    assert 'failures="1"' in (project / "j.xml").read_text()
    assert "x/a" in (project / "h.html").read_text()
    assert "x/a" in (project / "m.md").read_text()
    assert run(["replay", "shop:app", "--quiet", "--no-report"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run_names("keploy") == ("test-run-0",)


def test_a_command_is_started_and_stopped(
    capsys: pytest.CaptureFixture[str], free_port: Callable[[], int]
) -> None:
    """Given on the line, or by keploy.yml."""
    port = free_port()
    command = f"{sys.executable} shop.py {port}"
    assert run(["replay", "--command", command, "--app-port", str(port)]) == 0

    assert run(["setup", "--command", command, "--app-port", str(port)]) == 0
    assert run(["replay"]) == 0
    assert "2 passed" in capsys.readouterr().out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_an_application_that_does_not_start_exits_with_3(
    capsys: pytest.CaptureFixture[str], free_port: Callable[[], int]
) -> None:
    port = str(free_port())
    command = f"{sys.executable} -c 'raise SystemExit(\"no database\")'"
    assert run(["replay", "--command", command, "--app-port", port]) == 3
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("tta-keploy: ")
    assert "  no database" in err
    assert run(["replay", f"http://127.0.0.1:{port}"]) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "shop:app", "--folder", "empty"],
        ["diff", "--folder", "none"],
        ["report", "--folder", "none"],
        ["compact", "--folder", "none"],
        ["accept", "--target", "shop:app", "--folder", "empty"],
        ["generate", "openapi", "empty"],
        ["mock", "empty"],
    ],
)
def test_nothing_to_run_exits_with_5(project: Path, arguments: list[str]) -> None:
    (project / "empty" / "set" / "tests").mkdir(parents=True)

    assert run(arguments) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay"], "there is no application"),
        (["replay", "nothing:app"], "cannot be imported: there is no module 'nothing'"),
        (["replay", "shop:none"], "has no 'none'"),
        (["replay", "shop:app", "--command", "x"], "not both"),
        (["replay", "--command", "x"], "--app-port"),
        (["replay", "shop:app", "--workers", "0"], "workers must be"),
        (["replay", "shop:app", "--case", "none"], "has no test case"),
        (["replay", "http://127.0.0.1:1", "--freeze"], "not possible for a URL"),
        (["record", "shop:app"], "RecordingMiddleware"),
        (["record", "http://127.0.0.1:1", "--seconds", "0"], "more than 0"),
        (["record", "http://127.0.0.1:1", "--sample", "7"], "sample must be a fraction"),
        (["scan", "none"], "there is no none to scan"),
        (["mock", "none"], "there is no such folder"),
        (["replay", "shop:app", "--folder", "none"], "none is no folder"),
        (["import", "shop.py"], "shop.py"),
        (["report", "test-run-7"], "no report"),
        (["generate", "pytest", "--target", "?"], "target must be"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["replay", "shop:app"])
    capsys.readouterr()

    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("tta-keploy: ")
    assert says in err


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["replay", "--quite"], ["mock", "--ord"]])
def test_unknown_commands_and_options_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2


# --- accept, diff, report ------------------------------------------------------------------------


def test_accepting_makes_todays_answers_the_recorded_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One case by name, then all; the differences between the runs are told case by case."""
    run(["replay", "shop:app"])
    monkeypatch.setenv("PREFIX", "x")
    assert run(["replay", "shop:app"]) == 1
    assert run(["diff"]) == 1
    assert "test-set-0/get-a-1 broke" in capsys.readouterr().out

    assert run(["accept", "get-a-1", "--target", "shop:app"]) == 0
    assert capsys.readouterr().out == "test-set-0/get-a-1: accepted\n"
    assert run(["replay", "shop:app"]) == 1
    assert run(["accept", "--target", "shop:app"]) == 0
    assert run(["replay", "shop:app"]) == 0
    assert run(["diff", "test-run-1", "test-run-3"]) == 1
    assert run(["diff", "test-run-0", "test-run-3"]) == 0


def test_a_report_is_shown_again_in_any_form(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFIX", "x")
    run(["replay", "shop:app"])
    capsys.readouterr()

    assert run(["report"]) == 1
    assert '+ "x/a"' in capsys.readouterr().out
    for form, start in (("junit", "<?xml"), ("html", "<!doctype"), ("markdown", "###")):
        assert run(["report", "--format", form, "-o", "out"]) == 1
        assert (project / "out").read_text().startswith(start)


# --- files ---------------------------------------------------------------------------------------


def test_a_scan_names_the_place_and_exits_with_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan"]) == 0
    (project / "keploy" / "notes.txt").write_text("first\nkey AKIAQWERTYUIOPASDFGH\n")

    assert run(["scan"]) == 1
    assert "notes.txt:2:5: aws-access-key" in capsys.readouterr().out
    assert run(["scan", "shop.py"]) == 0


def test_imports_become_test_sets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(CORPUS / "vcrpy.yaml"), str(CORPUS / "cassetter.yaml")]
    assert run(["import", *files, "--test-set", "calls"]) == 0

    assert "10 of vcrpy are in calls" in capsys.readouterr().out
    assert len(KeployFolder(project / "keploy").set("calls").mocks()) == 20
    assert run(["import", files[0], "--as", "cases"]) == 0
    assert len(KeployFolder(project / "keploy").set("test-set-1")) == 10


def test_generated_files_are_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "openapi", "--title", "Shop", "-o", "api.json"]) == 0
    assert json.loads((project / "api.json").read_text())["info"]["title"] == "Shop"
    assert run(["generate", "pytest", "keploy/test-set-0", "--target", "shop:app"]) == 0
    compile(capsys.readouterr().out, "generated", "exec")
    assert run(["generate", "duplicates"]) == 0
    assert "2 of 2 cases are needed" in capsys.readouterr().out


def test_setup_writes_files_and_keeps_what_is_there(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["setup", "--name", "shop", "--command", "python shop.py", "--ci"]) == 0
    assert KeployConfig.load().app.command == "python shop.py"
    workflow = project / ".github" / "workflows" / "keploy.yml"
    assert "tta-keploy replay" in workflow.read_text()
    assert read_documents(workflow)

    hooks = project / ".pre-commit-config.yaml"
    hooks.write_text("repos: []\n")
    assert run(["setup", "--pre-commit"]) == 1
    assert hooks.read_text() == "repos: []\n"
    assert "keploy-test --quiet" in capsys.readouterr().out
    assert run(["setup", "--pre-commit", "--force"]) == 0
    assert read_documents(hooks)
    assert KeployConfig.load().app.command == ""


def test_the_scripts_are_parts_of_the_command() -> None:
    """The three old names and the new one are entry points without code of their own."""
    scripts = {point.name: point.value for point in entry_points(group="console_scripts")}

    assert scripts["tta-keploy"] == "keploy_framework.cli:main"
    for name in ("setup", "record", "test"):
        assert scripts[f"keploy-{name}"] == f"keploy_framework.cli:keploy_{name}"
    plugins = {point.name: point.value for point in entry_points(group="pytest11")}
    assert plugins["keploy_framework"] == "keploy_framework.pytest_plugin"


# --- record and mock, in processes of their own ---------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_recording_and_what_passed_is_kept(
    project: Path, number: signal.Signals
) -> None:
    with served() as upstream:
        process, url = started("record", upstream, "--test-set", "calls")
        assert httpx.get(f"{url}/users/1").text == "/users/1"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "calls: 1 test cases, 0 mocks" in out
    case = KeployFolder(project / "keploy").set("calls").case("get-users-by-id-1")
    assert case.exchange is not None
    assert case.exchange.response is not None
    assert case.exchange.response.body == b"/users/1"


def test_recording_starts_the_application_and_stops_it(
    project: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    process, url = started(
        "record", "--command", f"{sys.executable} shop.py {port}", "--app-port", str(port)
    )
    assert httpx.get(f"{url}/x").text == "/x"
    process.terminate()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "test-set-1: 1 test cases" in out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_that_is_taken_where_a_command_is_to_listen_is_one_line() -> None:
    """Exit code 3; nothing is said of a command that was never started."""
    with served() as url:
        port = url.rpartition(":")[2]
        options = ["record", "--command", "shop.py", "--app-port", port]
        done = subprocess.run(
            [sys.executable, "-m", "keploy_framework.cli", *options],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == 3
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_recording_of_nothing_exits_with_5() -> None:
    with served() as upstream:
        assert run(["record", upstream, "--seconds", "0.05"]) == 5


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(["mock", "--port", port]) == 2
        assert run(["record", "http://127.0.0.1:1", "--port", port]) == 2
    err = capsys.readouterr().err
    assert err.count(f"cannot listen at 127.0.0.1:{port}") == 2
    assert err.count("\n") == 2


def test_a_mock_server_tells_what_was_not_recorded() -> None:
    process, url = started("mock", "keploy/test-set-0")
    assert httpx.get(f"{url}/a").text == "/a"
    assert httpx.get(f"{url}/none").status_code == 404
    process.terminate()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "not recorded: GET " in err


def test_two_recordings_into_one_folder_are_one_error() -> None:
    with served() as upstream:
        process, _ = started("record", upstream)
        try:
            second = subprocess.run(
                [sys.executable, "-m", "keploy_framework.cli", "record", upstream],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        finally:
            process.terminate()
            process.communicate(timeout=60)

    assert second.returncode == 2
    assert second.stderr.startswith("tta-keploy: ")
    assert second.stderr.count("\n") == 1


def test_output_into_a_closed_pipe_is_no_error() -> None:
    text = "import sys; from keploy_framework.cli import run; sys.exit(run(['scan', 'keys']))"
    Path("keys").write_text("AKIAQWERTYUIOPASDFGH\n" * 20_000)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read().decode()
    process.stderr.close()
    process.wait(timeout=60)

    assert "Traceback" not in err
    assert "BrokenPipe" not in err
