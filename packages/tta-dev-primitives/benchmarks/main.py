"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .measure import FULL, QUICK
from .peers import NAMES, beside_role, find
from .report import Machine, as_json, as_markdown, as_summary, as_text, put_into
from .row import Measured, Outcome
from .rows import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .measure import Effort
    from .peers import Guard, Peer
    from .row import Row

__all__ = ("main", "measured")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure the engine against bare awaits and its peers, in one run.",
        epilog="A budget that is missed is reported, not punished: the exit code is 0. It is 1 if "
        "a row could not be run, 2 if the command line is wrong.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a first look: fewer and shorter rounds")
    add(
        "--rows",
        default="",
        metavar="KEYS",
        help="only these rows: keys, beginnings or patterns with *, separated by commas",
    )
    add(
        "--peers",
        default=",".join(NAMES),
        metavar="NAMES",
        help=f"peers to run beside, separated by commas, or none; default {', '.join(NAMES)}",
    )
    add("--json", type=Path, metavar="FILE", help="write the report as JSON as well")
    add("--markdown", type=Path, metavar="FILE", help="put the report between a page's markers")
    add("--summary", type=Path, metavar="FILE", help="put the few chief rows into a page")
    add("--list", action="store_true", help="print the keys of all rows and their budgets")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; see `python -m benchmarks --help`.

    Args:
        arguments: The command line; default that of the process.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [name for name in options.peers.split(",") if name and name != "none"]
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"unknown peers {', '.join(unknown)}; there are {', '.join(NAMES)}")
    try:
        rows = select([pattern for pattern in options.rows.split(",") if pattern])
    except LookupError as error:
        parser.error(str(error))
    if options.list:
        for row in rows:
            budget = "no budget" if row.budget is None else f"at most {row.budget:g} {row.unit}"
            print(f"{row.key:32} {budget:18} {row.title}")
        return 0
    load = Machine.load()
    effort = QUICK if options.quick else FULL
    outcomes = asyncio.run(measured(rows, effort, find(names)))
    machine = Machine.now(effort="quick" if options.quick else "full", load_before=load)
    print(as_text(outcomes, machine))
    if options.json is not None:
        options.json.write_text(as_json(outcomes, machine) + "\n", encoding="utf-8")
    if options.markdown is not None:
        page = options.markdown.read_text(encoding="utf-8") if options.markdown.exists() else ""
        options.markdown.write_text(
            put_into(page, as_markdown(outcomes, machine)), encoding="utf-8"
        )
    if options.summary is not None:
        page = options.summary.read_text(encoding="utf-8") if options.summary.exists() else ""
        options.summary.write_text(
            put_into(page, as_summary(outcomes, machine), "summary"), encoding="utf-8"
        )
    return int(any(outcome.measured.ours is None and _failed(outcome) for outcome in outcomes))


def _failed(outcome: Outcome) -> bool:
    return any(fact.startswith(_COULD_NOT) for fact in outcome.measured.facts)


_COULD_NOT = "could not be run: "


async def measured(
    rows: Sequence[Row], effort: Effort, peers: Mapping[str, Peer | Guard | str]
) -> list[Outcome]:
    """Measure the rows one after another; one that fails says why and stops no other."""
    apart = gc.get_freeze_count()
    gc.collect()
    gc.freeze()  # what the peers' imports left is not to be walked in every round
    try:
        outcomes: list[Outcome] = []
        for number, row in enumerate(rows, 1):
            if sys.stderr.isatty():
                print(
                    f"\r\x1b[K{number}/{len(rows)} {row.key}", end="", file=sys.stderr, flush=True
                )
            try:
                found = await row.measure(effort, beside_role(peers, row.role))
            except Exception as error:  # noqa: BLE001 - the other rows are still worth having
                found = Measured(ours=None, facts=(f"{_COULD_NOT}{type(error).__name__}: {error}",))
            outcomes.append(Outcome(row=row, measured=found))
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        return outcomes
    finally:
        if not apart:  # else whoever did that would walk again what he has set apart
            gc.unfreeze()
