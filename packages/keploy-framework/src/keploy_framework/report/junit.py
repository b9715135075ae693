"""JUnit XML, which every CI system shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from keploy_framework.report.safe import safe_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.results import CaseOutcome, TestResults

__all__ = ("junit_report",)

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_report(results: TestResults) -> str:
    """Return a run as JUnit XML: a suite for each test set, a test for each case.

    Cases that no application answered are errors, others that did not pass are failures, obsolete
    ones too; ignored ones are skipped.

    Example:
        >>> from keploy_framework.results import CaseOutcome, TestResults
        >>> case = CaseOutcome(test_set="s", name="c", status="PASSED")
        >>> "<testcase" in junit_report(TestResults.of([case]))
        True
    """
    safe = safe_results(results)
    cases = safe.test_cases
    root = ET.Element("testsuites", _counts(cases), name="keploy")
    for name in safe.sets:
        members = [case for case in cases if case.test_set == name]
        suite = ET.SubElement(root, "testsuite", _counts(members), name=_clean(name))
        began = [case.started_at for case in members if case.status != "IGNORED"]
        started = min(began, default=safe.started_at) / 1_000_000_000
        suite.set("timestamp", datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"))
        for case in members:
            _add(suite, case)
        if safe.app_log:
            ET.SubElement(suite, "system-out").text = _clean(safe.app_log)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add(suite: ET.Element, case: CaseOutcome) -> None:
    test = ET.SubElement(
        suite, "testcase", name=_clean(case.name), classname=_clean(case.test_set), time=_time(case)
    )
    if case.status == "IGNORED":
        ET.SubElement(test, "skipped", message=_clean(case.reason))
    elif case.status != "PASSED":
        kind = "error" if case.crashed else "failure"
        lines = str(case).splitlines()
        message = case.reason or (str(case.differences[0]) if case.differences else case.status)
        found = ET.SubElement(test, kind, message=_clean(message), type=case.status)
        found.text = _clean("\n".join(lines))


def _counts(cases: Sequence[CaseOutcome]) -> dict[str, str]:
    bad = [case for case in cases if case.status in {"FAILED", "OBSOLETE"}]
    errors = sum(case.crashed for case in bad)
    return {
        "tests": str(len(cases)),
        "failures": str(len(bad) - errors),
        "errors": str(errors),
        "skipped": str(sum(case.status == "IGNORED" for case in cases)),
        "time": f"{sum(map(_seconds, cases)):.6f}",
    }


def _seconds(case: CaseOutcome) -> float:
    return max(0, case.ended_at - case.started_at) / 1_000_000_000


def _time(case: CaseOutcome) -> str:
    return f"{_seconds(case):.6f}"


def _clean(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
