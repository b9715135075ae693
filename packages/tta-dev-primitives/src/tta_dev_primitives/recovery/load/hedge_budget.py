"""`HedgeBudget`: how many hedges may be sent, as a fraction of the calls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from tta_dev_primitives.core import notes
from tta_dev_primitives.core.limits import check_count
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("HedgeBudget",)

_FRACTION = 0.05
_UNIT = 1_000_000  # one hedge; kept as whole millionths, so that twenty twentieths are one


class HedgeBudget:
    """How many hedges may be sent: a fraction of the calls.

    Each call adds `fraction` of a hedge, each hedge takes a whole one. So over any number of calls,
    there are at most `fraction` of that number plus `reserve` hedges; when everything is slow, that
    is all the load there is on top. It can be shared, by several Hedges, threads and loops.

    Args:
        fraction: Hedges per call, more than 0, at most 1. Default: 0.05.
        reserve: The most hedges that are saved up; one is there at first. Default: 10.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> budget = HedgeBudget(0.5)
        >>> budget.take(), budget.take()
        (True, False)
        >>> budget.earn(), budget.earn(), budget.take()
        (None, None, True)
    """

    __slots__ = ("_full", "_lock", "_saved", "_share", "fraction", "reserve")

    def __init__(self, fraction: float = _FRACTION, *, reserve: int = 10) -> None:
        if (
            isinstance(fraction, bool)
            or not isinstance(cast("object", fraction), (int, float))
            or not 0 < fraction <= 1
        ):
            message = (
                f"budget must be a fraction of the calls, more than 0 and at most 1, as 0.05, "
                f"not {notes.shown_value(fraction)}"
            )
            raise ConfigurationError(message)
        self.fraction: float = fraction
        self.reserve: int = check_count("reserve", reserve)
        self._share = int(fraction * _UNIT)
        self._full = self.reserve * _UNIT
        self._saved = _UNIT
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """How many hedges may be sent now."""
        return self._saved / _UNIT

    def earn(self) -> None:
        """Count a call."""
        with self._lock:
            self._saved = min(self._saved + self._share, self._full)

    def take(self) -> bool:
        """Take one hedge; returns whether there was one."""
        with self._lock:
            if self._saved < _UNIT:
                return False
            self._saved -= _UNIT
            return True

    def __reduce__(self) -> tuple[Callable[..., HedgeBudget], tuple[float, int]]:
        return _rebuild, (self.fraction, self.reserve)  # a copy counts calls of its own


def _rebuild(fraction: float, reserve: int) -> HedgeBudget:
    return HedgeBudget(fraction, reserve=reserve)
