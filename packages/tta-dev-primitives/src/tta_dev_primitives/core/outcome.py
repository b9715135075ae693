"""`Outcome`: what became of one branch, value or error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar, cast

__all__ = ("Outcome",)

T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """What became of one branch or item where errors are collected.

    Example:
        >>> from tta_dev_primitives import Parallel
        >>> outcomes = Parallel([int, len], on_error="collect").run("x")
        >>> [outcome.ok for outcome in outcomes]
        [False, True]
        >>> outcomes[1].unwrap()
        1
    """

    value: T | None = None
    """What it returned; None when it failed."""
    error: Exception | None = None
    """What it raised; None when it succeeded."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.error is None

    def unwrap(self) -> T:
        """Return the value, or raise the error as itself."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)
