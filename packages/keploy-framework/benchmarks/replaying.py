"""What a replay of recorded test cases costs, and loading them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.replay import replay
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.writer import SetWriter

from .in_the_way import BODY, app, in_process
from .measure import Outcome, figure, ratio

if TYPE_CHECKING:
    from collections.abc import Generator

    from .measure import Effort

__all__ = ("rows",)

_CASES = 1_000
_LOADED = 0.5
_SENT = (
    ("content-type", "application/json"),
    ("content-length", str(len(BODY))),
)


def _written(folder: Path) -> None:
    """Write a set of test cases that `app` passes."""
    store = KeployFolder(folder)
    store.create_set("test-set-0")
    writer = SetWriter(store, "test-set-0", names=CaseNames([]))
    for number in range(_CASES):
        writer.add(
            Exchange(
                id=str(number),
                direction=Direction.INBOUND,
                request=Request("GET", f"http://a/items/{number}", (("host", "a"),)),
                response=Response(200, "OK", _SENT, (Piece(0.001, BODY),)),
                started_at=number * 1_000_000,
                ended_at=number * 1_000_000 + 500_000,
            )
        )
    writer.finish()


def rows(effort: Effort) -> Generator[Outcome]:
    """Measure loading and replaying a thousand cases."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "keploy"
        _written(folder)

        def loaded() -> float:
            began = time.process_time()
            cases = list(KeployFolder(folder).set("test-set-0"))
            took = time.process_time() - began
            if len(cases) != _CASES:
                raise RuntimeError(f"{len(cases)} cases were loaded")
            return took

        def replayed() -> float:
            began = time.process_time()
            results = asyncio.run(replay(app, folder))
            took = time.process_time() - began
            if results.passed != _CASES:
                raise RuntimeError(str(results)[:500])
            return took

        loads = figure([loaded() for _ in range(max(3, effort.rounds // 3))])
        yield Outcome(
            key="inbound.load",
            title=f"load {_CASES:,} test cases with their sidecars",
            against="seconds of processor time",
            unit="s",
            budget=_LOADED,
            ours=loads,
        )
        whole = figure([replayed() for _ in range(max(3, effort.rounds // 3))])
        each = (whole.median - loads.median) / _CASES * 1e6
        yield Outcome(
            key="inbound.replay",
            title=f"replay {_CASES:,} test cases in process, loading included",
            against="the same requests with httpx ASGITransport, nothing compared",
            unit="x",
            budget=None,
            ours=ratio(max(3, effort.rounds // 3), lambda: in_process(app, _CASES), replayed),
            facts=(
                f"sending and matching alone: {each:.0f} µs a case",
                f"{1e6 / each:,.0f} cases a second",
            ),
        )
