"""The report: as a table for the terminal, as JSON, and as the generated part of a page."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .measure import Figure
from .reasons import reason
from .row import verdict
from .rows import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .row import Outcome

__all__ = (
    "SUMMARY",
    "Machine",
    "as_json",
    "as_markdown",
    "as_summary",
    "as_text",
    "put_into",
    "shown",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and under which load the rows were measured."""

    python: str
    system: str
    cores: int
    load_before: float | None
    """Runnable processes, mean of one minute; None where the system does not say."""
    load_after: float | None
    effort: str
    """`full` or `quick`."""

    @staticmethod
    def load() -> float | None:
        """Return the load of the last minute, or None."""
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    @classmethod
    def now(cls, *, effort: str, load_before: float | None) -> Machine:
        """Describe this machine at the end of a run."""
        return cls(
            python=f"{platform.python_implementation()} {platform.python_version()}",
            system=f"{platform.system()} {platform.machine()}",
            cores=os.cpu_count() or 1,
            load_before=load_before,
            load_after=cls.load(),
            effort=effort,
        )

    def __str__(self) -> str:
        loads = [f"{load:.1f}" for load in (self.load_before, self.load_after) if load is not None]
        noise = f"load {' to '.join(loads)}" if loads else "load unknown"
        return f"{self.python}, {self.system}, {self.cores} cores, {noise}, {self.effort} run"


def shown(value: float, unit: str = "") -> str:
    """Return a figure with three digits that count: `1.04x`, `57x`, `1,848x`, `0.4 ms`."""
    if value >= 100:  # noqa: PLR2004 - three digits
        text = f"{value:,.0f}"
    elif value >= 10 or (not unit and value == int(value)):  # noqa: PLR2004 - as above
        text = f"{value:.1f}".removesuffix(".0")
    else:
        text = f"{value:.2f}"
    return f"{text}{unit}" if unit in {"x", ""} else f"{text} {unit}"


def _spread(found: Figure | None) -> str:
    if found is None or found.rounds == 1:
        return "-"
    return f"{shown(found.low)} to {shown(found.high)}"


def _best_peer(outcome: Outcome) -> str:
    figures = {
        name: found
        for name, found in outcome.measured.peers.items()
        if isinstance(found, Figure) and not _is_bare(name)
    }
    if not figures:
        return "not measured" if outcome.row.with_peers else "-"
    best = min(figures, key=lambda name: figures[name].median)
    return f"{best}: {shown(figures[best].median, outcome.row.unit)}"


def _is_bare(name: str) -> bool:
    """Whether it stands beside the peers, but is none: what Python offers, or ours once more."""
    return name.startswith(("asyncio.", "bare", "context."))


def _cells(outcome: Outcome) -> tuple[str, ...]:
    row, ours = outcome.row, outcome.measured.ours
    return (
        row.title,
        "-" if ours is None else shown(ours.median, row.unit),
        _spread(ours),
        "-" if row.budget is None else f"≤ {shown(row.budget, row.unit)}",
        verdict(outcome),
        _best_peer(outcome),
    )


_HEAD = ("what", "ours", "quartiles", "budget", "verdict", "best peer")


def as_text(outcomes: Sequence[Outcome], machine: Machine) -> str:
    """Return the report for a terminal."""
    lines = [str(machine)]
    for family, members in _by_family(outcomes):
        table = [_HEAD, *(_cells(outcome) for outcome in members)]
        widths = [max(len(line[column]) for line in table) for column in range(len(_HEAD))]
        lines += ["", FAMILIES[family]]
        lines += [
            "  "
            + "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in table
        ]
        lines += [f"  {key}: {note}" for key, note in _remarks(members)]
    return "\n".join([*lines, "", _summary(outcomes)])


def _summary(outcomes: Sequence[Outcome]) -> str:
    verdicts = [verdict(outcome) for outcome in outcomes]
    counts = {name: verdicts.count(name) for name in dict.fromkeys(verdicts)}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{len(outcomes)} rows: {told}"


def _by_family(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    for family in dict.fromkeys(outcome.row.family for outcome in outcomes):
        yield family, [outcome for outcome in outcomes if outcome.row.family == family]


def _remarks(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    """Yield what does not fit a table, by the key of its row; each text once."""
    told: set[str] = set()
    for outcome in outcomes:
        measured = outcome.measured
        texts = [*measured.facts]
        if measured.broken is not None:
            texts.append(f"not held: {measured.broken}")
        texts += [f"{name}: {why}" for name, why in measured.peers.items() if isinstance(why, str)]
        for text in texts:
            if text not in told:
                told.add(text)
                yield outcome.row.key, text


def as_json(outcomes: Sequence[Outcome], machine: Machine) -> str:
    """Return the whole report as one JSON object."""
    rows = [
        {
            "key": outcome.row.key,
            "title": outcome.row.title,
            "against": outcome.row.against,
            "unit": outcome.row.unit,
            "budget": outcome.row.budget,
            "verdict": verdict(outcome),
            "ours": None if outcome.measured.ours is None else asdict(outcome.measured.ours),
            "peers": {
                name: asdict(found) if isinstance(found, Figure) else {"absent": found}
                for name, found in outcome.measured.peers.items()
            },
            "facts": list(outcome.measured.facts),
            "not_held": outcome.measured.broken,
        }
        for outcome in outcomes
    ]
    return json.dumps({"machine": asdict(machine), "rows": rows}, indent=2, ensure_ascii=False)


def as_markdown(outcomes: Sequence[Outcome], machine: Machine) -> str:
    """Return the generated part of a page."""
    parts = [f"## {machine.python}\n\n{machine}. {_summary(outcomes)}."]
    for family, members in _by_family(outcomes):
        against = dict.fromkeys(outcome.row.against for outcome in members)
        only = f" Against {next(iter(against))}." if len(against) == 1 else ""
        head = _HEAD if only else (*_HEAD, "against")
        rows = [
            _cells(outcome) if only else (*_cells(outcome), outcome.row.against)
            for outcome in members
        ]
        parts.append(f"### {FAMILIES[family]}\n\n" + _table(head, rows))
        if only:
            parts[-1] = f"### {FAMILIES[family]}\n\n{only.strip()}\n\n" + _table(head, rows)
        remarks = [f"- `{key}`: {note}" for key, note in _remarks(members)]
        if remarks:
            parts.append("\n".join(remarks))
    beside = [outcome for outcome in outcomes if outcome.measured.peers]
    if beside:
        tables = [
            _peer_table([outcome for outcome in beside if outcome.row.role == role])
            for role in dict.fromkeys(outcome.row.role for outcome in beside)
        ]
        parts.append("### Peers, row by row\n\n" + "\n\n".join(tables))
    missed = [outcome for outcome in outcomes if verdict(outcome) == "missed"]
    if missed:
        told = [f"- `{one.row.key}`, {_missed(one)}: {reason(one.row.key)}" for one in missed]
        parts.append("### Budgets that are missed, and why\n\n" + "\n".join(told))
    return "\n\n".join(parts)


def _missed(outcome: Outcome) -> str:
    _, ours, _, budget, _, _ = _cells(outcome)
    return f"{ours} ({budget})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _peer_table(outcomes: Sequence[Outcome]) -> str:
    names = list(dict.fromkeys(name for one in outcomes for name in one.measured.peers))
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        cells = [outcome.row.title]
        ours = outcome.measured.ours
        cells.append("-" if ours is None else shown(ours.median, outcome.row.unit))
        for name in names:
            found = outcome.measured.peers.get(name)
            cells.append(
                shown(found.median, outcome.row.unit) if isinstance(found, Figure) else "-"
            )
        rows.append(tuple(cells))
    return _table(("what", "ours", *names), rows)


SUMMARY = (
    "chain.10.input.off",
    "chain.100.input.off",
    "chain.10.input.recorder",
    "fan-out.10.suspending.off",
    "import.core",
    "failure.frames",
)
"""The rows that the README shows."""


def as_summary(outcomes: Sequence[Outcome], machine: Machine) -> str:
    """Return the few rows that a first page shows; those that were not measured are left out."""
    by_key = {outcome.row.key: outcome for outcome in outcomes}
    found = [by_key[key] for key in SUMMARY if key in by_key]
    rows = [(one.row.title, *_cells(one)[1:2], _cells(one)[5], one.row.against) for one in found]
    return f"{machine.python}:\n\n{_table(('what', 'ours', 'best peer', 'against'), rows)}"


def put_into(page: str, text: str, part: str = "") -> str:
    """Replace a generated part of a page; add it if it is new.

    Args:
        page: The page as it is.
        text: What stands between the part's markers afterwards.
        part: The name in the markers. Default: this version of Python.

    Raises:
        ValueError: A marker has lost its counterpart.
    """
    part = part or f"{sys.version_info.major}.{sys.version_info.minor}"
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
