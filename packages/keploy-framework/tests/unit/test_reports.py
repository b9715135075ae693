"""Reports of a run: what stands in them, that they are well-formed, and what never stands there.

Longer than other files: the same few runs are reported in every form.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from io import StringIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # what is parsed was written here

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.matching import Difference, Miss
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.report import (
    CaseReport,
    RunReport,
    assess,
    compare_runs,
    drift,
    html_report,
    junit_report,
    markdown_report,
    read_report,
    run_names,
    safe_results,
    terminal_report,
    wants_color,
    write_report,
)
from keploy_framework.results import CaseOutcome, TestResults
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keploy_framework.results import CaseStatus

REPORTS: tuple[Callable[[TestResults], str], ...] = (
    terminal_report,
    junit_report,
    html_report,
    markdown_report,
)


def exchange(body: object, *, url: str = "http://h/users/7", status: int = 200) -> Exchange:
    data = json.dumps(body).encode()
    response = Response(status, "OK", (("Content-Type", "application/json"),), (Piece(0.1, data),))
    return Exchange("1", Direction.INBOUND, Request("GET", url), response, 10**18, 10**18 + 10**6)


def case(
    name: str = "get-users-by-id-1",
    status: CaseStatus = "FAILED",
    *differences: Difference,
    test_set: str = "test-set-0",
    reason: str = "",
    crashed: bool = False,
) -> CaseOutcome:
    return CaseOutcome(
        test_set=test_set,
        name=name,
        status=status,
        reason=reason,
        differences=differences,
        expected=exchange({"id": 7, "stock": 3}),
        actual=exchange({"id": 7, "stock": 4}) if differences else None,
        crashed=crashed,
        started_at=10**18,
        ended_at=10**18 + 1_500_000_000,
    )


CHANGED = Difference("body.items.stock", "value", 3, 4, "body.items[2].stock")


def run(*cases: CaseOutcome, **more: str) -> TestResults:
    return TestResults.of(cases, started_at=10**18, ended_at=10**18 + 2 * 10**9, **more)


# --- terminal ------------------------------------------------------------------------------------


def test_the_terminal_shows_place_values_and_the_line_to_paste() -> None:
    """A difference is named where it is, in both values, with the noise line in Keploy's words."""
    text = terminal_report(run(case("a", "FAILED", CHANGED), case("b", "PASSED")))

    assert text.splitlines() == [
        "✗ test-set-0/a FAILED, risk LOW",
        "    GET http://h/users/7",
        "    body.items[2].stock: value",
        "      - 3",
        "      + 4",
        "      to ignore it: body.items.stock: []",
        "",
        "1 passed, 1 failed of 2 in 2 s",
    ]


def test_color_is_added_and_nothing_else() -> None:
    results = run(case("a", "FAILED", CHANGED))
    colored = terminal_report(results, color=True)

    assert "\x1b[31m      - 3\x1b[0m" in colored
    assert "\x1b[32m      + 4\x1b[0m" in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == terminal_report(results)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_color_follows_the_terminal_and_the_environment(
    environ: dict[str, str], *, expected: bool
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    assert wants_color(StringIO(), environ) is expected
    assert wants_color(Terminal(), {}) is True
    assert wants_color(Terminal(), {"TERM": "dumb"}) is False


def test_a_run_of_nothing_is_told_as_that() -> None:
    for report in REPORTS:
        text = report(run())
        if report is not junit_report:
            assert "nothing was replayed" in text


def test_a_call_that_nothing_answers_is_explained() -> None:
    """The nearest recording and the fields stand in every report for people."""
    miss = Miss(
        "GET http://api/a", "mock-3", (Difference("query.page", "value", "1", "2"),),
        played=False, hint="noise: query.page",
    )  # fmt: skip
    failed = CaseOutcome(test_set="s", name="c", status="FAILED", unanswered=(miss,))
    for report in (terminal_report, html_report, markdown_report):
        text = report(run(failed))
        assert "mock-3" in text
        assert "query.page" in text


def test_values_of_many_lines_are_cut_and_counted() -> None:
    long = "\n".join(map(str, range(100)))
    text = terminal_report(run(case("a", "FAILED", Difference("body", "value", "x", long))))

    assert "… 77 more lines" in text
    assert len(text.splitlines()) < 40


def test_texts_show_what_is_around_their_changes() -> None:
    """One changed line of a long text is one red and one green line, with two around it."""
    old = "\n".join(map(str, range(20)))
    found = Difference("body", "value", old, old.replace("\n10\n", "\nten\n"))
    lines = terminal_report(run(case("a", "FAILED", found))).splitlines()

    assert [line[6:] for line in lines[3:9]] == ["  8", "  9", "- 10", "+ ten", "  11", "  12"]


# --- nothing leaks -------------------------------------------------------------------------------

SECRETS = (
    "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
    "AKIAQWERTYUIOPASDFGH",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
)


@pytest.mark.parametrize("secret", [*SECRETS, "correct-horse-battery"])
def test_no_secret_stands_in_any_report(secret: str, tmp_path: Path) -> None:
    """Known by its looks anywhere, or by its name in a header or field, it is a placeholder."""
    by_name = secret not in SECRETS
    found: tuple[Difference, ...] = (
        Difference(
            "header.Authorization", "value", "Bearer [redacted:bearer:1]", f"Bearer {secret}"
        ),
        Difference("body.user.password", "value", "[redacted:password:1]", secret),
        Difference("body.user", "value", {}, {"api_key": secret, "id": 1}),
    )
    if not by_name:
        found = (*found, Difference("body.text", "value", "x", f"see {secret}"))
    text = "" if by_name else secret
    answer = exchange({"password": secret}, url=f"http://h/?api_key={secret}")
    outcome = CaseOutcome(
        test_set="s", name="c", status="FAILED", reason=f"it said {text}", differences=found,
        expected=answer, actual=answer,
        unanswered=(Miss(f"GET http://h/?api_key={secret}", None, (), played=False, hint=""),),
    )  # fmt: skip
    results = run(outcome, app_log=f"starting with {text}")
    texts = [report(results) for report in REPORTS]
    path = write_report(results, tmp_path, command="app")
    texts += [each.read_text() for each in path.iterdir()]

    for shown in texts:
        assert secret not in shown
        assert "redacted" in shown


def test_a_value_that_is_no_secret_stays_what_it_is() -> None:
    """The gate changes nothing else: numbers keep their type, structures their parts."""
    found = (
        Difference("body.n", "value", 3, 4.5),
        Difference("body.o", "value", {"a": [1, None]}, [True]),
        Difference("body.b", "value", b"\x00\xff", None),
    )
    assert safe_results(run(case("a", "FAILED", *found))).test_cases[0].differences == found


@given(st.text(max_size=60))
def test_no_text_breaks_out_of_any_report(text: str) -> None:
    """Names, values and reasons are text in every format, whatever is in them."""
    found = Difference(f"body.{text}", "value", text, f"<script>alert(1)</script>{text}")
    results = run(case(f"<b>{text}", "FAILED", found, reason=f"</pre>{text}```"), app_log=text)

    root = ET.fromstring(junit_report(results))  # noqa: S314 - our own text
    assert root.find("testsuite/testcase/failure") is not None
    page = html_report(results)
    tags = tags_of(page)
    assert "script" not in tags
    assert "b" not in tags
    assert "\x1b" not in terminal_report(results)
    assert "<script" not in re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", markdown_report(results))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.resources: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.resources += [pair for pair in attrs if pair[0] in {"src", "href", "srcset"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(page: str) -> set[str]:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    assert parser.resources == []
    return parser.seen


def test_the_page_is_whole_and_loads_nothing() -> None:
    """Each tag is closed, nothing is linked, and the policy forbids it besides."""
    gone = Difference("body.id", "missing", 7, None)
    page = html_report(
        run(case("a", "FAILED", CHANGED, gone), case("b", "PASSED"), case("c", "IGNORED"))
    )
    assert {"table", "details", "pre", "style"} <= tags_of(page)
    assert "default-src 'none'" in page
    assert "The schema drifted" in page
    assert page.count("<details") == 1


# --- JUnit ---------------------------------------------------------------------------------------


def test_junit_has_a_suite_for_each_set_and_counts_that_add_up() -> None:
    """Failures, errors and skips are what they are; an obsolete case is no pass."""
    results = run(
        case("a", "PASSED"),
        case("b", "FAILED", CHANGED),
        case("c", "FAILED", reason="it raised", crashed=True),
        case("d", "IGNORED", reason="gRPC"),
        case("e", "OBSOLETE", test_set="other", reason="its mocks are gone"),
    )
    root = ET.fromstring(junit_report(results))  # noqa: S314 - our own text

    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert [suite.get("name") for suite in root.findall("testsuite")] == ["test-set-0", "other"]
    failure = root.find("testsuite/testcase[@name='b']/failure")
    assert failure is not None
    assert "body.items[2].stock: 3 became 4" in (failure.text or "")
    assert root.find("testsuite/testcase[@name='c']/error") is not None
    assert root.find("testsuite/testcase[@name='d']/skipped") is not None
    assert [test.get("time") for test in root.iter("testcase")] == ["1.500000"] * 5


# --- Markdown ------------------------------------------------------------------------------------


def test_markdown_fits_a_comment_and_says_what_it_leaves_out() -> None:
    many = [case(f"c{number}", "FAILED", CHANGED) for number in range(2000)]
    text = markdown_report(run(*many))

    assert len(text) < 65_536
    left = re.search(r"and (\d+) more failures", text)
    assert left is not None
    assert text.count("<details>") + int(left[1]) == 2000


def test_fences_are_longer_than_what_they_hold() -> None:
    text = markdown_report(run(case("a", "FAILED", Difference("body", "value", "x", "a\n````\nb"))))

    assert "`````diff" in text


# --- risk and drift ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "risk", "category"),
    [
        (Difference("status", "value", 200, 500), "HIGH", "STATUS_CODE_CHANGED"),
        (Difference("header.ETag", "value", "a", "b"), "MEDIUM", "HEADER_CHANGED"),
        (Difference("header.Content-Type", "value", "a", "b"), "HIGH", "HEADER_CHANGED"),
        (Difference("body.a", "missing", 1, None), "HIGH", "SCHEMA_BROKEN"),
        (Difference("body.a", "type", 1, "1"), "HIGH", "SCHEMA_BROKEN"),
        (Difference("body.a", "added", None, 1), "MEDIUM", "SCHEMA_ADDED"),
        (Difference("body.a", "value", 1, 2), "LOW", "SCHEMA_UNCHANGED"),
        (Difference("body.a", "order", None, None), "LOW", "SCHEMA_UNCHANGED"),
    ],
)
def test_each_difference_has_keploys_risk(found: Difference, risk: str, category: str) -> None:
    assessment = assess(case("a", "FAILED", found))

    assert (assessment.risk, assessment.categories) == (risk, (category,))


def test_the_highest_risk_counts_and_the_paths_are_sorted_out() -> None:
    found = assess(
        case(
            "a", "FAILED", CHANGED, Difference("body.x", "type", 1, "a"),
            Difference("body.y", "added", None, 1), Difference("body.z", "missing", [], None),
        )
    )  # fmt: skip
    assert found.risk == "HIGH"
    assert found.type_changes == ("body.x: number became string",)
    assert (found.added_fields, found.removed_fields) == (("body.y",), ("body.z",))
    assert found.value_changes == ("body.items.stock",)


def test_a_failure_without_differences_has_a_risk_too() -> None:
    assert assess(case("a", "FAILED", crashed=True)).categories == ("APP_CONNECTION_ERROR",)
    assert assess(case("a", "OBSOLETE")).categories == ("INTERNAL_FAILURE",)
    assert assess(case("a", "PASSED")).risk == "NONE"


def test_drift_is_by_endpoint_and_the_riskiest_comes_first() -> None:
    """Two cases of one endpoint show one drift; changed values are none."""
    added, gone = Difference("body.b", "added", None, 1), Difference("body.a", "missing", 1, None)
    changes = drift(run(case("a", "FAILED", added, CHANGED), case("b", "FAILED", added, gone)))

    assert [(one.risk, one.endpoint, one.path, len(one.cases)) for one in changes] == [
        ("HIGH", "get-users-by-id", "body.a", 1),
        ("MEDIUM", "get-users-by-id", "body.b", 2),
    ]


# --- Keploy's files ------------------------------------------------------------------------------


def test_reports_are_keploys_files_under_the_next_number(tmp_path: Path) -> None:
    """Name, counts, tests and result stand where Keploy writes and reads them."""
    results = run(
        case("a", "PASSED"), case("b", "FAILED", CHANGED, Difference("status", "value", 200, 201))
    )
    first, second = write_report(results, tmp_path), write_report(results, tmp_path, command="app")

    assert (first.name, second.name) == ("test-run-0", "test-run-1")
    assert run_names(tmp_path) == ("test-run-0", "test-run-1")
    (document,) = read_documents(second / "test-set-0-report.yaml")
    top = Fields(document.tree, "report", document.data)
    assert (top.text("name"), top.text("status"), top.text("cmdUsed")) == (
        "test-set-0-report", "FAILED", "app",
    )  # fmt: skip
    assert [top.number(key) for key in ("success", "failure", "total", "high-risk")] == [1, 1, 2, 1]
    assert top.number("created_at") == 10**9
    test = top.items("tests")[1]
    assert test.text("test_case_id") == "b"
    status = test.nested("result").nested("status_code")
    assert (status.truth("normal"), status.number("expected")) == (False, 200)
    assert test.nested("req").text("url") == "http://h/users/7"
    assert test.text("time_taken") == "1.5s"
    assert test.nested("failure_info").nested("assessment").listed("value_changes") == [
        "body.items.stock"
    ]


def test_a_report_reads_back_as_what_the_run_was(tmp_path: Path) -> None:
    results = run(
        case("a", "PASSED"),
        case("b", "FAILED", CHANGED),
        case("c", "IGNORED", test_set="other"),
    )
    write_report(results, tmp_path)
    report = read_report(tmp_path)

    assert report.name == "test-run-0"
    assert report.sets == {"other": "IGNORED", "test-set-0": "FAILED"}
    assert [(one.id, one.status) for one in report.cases] == [
        ("other/c", "IGNORED"), ("test-set-0/a", "PASSED"), ("test-set-0/b", "FAILED"),
    ]  # fmt: skip
    assert report.cases[2].changed == ("body.items.stock",)
    assert not report.is_success


def test_runs_that_are_not_there_or_damaged_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no report"):
        read_report(tmp_path)
    run_folder = write_report(run(case("a", "PASSED")), tmp_path)
    with pytest.raises(OptionError, match="'test-run-9'; there are: test-run-0"):
        read_report(tmp_path, "test-run-9")
    (run_folder / "test-set-0-report.yaml").write_text("tests: [")
    with pytest.raises(FormatError, match="is not YAML"):
        read_report(tmp_path)


def test_two_runs_are_compared_case_by_case() -> None:
    """Broken, mended, failing otherwise, new and gone are told apart."""

    def report(name: str, **statuses: str) -> RunReport:
        cases = [
            CaseReport(
                test_set="s", name=case_name, status=status.split()[0],
                changed=tuple(status.split()[1:]),
            )
            for case_name, status in statuses.items()
        ]  # fmt: skip
        return RunReport(name, tuple(cases), {})

    old = report("test-run-0", a="PASSED", b="FAILED x", c="FAILED x", d="FAILED x", e="PASSED")
    new = report("test-run-1", a="FAILED x", b="PASSED", c="FAILED y", d="FAILED x", f="PASSED")
    found = compare_runs(old, new)

    assert (found.broken, found.mended, found.different) == (("s/a",), ("s/b",), ("s/c",))
    assert (found.failing, found.added, found.gone) == (("s/d",), ("s/f",), ("s/e",))
    assert str(found).splitlines()[0] == "s/a broke"
    assert str(found).endswith("test-run-0 to test-run-1: 5 changes, 1 still fail")
    assert compare_runs(old, old).is_empty
