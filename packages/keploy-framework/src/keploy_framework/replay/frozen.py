"""Time that stands still while a case is replayed, by the optional time-machine."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

from keploy_framework.errors import OptionError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ("frozen_at", "require_freezing")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def require_freezing() -> None:
    """See whether time can be frozen.

    Raises:
        OptionError: What freezes it is not installed.
    """
    if find_spec("time_machine") is None:
        raise OptionError("freeze=True needs time-machine: uv add time-machine")


def frozen_at(at: int | None) -> AbstractContextManager[object]:
    """Let the time of this process stand still at ``at`` (ns since the epoch); None does nothing.

    Monotonic clocks go on, so that loops and timeouts work.
    """
    if at is None:
        return nullcontext()
    import time_machine  # noqa: PLC0415 - optional, and only needed here

    return time_machine.travel(_EPOCH + timedelta(microseconds=at // 1000), tick=False)
