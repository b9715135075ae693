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
    ├── ReentryError (RuntimeError)           a cached call waits for its own result
    └── Filtered                              not a failure: a Filter ended the chain

The exceptions of the user's own steps are never wrapped: they arrive with their own type, and one
note tells where in the workflow they arose. Every class here can be pickled.
"""

from __future__ import annotations

__all__ = (
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
    "ReentryError",
    "RoutingError",
    "TTAError",
    "TimeoutExceededError",
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


class ReentryError(TTAError, RuntimeError):
    """A cached call needs its own result to compute its result; waiting would never end."""


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
