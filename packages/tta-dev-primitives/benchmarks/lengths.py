"""Long chains: a step costs the same however many there are, and composing them is linear."""

from __future__ import annotations

import gc
from functools import reduce
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import Sequential, step

from .measure import CLOCK, compare, figure
from .observing import observed
from .row import Measured, Row, WrongResultError
from .subjects import add_one, passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from .measure import Effort, Figure
    from .row import Peers

__all__ = ("rows",)

_LINEAR = 1.5  # linear is 1, quadratic is 10; between lie caches and the garbage collector
_SHORT = 10


def rows() -> Iterator[Row]:
    """Yield rows about running and about composing."""
    yield Row(
        key="length.run",
        title="cost per step in a chain of 1,000",
        against="cost per step in a chain of 10",
        unit="x",
        budget=1.1,
        measure=_run,
        with_peers=True,
    )
    yield Row(
        key="length.compose.operator",
        title="composing 10,000 steps with `>>` and the first use, per step",
        against="the same for 1,000 steps",
        unit="x",
        budget=_LINEAR,
        measure=_compose_by_operator,
    )
    yield Row(
        key="length.compose.list",
        title="`Sequential([...])` of 10,000 steps and the first use, per step",
        against="the same for 1,000 steps",
        unit="x",
        budget=_LINEAR,
        measure=_compose_by_list,
    )


async def _run(effort: Effort, peers: Peers) -> Measured:
    long = max(_SHORT, effort.long // 10)
    with observed("off"):
        ours: Any = Sequential([passes] * long)
        short: Any = Sequential([passes] * _SHORT)
        scaled = (await compare(short.execute, {"": ours.execute}, effort))[""]
        others: dict[str, Figure | str] = {}
        for name, peer in peers.items():
            if isinstance(peer, str):
                others[name] = peer
                continue
            try:
                base = peer.chain([passes] * _SHORT)
                subject = peer.chain([passes] * long)
                found = (await compare(base, {"": subject}, effort))[""]
            except Exception as error:  # noqa: BLE001 - whatever another system raises
                others[name] = f"{type(error).__name__}: {error}"
            else:
                others[name] = _scaled(found, _SHORT / long)
        return Measured(
            ours=_scaled(scaled, _SHORT / long),
            peers=others,
            facts=() if long == 1_000 else (f"with {long:,} steps instead of 1,000",),  # noqa: PLR2004 - as in the title
        )


def _scaled(found: Figure, factor: float) -> Figure:
    return (
        figure([found.median * factor])
        if found.rounds == 1
        else type(found)(
            median=found.median * factor,
            low=found.low * factor,
            high=found.high * factor,
            rounds=found.rounds,
        )
    )


def _by_operator(count: int) -> Any:
    return reduce(_chained, [step(add_one) for _ in range(count)])


def _chained(left: Any, right: Any) -> Any:
    return left >> right


def _by_list(count: int) -> Any:
    return Sequential([step(add_one) for _ in range(count)])


async def _compose_by_operator(effort: Effort, peers: Peers) -> Measured:
    del peers
    return await _compose(_by_operator, effort)


async def _compose_by_list(effort: Effort, peers: Peers) -> Measured:
    del peers
    return await _compose(_by_list, effort)


async def _compose(build: Callable[[int], Any], effort: Effort) -> Measured:
    long = effort.long
    short = max(1, long // 10)
    ratios: list[float] = []
    with observed("off"):
        await _built(build, short)
        for _ in range(effort.failures):
            gc.collect()
            before = await _ten_times(build, short)
            took = await _built(build, long)
            after = await _ten_times(build, short)
            ratios.append(2 * took / (before + after))
    found = figure(ratios)
    return Measured(
        ours=found, facts=(f"a chain of {long:,} ran and gave {long:,}: every step once",)
    )


async def _ten_times(build: Callable[[int], Any], count: int) -> float:
    return sum([await _built(build, count) for _ in range(10)])


async def _built(build: Callable[[int], Any], count: int) -> float:
    """Return the seconds that composing and the first execution take."""
    began = CLOCK()
    run: Callable[[int], Awaitable[int]] = build(count).execute
    result = await run(0)
    took = CLOCK() - began
    if result != count:
        message = f"a chain of {count} steps that add one gave {result} from 0"
        raise WrongResultError(message)
    return took
