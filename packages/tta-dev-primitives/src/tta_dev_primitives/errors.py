"""Every exception that this package raises by itself.

The classes are cut by what the caller can do, and each is also a subclass of the nearest built-in,
so `except TimeoutError` or `except ValueError` works as a reader expects:

    TTAError
    ├── ConfigurationError (ValueError)       fix the code that builds the workflow
    │   ├── CompositionError (TypeError)      these steps cannot be put together
    │   ├── ContextFieldError (TypeError)     no such field on WorkflowContext
    │   └── PathError (LookupError)           no node stands at this path
    ├── MissingExtraError (ImportError)       install the extra that it names
    ├── RoutingError (LookupError)            no route fits this input
    ├── DataValidationError (ValueError)      the data does not fit the declared model
    ├── NestedAwaitableError (TypeError)      a step returned something that still wants an await
    ├── NestedRunError (RuntimeError)         run() was called where a loop runs; await execute()
    ├── LoopLimitError (RuntimeError)         a Loop reached its bound
    ├── TimeoutExceededError (TimeoutError)   a deadline of ours passed
    ├── QuorumError (RuntimeError)            too few branches succeeded
    ├── CircuitOpenError (RuntimeError)       a circuit breaker let the call not through; wait
    ├── ReentryError (RuntimeError)           a cached call waits for its own result
    ├── Unkeyable (TypeError)                 no cache key can be made of this value
    ├── RejectedError (RuntimeError)          refused before its step ran; come back later
    │   ├── BulkheadFullError                 all permits are taken, and so is the queue
    │   ├── RateLimitedError                  the rate is used up
    │   └── ThrottledError                    refused here, since the other side refuses
    ├── CompensationError (ExceptionGroup)    a saga failed, and not all of it could be undone
    ├── CompensationCancelledError (RuntimeError)  something cancelled a compensation
    ├── SagaJournalError (RuntimeError)       a saga's journal cannot be written, read or replayed
    └── Filtered                              not a failure: a Filter ended the chain

The exceptions of the user's own steps are never wrapped: they arrive with their own type, and one
note tells where in the workflow they arose. Every class here can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

__all__ = (
    "BulkheadFullError",
    "CircuitOpenError",
    "CompensationCancelledError",
    "CompensationError",
    "CompositionError",
    "ConfigurationError",
    "ContextFieldError",
    "DataValidationError",
    "Filtered",
    "LoopLimitError",
    "MissingExtraError",
    "NestedAwaitableError",
    "NestedRunError",
    "PathError",
    "QuorumError",
    "RateLimitedError",
    "ReentryError",
    "RejectedError",
    "RoutingError",
    "SagaJournalError",
    "TTAError",
    "ThrottledError",
    "TimeoutExceededError",
    "Unkeyable",
)


class TTAError(Exception):
    """Root of this package's exceptions."""


class ConfigurationError(TTAError, ValueError):
    """A workflow, option or environment setting is wrong; the code that builds it must change."""


class CompositionError(ConfigurationError, TypeError):
    """Steps that cannot be put together: not callable, a cycle, or types that cannot fit."""


class ContextFieldError(ConfigurationError, TypeError):
    """A field that `WorkflowContext` does not have was given to it."""


class PathError(ConfigurationError, LookupError):
    """No node of the workflow stands at the given path."""


class MissingExtraError(TTAError, ImportError):
    """A feature was asked for by name whose optional dependency is not installed.

    Attributes:
        extra: The name of the extra that brings the dependency.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(
            f"{feature} needs an optional dependency that is not installed; "
            f"add it with: uv add 'tta-dev-primitives[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.feature, self.extra)


class RoutingError(TTAError, LookupError):
    """No route of a Router or Switch fits the input.

    Attributes:
        selected: The route that was asked for; None when nothing asked for one.
        routes: The routes that exist, in the order in which they were given.
    """

    def __init__(
        self, message: str, *, selected: object = None, routes: tuple[object, ...] = ()
    ) -> None:
        super().__init__(message)
        self.selected = selected
        self.routes = routes


class DataValidationError(TTAError, ValueError):
    """Data at an edge of a workflow does not fit the declared model.

    Attributes:
        fields: The dotted names of the fields that do not fit, in the model's order.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class NestedAwaitableError(TTAError, TypeError):
    """A step's awaited result is itself a coroutine: an `await` is missing inside the step."""


class NestedRunError(TTAError, RuntimeError):
    """`run()` was called in a thread whose event loop is running."""


class LoopLimitError(TTAError, RuntimeError):
    """A Loop did not meet its condition within its bound.

    Attributes:
        iterations: How often the step ran.
        value: The value after the last iteration.
    """

    def __init__(self, message: str, *, iterations: int = 0, value: object = None) -> None:
        super().__init__(message)
        self.iterations = iterations
        self.value = value


class TimeoutExceededError(TTAError, TimeoutError):
    """A deadline that this package enforces has passed.

    A `TimeoutError` that the step raises by itself stays what it is; only our own expiry has this
    class.

    Attributes:
        seconds: The limit that was set, in seconds.
    """

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class QuorumError(TTAError, RuntimeError):
    """Fewer branches succeeded than the quorum asks for.

    Attributes:
        required: The quorum.
        succeeded: How many branches succeeded.
        errors: The exceptions of the branches that failed, in branch order.
    """

    def __init__(
        self,
        message: str,
        *,
        required: int = 0,
        succeeded: int = 0,
        errors: tuple[BaseException, ...] = (),
    ) -> None:
        super().__init__(message)
        self.required = required
        self.succeeded = succeeded
        self.errors = errors


class _RefusalError(TTAError, RuntimeError):
    """What refuses a call. An overload makes many that nobody reads: it is told when it is read.

    The text is told by what stands in `_text`, the note by what stands in `_arose`: a function and
    its arguments, the first of them, for the note, this error.
    """

    _text: tuple[Any, ...]
    _arose: tuple[Any, ...]

    if not TYPE_CHECKING:  # attributes like those of any exception

        @property
        def args(self) -> tuple[object, ...]:
            text = vars(self).pop("_text", None)
            if text is not None:
                BaseException.args.__set__(self, (text[0](*text[1:]),))
            return BaseException.args.__get__(self)

        @args.setter
        def args(self, args: tuple[object, ...]) -> None:
            vars(self).pop("_text", None)
            BaseException.args.__set__(self, args)

        @property
        def __notes__(self) -> list[str]:
            arose = vars(self).pop("_arose", None)
            if arose is not None:
                arose[0](self, *arose[1:])
            try:
                return vars(self)["__notes__"]
            except KeyError:
                raise AttributeError("__notes__") from None

        @__notes__.setter
        def __notes__(self, notes: list[str]) -> None:
            vars(self)["__notes__"] = notes

    def __str__(self) -> str:
        return str(*self.args) if len(self.args) < 2 else super().__str__()  # noqa: PLR2004 - as it is with two

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"

    def __reduce__(self) -> tuple[object, ...]:
        args = self.args
        getattr(self, "__notes__", None)
        return type(self), args, vars(self)


class CircuitOpenError(_RefusalError):
    """A circuit breaker rejected a call: what it guards has failed too often lately.

    The step was not called. Each rejection is an error of its own.

    Attributes:
        name: The breaker's name.
        retry_after: Seconds until the breaker lets a call through at the earliest; None where
            that is not known: it is isolated, its probes are under way, or a store keeps its state.
        state: `open`, `half_open` (all probes are under way) or `isolated`.
    """

    def __init__(
        self, name: str, retry_after: float | None = None, state: str = "open"
    ) -> None:  # the text is made when it is read: an outage makes many that nobody reads
        self.name = name
        self.retry_after = retry_after
        self.state = state

    def __str__(self) -> str:
        if self.state == "isolated":
            return f"circuit breaker {self.name!r} is isolated: no call passes until it is closed"
        if self.state == "half_open":
            return f"circuit breaker {self.name!r} is half-open, and its probes are under way"
        after = self.retry_after
        wait = "" if after is None else f"; it lets a call through in {after:.3f} s"
        return f"circuit breaker {self.name!r} is open{wait}"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name,), super().__reduce__()[2]


class ReentryError(TTAError, RuntimeError):
    """A cached call needs its own result to compute its result; waiting would never end."""


class RejectedError(_RefusalError):
    """A call was refused before its step ran, so as not to overload what it would use.

    The step has not begun, so the call can be made again without harm.

    Attributes:
        retry_after: Seconds after which another try can succeed; None where nobody can tell.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @classmethod
    def told_by(
        cls, text: Callable[..., str], *facts: object, retry_after: float | None = None
    ) -> Self:
        """Return an error whose text is `text(*facts)`, made when somebody reads it."""
        made = cls.__new__(cls)
        made.retry_after = retry_after
        made._text = text, *facts  # noqa: SLF001 - an error of this very class
        return made


class BulkheadFullError(RejectedError):
    """All permits of a bulkhead are taken, and its queue is full or the wait in it was too long."""


class RateLimitedError(RejectedError):
    """A rate limit of ours allows the call only later than the caller can wait."""


class ThrottledError(RejectedError):
    """A call was refused on this side, since the other side refuses most of them."""


class Unkeyable(TTAError, TypeError):  # noqa: N818 - a value that is so, as `Hashable` names one
    """No cache key can be made of a value: what tells it from others cannot be seen.

    The text names the place and the type, never the value.

    Attributes:
        where: The way to the value, such as `messages[0]['content']`.
        kind: The name of its type.
        reason: What is wrong with it.
    """

    def __init__(self, message: str, *, where: str = "", kind: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.kind = kind
        self.reason = reason

    @classmethod
    def of(cls, where: str, kind: str, reason: str) -> Unkeyable:
        """Return the error for a value of type `kind` that stands at `where`."""
        message = f"{where} has no key: {kind} {reason}"
        return cls(message, where=where, kind=kind, reason=reason)

    def at(self, root: str) -> Unkeyable:
        """Return the same error for a value that is called `root`."""
        return self.of(root + self.where.removeprefix("value"), self.kind, self.reason)


class CompensationError(TTAError, ExceptionGroup[Exception]):
    """A saga failed, and at least one of its compensations failed as well.

    The first exception of the group is the cause, if that is an `Exception`; the failures of the
    compensations follow in the order in which they ran. What was done and is not undone has to be
    looked after by other means, or by `resume` where there is a journal.

    Attributes:
        undone: The steps that were undone, in the order in which that happened.
        not_undone: The steps whose compensation failed.
        run_id: The run in the saga's journal; None without one.
    """

    undone: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()
    run_id: str | None = None

    def derive(self, excs: Sequence[Exception], /) -> CompensationError:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - as `split` and `subgroup` call it
        """Return a group of some of the exceptions; `except*` asks for it."""
        made = CompensationError(self.message, excs)
        made.undone, made.not_undone, made.run_id = self.undone, self.not_undone, self.run_id
        return made


class CompensationCancelledError(TTAError, RuntimeError):
    """A compensation did not run to its end, because something cancelled that very call."""


class SagaJournalError(TTAError, RuntimeError):
    """A saga's journal cannot be written, read or replayed; a saga never acts unrecorded."""


class Filtered(TTAError):  # noqa: N818 - an outcome, not an error: it ends a chain on purpose
    """A Filter held a single value back, and the chain ended there.

    It is a signal to the caller, not a failure: no retry repeats it, no fallback replaces it, and
    its record has the status `filtered`.

    Attributes:
        value: The value that was held back.
    """

    def __init__(self, message: str, *, value: object = None) -> None:
        super().__init__(message)
        self.value = value
