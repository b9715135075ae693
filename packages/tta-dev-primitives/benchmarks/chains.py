"""Chains: what stands between two steps costs, against a loop of bare `await`s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .beside import beside
from .observing import MODES, observed
from .row import Row
from .subjects import KINDS, bare_chain, chain, passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort
    from .observing import Mode
    from .row import Measured, Peers
    from .subjects import Kind

__all__ = ("rows",)

_BUDGETS: dict[tuple[Mode, int], float] = {
    ("off", 10): 1.3,
    ("off", 100): 1.15,
    ("recorder", 10): 2.5,
    ("recorder", 100): 2.5,
    ("frames", 10): 6.0,
    ("frames", 100): 6.0,
}
_LENGTHS = (10, 100)


def rows() -> Iterator[Row]:
    """Yield a row for each mode, length and kind of step, and one for the noise."""
    for mode in MODES:
        for count in _LENGTHS:
            for kind in KINDS:
                yield _row(mode, count, kind)
    yield Row(
        key="chain.noise",
        title="10 steps, the bare loop against itself",
        against="what the machine adds by itself: 1.00 with narrow quartiles is a quiet machine",
        unit="x",
        budget=None,
        measure=_noise,
    )


def _row(mode: Mode, count: int, kind: Kind) -> Row:
    with_peers = mode == "off" and kind == "input"

    async def measure(effort: Effort, peers: Peers) -> Measured:
        with observed(mode):
            return await beside(
                bare_chain(kind, count),
                chain(kind, count),
                effort,
                peers if with_peers else {},
                lambda peer: peer.chain([passes] * count),
            )

    return Row(
        key=f"chain.{count}.{kind}.{mode}",
        title=f"{count} steps, {KINDS[kind]}, {MODES[mode]}",
        against="the bare loop over the same steps",
        unit="x",
        budget=_BUDGETS.get((mode, count)),
        measure=measure,
        with_peers=with_peers,
    )


async def _noise(effort: Effort, peers: Peers) -> Measured:
    del peers
    return await beside(
        bare_chain("input", 10), bare_chain("input", 10), effort, {}, lambda _: None
    )
