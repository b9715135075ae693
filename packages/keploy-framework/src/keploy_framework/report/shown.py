"""What the reports for people share: counts in words, values in lines, durations."""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, cast

from keploy_framework.noise import noise_line

if TYPE_CHECKING:
    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults

__all__ = ("asked", "changed_lines", "duration", "headline", "hint_line", "plain_text")

_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_LINES: Final = 24
_AROUND: Final = 2
_MOST: Final = 2000
_WIDTH: Final = 400


def plain_text(text: str) -> str:
    r"""Return text in which nothing steers a terminal or turns the direction of reading.

    >>> plain_text("\x1b[31mred")
    '\\x1b[31mred'
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def duration(nanoseconds: int) -> str:
    """Return a span of time as people say it.

    >>> [duration(span) for span in (0, 9, 900_000, 12_000_000, 1_500_000_000, 1_234_000_000_000)]
    ['0 ms', '0 ms', '0.9 ms', '12 ms', '1.5 s', '1234 s']
    """
    milliseconds = max(0, nanoseconds) / 1_000_000
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{round(milliseconds, 2):.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"  # noqa: PLR2004 - two digits
    seconds = milliseconds / 1000
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"  # noqa: PLR2004 - three digits


def headline(results: TestResults) -> str:
    """Return the counts of a run in one sentence."""
    if not results.total:
        return "nothing was replayed: there are no test cases"
    left = results.total - results.passed - results.failed
    parts = [f"{results.passed} passed", f"{results.failed} failed"]
    if left:
        parts.append(f"{left} ignored")
    took = duration(results.ended_at - results.started_at)
    return f"{', '.join(parts)} of {results.total} in {took}"


def asked(case: CaseOutcome) -> str:
    """Return the method and the URL of a case; "" if they are not known."""
    return f"{case.expected.request.method} {case.expected.request.url}" if case.expected else ""


def changed_lines(found: CaseDifference) -> list[tuple[str, str]]:
    """Return a difference line by line: each with `-` for what was, `+` for what is, or a blank.

    Long texts are cut to what is around their changes.
    """
    if found.kind == "length":
        return [("-", f"{found.expected} elements"), ("+", f"{found.actual} elements")]
    old = [] if found.kind == "added" else _lines(found.expected)
    new = [] if found.kind == "missing" else _lines(found.actual)
    lines: list[tuple[str, str]] = []
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_AROUND):
        for kind, start, end, low, high in group:
            if kind == "equal":
                lines += [(" ", line) for line in old[start:end]]
            else:
                lines += [("-", line) for line in old[start:end]]
                lines += [("+", line) for line in new[low:high]]
    if len(lines) > _LINES:
        lines = [*lines[:_LINES], (" ", f"… {len(lines) - _LINES} more lines")]
    return [(sign, line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…") for sign, line in lines]


def hint_line(found: CaseDifference) -> str:
    """Return the noise line that excuses a difference; "" where none may."""
    return noise_line(found)


def _lines(value: object) -> list[str]:
    if isinstance(value, bytes):
        text = repr(value)
    elif isinstance(value, str):
        text = value if "\n" in value else json.dumps(value, ensure_ascii=False)
    elif isinstance(value, (dict, list)):
        whole = cast("object", value)
        text = json.dumps(whole, ensure_ascii=False, indent=2, default=str)
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = str(value)
    return text.splitlines()[:_MOST] or [""]
