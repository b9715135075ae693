"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from tta_agent_coordination.testing import RedisServer

from . import alone, services
from .measure import FULL, QUICK, Meter
from .peers import NAMES, find
from .ratios import ratios
from .report import Machine, as_json, as_markdown, put_into
from .shoot_out import Results, shoot_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .measure import Effort, Goal
    from .peers import Contender

__all__ = ("main",)

ALONE: dict[str, Callable[[Meter, int, Effort], Awaitable[list[Goal]]]] = {
    "latency": alone.latency,
    "depth": alone.depth,
    "memory": alone.memory,
    "fencing": alone.fencing,
    "fairness": alone.fairness,
    "registry": services.registry,
    "breaker": services.breaker,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure the mailboxes beside plain commands and their peers, on one server.",
        epilog="A goal that is missed is reported, not punished: the exit code is 0. It is 1 if "
        "something could not be run, 2 if the command line is wrong.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a first look: fewer and shorter rounds")
    add(
        "--peers",
        default=",".join(NAMES),
        metavar="NAMES",
        help=f"peers, separated by commas, or none; default {', '.join(NAMES)}",
    )
    add(
        "--parts",
        default=",".join(("shoot-out", *ALONE)),
        metavar="NAMES",
        help=f"what to measure; default shoot-out, {', '.join(ALONE)}",
    )
    add("--server", default="redis-server", metavar="PROGRAM", help="the server to start")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON as well")
    add("--markdown", type=Path, metavar="FILE", help="put the report between a page's markers")
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
    parts = [name for name in options.parts.split(",") if name]
    for kind, given, known in (("peer", names, NAMES), ("part", parts, ("shoot-out", *ALONE))):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown {kind} {', '.join(unknown)}; there are {', '.join(known)}")
    warnings.simplefilter("ignore")  # the peers' own
    load = Machine.load()
    effort = QUICK if options.quick else FULL
    contenders, missing = find(names)
    with RedisServer(options.server, ("--maxmemory", "0")) as server:
        client: Any = redis.Redis(port=server.port)
        with client:
            about: dict[str, Any] = client.info("server")
        which = f"{about.get('server_name', 'redis')} {about['redis_version']}"
        goals, results = asyncio.run(
            _measured(server.port, effort, parts, contenders if "shoot-out" in parts else [])
        )
    machine = Machine(
        server=which,
        load_before=load,
        load_after=Machine.load(),
        effort="quick" if options.quick else "full",
        rounds=effort.rounds,
    )
    text = as_markdown(goals, results, missing, machine)
    print(text)
    if options.json is not None:
        options.json.write_text(as_json(goals, results, missing, machine) + "\n", "utf-8")
    if options.markdown is not None:
        page = options.markdown.read_text("utf-8") if options.markdown.exists() else ""
        options.markdown.write_text(put_into(page, text, "benchmarks"), "utf-8")
    return int(bool(results.failed))


async def _measured(
    port: int, effort: Effort, parts: Sequence[str], contenders: Sequence[Contender]
) -> tuple[list[Goal], Results]:
    meter = Meter(port)
    apart = gc.get_freeze_count()
    gc.collect()
    gc.freeze()  # what the peers' imports left is not to be walked in every block
    try:
        results = await shoot_out(contenders, meter, port, effort) if contenders else Results()
        goals = ratios(results) if contenders else []
        for name, measure in ALONE.items():
            if name not in parts:
                continue
            _tell(name)
            goals += await measure(meter, port, effort)
    finally:
        if not apart:  # else whoever did that would walk again what he has set apart
            gc.unfreeze()
        meter.close()
    return sorted(goals, key=lambda goal: _number(goal.key)), results


def _number(key: str) -> float:
    """Return where a goal stands in the list: G2 before G2b before G10."""
    digits = key.partition(".")[0].removeprefix("G")
    return float(digits.removesuffix("b")) + digits.endswith("b") / 2


def _tell(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name} ", end="", file=sys.stderr, flush=True)
