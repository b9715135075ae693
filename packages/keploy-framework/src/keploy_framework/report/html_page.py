"""One HTML page without a script, a link or a picture: it opens anywhere, and loads nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from keploy_framework.report.risk import assess, drift
from keploy_framework.report.safe import safe_results
from keploy_framework.report.shown import (
    asked,
    changed_lines,
    duration,
    headline,
    hint_line,
    plain_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.results import CaseDifference, CaseOutcome, TestResults

__all__ = ("html_report",)

_LOOKS: Final = {"-": "old", "+": "new", " ": "same"}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light dark; --bad: #b3261e; --good: #1b6e3c; --dim: #666; --line: #ddd;
  --old: #fdecea; --new: #e6f4ea; --back: #fff; --text: #1a1a1a; --box: #f6f6f6; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7ddc9a; --dim: #a0a0a0;
  --line: #3a3a3a; --old: #3b1f1d; --new: #17331f; --back: #161616; --text: #eee; --box: #222; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 70rem;
  background: var(--back); color: var(--text); }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .dim { color: var(--dim); }
.bar { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden; margin: 1rem 0;
  background: var(--line); }
.bar i { display: block; } .bar .p { background: var(--good); } .bar .f { background: var(--bad); }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; min-width: 4.5rem; }
th, .s { overflow-wrap: normal; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; overflow-wrap: anywhere; }
.in { padding: 0 .8rem .8rem; } .place { margin-top: .8rem; }
pre { background: var(--box); border-radius: .3rem; padding: .5rem .7rem; margin: .3rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; }
pre span { display: block; }
pre .old { background: var(--old); } pre .new { background: var(--new); }
.tag { border: 1px solid currentColor; border-radius: .3rem; padding: 0 .4rem; font-size: .8rem; }
@media print { details::details-content { content-visibility: visible; display: block;
  block-size: auto; } details > .in { display: block; } }
"""


def html_report(results: TestResults, *, title: str = "Replay") -> str:
    """Return a run as one HTML page that needs nothing else.

    Args:
        results: The run.
        title: The title of the page.

    Example:
        >>> from keploy_framework.results import CaseOutcome, TestResults
        >>> case = CaseOutcome(test_set="s", name="<b>", status="PASSED")
        >>> "<td>&lt;b&gt;</td>" in html_report(TestResults.of([case]))
        True
    """
    return "\n".join(_page(safe_results(results), title)) + "\n"


def _page(results: TestResults, title: str) -> Iterator[str]:
    look = "good" if results.is_success else "bad"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield f"<title>{_text(title)}: {_text(headline(results))}</title>"
    yield f"<style>{_STYLE}</style></head><body>"
    yield f'<h1>{_text(title)}</h1><p class="{look}">{_text(headline(results))}</p>'
    if results.total:
        good, bad = (100 * part / results.total for part in (results.passed, results.failed))
        yield f'<div class="bar"><i class="p" style="width:{good:.3f}%"></i>'
        yield f'<i class="f" style="width:{bad:.3f}%"></i></div>'
    yield from (f'<p class="dim">{_text(notice)}</p>' for notice in results.notices)
    yield from _drifts(results)
    if results.failures:
        yield "<h2>Failures</h2>"
        for number, case in enumerate(results.failures):
            yield from _failure(case, first=number == 0)
    yield from _table(results)
    if results.app_log:
        yield "<h2>What the application printed</h2>"
        yield f"<pre>{_text(results.app_log)}</pre>"
    yield "</body></html>"


def _drifts(results: TestResults) -> Iterator[str]:
    changes = drift(results)
    if not changes:
        return
    yield '<h2>The schema drifted</h2><div class="wide"><table><tr><th>Risk</th><th>Endpoint</th>'
    yield '<th>Field</th><th>Change</th><th class="n">Cases</th></tr>'
    for one in changes:
        cells = (one.risk, one.endpoint, one.path, one.kind)
        yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}"
        yield f'<td class="n">{len(one.cases)}</td></tr>'
    yield "</table></div>"


def _failure(case: CaseOutcome, *, first: bool) -> Iterator[str]:
    yield f"<details{' open' if first else ''}><summary>{_text(case.id)} "
    yield f'<span class="tag bad">{case.status}</span> '
    yield f'<span class="dim">risk {assess(case).risk}</span></summary><div class="in">'
    yield f'<p class="dim">{_text(asked(case))}</p>'
    if case.reason:
        yield f"<p>{_text(case.reason)}</p>"
    for found in case.differences:
        yield from _difference(found)
    for call in case.unanswered:
        yield f"<pre>{_text(str(call))}</pre>"
    yield "</div></details>"


def _difference(found: CaseDifference) -> Iterator[str]:
    spans = [
        f'<span class="{_LOOKS[sign]}">{sign} {_text(line)}</span>'
        for sign, line in changed_lines(found)
    ]
    yield f'<div class="place">{_text(found.place or found.path)}: {_text(found.kind)}</div>'
    yield f"<pre>{''.join(spans)}</pre>"
    if found.asserted:
        yield f'<div class="dim">the case asserts it: <code>{_text(found.asserted)}</code></div>'
    if hint := hint_line(found):
        yield f'<div class="dim">to ignore it: <code>{_text(hint)}</code></div>'


def _table(results: TestResults) -> Iterator[str]:
    for name, status in results.sets.items():
        yield f'<h2>{_text(name)} <span class="dim">{status}</span></h2><div class="wide"><table>'
        yield '<tr><th>Case</th><th>Request</th><th>Status</th><th class="n">Time</th></tr>'
        for case in results.test_cases:
            if case.test_set == name:
                look = {"PASSED": "good", "IGNORED": "dim"}.get(case.status, "bad")
                yield f"<tr><td>{_text(case.name)}</td><td>{_text(asked(case))}</td>"
                yield f'<td class="s {look}">{case.status}</td>'
                yield f'<td class="n">{duration(case.ended_at - case.started_at)}</td></tr>'
        yield "</table></div>"


def _text(text: str) -> str:
    return escape(plain_text(text))
