"""The report for a terminal: each difference with the line to paste, in color where that helps."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

from keploy_framework.report.risk import assess, drift
from keploy_framework.report.safe import safe_results
from keploy_framework.report.shown import asked, changed_lines, headline, hint_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults

__all__ = ("terminal_report", "wants_color")

_COLORS: Final = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_MARKS: Final = {"FAILED": "✗", "OBSOLETE": "✗", "IGNORED": "-", "PASSED": "✓"}


def wants_color(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Say whether to write in color: on a terminal, unless `NO_COLOR` says no.

    `FORCE_COLOR` says yes for what is no terminal.
    """
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    shown: TextIO | None = sys.stdout if stream is None else stream
    return shown is not None and shown.isatty() and environ.get("TERM") != "dumb"


def terminal_report(results: TestResults, *, color: bool = False, verbose: bool = False) -> str:
    """Return a run as text: failures with their differences, notices, and the counts last.

    Args:
        results: The run.
        color: Whether to color it with ANSI codes, see `wants_color`.
        verbose: Whether to list the cases that passed, too.

    Example:
        >>> from keploy_framework.matching import Difference
        >>> from keploy_framework.results import CaseOutcome, TestResults
        >>> found = Difference("body.stock", "value", 3, 4)
        >>> case = CaseOutcome(test_set="s", name="c", status="FAILED", differences=(found,))
        >>> print(terminal_report(TestResults.of([case])))
        ✗ s/c FAILED, risk LOW
            body.stock: value
              - 3
              + 4
              to ignore it: body.stock: []
        <BLANKLINE>
        0 passed, 1 failed of 1 in 0 ms
    """
    safe = safe_results(results)
    paint = _Paint(color)
    lines: list[str] = []
    for case in safe.test_cases:
        if case.status != "PASSED" or verbose:
            lines += _case(case, paint)
    changes = drift(safe)
    if changes:
        lines += ["", paint("bold", "the schema drifted:")]
        lines += [
            plain_text(
                f"  {one.risk} {one.endpoint}: {one.path} {one.kind} ({len(one.cases)} cases)"
            )
            for one in changes
        ]
    lines += [plain_text(f"note: {notice}") for notice in safe.notices]
    if safe.app_log and safe.failures:
        lines += ["", paint("dim", "what the application printed last:")]
        lines += [paint("dim", f"  {plain_text(line)}") for line in safe.app_log.splitlines()[-20:]]
    if lines:
        lines.append("")
    lines.append(paint("green" if safe.is_success else "red", headline(safe)))
    return "\n".join(lines)


class _Paint:
    """Puts ANSI codes around text, or does not."""

    def __init__(self, color: bool) -> None:  # noqa: FBT001 - its only argument
        self._color = color

    def __call__(self, name: str, text: str) -> str:
        """Return the text in a color."""
        return f"\x1b[{_COLORS[name]}m{text}\x1b[0m" if self._color else text


def _case(case: CaseOutcome, paint: _Paint) -> Iterator[str]:
    color = {"PASSED": "green", "IGNORED": "yellow"}.get(case.status, "red")
    head = f"{_MARKS[case.status]} {plain_text(case.id)} {case.status}"
    risk = assess(case).risk
    yield paint(color, head) + (f", risk {risk}" if risk != "NONE" else "")
    if where := asked(case):
        yield paint("dim", f"    {plain_text(where)}")
    if case.reason:
        yield f"    {plain_text(case.reason)}"
    for found in case.differences:
        yield from _difference(found, paint)
    for call in case.unanswered:
        yield from (f"    {plain_text(line)}" for line in str(call).splitlines())
    if case.unplayed and case.status != "PASSED":
        yield plain_text(f"    not asked for: {', '.join(case.unplayed)}")


def _difference(found: CaseDifference, paint: _Paint) -> Iterator[str]:
    yield f"    {plain_text(found.place or found.path)}: {found.kind}"
    for sign, line in changed_lines(found):
        text = f"      {sign} {plain_text(line)}"
        yield paint({"-": "red", "+": "green"}[sign], text) if sign.strip() else text
    if found.asserted:
        yield paint("dim", f"      the case asserts it: {found.asserted}")
    if hint := hint_line(found):
        yield paint("dim", f"      to ignore it: {plain_text(hint)}")
