"""Timeout, Retry and CircuitBreaker around one another, as they are used."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import CircuitBreakerPrimitive, RetryPrimitive, TimeoutPrimitive

from .beside import beside
from .observing import MODES, observed
from .row import Row
from .subjects import passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Effort, Timed
    from .observing import Mode
    from .row import Measured, Peers

__all__ = ("rows",)

_LONG = 60.0  # seconds that never pass
_ATTEMPTS = 3
_OF_ITS_PARTS = 1.25
_OF_THE_FLOORS = 6.0 / 4.4  # microseconds, where the budget was set and the floors were measured


def rows() -> Iterator[Row]:
    """Yield rows about the three together, beside the three apart."""
    yield _row(
        "stacked-parts",
        "beside its parts",
        "the three, each by itself, one after the other",
        _of_parts,
        _OF_ITS_PARTS,
        "off",
    )
    by_hand = "`asyncio.timeout`, a loop and a breaker by hand, one after the other"
    yield _row("stacked", "beside the same by hand", by_hand, _of_floors, _OF_THE_FLOORS, "off")
    yield _row("stacked", "beside the same by hand", by_hand, _of_floors, None, "recorder")


def _row(
    key: str, beside_what: str, against: str, make: Any, budget: float | None, mode: Mode
) -> Row:
    async def measure(effort: Effort, peers: Peers) -> Measured:
        del peers
        with observed(mode):
            stack = _timeout(_retry(_breaker(passes))).execute
            return await beside(make(), stack, effort, {}, lambda _: None)

    return Row(
        key=f"wrapper.{key}.{mode}",
        title=f"Timeout around Retry around CircuitBreaker, {beside_what}, {MODES[mode]}",
        against=against,
        unit="x",
        budget=budget,
        measure=measure,
    )


def _timeout(inner: Any) -> Any:
    return TimeoutPrimitive(inner, seconds=_LONG)


def _retry(inner: Any) -> Any:
    return RetryPrimitive(inner)


def _breaker(inner: Any) -> Any:
    return CircuitBreakerPrimitive(inner)


def _in_turn(calls: tuple[Timed, ...]) -> Timed:
    async def run(value: int) -> object:
        result: object = None
        for call in calls:
            result = await call(value)
        return result

    return run


def _of_parts() -> Timed:
    return _in_turn(tuple(made(passes).execute for made in (_timeout, _retry, _breaker)))


def _of_floors() -> Timed:
    return _in_turn((_with_timeout, _with_retry, _Breaker().execute))


async def _with_timeout(value: int) -> int:
    async with asyncio.timeout(_LONG):
        return await passes(value)


async def _with_retry(value: int) -> int:
    attempt = 0
    while True:
        attempt += 1
        try:
            return await passes(value)
        except OSError:
            if attempt == _ATTEMPTS:
                raise
        await asyncio.sleep(0)


class _Breaker:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    async def execute(self, value: int) -> int:
        if self.until and time.monotonic() < self.until:
            raise ConnectionError
        try:
            result = await passes(value)
        except OSError:
            self.failures += 1
            if self.failures >= _ATTEMPTS:
                self.until = time.monotonic() + _LONG
            raise
        if self.failures:
            self.failures = 0
        return result
