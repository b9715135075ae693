"""Virtual time for synchronous tests: what the pytest fixture `virtual_time` gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tta_dev_primitives.errors import NestedRunError
from tta_dev_primitives.testing.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("VirtualTime",)

T = TypeVar("T")


class VirtualTime:
    """One loop in virtual time that runs one coroutine after another; a context manager.

    Args:
        loop: The loop; it is closed at the end. Default: a `VirtualTimeLoop` that starts at 0.

    Example:
        >>> import asyncio
        >>> with VirtualTime() as virtual_time:
        ...     virtual_time.run(asyncio.sleep(3600, result="rested"))
        ...     virtual_time.advance(60)
        ...     virtual_time.now
        'rested'
        3660.0
    """

    def __init__(self, loop: VirtualTimeLoop | None = None) -> None:
        self._loop = VirtualTimeLoop() if loop is None else loop
        self._runner = asyncio.Runner(loop_factory=lambda: self._loop)

    @property
    def now(self) -> float:
        """The virtual time in seconds."""
        return self._loop.time()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end.

        Raises:
            NestedRunError: An event loop is running; an async test takes the marker
                `virtual_time` instead of the fixture.
            DeadlockError: Nothing can ever happen again.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._runner.run(main)
        main.close()
        message = (
            "virtual_time.run() was called where an event loop is running; in an async test use "
            "@pytest.mark.virtual_time instead of the fixture"
        )
        raise NestedRunError(message)

    def advance(self, seconds: float) -> None:
        """Let tasks that are still running go on for this long, in virtual seconds.

        Raises:
            ConfigurationError: `seconds` is negative or not finite.
        """
        self.run(self._loop.advance(seconds))

    def close(self) -> None:
        """Cancel what still runs and close the loop."""
        self._runner.__enter__()  # a runner that never ran would not close its loop
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
