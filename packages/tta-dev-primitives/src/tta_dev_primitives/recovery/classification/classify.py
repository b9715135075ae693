"""What kind of failure an exception is, and which failures a recovery may act on.

By type, by HTTP status and by the code that a provider puts into its error; never by the words of
a message. Control flow (cancellation, `KeyboardInterrupt`, `SystemExit`, `GeneratorExit`, and
`Filtered`) is no failure: whatever the caller's rule says, it passes.

| kind | what it is | retried | counts against health |
|---|---|---|---|
| `rate_limit` | too many requests or tokens for now | yes | yes |
| `overloaded` | the provider has no capacity | yes | yes |
| `server_error` | the provider failed | yes | yes |
| `network` | no connection, or a broken one | yes | yes |
| `timeout` | a limit of time passed, ours or theirs | yes | yes |
| `unknown` | nothing tells it | yes | yes |
| `rejected` | refused on this side: a breaker, a bulkhead, a limit | yes | no |
| `context_length` | the request, or the answer, is too long for the model | no | no |
| `content_policy` | refused for its content | no | no |
| `auth` | no key, a wrong one, no permission, no credit left | no | no |
| `not_found` | no such model, deployment or resource | no | no |
| `invalid_request` | the provider does not understand the request | no | no |
| `bug` | wrong code or a wrong set-up here, such as a `TypeError` | no | no |

A `Fallback` takes over for every kind, unless an alternative of it names kinds.
"""

from __future__ import annotations

import asyncio
import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, get_args

from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.errors import (
    ConfigurationError,
    Filtered,
    MissingExtraError,
    NestedRunError,
    ReentryError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "ERROR_KINDS",
    "Classifier",
    "ErrorKind",
    "RetryOn",
    "asked_to_stop",
    "classify_error",
    "classify_with",
    "counts_as_failure",
    "is_failure",
    "matcher",
    "may_pass",
    "stop_classifying_with",
)

ErrorKind: TypeAlias = Literal[
    "rate_limit",
    "overloaded",
    "server_error",
    "network",
    "timeout",
    "unknown",
    "rejected",
    "context_length",
    "content_policy",
    "auth",
    "not_found",
    "invalid_request",
    "bug",
]
"""What kind of failure an exception is; the table is in this module's text."""
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
"""All kinds."""
Classifier: TypeAlias = "Callable[[Exception], ErrorKind | None]"
"""Tells the kind of an exception, or None where it does not know it."""
_Named: TypeAlias = "type[BaseException] | ErrorKind"
RetryOn: TypeAlias = "_Named | tuple[_Named, ...] | Callable[[Exception], bool]"
"""Classes of exceptions, kinds of errors, several of these, or a function that is asked."""

F = TypeVar("F", bound="Classifier")

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
_RETRIED: frozenset[ErrorKind] = frozenset(ERROR_KINDS[:7])
_COUNTED: frozenset[ErrorKind] = frozenset(ERROR_KINDS[:6])
_classifiers: tuple[Classifier, ...] = ()
_complained: set[Classifier] = set()
_known: dict[type[BaseException], ErrorKind] = {}
"""What built-in rules say of types whose exceptions are all of one kind."""
_MOST_KNOWN = 256  # classes that are made anew for each error must not pile up


def classify_error(error: BaseException) -> ErrorKind:
    """Return what kind of failure an exception is.

    Known are the errors of openai, anthropic, google-genai, mistralai, cohere, groq, ollama,
    litellm, botocore and grpc, and of httpx, aiohttp, requests, urllib3 and the standard library;
    and any other with an HTTP status (`error.status_code`, `error.status`,
    `error.response.status_code`) or a code (`error.code`, `error.body["error"]["code"]`). Where
    an exception tells nothing, the ones it was raised from (`raise ... from`) are asked. A group
    is of the kind of the first exception in it that would not be retried, else of the first one.

    Some providers tell some kinds only in words, such as too long a prompt in a plain status 400;
    those are `invalid_request`, unless `classify_with` is given a function that knows better.

    Args:
        error: The exception. Control flow, such as a cancellation, is `unknown`; see `is_failure`.

    Example:
        >>> (
        ...     classify_error(TimeoutError()),
        ...     classify_error(ConnectionResetError()),
        ...     classify_error(TypeError()),
        ... )
        ('timeout', 'network', 'bug')
        >>> class Refused(Exception):
        ...     status_code = 429
        >>> classify_error(Refused())
        'rate_limit'
    """
    first: ErrorKind | None = None
    for leaf in _leaves(error):
        kind = _kind(leaf)
        if kind not in _RETRIED:
            return kind
        first = first or kind
    return first or "unknown"


def _kind(error: BaseException) -> ErrorKind:
    """Return the kind of an exception that is no group."""
    if not _classifiers:
        known = _known.get(type(error))
        if known is not None:
            return known
    if not isinstance(error, Exception) or isinstance(error, _CONTROL_FLOW):
        return "unknown"
    for classifier in _classifiers:
        told = _told(classifier, error)
        if told is not None:
            return told
    from tta_dev_primitives.recovery.classification.kinds import kind_of, kind_of_type  # noqa: PLC0415 - when something fails

    by_type = "bug" if isinstance(error, _LASTING) else kind_of_type(type(error))
    if by_type is not None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[type(error)] = by_type
        return by_type
    kind = kind_of(error)
    cause = error.__cause__
    seen = {id(error)}
    while kind == "unknown" and cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        kind = kind_of(cause)
        cause = cause.__cause__
    return kind


def classify_with(classifier: F) -> F:
    """Ask `classifier` about every exception, before the built-in rules; also as a decorator.

    For clients that are not known here, and for what a provider tells only in words. Retry,
    Fallback and CircuitBreaker follow it. The one that was given last is asked first.

    Args:
        classifier: Gets an exception (never a group, never control flow), returns its kind or
            None, at once. What it raises is logged once, and the built-in rules go on.

    Returns:
        The classifier itself.

    Raises:
        ConfigurationError: It is no synchronous function.

    Example:
        >>> class Busy(Exception): ...
        >>> @classify_with
        ... def of_our_client(error: Exception) -> ErrorKind | None:
        ...     return "overloaded" if isinstance(error, Busy) else None
        >>> classify_error(Busy())
        'overloaded'
        >>> stop_classifying_with(of_our_client)
        True
    """
    global _classifiers  # noqa: PLW0603 - process-wide by design, replaced as a whole
    if not callable(cast("object", classifier)) or inspect.iscoroutinefunction(classifier):
        shown = shown_value(classifier)
        message = f"a classifier is a synchronous function of an exception, not {shown}"
        raise ConfigurationError(message)
    _classifiers = (classifier, *(c for c in _classifiers if c is not classifier))
    return classifier


def stop_classifying_with(classifier: Classifier) -> bool:
    """Ask `classifier` no more; returns whether it was asked until now."""
    global _classifiers  # noqa: PLW0603 - process-wide by design
    before = _classifiers
    _classifiers = tuple(c for c in before if c is not classifier)
    return len(_classifiers) < len(before)


def _told(classifier: Classifier, error: Exception) -> ErrorKind | None:
    """Return what a classifier says; None where it fails, for `error` must not be lost over it."""
    try:
        kind: Any = classifier(error)
        if kind is None or kind in ERROR_KINDS:
            told: ErrorKind | None = kind
            return told
        if kind.__class__ is CoroutineType:
            kind.close()
        expected = ", ".join(ERROR_KINDS)
        message = f"{shown_value(kind)} is no kind of error; expected None or one of {expected}"
        raise ConfigurationError(message)  # noqa: TRY301 - reported as what the classifier raises is
    except Exception as culprit:
        if classifier not in _complained:
            _complained.add(classifier)
            import logging  # noqa: PLC0415 - only for a broken classifier

            logging.getLogger("tta_dev_primitives").warning(
                "the classifier %s failed; its further failures are not logged",
                shown_value(classifier),
                exc_info=culprit,
            )
        return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, however deep, in order; one that is no group, itself."""
    stack = [error]
    while stack:
        found = stack.pop()
        if isinstance(found, BaseExceptionGroup):
            stack.extend(reversed(cast("BaseExceptionGroup[BaseException]", found).exceptions))
        else:
            yield found


def is_failure(error: BaseException) -> bool:
    """Whether `error` is a failure: neither control flow nor a group with some in it."""
    if not isinstance(error, BaseExceptionGroup):
        return isinstance(error, Exception) and not isinstance(error, _CONTROL_FLOW)
    return isinstance(error, Exception) and not any(
        isinstance(leaf, _CONTROL_FLOW) or not isinstance(leaf, Exception)
        for leaf in _leaves(error)
    )


def may_pass(error: Exception) -> bool:
    """Whether another attempt could go better: the rule where the caller gives none.

    By the kind: see the table of this module. Of a group, every exception must be worth it.
    """
    if not isinstance(error, BaseExceptionGroup):
        return _kind(error) in _RETRIED
    return all(_kind(leaf) in _RETRIED for leaf in _leaves(error))


def counts_as_failure(error: BaseException) -> bool:
    """Whether `error` speaks against the health of what was called: the rule of a breaker.

    By the kind: see the table of this module. What the caller did wrong, and what was refused on
    this side, says nothing about the other side; neither does control flow. Of a group, one
    exception that counts is enough.
    """
    return is_failure(error) and any(_kind(leaf) in _COUNTED for leaf in _leaves(error))


def matcher(on: RetryOn | None) -> Callable[[Exception], bool]:
    """Return the rule for `on`.

    Classes and kinds match an exception that is of one of them, and a group whose exceptions all
    match. A function is asked about each exception of a group.

    Raises:
        ConfigurationError: `on` is none of what it may be.
    """
    if on is None:
        return may_pass
    given = cast("tuple[Any, ...]", on if isinstance(on, tuple) else (on,))
    classes = tuple(k for k in given if isinstance(k, type) and issubclass(k, BaseException))
    kinds = frozenset(k for k in given if isinstance(k, str) and k in ERROR_KINDS)
    if given and len(classes) + sum(isinstance(k, str) and k in kinds for k in given) == len(given):
        groups = tuple(k for k in classes if BaseExceptionGroup in k.__mro__)

        def matches(error: Exception) -> bool:
            if groups and isinstance(error, groups):
                return True
            return all(
                isinstance(leaf, classes) or (bool(kinds) and _kind(leaf) in kinds)
                for leaf in _leaves(error)
            )

        return matches
    asked = cast("Any", on)
    if isinstance(on, (tuple, type)) or not callable(asked):
        message = (
            f"on must be exception classes, kinds of errors ({', '.join(ERROR_KINDS)}), or a "
            f"function of the exception, not {shown_value(asked, 80)}"
        )
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
