"""What a mock does when it is called: its side effect and its latency."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Never, TypeAlias, TypeGuard, TypeVar

from tta_dev_primitives.core.functions import form_of
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = (
    "NOT_GIVEN",
    "ContextEffect",
    "Latency",
    "MockExhaustedError",
    "delay_of",
    "effect_of",
    "pause",
)

T = TypeVar("T")

Latency: TypeAlias = "float | Callable[[Any], float] | Iterable[float]"
"""Seconds for every call, or a function of the input, or one number for each call."""

ContextEffect: TypeAlias = "Callable[[WorkflowContext, Any], T] | Callable[[], T]"
"""A function in place of a step that is not called with the input alone."""

NOT_GIVEN: Any = object()
"""Stands for an option that was left out where None is a value."""


class MockExhaustedError(AssertionError):
    """A mock was called more often than its iterable has items."""


def effect_of(side_effect: Any) -> Callable[[WorkflowContext, object], Any]:
    """Return what a call does, for each kind of side effect.

    Raises:
        ConfigurationError: It is of no kind that `MockPrimitive` knows.
    """
    if _is_exception(side_effect):
        return lambda _context, _input: _raise(side_effect)
    if callable(side_effect):
        return _calling(side_effect)
    items = _Items[Any]("side_effect", "an exception, a function or an iterable", side_effect)

    def following(_context: WorkflowContext, _input: object) -> Any:
        item = items.take()
        return _raise(item) if _is_exception(item) else item

    return following


def _calling(function: Callable[..., Any]) -> Callable[[WorkflowContext, object], Any]:
    """Return a call of `function` with the arguments that a step of its form is given."""
    form = form_of(function)
    if form == "context, input":
        return function
    if form == "context":
        return lambda context, _input: function(context)
    if form == "nothing":
        return lambda _context, _input: function()
    return lambda _context, input_data: function(input_data)


def delay_of(latency: Any) -> Callable[[object], float] | None:
    """Return how long a call takes, by its input; None where it never waits.

    Raises:
        ConfigurationError: It is of no kind that `MockPrimitive` knows, or negative.
    """
    if isinstance(latency, (int, float)):
        seconds = _checked(latency)
        return (lambda _input: seconds) if seconds else None
    if callable(latency):
        return lambda input_data: _checked(latency(input_data))
    items = _Items[Any]("latency", "seconds, a function or an iterable of seconds", latency)
    return lambda _input: _checked(items.take())


async def pause(seconds: float) -> None:
    """Wait as a slow step does; infinity waits until it is cancelled."""
    if seconds == math.inf:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


class _Items(Generic[T]):
    """The items of an option that has one for each call."""

    def __init__(self, option: str, kinds: str, items: Iterable[T]) -> None:
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a checker
            hint = "; a fixed result is return_value=" if option == "side_effect" else ""
            message = f"{option} must be {kinds}, not {items!r}{hint}"
            raise ConfigurationError(message)
        self._option = option
        self._items = iter(items)
        self._taken = 0

    def take(self) -> T:
        """Return the next item.

        Raises:
            MockExhaustedError: There is none.
        """
        try:
            item = next(self._items)
        except StopIteration:
            message = (
                f"call {self._taken + 1} of a mock whose {self._option} has only "
                f"{self._taken} item(s); give one for each call"
            )
            raise MockExhaustedError(message) from None
        self._taken += 1
        return item


def _checked(seconds: Any) -> float:
    if not isinstance(seconds, (int, float)) or not seconds >= 0:
        message = f"a latency must be zero or more seconds, not {seconds!r}"
        raise ConfigurationError(message)
    return seconds


def _is_exception(candidate: object) -> TypeGuard[BaseException | type[BaseException]]:
    return isinstance(candidate, BaseException) or (
        isinstance(candidate, type) and issubclass(candidate, BaseException)
    )


def _raise(error: BaseException | type[BaseException]) -> Never:
    if isinstance(error, BaseException):
        # One instance may be raised by many calls; each starts with a traceback of its own.
        error = error.with_traceback(None)
    raise error
