"""`AdaptiveLimit`: a limit of time that follows what was observed, for a Timeout."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, cast

from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.load.percentile import Percentile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("AdaptiveLimit",)

_MOST = 1000


class AdaptiveLimit:
    """A limit made of a percentile of the latest durations, times a factor, within bounds.

    With 0.99 and 1.5 it is half as much again as what 99 of 100 calls took at most. Until enough
    durations are known, and never beyond, it is `maximum`. A call that was cut off at its limit
    counts with that limit, so that a limit that has become too short grows again.

    All Timeouts that are given the same object share it. A copy, and what is unpickled, begins
    anew. It has neither a clock nor randomness: the same durations lead to the same limit.

    Args:
        fraction: Which percentile, between 0 and 1. Default: 0.99.
        maximum: The longest limit, in seconds, and the one at the start.
        factor: What the percentile is multiplied with, in 1 to 1000. Default: 1.5.
        minimum: The shortest limit, in seconds. Default: 0, for none.
        window: How many of the latest durations count. Default: 100.
        at_least: So many must be known. Default: 20, or `window` where that is less.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> limit = AdaptiveLimit(0.5, factor=2.0, maximum=60.0, at_least=3)
        >>> for seconds in (1.0, 9.0, 2.0):
        ...     limit.observe(seconds)
        >>> limit.seconds
        4.0
    """

    __slots__ = ("_again", "_factor", "_lock", "_percentile", "maximum", "minimum", "seconds")

    def __init__(
        self,
        fraction: float = 0.99,
        *,
        maximum: float,
        factor: float = 1.5,
        minimum: float = 0.0,
        window: int = 100,
        at_least: int | None = None,
    ) -> None:
        self._percentile = Percentile(fraction, window=window, at_least=at_least)
        given = cast("object", factor)  # by callers without a checker
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if not number or not 1 <= factor <= _MOST:
            message = f"factor of AdaptiveLimit must be a number from 1 to 1000, not {factor!r:.60}"
            raise ConfigurationError(message)
        self._factor = factor
        self.maximum: float = check_seconds("maximum of AdaptiveLimit", maximum)
        self.minimum: float = check_seconds("minimum of AdaptiveLimit", minimum, zero=True)
        if self.minimum > self.maximum:
            message = f"minimum of AdaptiveLimit ({minimum!r}) is more than maximum ({maximum!r})"
            raise ConfigurationError(message)
        self.seconds: float = self.maximum
        """The limit that is in force now."""
        self._lock = threading.Lock()
        self._again: Callable[[], AdaptiveLimit] = partial(
            AdaptiveLimit,
            fraction,
            maximum=maximum,
            factor=factor,
            minimum=minimum,
            window=window,
            at_least=at_least,
        )

    def observe(self, seconds: float) -> None:
        """Take the duration of a call, in seconds: what it took, or its limit if it was cut off."""
        with self._lock:
            self._percentile.observe(seconds)
            known = self._percentile.current()
            if known is not None:
                self.seconds = min(max(known * self._factor, self.minimum), self.maximum)

    def __reduce__(self) -> tuple[Callable[[], AdaptiveLimit], tuple[()]]:
        return self._again, ()
