"""Fan-outs, against `asyncio.TaskGroup` written by hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import Parallel

from .beside import beside
from .observing import MODES, observed
from .row import Row
from .subjects import bare_task_group, gathered, passes
from .subjects import suspends as waits_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort
    from .observing import Mode
    from .row import Measured, Peers

__all__ = ("rows",)

_SUSPENDING = 1.1
# Eager tasks, which make branches that never wait cheap, came with Python 3.12.
_NOT_SUSPENDING = 0.3 if sys.version_info >= (3, 12) else None


def rows() -> Iterator[Row]:
    """Yield rows for branches that suspend and for such that do not."""
    for count in (10, 100):
        yield _row(count, suspends=True, mode="off", budget=_SUSPENDING, with_peers=True)
    for count in (10, 100):
        yield _row(count, suspends=False, mode="off", budget=_NOT_SUSPENDING, with_peers=True)
    for count in (10, 100):
        yield _row(count, suspends=True, mode="recorder", budget=None, with_peers=False)


def _row(count: int, *, suspends: bool, mode: Mode, budget: float | None, with_peers: bool) -> Row:
    branches = [waits_once if suspends else passes] * count

    async def measure(effort: Effort, peers: Peers) -> Measured:
        ours: Any = Parallel(branches)
        with observed(mode):
            return await beside(
                bare_task_group(branches),
                ours.execute,
                effort,
                peers if with_peers else {},
                lambda peer: peer.fan_out(branches),
                extra={"asyncio.gather": gathered(branches)} if with_peers else None,
            )

    how = "suspend once" if suspends else "never suspend"
    return Row(
        key=f"fan-out.{count}.{'suspending' if suspends else 'immediate'}.{mode}",
        title=f"{count} branches that {how}, {MODES[mode]}",
        against="TaskGroup",
        unit="x",
        budget=budget,
        measure=measure,
        with_peers=with_peers,
    )
