"""Reading Keploy's report files, `reports/test-run-<n>/<set>-report.yaml`, whoever wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "CallReport",
    "CaseDetail",
    "CaseReport",
    "RunReport",
    "read_report",
    "run_names",
    "run_number",
)

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_UNITS: Final = {"h": 3600e9, "m": 60e9, "s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3, "ns": 1.0}
_SECOND: Final = 1_000_000_000
_RUN: Final = re.compile(r"test-run-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What a report says of an outbound call that nothing answered.

    Attributes:
        request: The method and the URL.
        nearest: The name of the recording that is most like it; "" if there is none.
        differences: How the call differs from that one, as text.
        hint: What would make it match.
    """

    request: str
    nearest: str = ""
    differences: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDetail:
    """What a report holds of one case besides its verdict.

    Attributes:
        kind: `Http`, or another kind of Keploy.
        method: The method of the request.
        url: Its URL.
        started_at: When it was asked, in nanoseconds since the epoch.
        taken: How long (ns) it took.
        status_codes: The recorded status and the one that came, where they differ.
        headers: The headers that differ: name, recorded values, values that came.
        bodies: The recorded body and the one that came, where they differ.
        content_type: Of the body that came.
        fields: The paths in the body that differ, by Keploy's words: `added_fields`,
            `removed_fields`, `type_changes`, `value_changes`.
        categories: Keploy's names for what changed.
        reasons: What decided the risk.
        calls: The outbound calls that nothing answered.
    """

    kind: str = "Http"
    method: str = ""
    url: str = ""
    started_at: int = 0
    taken: int = 0
    status_codes: tuple[int, int] | None = None
    headers: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = ()
    bodies: tuple[str | bytes, str | bytes] | None = None
    content_type: str = ""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    categories: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    calls: tuple[CallReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What a report says of one case.

    Attributes:
        test_set: The set that it belongs to.
        name: Its name.
        status: What became of it, in Keploy's words.
        risk: How bad its failure is; "" if it did not fail.
        changed: The paths of what differed; where Keploy itself wrote the report, what it names.
        detail: What else the report holds of it.
    """

    test_set: str
    name: str
    status: str
    risk: str = ""
    changed: tuple[str, ...] = ()
    detail: CaseDetail = CaseDetail()

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
        app_log: The end of what the application printed.
    """

    name: str
    cases: tuple[CaseReport, ...]
    sets: dict[str, str]
    app_log: str = ""

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
    logs: dict[str, None] = {}
    for path in sorted((Path(folder) / "reports" / run).glob("*-report.yaml")):
        documents = read_documents(path)
        if not documents:
            raise FormatError("is empty", path=str(path))
        top = Fields(documents[0].tree, str(path), documents[0].data)
        name = top.text("test_set") or path.name.removesuffix("-report.yaml")
        sets[name] = top.text("status", None)
        logs.setdefault(top.text("app_logs"))
        cases += [_read_case(item, name) for item in top.items("tests")]
    return RunReport(run, tuple(cases), sets, "\n".join(filter(None, logs)))


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
        detail=_read_detail(item, result, info),
    )


def _read_detail(item: Fields, result: Fields, info: Fields) -> CaseDetail:
    request, assessment = item.nested("req"), info.nested("assessment")
    codes = result.nested("status_code")
    compared = [body for body in result.items("body_result") if not body.truth("normal")]
    kinds = ("added_fields", "removed_fields", "type_changes", "value_changes")
    types = [
        str(value)
        for name, value in item.nested("resp").texts("header").items()
        if name.lower() == "content-type"
    ]
    return CaseDetail(
        kind=item.text("kind", "Http"),
        method=request.text("method"),
        url=request.text("url"),
        started_at=item.number("started") * _SECOND,
        taken=_nanoseconds(item.text("time_taken")),
        status_codes=None
        if not codes.names() or codes.truth("normal")
        else (codes.number("expected"), codes.number("actual")),
        headers=tuple(
            _read_header(header)
            for header in result.items("headers_result")
            if not header.truth("normal")
        ),
        bodies=(compared[0].content("expected"), compared[0].content("actual"))
        if compared
        else None,
        content_type=types[0] if types else "",
        fields={
            name: tuple(str(at).partition(":")[0] for at in assessment.listed(name))
            for name in kinds
            if assessment.listed(name)
        },
        categories=tuple(map(str, info.listed("category"))),
        reasons=tuple(map(str, assessment.listed("reasons"))),
        calls=tuple(
            CallReport(
                request=call.text("actual_summary"),
                nearest=call.text("closest_mock"),
                differences=call.text("diff"),
                hint=call.text("next_steps"),
            )
            for call in info.items("unmatched_calls")
        ),
    )


def _read_header(header: Fields) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    before, now = header.nested("expected"), header.nested("actual")
    values = (tuple(map(str, side.listed("value"))) for side in (before, now))
    return before.text("key") or now.text("key"), next(values), next(values)


def _nanoseconds(text: str) -> int:
    """Return a duration as Go writes it."""
    return round(sum(float(count) * _UNITS[unit] for count, unit in _DURATION.findall(text)))
