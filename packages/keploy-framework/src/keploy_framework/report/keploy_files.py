"""Keploy's report files: `reports/test-run-<n>/<set>-report.yaml`, as it writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.matching import decoded_body
from keploy_framework.report.risk import assess
from keploy_framework.report.safe import safe_results
from keploy_framework.storage.bodies import as_text
from keploy_framework.storage.documents import Document, render, replace_file
from keploy_framework.storage.http import VERSION, encode_http
from keploy_framework.storage.reports import run_names, run_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keploy_framework.model import Exchange
    from keploy_framework.report.risk import Assessment
    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults, UnansweredCall

__all__ = ("write_report",)

_SECOND: Final = 1_000_000_000


def write_report(results: TestResults, folder: Path | str, *, command: str = "") -> Path:
    """Write a run as Keploy does, as the next `test-run-<n>`; return the folder of the run.

    Args:
        results: The run.
        folder: The `keploy` folder.
        command: How the application was started, or its URL.

    Raises:
        JournalError: The files cannot be written.
        OSError: The folder cannot be made.
    """
    safe = safe_results(results)
    run = _next_run(Path(folder))
    for name, status in safe.sets.items():
        cases = [case for case in safe.test_cases if case.test_set == name]
        tree = _set_report(safe, name, status, cases, command)
        replace_file(run / f"{name}-report.yaml", render([Document(tree)]))
    return run


def _next_run(folder: Path) -> Path:
    """Make the folder of the next run; others may be at the same."""
    number = max(map(run_number, run_names(folder)), default=-1) + 1
    while True:
        place = folder / "reports" / f"test-run-{number}"
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return place


def _set_report(
    results: TestResults, name: str, status: str, cases: Sequence[CaseOutcome], command: str
) -> dict[str, Any]:
    statuses = [case.status for case in cases]
    risks = [assess(case).risk for case in cases]
    tree: dict[str, Any] = {"version": VERSION, "name": f"{name}-report", "status": status}
    reasons = dict.fromkeys(case.reason for case in cases if case.status == "FAILED")
    if text := "; ".join(reason for reason in reasons if reason):
        tree["failure_reason"] = text
    tree |= {"success": statuses.count("PASSED"), "failure": statuses.count("FAILED")}
    counts = {
        "obsolete": statuses.count("OBSOLETE"),
        "high-risk": risks.count("HIGH"),
        "medium-risk": risks.count("MEDIUM"),
        "low-risk": risks.count("LOW"),
    }
    tree |= {key: count for key, count in counts.items() if count}
    tree |= {"ignored": statuses.count("IGNORED"), "total": len(cases)}
    tree["tests"] = [_test(case) for case in cases]
    tree |= {
        "test_set": name,
        "created_at": results.started_at // _SECOND,
        "time_taken": _taken(sum(case.ended_at - case.started_at for case in cases)),
    }
    if command:
        tree["cmdUsed"] = command
    if results.app_log:
        tree["app_logs"] = results.app_log
    return tree


def _test(case: CaseOutcome) -> dict[str, Any]:
    answered = case.actual or (case.expected if case.status == "PASSED" else None)
    tree: dict[str, Any] = {
        "kind": case.kind,
        "name": case.test_set,
        "status": case.status,
        "started": case.started_at // _SECOND,
        "completed": case.ended_at // _SECOND,
        "test_case_path": str(case.path or ""),
        "mock_path": "",
        "test_case_id": case.name,
    }
    if request := _part(case.expected, "req"):
        tree["req"] = request
    if response := _part(answered, "resp"):
        tree["resp"] = response
    if case.noise:
        tree["noise"] = {path: list(patterns) for path, patterns in case.noise.items()}
    tree["result"] = _result(case)
    tree["time_taken"] = _taken(case.ended_at - case.started_at)
    if info := _failure_info(case, assess(case)):
        tree["failure_info"] = info
    if case.played or case.unplayed:
        tree["mock_mismatches"] = {
            "expected_mocks": [_mock(name) for name in (*case.played, *case.unplayed)],
            "actual_mocks": [_mock(name) for name in case.played],
        }
    return tree


def _part(exchange: Exchange | None, name: str) -> dict[str, Any]:
    """Return the request or the answer of an exchange as Keploy writes it."""
    if exchange is None or exchange.response is None:
        return {}
    made = encode_http(exchange, exchange.name, test_set="")
    found: dict[str, Any] = made.tree["spec"][name]
    return found


def _result(case: CaseOutcome) -> dict[str, Any]:
    expected = case.expected.response if case.expected else None
    actual = case.actual.response if case.actual else expected
    by_section: dict[str, list[CaseDifference]] = {}
    for found in case.differences:
        by_section.setdefault(found.path.partition(".")[0], []).append(found)
    tree: dict[str, Any] = {
        "status_code": {
            "normal": "status" not in by_section,
            "expected": expected.status if expected else 0,
            "actual": actual.status if actual and not (case.crashed and not case.actual) else 0,
        },
        "headers_result": [_header(found) for found in by_section.get("header", ())],
        "body_result": [],
        "dep_result": [],
    }
    if expected is not None and actual is not None:
        tree["body_result"] = [
            {
                "normal": "body" not in by_section,
                "type": "JSON" if _is_json(case) else "PLAIN",
                "expected": as_text(decoded_body(expected.headers, expected.body)),
                "actual": as_text(decoded_body(actual.headers, actual.body)),
            }
        ]
    if trailers := by_section.get("trailer"):
        tree["trailer_result"] = [_header(found) for found in trailers]
    return tree


def _is_json(case: CaseOutcome) -> bool:
    response = case.expected.response if case.expected else None
    headers = response.headers if response else ()
    return any(name.lower() == "content-type" and "json" in value for name, value in headers)


def _header(found: CaseDifference) -> dict[str, Any]:
    name = found.path.partition(".")[2]
    return {
        "normal": False,
        "expected": {"key": name, "value": _values(found.expected)},
        "actual": {"key": name, "value": _values(found.actual)},
    }


def _values(value: object) -> list[Any]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _failure_info(case: CaseOutcome, found: Assessment) -> dict[str, Any]:
    if case.status == "PASSED" or (found.risk == "NONE" and not case.unanswered):
        return {}
    assessment: dict[str, Any] = {"category": list(found.categories), "risk": found.risk}
    for name in ("added_fields", "removed_fields", "type_changes", "value_changes", "reasons"):
        if values := getattr(found, name):
            assessment[name] = list(values)
    tree: dict[str, Any] = {
        "risk": found.risk,
        "category": list(found.categories),
        "assessment": assessment,
    }
    if case.played:
        tree["matched_calls"] = [{"mock_name": name, "protocol": "Http"} for name in case.played]
    if case.unanswered:
        tree["unmatched_calls"] = [_call(call) for call in case.unanswered]
    return tree


def _call(call: UnansweredCall) -> dict[str, Any]:
    tree: dict[str, Any] = {"protocol": "Http", "actual_summary": call.request}
    if call.nearest:
        tree["closest_mock"] = call.nearest
    if call.differences:
        tree["diff"] = "\n".join(map(str, call.differences))
        tree["field_diffs"] = [
            {
                "path": each.path,
                "kind": each.kind,
                "expected": "" if each.expected is None else str(each.expected),
                "actual": "" if each.actual is None else str(each.actual),
            }
            for each in call.differences
        ]
    if call.hint:
        tree["next_steps"] = call.hint
    return tree


def _mock(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "Http"}


def _taken(nanoseconds: int) -> str:
    """Return a duration as Go writes and reads one."""
    return f"{max(0, nanoseconds) / _SECOND:.9f}".rstrip("0").rstrip(".") + "s"
