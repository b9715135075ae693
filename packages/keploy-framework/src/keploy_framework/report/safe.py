"""Results as they may be shown: whatever has come this far, no secret goes into a report.

A replay hands on what it has redacted already. This is the last gate: it looks at each value under
its name, and at each text, once more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.matching import Difference
from keploy_framework.redact import CannotOpenError, Redaction

if TYPE_CHECKING:
    from keploy_framework.matching import DifferenceKind
    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults, UnansweredCall

__all__ = ("ShownCall", "safe_results")


@dataclass(frozen=True, slots=True)
class ShownCall:
    """An outbound call that nothing answered, as it may be shown.

    Attributes:
        request: The method and the URL.
        nearest: The name of the recording that is most like it.
        differences: How it differs from that one.
        hint: A line that would make it match.
        text: The explanation.
    """

    request: str
    nearest: str | None
    differences: tuple[Difference, ...]
    hint: str
    text: str

    def __str__(self) -> str:
        """Return the explanation."""
        return self.text


def safe_results(results: TestResults, redact: Redaction | None = None) -> TestResults:
    """Return results without any secret that their texts, values or exchanges may still hold.

    Args:
        results: A run.
        redact: Finds the secrets. Default: the redaction of this package.

    Example:
        >>> from keploy_framework.results import TestResults
        >>> run = TestResults(total=0, passed=0, failed=0, app_log="key AKIAQWERTYUIOPASDFGH")
        >>> safe_results(run).app_log
        'key [redacted:aws-access-key:1]'
    """
    redact = redact or Redaction.default()
    return replace(
        results,
        test_cases=tuple(_outcome(redact, case) for case in results.test_cases),
        notices=tuple(redact.text(notice) for notice in results.notices),
        app_log=redact.text(results.app_log),
    )


def _outcome(redact: Redaction, case: CaseOutcome) -> CaseOutcome:
    return replace(
        case,
        reason=redact.text(case.reason),
        differences=tuple(_difference(redact, each) for each in case.differences),
        excused=tuple(_difference(redact, each) for each in case.excused),
        expected=case.expected and redact.exchange(case.expected),
        actual=case.actual and redact.exchange(case.actual),
        unanswered=tuple(_call(redact, call) for call in case.unanswered),
    )


def _call(redact: Redaction, call: UnansweredCall) -> ShownCall:
    method, _, url = call.request.partition(" ")
    return ShownCall(
        f"{method} {redact.url(url)}",
        call.nearest,
        tuple(_difference(redact, each) for each in call.differences),
        redact.text(call.hint),
        redact.text(str(call).replace(url, redact.url(url)) if url else str(call)),
    )


def _difference(redact: Redaction, found: CaseDifference) -> Difference:
    return Difference(
        found.path,
        cast("DifferenceKind", found.kind),
        _value(redact, found.path, found.expected),
        _value(redact, found.path, found.actual),
        found.place,
        found.asserted,
    )


def _value(redact: Redaction, path: str, value: Any) -> Any:
    """Return a value as it may stand under its name."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        try:
            return redact.body(value)
        except CannotOpenError:
            return b""
    section, _, rest = path.partition(".")
    name = rest.rpartition(".")[2]
    if section in {"header", "trailer"} and isinstance(value, str):
        return redact.headers(((rest, value),))[0][1]
    if isinstance(value, str):
        value = redact.text(value)
    text = json.dumps({name: value}, default=str, ensure_ascii=False)
    safe = redact.text(text, "application/json")
    return value if safe == text else json.loads(safe)[name]
