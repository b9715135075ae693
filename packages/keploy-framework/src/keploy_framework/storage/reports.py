"""Reading Keploy's report files, `reports/test-run-<n>/<set>-report.yaml`, whoever wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.fields import Fields

__all__ = ("CaseReport", "RunReport", "read_report", "run_names", "run_number")

_RUN: Final = re.compile(r"test-run-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What a report says of one case.

    Attributes:
        test_set: The set that it belongs to.
        name: Its name.
        status: What became of it, in Keploy's words.
        risk: How bad its failure is; "" if it did not fail.
        changed: The paths of what differed; where Keploy itself wrote the report, what it names.
    """

    test_set: str
    name: str
    status: str
    risk: str = ""
    changed: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The set and the name."""
        return f"{self.test_set}/{self.name}"


@dataclass(frozen=True, slots=True)
class RunReport:
    """The reports of one run.

    Attributes:
        name: The name of the run, `test-run-3`.
        cases: What they say of each case.
        sets: The status of each test set, in Keploy's words.
    """

    name: str
    cases: tuple[CaseReport, ...]
    sets: dict[str, str]

    @property
    def is_success(self) -> bool:
        """Whether something was compared, and all of it passed.

        The words of a set count too: Keploy writes `APP_HALTED` beside cases that all passed.
        """
        compared = [case for case in self.cases if case.status != "IGNORED"]
        return (
            bool(compared)
            and all(case.status == "PASSED" for case in compared)
            and set(self.sets.values()) <= {"PASSED", "IGNORED", "NO_TESTS_TO_RUN"}
        )


def run_names(folder: Path | str) -> tuple[str, ...]:
    """Return the names of the runs that a `keploy` folder has reports of, the oldest first."""
    root = Path(folder) / "reports"
    if not root.is_dir():
        return ()
    found = [entry.name for entry in root.iterdir() if _RUN.fullmatch(entry.name)]
    return tuple(sorted(found, key=run_number))


def read_report(folder: Path | str, run: str | None = None) -> RunReport:
    """Read the reports of a run, whoever wrote them.

    Args:
        folder: The `keploy` folder.
        run: The name of the run; None takes the newest.

    Raises:
        OptionError: There is no such run.
        FormatError: A file of it is damaged.
    """
    names = run_names(folder)
    if run is None and names:
        run = names[-1]
    if run is None or run not in names:
        shown = ", ".join(names[-5:]) or "none"
        what = f"no report {run!r:.60}" if run is not None else "no report"
        raise OptionError(f"{folder} has {what}; there are: {shown}")
    cases: list[CaseReport] = []
    sets: dict[str, str] = {}
    for path in sorted((Path(folder) / "reports" / run).glob("*-report.yaml")):
        documents = read_documents(path)
        if not documents:
            raise FormatError("is empty", path=str(path))
        top = Fields(documents[0].tree, str(path), documents[0].data)
        name = top.text("test_set") or path.name.removesuffix("-report.yaml")
        sets[name] = top.text("status", None)
        cases += [_read_case(item, name) for item in top.items("tests")]
    return RunReport(run, tuple(cases), sets)


def run_number(name: str) -> int:
    """Return the number of a run; -1 for what is no name of one."""
    found = _RUN.fullmatch(name)
    return int(found[1]) if found else -1


def _read_case(item: Fields, test_set: str) -> CaseReport:
    info = item.nested("failure_info")
    result = item.nested("result")
    changed: dict[str, None] = {}
    if result.get("status_code") is not None and not result.nested("status_code").truth("normal"):
        changed.setdefault("status")
    for header in result.items("headers_result"):
        if not header.truth("normal"):
            named = header.nested("expected").text("key") or header.nested("actual").text("key")
            changed.setdefault(f"header.{named}")
    fields = info.nested("assessment")
    for name in ("added_fields", "removed_fields", "type_changes", "value_changes"):
        for at in fields.listed(name):
            changed.setdefault(str(at).partition(":")[0])
    if not any(path.startswith("body") for path in changed):
        for body in result.items("body_result"):
            if not body.truth("normal"):
                changed.setdefault("body")
    return CaseReport(
        test_set=test_set,
        name=item.text("test_case_id"),
        status=item.text("status", None),
        risk=info.text("risk"),
        changed=tuple(changed) if item.text("status") != "PASSED" else (),
    )
