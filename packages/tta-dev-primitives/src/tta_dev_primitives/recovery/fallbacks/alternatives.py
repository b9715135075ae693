"""Which step of a Fallback comes next, decided without running any, and what hooks are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.core import notes
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.recovery.classification.classify import ERROR_KINDS, classify_error

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.classification.classify import ErrorKind

__all__ = ("Alternatives", "FallbackEvent", "check_by_kind", "check_in_order", "check_pause")


class FallbackEvent:
    """What a Fallback tells its hook: something takes over.

    Attributes:
        error: What the step before raised; None where it is only slow.
        kind: The kind of that error; None likewise.
        step: The name of the step that takes over; `value` for the value of last resort.
    """

    __slots__ = ("error", "kind", "step")

    def __init__(self, *, error: Exception | None, step: str) -> None:
        self.error: Exception | None = error
        self.kind: ErrorKind | None = None if error is None else classify_error(error)
        self.step: str = step

    def __repr__(self) -> str:
        return f"FallbackEvent(kind={self.kind!r}, step={self.step!r}, error={self.error!r:.200})"


class Alternatives:
    """The order of a Fallback's steps in one run; step 0 has been started.

    Args:
        in_order: The steps that take over for any failure, in order.
        by_kind: The step that takes over for a kind of failure, before these.

    Example:
        >>> steps = Alternatives((1, 2), {"timeout": 3})
        >>> steps.after(TimeoutError()), steps.after(OSError()), steps.next(), steps.next()
        (3, 1, 2, None)
    """

    __slots__ = ("_by_kind", "_in_order", "started")

    def __init__(self, in_order: tuple[int, ...], by_kind: Mapping[ErrorKind, int]) -> None:
        self._in_order = in_order
        self._by_kind = by_kind
        self.started: list[int] = [0]
        """The steps that were started, in this order."""

    def after(self, error: Exception) -> int | None:
        """Return the step to start after a failure, or None if none is left."""
        index = self._by_kind.get(classify_error(error)) if self._by_kind else None
        if index is None or index in self.started:
            return self.next()
        self.started.append(index)
        return index

    def next(self) -> int | None:
        """Return the next step for any failure, or None if none is left."""
        for index in self._in_order:
            if index not in self.started:
                self.started.append(index)
                return index
        return None


def check_in_order(fallbacks: Any, fallback: Any) -> tuple[Any, ...]:
    """Return the steps that take over in order.

    Raises:
        CompositionError: `fallbacks` is no list.
        ConfigurationError: It is empty, or `fallback` is given as well.
    """
    if fallbacks is None:
        return () if fallback is None else (fallback,)
    if fallback is not None:
        message = "fallback and fallbacks of Fallback say the same; give one of them"
        raise ConfigurationError(message)
    if not isinstance(cast("object", fallbacks), Sequence) or isinstance(fallbacks, str):
        message = f"fallbacks of Fallback is a list of steps, not {notes.shown_value(fallbacks)}"
        raise CompositionError(message)
    if not fallbacks:
        message = "fallbacks of Fallback is empty; give at least one step"
        raise ConfigurationError(message)
    return tuple(fallbacks)


def check_by_kind(by_kind: Any) -> Mapping[ErrorKind, Any]:
    """Return the steps by kind of failure.

    Raises:
        CompositionError: It is no mapping.
        ConfigurationError: It is empty, or a key is no kind.
    """
    if by_kind is None:
        return {}
    if not isinstance(cast("object", by_kind), Mapping):
        shown = notes.shown_value(by_kind)
        message = f"by_kind of Fallback is a dict of kinds and steps, not {shown}"
        raise CompositionError(message)
    given: Mapping[Any, Any] = by_kind
    if not given:
        message = "by_kind of Fallback is empty; give a step for at least one kind"
        raise ConfigurationError(message)
    for kind in given:
        if kind not in ERROR_KINDS:
            message = (
                f"by_kind of Fallback has {notes.shown_value(kind)}, which is no kind of error; "
                f"they are {', '.join(ERROR_KINDS)}"
            )
            raise ConfigurationError(message)
    return given


def check_pause(start_after: float | None, candidates: tuple[Any, ...]) -> float:
    """Return the seconds between two starts; zero where they are not wanted.

    Raises:
        ConfigurationError: They are out of range, or there is nothing to start.
    """
    if start_after is None:
        return 0.0
    if not candidates:
        message = "start_after of Fallback starts one of fallbacks, and none is given"
        raise ConfigurationError(message)
    return check_seconds("start_after of Fallback", start_after, zero=True)
