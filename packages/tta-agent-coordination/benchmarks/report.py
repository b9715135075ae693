"""The report: for the terminal, and as the generated part of a page; both are Markdown."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .measure import figure, verdict
from .reasons import reason
from .shoot_out import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .measure import Figure, Goal, Sample
    from .shoot_out import Results

__all__ = ("Machine", "as_json", "as_markdown", "put_into", "shown", "table")

TITLES = {
    "send": "send",
    "send_batches": "send 100",
    "take": "receive + ack",
    "take_batches": "receive + ack 100",
    "take_by_four": "4 consumers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and under which load it was measured."""

    server: str
    load_before: float
    load_after: float
    effort: str
    rounds: int

    @staticmethod
    def load() -> float:
        """Return the load of the last minute."""
        return os.getloadavg()[0]

    def __str__(self) -> str:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return (
            f"{self.server}; {python}, {platform.system()} {platform.machine()}, "
            f"{os.cpu_count()} cores, load {self.load_before:.1f} to {self.load_after:.1f}, "
            f"{self.effort} run of {self.rounds} rounds"
        )


def shown(value: float, unit: str = "") -> str:
    """Return a figure with three digits that count."""
    if value >= 100:  # noqa: PLR2004 - three digits
        text = f"{value:,.0f}"
    elif value >= 10:  # noqa: PLR2004 - as above
        text = f"{value:.1f}".removesuffix(".0")
    else:
        text = f"{value:.2f}".removesuffix(".00")
    return f"{text}{unit}" if unit in {"x", "", "/s"} else f"{text} {unit}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(found: Figure | None) -> str:
    if found is None or found.rounds == 1:
        return "-"
    return f"{shown(found.low)} to {shown(found.high)}"


def _goal(goal: Goal) -> tuple[str, ...]:
    sign = "≤" if goal.sense == "at most" else "≥"
    return (
        f"`{goal.key}`",
        goal.title,
        "-" if goal.found is None else shown(goal.found.median, goal.unit),
        _spread(goal.found),
        f"{sign} {shown(goal.budget, goal.unit)}",
        verdict(goal),
    )


def _median(samples: Sequence[Sample], what: str) -> float:
    return figure([getattr(sample, what) for sample in samples]).median


def _by_phase(results: Results, cell: Callable[[Sequence[Sample]], str]) -> list[list[str]]:
    return [
        [
            name,
            results.kinds[name],
            *(cell(phases[phase]) if phase in phases else "-" for phase in PHASES),
        ]
        for name, phases in results.samples.items()
    ]


def as_markdown(
    goals: Sequence[Goal], results: Results, missing: Mapping[str, str], machine: Machine
) -> str:
    """Return the whole report."""
    verdicts = [verdict(goal) for goal in goals]
    counts = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
    parts = [
        f"{machine}. {len(goals)} rows: {counts}.",
        "### Goals",
        table(("goal", "what", "ours", "quartiles", "budget", "verdict"), map(_goal, goals)),
    ]
    facts = list(dict.fromkeys(f"- `{goal.key}`: {fact}" for goal in goals for fact in goal.facts))
    if facts:
        parts.append("\n".join(facts))
    heads = ("contender", "kind", *(TITLES[phase] for phase in PHASES))
    parts += [
        "### Messages per second",
        table(heads, _by_phase(results, lambda samples: shown(1e6 / _median(samples, "wall")))),
        "### Processor time per message: client + server, in µs",
        table(
            heads,
            _by_phase(
                results,
                lambda samples: (
                    f"{shown(_median(samples, 'client'))} + {shown(_median(samples, 'server'))}"
                ),
            ),
        ),
        "### Commands per message, those inside scripts included, and bytes per queued message",
        table(
            (*heads, "bytes"),
            [
                [*line, f"{results.memory[line[0]]:,.0f}"]
                for line in _by_phase(
                    results, lambda samples: shown(round(_median(samples, "commands"), 2))
                )
            ],
        ),
    ]
    absent = [*missing.items(), *results.failed.items()]
    if absent:
        parts.append("Not measured:\n\n" + "\n".join(f"- {name}: {why}" for name, why in absent))
    missed = [goal for goal in goals if verdict(goal) == "missed"]
    if missed:
        parts.append(
            "### Goals that are missed, and why\n\n"
            + "\n".join(
                f"- `{goal.key}`, {_goal(goal)[2]} ({_goal(goal)[4]}): {reason(goal.key)}"
                for goal in missed
            )
        )
    return "\n\n".join(parts)


def as_json(
    goals: Sequence[Goal], results: Results, missing: Mapping[str, str], machine: Machine
) -> str:
    """Return the whole report as one JSON object."""
    return json.dumps(
        {
            "machine": {**asdict(machine), "text": str(machine)},
            "goals": [{**asdict(goal), "verdict": verdict(goal)} for goal in goals],
            "contenders": {
                name: {
                    "kind": results.kinds[name],
                    "bytes": results.memory[name],
                    "phases": {
                        phase: [asdict(sample) for sample in samples]
                        for phase, samples in phases.items()
                    },
                }
                for name, phases in results.samples.items()
            },
            "missing": {**missing, **results.failed},
        },
        indent=2,
        ensure_ascii=False,
    )


def put_into(page: str, text: str, part: str) -> str:
    """Replace a generated part of a page; add it if it is new.

    Raises:
        ValueError: A marker has lost its counterpart.
    """
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    block = f"{begin}\n\n{text}\n\n{end}"
    if begin not in page and end not in page:
        return f"{page.rstrip()}\n\n{block}\n"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        message = f"the page has only one of the markers {begin!r} and {end!r}, or in wrong order"
        raise ValueError(message)
    return f"{before}{block}{after}"
