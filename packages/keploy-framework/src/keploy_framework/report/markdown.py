"""Markdown for pull requests: what a reviewer has to see, and how to accept it."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

from keploy_framework.report.risk import assess, drift
from keploy_framework.report.safe import safe_results
from keploy_framework.report.shown import asked, changed_lines, headline, hint_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.results import CaseOutcome, TestResults

__all__ = ("markdown_report",)

_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]<>|#~&@!]")
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
_LIMIT: Final = 60_000


def markdown_report(results: TestResults, *, limit: int = _LIMIT) -> str:
    """Return a run as Markdown.

    Args:
        results: The run.
        limit: The length in characters at which failures are left out, and counted. Default:
            60,000; GitHub takes comments of 65,536.

    Example:
        >>> from keploy_framework.results import CaseOutcome, TestResults
        >>> run = TestResults.of([CaseOutcome(test_set="s", name="c", status="PASSED")])
        >>> print(markdown_report(run).splitlines()[0])
        ### ✅ Replay: 1 passed, 0 failed of 1 in 0 ms
    """
    safe = safe_results(results)
    mark = "✅" if safe.is_success else "❌"
    parts = [f"### {mark} Replay: {headline(safe)}"]
    if safe.sets:
        rows = ["| test set | status | passed | failed | ignored |", "|---|---|--:|--:|--:|"]
        rows += [_row(safe, name, status) for name, status in safe.sets.items()]
        parts.append("\n".join(rows))
    changes = drift(safe)
    if changes:
        rows = ["| risk | endpoint | field | change | cases |", "|---|---|---|---|--:|"]
        rows += [
            f"| {one.risk} | {_cell(one.endpoint)} | {_cell(one.path)} | {one.kind} "
            f"| {len(one.cases)} |"
            for one in changes
        ]
        parts.append("**The schema drifted**\n\n" + "\n".join(rows))
    parts += [f"> {_cell(notice)}" for notice in safe.notices]
    length = sum(map(len, parts))
    for number, case in enumerate(safe.failures):
        part = "\n".join(_failure(case))
        length += len(part)
        if length > limit:
            parts.append(f"… and {len(safe.failures) - number} more failures")
            break
        parts.append(part)
    if safe.failures:
        parts.append("If these are meant: `tta-keploy accept`, or `accept <case>` for one.")
    return "\n\n".join(parts) + "\n"


def _row(results: TestResults, name: str, status: str) -> str:
    statuses = [case.status for case in results.test_cases if case.test_set == name]
    failed = sum(found in {"FAILED", "OBSOLETE"} for found in statuses)
    counts = (statuses.count("PASSED"), failed, statuses.count("IGNORED"))
    return f"| {_cell(name)} | {status} | {' | '.join(map(str, counts))} |"


def _failure(case: CaseOutcome) -> Iterator[str]:
    lines: list[str] = []
    hints: dict[str, None] = {}
    for found in case.differences:
        told = f" (asserted: {found.asserted})" if found.asserted else ""
        lines.append(f"@@ {found.place or found.path}: {found.kind}{told} @@")
        lines += [f"{sign}{line}" for sign, line in changed_lines(found)]
        hints.setdefault(hint_line(found))
    for call in case.unanswered:
        lines += [f"! {line}" for line in str(call).splitlines()]
    # Up to the blank line this is HTML: a backslash would be shown.
    name = escape(" ".join(plain_text(case.id).split()))
    yield f"<details><summary>{name} (risk {assess(case).risk})</summary>"
    yield ""
    if where := asked(case):
        yield f"{_cell(where)}\n"
    if case.reason:
        yield f"{_cell(case.reason)}\n"
    if lines:
        yield from _fenced("diff", [plain_text(line) for line in lines])
    noise = [plain_text(hint) for hint in hints if hint]
    if noise:
        yield "\nTo ignore them, under `noise:` of the case:\n"
        yield from _fenced("yaml", noise)
    yield "\n</details>"


def _fenced(language: str, lines: list[str]) -> Iterator[str]:
    """Yield a code block whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", "\n".join(lines))), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from lines
    yield fence


def _cell(text: str) -> str:
    """Return text that Markdown and HTML leave as it is, in one line."""
    flat = " ".join(plain_text(text).split())
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), flat)
