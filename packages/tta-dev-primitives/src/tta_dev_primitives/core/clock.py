"""The engine's clock: one monotonic reading in seconds, replaceable as a whole.

The engine reads time through `now` and never through the event loop, for a loop's `time()` costs
more than a whole step. A virtual-time loop therefore puts its own reading here while it runs (see
`tta_dev_primitives.testing`). Callers fetch the function once per run (`now = clock.now`), so the
replacement is seen by the next run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("now", "replace", "unix_time")

now: Callable[[], float] = time.perf_counter
"""Seconds on a monotonic clock with an arbitrary origin."""


def replace(reading: Callable[[], float] | None) -> None:
    """Read time through `reading` from now on; None brings the real clock back."""
    global now  # noqa: PLW0603 - the one process-wide clock, changed only by the test loop
    now = time.perf_counter if reading is None else reading


def unix_time(reading: float) -> float:
    """Turn a reading of `now` into seconds since the epoch, by the wall clock of this moment."""
    return time.time() - (now() - reading)
