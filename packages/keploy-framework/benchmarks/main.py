"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import in_the_way, outbound, replaying, true_copies
from .measure import FULL, QUICK
from .report import FAMILIES, as_markdown, machine, put_into

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .measure import Effort, Outcome

__all__ = ("main",)

_ROWS: Final[dict[str, Callable[[Effort], Iterator[Outcome]]]] = {
    "record": in_the_way.rows,
    "outbound": outbound.rows,
    "inbound": replaying.rows,
    "fidelity": true_copies.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; see `python -m benchmarks --help`.

    Args:
        arguments: The command line; default that of the process.

    Returns:
        The exit code: 1 if a family of rows could not be run. A budget that is missed is reported,
        not punished.
    """
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure recording and replaying beside the peers, in one run.",
    )
    add = parser.add_argument
    add("families", nargs="*", help=f"only these: {', '.join(_ROWS)}; default all")
    add("--quick", action="store_true", help="a first look: fewer and shorter rounds")
    add("--markdown", type=Path, metavar="FILE", help="put the report between a page's markers")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.families if name not in _ROWS]:
        parser.error(f"unknown families {', '.join(unknown)}; there are {', '.join(_ROWS)}")
    logging.disable(logging.CRITICAL)
    outcomes: list[Outcome] = []
    failed = False
    about = machine()
    for family in options.families or _ROWS:
        try:
            for outcome in _ROWS[family](QUICK if options.quick else FULL):
                print(f"{outcome.key}: {outcome.verdict}", file=sys.stderr, flush=True)
                outcomes.append(outcome)
        except Exception as error:  # noqa: BLE001 - the other rows are still worth having
            failed = True
            print(f"{FAMILIES[family]}: {type(error).__name__}: {error}", file=sys.stderr)
    about = f"{about}, {'quick' if options.quick else 'full'} run"
    print(as_markdown(outcomes, about))
    if options.markdown is not None:
        page = options.markdown.read_text(encoding="utf-8") if options.markdown.exists() else ""
        for family in FAMILIES:  # each is a part of its own, so that one can be renewed
            members = [each for each in outcomes if each.key.startswith(f"{family}.")]
            if members:
                page = put_into(page, as_markdown(members, about), family)
        options.markdown.write_text(page, encoding="utf-8")
    return int(failed)
