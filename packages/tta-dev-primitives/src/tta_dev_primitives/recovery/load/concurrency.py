"""Limits of concurrency that follow the latency: `AIMDLimit` and `GradientLimit`.

State alone: `update(now, latency, in_flight, dropped=...)` gives the new limit, and the same calls
always give the same limits.
"""

from __future__ import annotations

import math
from typing import Protocol

from tta_dev_primitives.core import notes
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.errors import ConfigurationError

__all__ = ("AIMDLimit", "ConcurrencyLimit", "GradientLimit")

_MAXIMUM = 200


class ConcurrencyLimit(Protocol):
    """What finds out how many calls at once are good."""

    @property
    def limit(self) -> int:
        """How many calls may run at once now, at least 1."""
        ...

    def update(self, now: float, latency: float, in_flight: int, *, dropped: bool) -> int:
        """Take a call that ended, and return the new limit.

        Args:
            now: Seconds, monotonic.
            latency: How long the call took, in seconds.
            in_flight: How many ran when it began, itself included.
            dropped: Whether it was refused or given up for overload.
        """
        ...


def _check_fraction(option: str, value: object, *, least: float, most: float) -> float:
    """Return `value` if it is a number from `least` to `most`, `least` itself excluded."""
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and least < value <= most
        and value != math.inf
    ):
        return float(value)
    upper = "" if most == math.inf else f" and at most {most:g}"
    shown = notes.shown_value(value)
    message = f"{option} must be a finite number, more than {least:g}{upper}, not {shown}"
    raise ConfigurationError(message)


class _Bounds:
    """What both limits have in common: a number between two others."""

    __slots__ = ("_backoff", "_estimate", "maximum", "minimum")

    def __init__(self, initial: int, minimum: int, maximum: int, backoff: float) -> None:
        self.minimum: int = check_count("minimum", minimum)
        self.maximum: int = check_count("maximum", maximum)
        if not self.minimum <= check_count("initial", initial) <= self.maximum:
            message = (
                f"initial ({initial!r}) must lie between minimum ({minimum!r}) and maximum "
                f"({maximum!r})"
            )
            raise ConfigurationError(message)
        self._estimate = float(initial)
        self._backoff = _check_fraction("backoff", backoff, least=0, most=1)
        if self._backoff == 1:
            message = (
                f"backoff must be less than 1, or overload would change nothing, not {backoff!r}"
            )
            raise ConfigurationError(message)

    @property
    def limit(self) -> int:
        """How many calls may run at once now."""
        return int(self._estimate)

    def _set(self, estimate: float) -> int:
        self._estimate = min(float(self.maximum), max(float(self.minimum), estimate))
        return int(self._estimate)


class AIMDLimit(_Bounds):
    """Grows by one for each round of calls that went well, and shrinks by a factor on overload.

    Additive increase, multiplicative decrease: Chiu and Jain, Computer Networks and ISDN Systems 17
    (1989). One overload shrinks it once: calls that began before it shrank do not count again.

    Args:
        initial: The limit at first. Default: 10.
        minimum: Default: 1.
        maximum: Default: 200.
        backoff: The factor on overload, between 0 and 1. Default: 0.9.
        latency_limit: A call that takes longer than this, in seconds, is overload as well.
            Default: None, for no such limit.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> limit = AIMDLimit(initial=10)
        >>> limit.update(1.0, 0.1, 10, dropped=True)
        9
    """

    __slots__ = ("_latency_limit", "_shrunk")

    def __init__(
        self,
        *,
        initial: int = 10,
        minimum: int = 1,
        maximum: int = _MAXIMUM,
        backoff: float = 0.9,
        latency_limit: float | None = None,
    ) -> None:
        super().__init__(initial, minimum, maximum, backoff)
        self._latency_limit = (
            math.inf if latency_limit is None else check_seconds("latency_limit", latency_limit)
        )
        self._shrunk = -math.inf

    def update(self, now: float, latency: float, in_flight: int, *, dropped: bool) -> int:
        """Take a call that ended, and return the new limit; see `ConcurrencyLimit`."""
        if dropped or latency > self._latency_limit:
            if now - latency < self._shrunk:
                return self.limit
            self._shrunk = now
            return self._set(self._estimate * self._backoff)
        if 2 * in_flight < self._estimate:
            return self.limit  # it was not put to the test
        return self._set(self._estimate + 1 / self._estimate)


class GradientLimit(_Bounds):
    """Compares the latency of now with that of long: where it rises, calls queue somewhere.

    The limit is multiplied by long over short latency (never above 1, never below a half), and gets
    room for a queue of its square root on top; so it grows while the latency stays as it is. After
    the Gradient2 limit of Netflix's concurrency-limits.

    Args:
        initial: The limit at first. Default: 20.
        minimum: Default: 1.
        maximum: Default: 200.
        backoff: The factor on a call that was dropped, between 0 and 1. Default: 0.9.
        tolerance: So many times the long latency is taken as no rise; at least 1. Default: 1.5.
        smoothing: The weight of a new estimate, more than 0, at most 1. Default: 0.2.
        long_window: The long latency is an average over about so many calls. Default: 600.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> limit = GradientLimit(initial=20)
        >>> [limit.update(n, 0.1, 20, dropped=False) for n in range(3)]
        [20, 21, 22]
    """

    __slots__ = ("_long", "_seen", "_smoothing", "_tolerance", "_window")

    def __init__(
        self,
        *,
        initial: int = 20,
        minimum: int = 1,
        maximum: int = _MAXIMUM,
        backoff: float = 0.9,
        tolerance: float = 1.5,
        smoothing: float = 0.2,
        long_window: int = 600,
    ) -> None:
        super().__init__(initial, minimum, maximum, backoff)
        self._tolerance = _check_fraction("tolerance", tolerance, least=0, most=math.inf)
        if self._tolerance < 1:
            message = f"tolerance must be at least 1, not {tolerance!r}"
            raise ConfigurationError(message)
        self._smoothing = _check_fraction("smoothing", smoothing, least=0, most=1)
        self._window = check_count("long_window", long_window)
        self._long = 0.0
        self._seen = 0

    def update(self, now: float, latency: float, in_flight: int, *, dropped: bool) -> int:
        """Take a call that ended, and return the new limit; see `ConcurrencyLimit`."""
        del now
        if dropped:
            return self._set(self._estimate * self._backoff)
        self._seen = min(self._seen + 1, self._window)
        self._long += (latency - self._long) / self._seen
        if latency > 0 and self._long / latency > 2:  # noqa: PLR2004 - after a bad time, forget it sooner
            self._long *= 0.95
        if 2 * in_flight < self._estimate:
            return self.limit  # it was not put to the test
        gradient = 1.0
        if latency > 0:
            gradient = max(0.5, min(1.0, self._tolerance * self._long / latency))
        wanted = self._estimate * gradient + math.sqrt(self._estimate)
        return self._set(self._estimate + self._smoothing * (wanted - self._estimate))
