"""What `import` costs: fresh interpreters, started in turn."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from .measure import figure
from .row import Measured, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort, Figure
    from .row import Peers

__all__ = ("rows",)

_BASELINE = "import asyncio"
_THREE = "from tta_dev_primitives import WorkflowPrimitive, Sequential, Parallel"
_ADDED = f"import asyncio; {_THREE}"
_EVERY = "import tta_dev_primitives as t; [getattr(t, name) for name in t.__all__]"
_TIMED = """\
from time import process_time as now
began = now()
{statement}
print(now() - began)
"""
_LISTED = """\
import sys
before = set(sys.modules)
{statement}
tops = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(" ".join(sorted(tops - set(sys.stdlib_module_names) - {{"tta_dev_primitives"}})))
"""
_PATIENCE = 120.0  # seconds for one interpreter


def rows() -> Iterator[Row]:
    """Yield rows about time and about what is loaded."""
    yield Row(
        key="import.core",
        title=f"`{_THREE}`",
        against=f"`{_BASELINE}`",
        unit="x",
        budget=1.1,
        measure=_core,
        with_peers=True,
    )
    yield Row(
        key="import.core-after-asyncio",
        title="`import asyncio` and the same, as in a program that runs what it composes",
        against=f"`{_BASELINE}`",
        unit="x",
        budget=None,
        measure=_after_asyncio,
    )
    yield Row(
        key="import.everything",
        title="every exported name touched",
        against=f"`{_BASELINE}`",
        unit="x",
        budget=1.6,
        measure=_everything,
    )
    yield Row(
        key="import.third-parties",
        title="third-party packages that are loaded by every exported name",
        against="packages",
        unit="",
        budget=0.0,
        measure=_third_parties,
    )


async def _core(effort: Effort, peers: Peers) -> Measured:
    reasons: dict[str, str] = {}
    statements: dict[str, str] = {"": _THREE}
    for name, peer in peers.items():
        if isinstance(peer, str):
            reasons[name] = peer
        else:
            statements[name] = peer.statement
    figures = _compare(statements, effort.fresh)
    others: dict[str, Figure | str] = {name: found for name, found in figures.items() if name}
    return Measured(ours=figures[""], peers={**others, **reasons})


async def _after_asyncio(effort: Effort, peers: Peers) -> Measured:
    del peers
    return Measured(ours=_compare({"": _ADDED}, effort.fresh)[""])


async def _everything(effort: Effort, peers: Peers) -> Measured:
    del peers
    return Measured(ours=_compare({"": _EVERY}, effort.fresh)[""])


async def _third_parties(effort: Effort, peers: Peers) -> Measured:
    del effort, peers
    loaded = _fresh(_LISTED.format(statement=_EVERY)).split()
    return Measured(ours=figure([len(loaded)]), facts=tuple(loaded))


def _compare(statements: dict[str, str], rounds: int) -> dict[str, Figure]:
    """Time each statement between two imports of asyncio, in turn."""
    for statement in (_BASELINE, *statements.values()):
        _seconds(statement)  # warms the byte code and the disk's cache
    ratios: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        before = _seconds(_BASELINE)
        for name, statement in statements.items():
            took = _seconds(statement)
            after = _seconds(_BASELINE)
            ratios[name].append(2 * took / (before + after))
            before = after
    return {name: figure(values) for name, values in ratios.items()}


def _seconds(statement: str) -> float:
    return float(_fresh(_TIMED.format(statement=statement)))


def _fresh(code: str) -> str:
    """Return what a new interpreter prints that may write byte code."""
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(  # noqa: S603 - this very interpreter and code of this file
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
        env=environment,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        message = f"a fresh interpreter failed: {last[0]}"
        raise RuntimeError(message)
    return done.stdout
