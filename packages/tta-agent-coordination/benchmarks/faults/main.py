"""The command line of the faults."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tta_agent_coordination.testing import LocalSentinel, RedisServer

from ..report import Machine, put_into, table  # noqa: TID252 - tests load it by another name
from .kills import kills
from .loads import AOF, Load, failover, killing, restart, stall, under_load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kills import Kills
    from .loads import Tally

__all__ = ("main",)

LONGEST = 4000
"""A clue to a loss is cut after so many characters."""
SCENARIOS = ("kills", "kill-under-load", "restart", "stall", "failover", "failover-replicated")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.faults",
        description="Kill consumers, stop and replace servers, and count what is lost.",
        epilog="The exit code is 1 if a confirmed message was lost or doubled where that must not "
        "happen: anywhere but at a fail-over, and at one with min_replicas none may be lost.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="10 killed consumers, and each scenario once")
    add("--kills", type=int, default=100, help="consumers to kill; default 100")
    add("--times", type=int, default=3, help="runs of each other scenario; default 3")
    add(
        "--only",
        default=",".join(SCENARIOS),
        metavar="NAMES",
        help=f"scenarios, separated by commas; default {', '.join(SCENARIOS)}",
    )
    add("--server", default="redis-server", metavar="PROGRAM", help="the server to start")
    add("--markdown", type=Path, metavar="FILE", help="put the report between a page's markers")
    return parser


async def _kills(program: str, runs: int) -> Kills:
    with RedisServer(program) as server:
        return await kills(server.port, runs)


async def _loads(program: str, name: str, times: int) -> list[Tally]:
    tallies: list[Tally] = []
    for _ in range(times):
        if name.startswith("failover"):
            replicas = int(name == "failover-replicated")
            with LocalSentinel(program) as group:
                # Slower work, so that there are messages that nobody has taken yet.
                load = Load(messages=1500, min_replicas=replicas, work=0.016)
                where = f"sentinel:{group.watcher.port}"
                tallies.append(await under_load(where, load, failover(group)))
            continue
        with RedisServer(program, AOF) as server:
            event, load = {
                "kill-under-load": (killing(3), Load()),
                "restart": (restart(server), Load()),
                "stall": (stall(server, 7), Load(messages=1500)),
            }[name]
            tallies.append(await under_load(str(server.port), load, event))
    return tallies


TITLES = {
    "kill-under-load": "three consumers killed under load (SIGKILL), and replaced",
    "restart": "server killed under load, started again after 1 s on its AOF (`everysec`)",
    "stall": "server stands still for 7 s under load (SIGSTOP)",
    "failover": "master killed under load, replicas cut off 0.3 s before, a Sentinel promotes one",
    "failover-replicated": "the same with `min_replicas=1`",
}


def _line(name: str, tallies: Sequence[Tally]) -> list[str]:
    resumed = [tally.resumed for tally in tallies if tally.resumed is not None]
    return [
        TITLES[name],
        str(len(tallies)),
        f"{sum(tally.confirmed for tally in tallies):,}",
        str(sum(tally.lost for tally in tallies)),
        str(sum(tally.doubled for tally in tallies)),
        str(sum(tally.again for tally in tallies)),
        f"{sum(tally.send_errors for tally in tallies):,}",
        "-" if not resumed else f"{statistics.median(resumed):.2f} ({max(resumed):.2f})",
    ]


def _killed(found: Kills) -> str:
    delays = [delay * 1000 for delay in found.delays]
    late = statistics.quantiles(delays, n=100, method="inclusive")[98] if delays[1:] else 0
    within = sum(delay <= 250 for delay in delays)  # noqa: PLR2004 - the goal
    return (
        f"{found.runs} consumers killed with a message in hand, on queues where nothing else "
        f"happens (G10): {found.lost} lost, {found.doubled} doubled. From the end of the lease "
        f"until somebody else had the message: median {statistics.median(delays):.0f} ms, 99th "
        f"percentile {late:.0f} ms, longest {max(delays):.0f} ms; {within} of {len(delays)} within "
        "250 ms."
    )


async def _run(options: argparse.Namespace, names: Sequence[str]) -> tuple[list[str], bool]:
    parts: list[str] = []
    good = True
    rows: list[list[str]] = []
    for name in names:
        if name == "kills":
            found = await _kills(options.server, 10 if options.quick else options.kills)
            parts.append(_killed(found))
            good = good and not found.lost and not found.doubled
            continue
        tallies = await _loads(options.server, name, 1 if options.quick else options.times)
        if name != "failover":  # where it is known why
            for clue in [clue for tally in tallies for clue in tally.clues]:
                print(f"{clue:.{LONGEST}}", file=sys.stderr)
        rows.append(_line(name, tallies))
        lost, doubled = (any(getattr(one, what) for one in tallies) for what in ("lost", "doubled"))
        # Without replicas that must confirm, a fail-over may lose; and what was worked on, but not
        # passed on, the new master does not know.
        good = good and not (lost and name != "failover")
        good = good and not (doubled and not name.startswith("failover"))
    if rows:
        head = (
            *("what happens", "runs", "confirmed", "lost", "doubled", "redelivered"),
            *("failed sends", "resumed after s (longest)"),
        )
        parts.append(table(head, rows))
    return parts, good


def main(arguments: Sequence[str] | None = None) -> int:
    """Break things and report; see `python -m benchmarks.faults --help`.

    Args:
        arguments: The command line; default that of the process.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [name for name in options.only.split(",") if name]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"unknown scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    load = Machine.load()
    parts, good = asyncio.run(_run(options, names))
    text = "\n\n".join([*parts, f"Load of the machine {load:.1f} to {Machine.load():.1f}."])
    print(text)
    if options.markdown is not None:
        page = options.markdown.read_text("utf-8") if options.markdown.exists() else ""
        options.markdown.write_text(put_into(page, text, "faults"), "utf-8")
    return int(not good)
