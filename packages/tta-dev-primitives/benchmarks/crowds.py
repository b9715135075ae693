"""Many executions of one workflow at the same time: their memory, and the tasks they leave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .measure import figure
from .peers import distribution
from .row import Measured, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort, Figure
    from .row import Peers

__all__ = ("rows",)

_GIGABYTE = 1_000.0
_PATIENCE = 300.0  # seconds for one process
_PACKAGE = Path(__file__).resolve().parent.parent


def rows() -> Iterator[Row]:
    """Yield rows about a chain and about a fan-out."""
    yield Row(
        key="crowd.chain",
        title="10,000 executions of a chain of 3, default recorder: peak memory of the process",
        against="all wait in the middle step at once",
        unit="MB",
        budget=_GIGABYTE,
        measure=_chain,
        with_peers=True,
    )
    yield Row(
        key="crowd.fan-out",
        title="10,000 executions of a chain with a fan-out of 2: peak memory of the process",
        against="all 20,000 branches wait at once",
        unit="MB",
        budget=_GIGABYTE,
        measure=_fan_out,
    )


async def _chain(effort: Effort, peers: Peers) -> Measured:
    others: dict[str, Figure | str] = {"bare await": _peak("bare", effort.crowd)[0]}
    for name, peer in peers.items():
        if isinstance(peer, str):
            others[name] = peer
        elif not peer.concurrent:
            others[name] = "one workflow object runs one execution at a time"
        else:
            try:
                others[name] = _peak(distribution(name), effort.crowd)[0]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                others[name] = str(error)
    return _ours("chain", effort, others)


async def _fan_out(effort: Effort, peers: Peers) -> Measured:
    del peers
    return _ours("fan-out", effort, {})


def _ours(subject: str, effort: Effort, others: dict[str, Figure | str]) -> Measured:
    found, news = _peak(subject, effort.crowd)
    left, wrong = news["left"], news["wrong"]
    return Measured(
        ours=found,
        peers=others,
        facts=(
            (
                f"{effort.crowd:,} executions, {left} tasks left, {wrong} wrong results; "
                f"{news['before'] or 0:.0f} MB before they began"
            ),
        ),
        broken=f"{left} tasks left, {wrong} wrong results" if left or wrong else None,
    )


def _peak(subject: str, count: int) -> tuple[Figure, dict[str, Any]]:
    """Run a crowd in a process of its own.

    Raises:
        RuntimeError: It failed, or this system does not tell a process's peak.
    """
    done = subprocess.run(  # noqa: S603 - this very interpreter and a module of this folder
        [sys.executable, "-m", "benchmarks.crowd", subject, str(count)],
        cwd=_PACKAGE,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(last[0])
    news: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if news["peak"] is None:
        message = "this system does not tell the peak memory of a process"
        raise RuntimeError(message)
    return figure([news["peak"]]), news
