"""`Percentile`: a percentile of the latest durations, to choose a delay or a limit by."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

from tta_dev_primitives.core import notes
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DelayLike", "Percentile")

_WINDOW = 500
_AT_LEAST = 20


class DelayLike(Protocol):
    """What learns a delay from the durations of calls."""

    def observe(self, seconds: float, /) -> None:
        """Take a duration; also that of a call that was cut short, which is at least this long."""
        ...

    def current(self) -> float | None:
        """Return the delay in seconds, or None while too little is known."""
        ...


class Percentile:
    """A percentile of the latest durations, exact within its window.

    It can be told durations in several threads. A copy, and what is unpickled, begins anew.

    Args:
        fraction: Which: 0.95 for the duration that 95 of 100 calls do not exceed; between 0 and 1.
        window: How many of the latest durations count. Default: 500.
        at_least: So many must be known before there is a percentile. Default: 20, or `window` where
            that is less.
        initial: What it is before, in seconds. Default: None, for not known.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> p90 = Percentile(0.9, at_least=10)
        >>> for tenths in range(1, 11):
        ...     p90.observe(tenths / 10)
        >>> p90.current()
        0.9
    """

    __slots__ = ("_at_least", "_initial", "_latest", "_lock", "_sorted", "fraction", "window")

    def __init__(
        self,
        fraction: float,
        *,
        window: int = _WINDOW,
        at_least: int | None = None,
        initial: float | None = None,
    ) -> None:
        if (
            isinstance(fraction, bool)
            or not isinstance(cast("object", fraction), float)
            or not 0 < fraction < 1
        ):
            message = (
                f"fraction of Percentile must be between 0 and 1, as 0.95, "
                f"not {notes.shown_value(fraction)}"
            )
            raise ConfigurationError(message)
        self.fraction: float = fraction
        self.window: int = check_count("window", window)
        self._at_least = (
            min(_AT_LEAST, window) if at_least is None else check_count("at_least", at_least)
        )
        if self._at_least > window:
            message = f"at_least ({at_least!r}) is more than window ({window!r}) can hold"
            raise ConfigurationError(message)
        self._initial = None if initial is None else check_seconds("initial", initial, zero=True)
        self._lock = threading.Lock()
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def observe(self, seconds: float, /) -> None:
        """Take a duration; the oldest one in a full window is forgotten."""
        with self._lock:
            if len(self._latest) == self.window:
                oldest = self._latest.popleft()
                del self._sorted[bisect_left(self._sorted, oldest)]
            self._latest.append(seconds)
            insort(self._sorted, seconds)

    def current(self) -> float | None:
        """Return the percentile in seconds, or the initial value while too little is known."""
        with self._lock:
            known = len(self._sorted)
            if known < self._at_least:
                return self._initial
            # The nearest rank: the least duration that the fraction of them does not exceed.
            return self._sorted[max(0, -int(-self.fraction * known // 1) - 1)]

    def __reduce__(self) -> tuple[Callable[..., Percentile], tuple[object, ...]]:
        return _rebuild, (self.fraction, self.window, self._at_least, self._initial)

    def __repr__(self) -> str:
        return f"Percentile({self.fraction!r}, window={self.window})"


def _rebuild(fraction: float, window: int, at_least: int, initial: float | None) -> Percentile:
    return Percentile(fraction, window=window, at_least=at_least, initial=initial)
