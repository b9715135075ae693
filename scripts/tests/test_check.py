"""The gate tells the truth: about counts, about failures, about what it did not run."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import check
import pythons
from check import Counts, Session, files_with_skips, main, read_counts
from workspace import ROOT, packages


def write(path: Path, **counts: int) -> Path:
    attributes = " ".join(f'{key}="{value}"' for key, value in counts.items())
    path.write_text(f"<testsuites><testsuite {attributes}/></testsuites>", encoding="utf-8")
    return path


def test_errors_count_as_failures(tmp_path: Path) -> None:
    report = write(tmp_path / "r.xml", tests=10, failures=1, errors=2, skipped=3)

    assert read_counts(report) == Counts(passed=4, failed=3, skipped=3)


def test_a_module_that_does_not_import_is_a_failure(tmp_path: Path) -> None:
    report = write(tmp_path / "r.xml", tests=1, failures=0, errors=1, skipped=0)

    assert str(read_counts(report)) == "0 passed, 1 failed"


def test_skipped_tests_are_named_only_where_there_are_any() -> None:
    assert str(Counts(2, 0, 0)) == "2 passed, 0 failed"
    assert str(Counts(2, 1, 4)) == "2 passed, 1 failed, 4 skipped"


def test_files_with_something_skipped_are_found_by_what_a_report_calls_them(
    tmp_path: Path,
) -> None:
    cases = (
        '<testcase classname="scripts.tests.test_uv" name="t[a.b]"><skipped/></testcase>',
        '<testcase classname="scripts.tests.test_check.TestOne" name="t"><skipped/></testcase>',
        '<testcase classname="" name="scripts.tests.test_release"><skipped/></testcase>',
        '<testcase classname="scripts.tests.test_pythons" name="t"/>',
        '<testcase classname="gone.test_it" name="t"><skipped/></testcase>',
    )
    report = tmp_path / "r.xml"
    report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")

    found = [path.relative_to(ROOT / "scripts/tests") for path in files_with_skips(report)]
    assert found == [Path("test_check.py"), Path("test_release.py"), Path("test_uv.py")]


def test_a_check_that_fails_is_shown_with_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(packages=packages())

    assert not session.run("the check", sys.executable, "-c", "print('why'); raise SystemExit(3)")
    assert session.failures[0].startswith("the check (exit 3")
    assert "why" in capfd.readouterr().out


def test_a_check_that_succeeds_keeps_its_output_to_itself(
    capfd: pytest.CaptureFixture[str],
) -> None:
    session = Session(packages=packages())

    assert session.run("the check", sys.executable, "-c", "print('noise')")
    assert session.failures == []
    assert "noise" not in capfd.readouterr().out


@pytest.mark.parametrize("outcome", ["assert True", "assert False", "import no_such_module"])
def test_the_counts_are_those_of_pytest(tmp_path: Path, outcome: str) -> None:
    test = tmp_path / "test_one.py"
    test.write_text(f"def test_one():\n    {outcome}\n", encoding="utf-8")
    session = Session(packages=packages())

    session.pytest("one test", test, through=(sys.executable, "-m"))

    good = outcome == "assert True"
    assert session.tested == Counts(passed=int(good), failed=int(not good))
    assert bool(session.failures) is not good


def test_tests_that_failed_are_named_once_more_at_the_end(tmp_path: Path) -> None:
    """A log of a machine far away may be cut short in the middle."""
    test = tmp_path / "test_some.py"
    lines = ("def test_good(): pass", "def test_bad(): assert 0", "def test_worse(none): pass")
    test.write_text("\n".join(lines), encoding="utf-8")
    session = Session(packages=packages())

    session.pytest("some tests", test, through=(sys.executable, "-m"))

    label, *names = session.failures
    assert label.startswith("some tests (exit 1")
    assert {name.rpartition("::")[2].strip() for name in names} == {"test_bad", "test_worse"}


def test_the_pythons_between_are_run_only_when_asked_for() -> None:
    """The oldest and the newest always are."""
    assert {"unit", "newest", "lowest"} <= set(check.ALWAYS)
    assert set(check.STAGES) - set(check.ALWAYS) == {"between", "alone"}


def test_the_newest_python_is_set_apart_from_those_between(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each runs once; what is absent is told."""
    versions = {"3.12": "/twelve", "3.13": "/thirteen"}
    monkeypatch.setattr(pythons, "CURRENT", "3.11")
    monkeypatch.setattr(pythons, "find", versions.get)
    ran: list[tuple[str, str]] = []

    def together(_: Session, version: str, interpreter: str) -> None:
        ran.append((version, interpreter))

    monkeypatch.setattr(check, "together", together)

    check.newest(Session(packages=packages()))
    check.between(Session(packages=packages()))

    assert ran == [("3.13", "/thirteen"), ("3.12", "/twelve")]
    assert "absent  Python 3.14" in capsys.readouterr().out


def test_a_run_of_nothing_is_a_failure(tmp_path: Path) -> None:
    session = Session(packages=packages())

    session.pytest("no test", tmp_path, through=(sys.executable, "-m"))

    assert session.failures[0].startswith("no test (exit 5")


@pytest.mark.parametrize("arguments", [["no-such-stage"], ["unit", "--package", "no-such-package"]])
def test_an_unknown_name_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert arguments[-1] in capsys.readouterr().err


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_check_that_hangs_is_ended_with_all_that_it_has_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And what it has said by then is shown."""
    said = tmp_path / "said"

    class Waiting(subprocess.Popen[str]):
        """A process that is not looked at before its child has spoken."""

        def communicate(self, *args: Any, **options: Any) -> tuple[str, str]:
            while not said.exists() and self.poll() is None:
                time.sleep(0.01)
            return super().communicate(*args, **options)

    monkeypatch.setattr(check, "LIMIT", 0.1)
    monkeypatch.setattr(subprocess, "Popen", Waiting)
    session = Session(packages=packages())
    child = "import os, sys, time; print('waiting', os.getpid(), flush=True); "
    child += "open(sys.argv[1], 'w').close(); time.sleep(600)"
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}, {str(said)!r}])\n",
        "utf-8",
    )

    assert not session.run("hangs", sys.executable, tmp_path / "parent.py")

    told = capfd.readouterr().out
    assert "FAILED  hangs (ended, since it was not over" in told
    number = int(told.partition("waiting ")[2].split()[0])
    while exists(number):  # the system may take a moment to forget it; a test that hangs is ended
        time.sleep(0.01)
