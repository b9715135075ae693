"""`Outcome`: what became of one branch, value or error."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from tta_dev_primitives.core.frozen import Frozen

__all__ = ("Outcome",)

T = TypeVar("T", covariant=True)


class Outcome(Frozen, Generic[T]):
    """What became of one branch or item where errors are collected.

    Example:
        >>> from tta_dev_primitives import Parallel
        >>> outcomes = Parallel([int, len], on_error="collect").run("x")
        >>> [outcome.ok for outcome in outcomes]
        [False, True]
        >>> outcomes[1].unwrap()
        1
    """

    __slots__ = ("error", "value")

    value: T | None
    """What it returned; None when it failed."""
    error: Exception | None
    """What it raised; None when it succeeded."""

    def __init__(self, *, value: T | None = None, error: Exception | None = None) -> None:
        """Take one of the two, or none where the branch returned None."""
        self._fill(value=value, error=error)

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.error is None

    def unwrap(self) -> T:
        """Return the value, or raise the error as itself."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)
