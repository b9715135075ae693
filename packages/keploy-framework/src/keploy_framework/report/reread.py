"""A run as its report files tell of it: what is shown of it later is what was shown at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from keploy_framework.matching import Difference, body_differences
from keploy_framework.model import Direction, Exchange, Request
from keploy_framework.report.safe import ShownCall
from keploy_framework.results import CaseOutcome, TestResults

if TYPE_CHECKING:
    from keploy_framework.matching import DifferenceKind
    from keploy_framework.results import CaseStatus
    from keploy_framework.storage.reports import CallReport, CaseDetail, CaseReport, RunReport

__all__ = ("reread_results",)

_DONE: Final = frozenset({"PASSED", "FAILED", "IGNORED", "OBSOLETE"})
_KINDS: Final[dict[str, frozenset[DifferenceKind]]] = {
    "added_fields": frozenset({"added"}),
    "removed_fields": frozenset({"missing"}),
    "type_changes": frozenset({"type"}),
    "value_changes": frozenset({"value", "order", "length"}),
}


def reread_results(run: RunReport) -> TestResults:
    """Return the results that a report tells of, with the differences and the times.

    Args:
        run: The report, see `read_report`; of this package, or of Keploy itself.

    Example:
        >>> from keploy_framework.storage.reports import CaseReport, RunReport
        >>> case = CaseReport(test_set="s", name="c", status="FAILED", changed=("body.id",))
        >>> reread_results(RunReport("test-run-0", (case,), {})).failures[0].reason
        'differs in body.id'
    """
    outcomes = [_outcome(case) for case in run.cases]
    began = [case.started_at for case in outcomes if case.started_at]
    ended = [case.ended_at for case in outcomes if case.started_at]
    return TestResults.of(
        outcomes,
        app_log=run.app_log,
        started_at=min(began, default=0),
        ended_at=max(ended, default=0),
    )


def _outcome(case: CaseReport) -> CaseOutcome:
    detail = case.detail
    differences = _differences(detail) if case.changed else ()
    told = {found.path for found in differences}
    unshown = [path for path in case.changed if path not in told]
    crashed = "APP_CONNECTION_ERROR" in detail.categories
    reason = f"differs in {', '.join(unshown)}" if unshown else ""
    if not case.changed and case.status != "PASSED":
        reason = "; ".join(detail.reasons)
    return CaseOutcome(
        test_set=case.test_set,
        name=case.name,
        status=cast("CaseStatus", case.status if case.status in _DONE else "IGNORED"),
        kind=detail.kind,
        reason=reason,
        differences=differences,
        expected=_asked(detail),
        unanswered=tuple(map(_call, detail.calls)),
        crashed=crashed,
        started_at=detail.started_at,
        ended_at=detail.started_at + detail.taken,
    )


def _asked(detail: CaseDetail) -> Exchange | None:
    if not detail.url:
        return None
    request = Request(detail.method, detail.url)
    return Exchange("", Direction.INBOUND, request, None, detail.started_at, detail.started_at)


def _differences(detail: CaseDetail) -> tuple[Difference, ...]:
    found: list[Difference] = []
    if detail.status_codes is not None:
        found.append(Difference("status", "value", *detail.status_codes))
    for name, before, now in detail.headers:
        kind: DifferenceKind = "value" if before and now else "missing" if before else "added"
        found.append(Difference(f"header.{name}", kind, _values(before), _values(now)))
    if detail.bodies is not None:
        before_body, now_body = map(_bytes, detail.bodies)
        for each in body_differences(before_body, now_body, content_type=detail.content_type):
            # What noise excused, or came of another case, differs here too: the report knows.
            named = [
                kinds for name, kinds in _KINDS.items() if each.path in detail.fields.get(name, ())
            ]
            if not detail.fields or any(each.kind in kinds for kinds in named):
                found.append(each)
    return tuple(found)


def _values(values: tuple[str, ...]) -> str | None:
    return ", ".join(values) or None


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")


def _call(call: CallReport) -> ShownCall:
    lines = [f"{call.request}: nothing is recorded"]
    if call.nearest:
        lines = [f"{call.request}: no recording; the nearest is {call.nearest}"]
    lines += [f"  {line}" for line in (*call.differences.splitlines(), call.hint) if line]
    return ShownCall(call.request, call.nearest or None, (), call.hint, "\n".join(lines))
