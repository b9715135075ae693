"""How good the cache's eviction is, and what it costs, beside other caches and the optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import traces
from .measure import figure
from .peers import distribution
from .row import Measured, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort, Figure
    from .row import Guards
    from .traces import Cell, Replay

__all__ = ("rows",)

OURS = "s3-fifo"
"""The policy that a cache has by default."""
_LEFT = 50.0  # percent
_COST = 2.2
_TRACE = "zipf 1.0"  # the one that costs are shown for


def rows() -> Iterator[Row]:
    """Yield rows about the default policy."""
    yield Row(
        key="cache.hit-ratio",
        title="S3-FIFO: the part of the way from LRU to the optimum that is left",
        against="hits of LRU and of Belady's optimum, the mean of four traces with two sizes",
        unit="%",
        budget=_LEFT,
        measure=_left,
        with_peers=True,
        role="eviction",
    )
    yield Row(
        key="cache.policy-cost",
        title="S3-FIFO: an access, hits and misses as they come",
        against=f"`functools.lru_cache`, written in C: {_TRACE} @ {max(traces.SHARES):.0%} alone, "
        "where hits are many; `python -m benchmarks.traces` has the mean of all, which is dearer",
        unit="x",
        budget=_COST,
        measure=_cost,
        with_peers=True,
        role="eviction",
    )


async def _left(effort: Effort, peers: Guards) -> Measured:
    replays, reasons = _replays(peers)
    cells = traces.measure(traces.traces(effort.requests), replays)
    found = {name: _left_open(cells, name) for name in replays}
    below = [f"{cell.trace} @ {cell.share:.0%}" for cell in cells if cell.closed(OURS) < 0]
    worst = {name: _worst(cells, name) for name in replays}
    return Measured(
        ours=found.pop(OURS),
        peers={**found, **reasons},
        facts=tuple(
            f"{name} does worst with {cell.trace} @ {cell.share:.0%}: "
            f"{cell.ratios[name]:.3f} of the requests hit, {cell.lru:.3f} with LRU, "
            f"{cell.optimum:.3f} at best"
            for name, cell in worst.items()
        ),
        broken=f"below LRU in {', '.join(below)}" if below else None,
    )


def _worst(cells: list[Cell], name: str) -> Cell:
    return min(cells, key=lambda cell: cell.closed(name))


def _left_open(cells: list[Cell], name: str) -> Figure:
    """Return the percentage as the mean of all cells: it is counted, so it has no spread."""
    return figure([100 * (1 - traces.gap_closed(cells, name))])


async def _cost(effort: Effort, peers: Guards) -> Measured:
    replays, reasons = _replays(peers)
    trace = traces.traces(effort.requests)[_TRACE]
    room = traces.room_for(trace, max(traces.SHARES))
    found = {
        name: figure(traces.relative_costs(trace, room, run, rounds=min(effort.rounds, 7)))
        for name, run in replays.items()
    }
    return Measured(ours=found.pop(OURS), peers={**found, **reasons})


def _replays(peers: Guards) -> tuple[dict[str, Replay], dict[str, str]]:
    """Return ours and what is installed, and why the others are not."""
    replays = {OURS: traces.replay(OURS)}
    reasons: dict[str, str] = {}
    for label, peer in peers.items():
        name = distribution(label)
        if isinstance(peer, str):
            reasons[label] = peer
        else:
            replays[f"{label}, {traces.PEERS[name].policy}"] = traces.PEERS[name].replay
    return replays, reasons
