"""Which exceptions a recovery may act on, and which are worth another attempt.

By type, never by the words of a message. Control flow (cancellation, `KeyboardInterrupt`,
`SystemExit`, `GeneratorExit`, and `Filtered`) is no failure: whatever the caller's rule says, it
passes.
"""

from __future__ import annotations

import asyncio
import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tta_dev_primitives.errors import (
    ConfigurationError,
    Filtered,
    MissingExtraError,
    NestedRunError,
    ReentryError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("RetryOn", "asked_to_stop", "is_failure", "matcher", "may_pass")

RetryOn: TypeAlias = (
    "type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]"
)
"""One class, several, or a function that is asked."""

_CONTROL_FLOW = (
    asyncio.CancelledError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    Filtered,
)
# The same call would fail in the same way: the code is wrong, not the moment.
_LASTING = (
    TypeError,
    NameError,
    AttributeError,
    AssertionError,
    ImportError,
    ConfigurationError,
    MissingExtraError,
    NestedRunError,
    ReentryError,
)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, however deep; an exception that is no group, itself."""
    stack = [error]
    while stack:
        found = stack.pop()
        if isinstance(found, BaseExceptionGroup):
            stack.extend(cast("BaseExceptionGroup[BaseException]", found).exceptions)
        else:
            yield found


def is_failure(error: BaseException) -> bool:
    """Whether `error` is a failure: neither control flow nor a group with some in it."""
    return isinstance(error, Exception) and not any(
        isinstance(leaf, _CONTROL_FLOW) or not isinstance(leaf, Exception)
        for leaf in _leaves(error)
    )


def may_pass(error: Exception) -> bool:
    """Whether another attempt could go better: the rule where the caller gives none.

    True unless the code itself is wrong: `TypeError`, `NameError`, `AttributeError`,
    `AssertionError`, `ImportError`, and what this package raises for a wrong set-up. Of a group,
    every exception must be worth it.
    """
    return not any(isinstance(leaf, _LASTING) for leaf in _leaves(error))


def matcher(on: RetryOn | None) -> Callable[[Exception], bool]:
    """Return the rule for `on`.

    A class or a tuple of classes matches an exception of that kind, and a group whose exceptions
    all match. A function is asked about each exception of a group.

    Raises:
        ConfigurationError: `on` is none of what it may be.
    """
    if on is None:
        return may_pass
    kinds = cast("tuple[Any, ...]", on if isinstance(on, tuple) else (on,))
    if kinds and all(isinstance(k, type) and issubclass(k, BaseException) for k in kinds):
        groups: tuple[Any, ...] = tuple(k for k in kinds if BaseExceptionGroup in k.__mro__)

        def matches(error: Exception) -> bool:
            if groups and isinstance(error, groups):
                return True
            return all(isinstance(leaf, kinds) for leaf in _leaves(error))

        return matches
    asked = cast("Any", on)
    if isinstance(on, (tuple, type)) or not callable(asked):
        message = f"on must be exception classes or a function of the exception, not {on!r:.80}"
        raise ConfigurationError(message)
    if inspect.iscoroutinefunction(asked):
        message = f"on must be a synchronous function; {asked.__name__!r} is asynchronous"
        raise ConfigurationError(message)

    def agrees(error: Exception) -> bool:
        return all(_answer(asked, cast("Exception", leaf)) for leaf in _leaves(error))

    return agrees


def _answer(asked: Callable[[Exception], object], error: Exception) -> bool:
    answer = asked(error)
    if isinstance(answer, CoroutineType):
        answer.close()
        message = "the function given as `on` returned a coroutine; it must answer at once"
        raise ConfigurationError(message)
    return bool(answer)


def asked_to_stop() -> bool:
    """Whether the running task has been cancelled, though its exception may not say so.

    A step that answers cancellation with an exception of its own must not be run again for it.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop: a coroutine driven by hand
        return False
    return task is not None and task.cancelling() > 0
