"""The report: a table for the terminal and for a page, what is missed, and why."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Final

from .measure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .measure import Outcome

__all__ = ("FAMILIES", "as_markdown", "machine", "put_into", "shown")

FAMILIES: Final = {
    "record": "In the way of the traffic",
    "outbound": "Outbound calls",
    "inbound": "Replaying test cases",
    "fidelity": "Fidelity",
}
"""What the first part of a row's key means."""
_BUSY: Final = (
    "the machine was busy with other programs, as the quartiles show; beside that, the thread that "
    "redacts and writes wants the interpreter lock while the server answers"
)
REASONS: Final[dict[str, str]] = {
    "record.middleware.in-process": (
        "watching the messages of ASGI costs 0.06 of a call that does nothing else, taking them "
        "down 0.04, and 0.05 that they lie in memory until the writer has its turn; what the "
        "writer then does adds 0.01 to this thread"
    ),
    "record.middleware.server": _BUSY,
    "record.middleware.saturated": _BUSY,
    "record.proxy": _BUSY,
    "outbound.record.aiohttp": (
        "at its budget, which lies between the quartiles; a live call of aiohttp takes half to two "
        "thirds of the time of the others', so that what is added weighs more"
    ),
}
"""Why a budget is missed, by the key of the row, found by leaving parts out and measuring again."""


def machine() -> str:
    """Describe this machine in a line."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}"


def shown(value: float, unit: str = "") -> str:
    """Return a figure with three digits that count."""
    if not unit or value >= 100:  # noqa: PLR2004 - three digits
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above
    return f"{text}{unit}" if unit in {"x", ""} else f"{text} {unit}"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    ours = outcome.ours
    spread = "-"
    if ours is not None and ours.low != ours.high:
        spread = f"{shown(ours.low, outcome.unit)} to {shown(ours.high, outcome.unit)}"
    sign = "≥" if outcome.least else "≤"
    peers = "; ".join(
        f"{name}: {shown(found.median, outcome.unit)}"
        for name, found in outcome.peers.items()
        if isinstance(found, Figure)
    )
    return (
        outcome.title,
        "-" if ours is None else shown(ours.median, outcome.unit),
        spread,
        "-" if outcome.budget is None else f"{sign} {shown(outcome.budget, outcome.unit)}",
        outcome.verdict,
        peers or "-",
        outcome.against,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_markdown(outcomes: Sequence[Outcome], about: str) -> str:
    """Return the generated part of the page."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    parts = [f"{about}. {len(outcomes)} rows: {told}."]
    head = ("what", "ours", "quartiles", "budget", "verdict", "peers", "against")
    for family, title in FAMILIES.items():
        members = [each for each in outcomes if each.key.partition(".")[0] == family]
        if not members:
            continue
        parts.append(f"### {title}\n\n{_table(head, [_cells(each) for each in members])}")
        remarks = [f"- {each.title}: {fact}" for each in members for fact in each.facts]
        remarks += [
            f"- {each.title}: {name} {found}"
            for each in members
            for name, found in each.peers.items()
            if isinstance(found, str)
        ]
        if remarks:
            parts.append("\n".join(remarks))
    missed = [each for each in outcomes if each.verdict == "missed"]
    if missed:
        lines = [
            f"- `{each.key}`, {_cells(each)[1]} ({_cells(each)[3]}): "
            f"{REASONS.get(each.key, 'not explained yet')}"
            for each in missed
        ]
        parts.append("Missed, and why:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def put_into(page: str, text: str, part: str) -> str:
    """Replace a generated part of a page; add it if it is new.

    Args:
        page: The page as it is.
        text: What stands between the part's markers afterwards.
        part: The name in the markers.

    Raises:
        ValueError: A marker has lost its counterpart.
    """
    begin, end = f"<!-- begin benchmarks {part} -->", f"<!-- end benchmarks {part} -->"
    block = f"{begin}\n\n{text}\n\n{end}"
    if begin not in page and end not in page:
        return f"{page.rstrip()}\n\n{block}\n"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        message = f"the page has only one of the markers {begin!r} and {end!r}, or in wrong order"
        raise ValueError(message)
    return f"{before}{block}{after}"
