"""A run that is looked at later: its report files tell what was told at once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keploy_framework.matching import Difference, Miss, answer_differences
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.report import (
    html_report,
    junit_report,
    markdown_report,
    read_report,
    reread_results,
    terminal_report,
    write_report,
)
from keploy_framework.report.shown import duration
from keploy_framework.results import CaseOutcome, TestResults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEGAN = 1_795_259_553 * 10**9
JSON = (("Content-Type", "application/json"),)


def answered(
    body: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Exchange:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kept = headers or JSON
    response = Response(status, "OK", kept, (Piece(0.1, data),))
    return Exchange(
        "1", Direction.INBOUND, Request("GET", "http://h/users/7"), response, BEGAN, BEGAN
    )


def outcome(expected: Exchange, actual: Exchange, name: str = "a") -> CaseOutcome:
    """What a replay makes of two answers."""
    before, now = expected.response, actual.response
    assert before is not None
    assert now is not None
    found = tuple(answer_differences(before, now))
    return CaseOutcome(
        test_set="s", name=name, status="FAILED" if found else "PASSED",
        reason=f"{len(found)} difference{'s' * (len(found) > 1)}" if found else "",
        differences=found, expected=expected, actual=actual if found else None,
        started_at=BEGAN, ended_at=BEGAN + 12_000_000,
    )  # fmt: skip


def reread(results: TestResults, folder: Path) -> TestResults:
    write_report(results, folder)
    return reread_results(read_report(folder))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (answered({"stock": 3}), answered({"stock": 4})),
        (answered({"stock": 3}), answered({"stock": "3"})),
        (answered({"a": 1, "b": [1, 2]}), answered({"b": [2, 1], "c": {"d": None}})),
        (answered([{"n": 1}, {"n": 2}]), answered([{"n": 1}, {"n": 3}, {"n": 4}])),
        (answered(b"one\ntwo", headers=(("Content-Type", "text/plain"),)),
         answered(b"one\nthree", headers=(("Content-Type", "text/plain"),))),
        (answered(b'data: {"n": 1}\n\n', headers=(("Content-Type", "text/event-stream"),)),
         answered(b'data: {"n": 2}\n\n', headers=(("Content-Type", "text/event-stream"),))),
        (answered(b"\xff\x00", headers=(("Content-Type", "application/octet-stream"),)),
         answered(b"\xff\x01", headers=(("Content-Type", "application/octet-stream"),))),
        (answered({"a": 1}), answered({"a": 1}, status=404)),
        (answered({}, headers=(*JSON, ("ETag", "x"), ("Old", "1"))),
         answered({}, headers=(*JSON, ("ETag", "y"), ("New", "1")))),
        (answered({"a": 1}), answered({"a": 1})),
    ],
)  # fmt: skip
def test_differences_risk_and_time_are_those_of_the_run(
    expected: Exchange, actual: Exchange, tmp_path: Path
) -> None:
    """Each value, each path and each line to paste stands in the report of later, too."""
    run = TestResults.of([outcome(expected, actual)], started_at=BEGAN, ended_at=BEGAN + 12_000_000)
    later = reread(run, tmp_path)

    def told(results: TestResults) -> str:
        return terminal_report(results, verbose=True)

    assert told(later) == re.sub(r"(?m)^    \d+ differences?\n", "", told(run))
    assert later.test_cases[0].ended_at - later.test_cases[0].started_at == 12_000_000


def test_what_noise_excused_is_no_difference_later(tmp_path: Path) -> None:
    """The bodies of a report differ in it, but the report names what counted."""
    made = outcome(answered({"id": 1, "stock": 3}), answered({"id": 2, "stock": 4}))
    counted = tuple(each for each in made.differences if each.path == "body.stock")
    later = reread(TestResults.of([replace(made, differences=counted)]), tmp_path)

    assert [str(each) for each in later.test_cases[0].differences] == ["body.stock: 3 became 4"]


def test_applications_that_did_not_answer_are_told_apart(tmp_path: Path) -> None:
    """A crash is an error in JUnit, with its reason and what the application printed last."""
    gone = CaseOutcome(
        test_set="s", name="a", status="FAILED", crashed=True, reason="the application has ended",
        expected=answered({}), started_at=BEGAN, ended_at=BEGAN,
    )  # fmt: skip
    later = reread(TestResults.of([gone], app_log="Killed"), tmp_path)

    assert (later.test_cases[0].crashed, later.test_cases[0].reason, later.app_log) == (
        True, "the application has ended", "Killed",
    )  # fmt: skip
    assert 'errors="1"' in junit_report(later)


def test_a_call_that_nothing_answered_is_explained_later(tmp_path: Path) -> None:
    miss = Miss(
        "GET http://api/a", "mock-3", (Difference("query.page", "value", "1", "2"),),
        played=False, hint="noise: query.page",
    )  # fmt: skip
    unanswered = CaseOutcome(
        test_set="s", name="a", status="FAILED", unanswered=(miss,), expected=answered({})
    )
    (call,) = reread(TestResults.of([unanswered]), tmp_path).test_cases[0].unanswered

    assert (call.request, call.nearest, call.hint) == (miss.request, miss.nearest, miss.hint)
    assert str(call).splitlines() == str(miss).splitlines()


def test_reports_of_keploy_itself_are_shown_by_what_they_hold(tmp_path: Path) -> None:
    """No assessment, durations of Go, words of its own: bodies are compared, the rest is named."""
    folder = tmp_path / "reports" / "test-run-0"
    folder.mkdir(parents=True)
    (folder / "set-report.yaml").write_text(
        """
version: api.keploy.io/v1beta1
status: FAILED
tests:
  - {kind: Http, status: FAILED, test_case_id: a, time_taken: 1m2.5s, started: 5,
     req: {method: GET, url: 'http://h/a'}, resp: {header: {Content-Type: application/json}},
     result: {status_code: {normal: true, expected: 200, actual: 200},
              headers_result: [{normal: false, expected: {key: X, value: [a, b]},
                                actual: {key: X, value: []}}],
              body_result: [{normal: false, type: JSON, expected: '{"a":1}', actual: '{"a":2}'}]}}
  - {kind: gRPC, status: RUNNING, test_case_id: b, time_taken: 800µs}
  - {kind: Http, status: FAILED, test_case_id: c,
     result: {body_result: [{normal: false, type: JSON, expected: same, actual: same}]}}
"""
    )
    first, second, third = reread_results(read_report(tmp_path)).test_cases

    assert [str(each) for each in first.differences] == [
        "header.X: missing, was 'a, b'", "body.a: 1 became 2",
    ]  # fmt: skip
    assert (first.started_at, first.ended_at) == (5 * 10**9, 67_500_000_000)
    assert (second.status, second.kind, second.ended_at) == ("IGNORED", "gRPC", 800_000)
    assert third.reason == "differs in body"


@pytest.mark.parametrize("report", [terminal_report, html_report, markdown_report, junit_report])
def test_every_form_takes_a_run_of_later(
    report: Callable[[TestResults], str], tmp_path: Path
) -> None:
    run = TestResults.of([outcome(answered({"stock": 3}), answered({"stock": 4}))])

    assert "stock" in report(reread(run, tmp_path))


# --- how it looks --------------------------------------------------------------------------------


def test_names_in_summaries_are_shown_as_they_are() -> None:
    """A summary is HTML, in which a backslash is a backslash."""
    made = outcome(answered({"a": 1}), answered({"a": 2}), name="get_users_[1]|`x`<b>")
    text = markdown_report(TestResults.of([made]))

    assert "<details><summary>s/get_users_[1]|`x`&lt;b&gt; (risk LOW)</summary>" in text


def test_a_suite_begins_with_its_first_case_that_ran() -> None:
    """What was ignored never began."""
    made = outcome(answered({}), answered({}))
    left = CaseOutcome(test_set="s", name="b", status="IGNORED", reason="gRPC")
    only = TestResults.of([left], started_at=BEGAN, ended_at=BEGAN)

    stamp = 'timestamp="2026-11-21T11:12:33+00:00"'
    assert stamp in junit_report(TestResults.of([left, made]))
    assert stamp in junit_report(only)


@pytest.mark.parametrize("nanoseconds", [0, 1, 9_999, 94_999, 9_999_999, 10**9 - 1, 10**12, 10**14])
def test_no_time_is_shown_with_an_exponent(nanoseconds: int) -> None:
    assert re.fullmatch(r"[\d.]+ m?s", duration(nanoseconds))
