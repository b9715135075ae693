"""How a worker hears that its process is to end."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tta_agent_coordination.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

__all__ = ("heeding",)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heeding(stop: Callable[[], None], now: Callable[[], None]) -> Generator[None]:
    """Handle SIGTERM and SIGINT within the block: the first calls `stop`, each further one `now`.

    The handlers that were there before are there again afterwards.

    Args:
        stop: Called in the main thread, between any two steps of the program.
        now: As `stop`.

    Raises:
        ConfigurationError: This is not the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "signals=True works in the main thread only; elsewhere call stop() yourself"
        )
    seen = False

    def heed(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        del number, frame
        if seen:
            now()
        else:
            seen = True
            stop()

    before = {number: signal.signal(number, heed) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was installed by something other than Python, and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
