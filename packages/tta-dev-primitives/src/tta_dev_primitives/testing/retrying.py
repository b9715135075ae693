"""`quick_retries`: Retries that do not wait, or try less often, while a test runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tta_dev_primitives.core.limits import check_count
from tta_dev_primitives.recovery.retries.attempts import in_test

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("quick_retries",)


@contextmanager
def quick_retries(*, attempts: int | None = None, pauses: bool = False) -> Generator[None]:
    """Let every Retry of the process go on without a pause while the block runs.

    For tests of code that retries, where time is real. In virtual time (`run_virtual`) pauses cost
    nothing and can stay. What is retried, and what comes out, does not change.

    Args:
        attempts: The most attempts of any Retry; 1 for no retries. Default: as each was told.
        pauses: Whether pauses stay.

    Raises:
        ConfigurationError: `attempts` is no whole number of at least 1.

    Example:
        >>> from tta_dev_primitives.recovery import RetryPrimitive
        >>> answers = iter([OSError("reset"), "fine"])
        >>> def ask(question: str) -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError):
        ...         raise answer
        ...     return answer
        >>> with quick_retries():
        ...     RetryPrimitive(ask, initial_delay=3600.0, max_delay=3600.0).run("how is it?")
        'fine'
    """
    limit = None if attempts is None else check_count("attempts", attempts)
    with in_test(limit=limit, pauses=pauses):
        yield
