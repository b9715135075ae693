"""The Keploy binary is found, configured exactly, and judged by its report files alone.

A small program stands in for it: it writes down how it was called, and behaves as it is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keploy_framework.driver import Binary, KeployBinary, find_binary
from keploy_framework.errors import KeployError, OptionError
from keploy_framework.storage.documents import read_documents

FAKE = """\
#!{python} -S
import json, os, pathlib, signal, sys, time
here = pathlib.Path({here!r})
plan = json.loads((here / "plan.json").read_text())
if sys.argv[1:] == ["--version"]:
    print(plan.get("version", "Keploy 3.6.23"))
    sys.exit(0)
args = sys.argv[1:]
config = pathlib.Path(args[args.index("--config-path") + 1]) / "keploy.yml"
(here / "called.json").write_text(json.dumps({{
    "argv": args, "config": config.read_text(), "pid": os.getpid(),
    "environ": [name for name in os.environ if name.startswith("KEPLOY")],
}}))
root = pathlib.Path(args[args.index("--path") + 1]) / "keploy"
for name, status in plan.get("reports", {{}}).items():
    place = root / "reports" / plan.get("run", "test-run-0")
    place.mkdir(parents=True, exist_ok=True)
    tests = "".join(
        "- {{kind: Http, name: %s, status: %s, test_case_id: case-%d, result: {{}}}}\\n"
        % (name, case, number) for number, case in enumerate(plan["cases"])
    )
    (place / f"{{name}}-report.yaml").write_text(
        f"version: api.keploy.io/v1beta1\\nname: {{name}}-report\\nstatus: {{status}}\\n"
        f"tests:\\n{{tests}}test_set: {{name}}\\n"
    )
print(plan.get("says", ""), flush=True)
if plan.get("deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
(here / "up").touch()
time.sleep(plan.get("sleep", 0))
sys.exit(plan.get("exit", 0))
"""


class Fake:
    """A stand-in for the binary, in a folder of its own."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.folder = here / "keploy"
        self.path = here / "keploy-binary"
        self.path.write_text(FAKE.format(python=sys.executable, here=str(here)))
        self.path.chmod(0o755)
        self.plan()

    def plan(self, **plan: object) -> None:
        (self.here / "plan.json").write_text(json.dumps(plan))

    def called(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.here / "called.json").read_text())
        return found


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def passing(**more: object) -> dict[str, object]:
    return {"reports": {"test-set-0": "PASSED"}, "cases": ["PASSED", "PASSED"], **more}


# --- finding it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "version", "text"),
    [
        ("Keploy 3.6.23", (3, 6, 23), "3.6.23"),
        ("keploy version v2.10.1\n", (2, 10, 1), "2.10.1"),
        ("Keploy 3-dev", (3, 0, 0), "3-dev"),
        ("🐰 Keploy: v3.7.0-beta.2", (3, 7, 0), "3.7.0-beta.2"),
    ],
)
def test_the_version_is_what_it_says(
    fake: Fake, says: str, version: tuple[int, int, int], text: str
) -> None:
    fake.plan(version=says)

    assert find_binary(fake.path) == Binary(fake.path, version, text)


def test_it_is_looked_for_where_it_is_named_then_on_the_path_then_at_home(fake: Fake) -> None:
    """`KEPLOY_BINARY` goes before the path, the path before `~/.keploy/bin`."""
    named = {"KEPLOY_BINARY": str(fake.path), "PATH": "/nowhere"}
    assert find_binary(environ=named).path == fake.path

    on_path = fake.here / "bin" / "keploy"
    at_home = fake.here / "home" / ".keploy" / "bin" / "keploy"
    for place in (on_path, at_home):
        place.parent.mkdir(parents=True)
        place.symlink_to(fake.path)
    both = {"PATH": str(on_path.parent), "HOME": str(fake.here / "home")}
    assert find_binary(environ=both).path == on_path
    assert find_binary(environ={**both, "PATH": "/nowhere"}).path == at_home


def test_a_binary_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(OptionError, match="`tta-keploy replay` needs none"):
        find_binary(environ=nowhere)
    with pytest.raises(OptionError, match="KEPLOY_BINARY names /nowhere/keploy"):
        find_binary(environ={**nowhere, "KEPLOY_BINARY": "/nowhere/keploy"})
    with pytest.raises(OptionError, match="is no file"):
        find_binary(tmp_path)


def test_what_is_no_keploy_is_refused(fake: Fake, tmp_path: Path) -> None:
    fake.plan(version="hello")
    with pytest.raises(KeployError, match="says no version, but 'hello'"):
        find_binary(fake.path)
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(KeployError, match="cannot be run"):
        find_binary(text)


# --- running it ----------------------------------------------------------------------------------


def test_a_url_is_tested_without_starting_anything(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--base-path` comes first, telemetry is off, and nothing of the environment overrides it."""
    monkeypatch.setenv("KEPLOY_DISABLETELE", "false")
    fake.plan(**passing())
    run = KeployBinary(find_binary(fake.path)).test(
        fake.folder, base_url="http://127.0.0.1:8000", test_sets=["test-set-0", "checkout"]
    )

    called = fake.called()
    assert called["argv"][:-2] == [
        "test", "--base-path", "http://127.0.0.1:8000", "--path", str(fake.here),
        "--test-sets", "test-set-0,checkout", "--disable-ansi",
    ]  # fmt: skip
    assert called["argv"][-2] == "--config-path"
    assert not Path(called["argv"][-1]).exists()
    assert called["config"] == "disableTele: true\ntest:\n  delay: 5\n"
    assert called["environ"] == []
    assert run.is_success
    assert [case.id for case in run.report.cases] == ["test-set-0/case-0", "test-set-0/case-1"]


def test_a_command_is_handed_over_as_it_is(fake: Fake) -> None:
    fake.plan(**passing())
    KeployBinary(find_binary(fake.path)).test(
        fake.folder, command="python app.py --name 'a b'", delay=9
    )

    called = fake.called()
    assert called["argv"][1:3] == ["--command", "python app.py --name 'a b'"]
    assert "--base-path" not in called["argv"]
    assert "delay: 9" in called["config"]


@pytest.mark.parametrize(
    ("plan", "success"),
    [
        (passing(), True),
        (passing(says="test failed, FAILED, 0 passed"), True),
        (passing(exit=1), False),
        ({"reports": {"s": "FAILED"}, "cases": ["PASSED", "FAILED"], "exit": 0}, False),
        ({"reports": {"s": "APP_HALTED"}, "cases": ["PASSED"], "exit": 0}, False),
        ({"reports": {"s": "NO_TESTS_TO_RUN"}, "cases": [], "exit": 0}, False),
        (
            {"reports": {"s": "PASSED", "t": "PASSED"}, "cases": ["PASSED", "OBSOLETE"]},
            False,
        ),
    ],
)
def test_files_decide_and_words_do_not(
    fake: Fake, plan: dict[str, object], *, success: bool
) -> None:
    """Whatever it prints, and where it ends with 0 all the same, the report says what was."""
    fake.plan(**plan)
    run = KeployBinary(find_binary(fake.path)).test(fake.folder, base_url="http://h")

    assert run.is_success is success


def test_the_report_of_this_run_is_read_and_no_older_one(fake: Fake) -> None:
    """An old run that passed does not hide that this one wrote nothing."""
    driver = KeployBinary(find_binary(fake.path))
    fake.plan(**passing())
    driver.test(fake.folder, base_url="http://h")
    fake.plan(exit=1, says="no rights, key AKIAQWERTYUIOPASDFGH")

    with pytest.raises(KeployError, match="ended with 1 and wrote no report") as caught:
        driver.test(fake.folder, base_url="http://h")
    assert "no rights" in str(caught.value)
    assert "AKIAQWERTYUIOPASDFGH" not in str(caught.value)

    fake.plan(**passing(run="test-run-1", cases=["FAILED"]))
    run = driver.test(fake.folder, base_url="http://h")
    assert run.report.name == "test-run-1"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either base_url or command"),
        ({"base_url": "http://h", "command": "x"}, "either base_url or command"),
        ({"base_url": "h:8000"}, "must begin with http"),
        ({"base_url": "http://h", "test_sets": ["../x"]}, "cannot be the name"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_runs(
    fake: Fake, options: dict[str, Any], says: str
) -> None:
    driver = KeployBinary(find_binary(fake.path))
    with pytest.raises(OptionError, match=says):
        driver.test(fake.folder, **options)
    with pytest.raises(OptionError, match="named keploy"):
        driver.test(fake.here, base_url="http://h")
    with pytest.raises(OptionError, match="timeout"):
        KeployBinary(driver.binary, timeout=0)
    assert not (fake.here / "called.json").exists()


def test_a_binary_that_hangs_is_ended(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.plan(sleep=600)
    driver = KeployBinary(find_binary(fake.path), timeout=0.05)

    class LateTimer(subprocess.Popen[bytes]):
        """Its time begins when it is up: else that could be over before it has begun to hang."""

        def wait(self, timeout: float | None = None) -> int:
            while not (fake.here / "up").exists():
                time.sleep(0.01)
            return super().wait(timeout)

    monkeypatch.setattr("keploy_framework.driver.keploy.subprocess.Popen", LateTimer)
    with pytest.raises(KeployError, match=r"did not end within 0\.05 s"):
        driver.test(fake.folder, base_url="http://h")
    with pytest.raises(ProcessLookupError):
        os.kill(fake.called()["pid"], 0)


def test_an_interrupted_recording_leaves_no_process(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it may be interrupted: it is asked to end, as Ctrl-C would, then made to.

    The interrupt comes from a watcher, as signals to the waiting thread, the first of which counts.
    """
    fake.plan(sleep=600)
    here = threading.get_ident()
    waited_for, stopped = threading.Event(), threading.Event()

    class Watched(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            waited_for.set()
            return super().wait(timeout)

    monkeypatch.setattr("keploy_framework.driver.keploy.subprocess.Popen", Watched)

    def interrupt() -> None:
        while not (fake.here / "up").exists():
            time.sleep(0.01)
        waited_for.wait()
        # One that comes just before the thread begins to wait would not wake it.
        while not stopped.wait(0.05):
            signal.pthread_kill(here, signal.SIGUSR1)

    def stop(number: int, frame: object) -> None:
        if not stopped.is_set():
            stopped.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, stop)
    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            KeployBinary(find_binary(fake.path)).record("python app.py", fake.folder, seconds=30)
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
    called = fake.called()
    with pytest.raises(ProcessLookupError):
        os.kill(called["pid"], 0)
    assert called["argv"][:8] == [
        "record", "--command", "python app.py", "--path", str(fake.here),
        "--disable-ansi", "--record-timer", "30s",
    ]  # fmt: skip


def test_recording_returns_the_exit_code(fake: Fake) -> None:
    fake.plan(exit=7)
    driver = KeployBinary(find_binary(fake.path))

    assert driver.record("python app.py", fake.folder) == 7
    with pytest.raises(OptionError, match="needs the command"):
        driver.record(" ", fake.folder)


def test_the_configuration_is_yaml_that_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "keploy.yml"
    path.write_text("disableTele: true\ntest:\n  delay: 5\n")

    assert read_documents(path)[0].tree == {"disableTele": "true", "test": {"delay": "5"}}
