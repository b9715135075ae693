"""Waiting until the process is told to stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from keploy_framework.cli.telling import say

__all__ = ("told_to_stop",)


async def told_to_stop(ready: str, seconds: float | None = None) -> None:
    """Say that all is ready, and return when SIGTERM or SIGINT comes, or the time (s) is over.

    Both are taken from their handlers for as long as this waits; what follows still runs. All is
    said only then: whoever reads it may send the signal at once.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(number: int, frame: object) -> None:
        del number, frame
        loop.call_soon_threadsafe(stop.set)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, tell)
    try:
        say(ready)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
