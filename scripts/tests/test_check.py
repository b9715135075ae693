"""The gate tells the truth: about counts, about failures, about what it did not run."""

import os
import sys
from pathlib import Path

import pytest

import check
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


def test_a_check_that_hangs_is_ended_with_all_that_it_has_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And what it has said by then is shown."""
    monkeypatch.setattr(check, "LIMIT", 1)
    session = Session(packages=packages())
    child = "import os, time; print('waiting', os.getpid(), flush=True); time.sleep(600)"
    (tmp_path / "parent.py").write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n", "utf-8"
    )

    assert not session.run("hangs", sys.executable, tmp_path / "parent.py")

    told = capfd.readouterr().out
    assert "FAILED  hangs (ended, since it was not over" in told
    number = int(told.partition("waiting ")[2].split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
