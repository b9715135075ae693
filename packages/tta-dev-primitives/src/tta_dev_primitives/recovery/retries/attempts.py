"""`Attempts`: what a Retry does after each failure, decided without a clock, a loop or a sleep."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.errors import CircuitOpenError, Filtered, RejectedError
from tta_dev_primitives.recovery.classification.classify import is_failure

if TYPE_CHECKING:
    import random
    from collections.abc import Generator

    from tta_dev_primitives.recovery.retries.options import Policy
    from tta_dev_primitives.recovery.retries.schedules import Pauses

__all__ = ("Attempts", "in_test")

_REJECTED = (CircuitOpenError, RejectedError)
_TO_LOOK_THROUGH: tuple[type[BaseException], ...] = (BaseExceptionGroup, Filtered)
_FIRST, _LAST = 3, 5  # failures that a history tells


class Attempts:
    """What one Retry has tried in one run, and what it does after the next failure.

    Args:
        policy: The options.
        started: When the run began, in seconds on any monotonic clock.
        pool: A cell with the retries that the outermost Retry leaves to all Retries inside it;
            one is taken for each that is granted.

    Example:
        >>> from tta_dev_primitives.recovery.retries.options import Policy
        >>> attempts = Attempts(Policy(max_attempts=3, jitter="none"))
        >>> attempts.failed(0.0, OSError()), attempts.failed(1.0, OSError())
        (0.5, 1.0)
        >>> attempts.failed(3.0, OSError()) is None
        True
    """

    __slots__ = (
        "_left_out",
        "_limit",
        "_past",
        "_pauses",
        "_policy",
        "_why",
        "number",
        "pool",
        "started",
    )

    def __init__(
        self, policy: Policy, *, started: float = 0.0, pool: list[int] | None = None
    ) -> None:
        limit = policy.limit
        if _test.limit is not None:
            limit = min(limit, _test.limit)
        self._policy = policy
        self._limit = limit
        self._pauses: Pauses | None = None
        self._past: list[tuple[int, type | None, float, float, str]] | None = None
        self._left_out = 0
        self._why = ""
        self.started: float = started
        self.pool: list[int] = [limit - 1] if pool is None else pool
        self.number: int = 1
        """The number of the attempt that runs or has just failed, from 1."""

    def failed(self, now: float, error: BaseException, left: float = math.inf) -> float | None:
        """Decide what follows an attempt that raised.

        Args:
            now: Seconds, on the clock of `started`.
            error: What the attempt raised.
            left: Seconds until a deadline from outside.

        Returns:
            The seconds to wait before the next attempt, or None to let `error` out.
        """
        # Groups and signals are rare, and to look through them costs more than all the rest.
        rare = isinstance(error, _TO_LOOK_THROUGH) or not isinstance(error, Exception)
        if rare and not is_failure(error):
            return None
        failure: Any = error
        policy = self._policy
        if self.number > 1 and policy.budget is not None and isinstance(error, _REJECTED):
            policy.budget.give_back()  # the retry that was granted has called nothing
        if self._exhausted() or not policy.retryable(failure):
            return None
        hint = self._hint(failure) if policy.max_hint else None
        return self._grant(now, left, type(error), hint)

    def refused(self, now: float, left: float = math.inf) -> float | None:
        """Decide what follows an attempt whose result was not good enough.

        Args:
            now: As in `failed`.
            left: As in `failed`.

        Returns:
            The seconds to wait before the next attempt, or None to hand the result out.
        """
        return None if self._exhausted() else self._grant(now, left, None, None)

    def unused(self) -> None:
        """Give back the retry that was granted last: it is not made."""
        if self._policy.budget is not None:
            self._policy.budget.give_back()
        if self.pool[0] >= 0:  # else it is closed
            self.pool[0] += 1

    def _exhausted(self) -> bool:
        if self.number >= self._limit:
            return True
        if self.pool[0] <= 0:
            self._why = "the Retry around it has no attempt left to share"
            return True
        return False

    def _hint(self, error: Exception) -> float | None:
        """Return the seconds that the provider asks for; zero or more, and finite."""
        policy = self._policy
        find = policy.hint
        if find is None:
            from tta_dev_primitives.recovery.classification.hints import hint_of  # noqa: PLC0415 - on a failure

            find = policy.hint = hint_of
        given = find(error)
        return given if given is not None and 0 <= given < math.inf else None

    def _grant(
        self, now: float, left: float, kind: type | None, hint: float | None
    ) -> float | None:
        """Grant another attempt, unless time or the budget forbid it.

        `kind` is the class of what was raised; None where a result was refused.
        """
        policy = self._policy
        pauses = self._pauses
        if pauses is None:
            pauses = self._pauses = policy.schedule.pauses(policy.rng or _own_random())
        delay = next(pauses)
        told = ""
        if hint is not None:
            # The hint is where the pause begins, so jitter is only ever above it.
            delay += min(hint, policy.max_hint)
            cap = f" (max_hint: {policy.max_hint:g} s)" if hint > policy.max_hint else ""
            told = f", which asked to wait {hint:g} s{cap}"
        if not _test.pauses:
            delay = 0.0
        if policy.max_elapsed is not None:
            own = policy.max_elapsed - (now - self.started)
            if own < left:  # noqa: PLR1730 - `min` costs as much as all else in this line
                left = own
        if delay + policy.min_attempt_time >= left:
            room = f"does not fit into the {max(0.0, left):.3f} s that are left"
            self._why = f"a pause of {delay:.3f} s after {_shown(kind)}{told}, {room}"
            return None
        if policy.budget is not None and not policy.budget.take():
            self._why = "the retry budget is used up"
            return None
        past = self._past
        if past is None:
            past = self._past = []
        elif len(past) >= _FIRST + _LAST:
            del past[_FIRST]
            self._left_out += 1
        past.append((self.number, kind, now, delay, told))
        self.pool[0] -= 1
        self.number += 1
        return delay

    def history(self, began: float) -> str:
        """Return what was tried before, one line for each attempt, for the note of the error.

        Args:
            began: What the times are counted from, on the clock of `started`.
        """
        lines = [
            f"\n  attempt {number}: {_shown(kind)}{told}, after {max(0.0, at - began):.3f} s, "
            f"then a pause of {delay:.3f} s"
            for number, kind, at, delay, told in self._past or ()
        ]
        if self._left_out:
            lines.insert(_FIRST, f"\n  … {self._left_out} more …")
        if self._why:
            lines.append(f"\n  no further attempt: {self._why}")
        return "".join(lines)


def _shown(kind: type | None) -> str:
    return "a refused result" if kind is None else kind.__name__


class _Test:
    """What a test has changed for all Retries of the process."""

    __slots__ = ("limit", "pauses")

    def __init__(self, limit: int | None = None, *, pauses: bool = True) -> None:
        self.limit: int | None = limit
        self.pauses: bool = pauses


_test = _Test()


@contextmanager
def in_test(*, limit: int | None, pauses: bool) -> Generator[None]:
    """Change all Retries of the process while the block runs (for `testing.quick_retries`)."""
    global _test  # noqa: PLW0603 - process-wide by design
    before, _test = _test, _Test(limit, pauses=pauses)
    try:
        yield
    finally:
        _test = before


@cache
def _own_random() -> random.Random:
    """Return where the jitter of those comes from who did not say."""
    import random  # noqa: PLC0415 - with the first failure

    return random.Random()  # noqa: S311 - jitter is no secret
