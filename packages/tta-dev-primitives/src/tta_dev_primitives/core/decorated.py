"""`DecoratedFunction`: what every decorator of this package returns.

A decorated function stays a function for whoever calls it (same arguments, same result, same
signature for checkers and `inspect`) and is a primitive as well: it has the operators, `execute`
and `run`, and goes wherever a step goes. `.step` is its nominal primitive.

It is an object, since Python functions cannot have operators. What asks for a real function
(`inspect.isfunction`) is told the truth; what asks whether a call gives a coroutine gets the right
answer on every Python, because `inspect` accepts objects that carry a function's code object.
"""

# The operators take `self` as a `Callable`, so that checkers find input and output in its
# parameters. Both infer that rightly, but object to the definitions: an instance need not be one.
# mypy: disable-error-code="misc"
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import functools
import inspect
import sys
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from tta_dev_primitives.core.base import MISSING, WorkflowPrimitive
from tta_dev_primitives.core.functions import FunctionPrimitive, is_async
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.parallel import FanOut
    from tta_dev_primitives.core.sequential import SequentialPrimitive

__all__ = ("Around", "DecoratedFunction", "MakeStep")

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
Self_ = TypeVar("Self_")
R = TypeVar("R", covariant=True)
In = TypeVar("In")
Mid = TypeVar("Mid")
Out = TypeVar("Out")
A = TypeVar("A")
TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)

Around: TypeAlias = "Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]"
"""What a decorator does on a call: gets the function and its arguments, gives the result.

Where the function is asynchronous, so is this.
"""
MakeStep: TypeAlias = "Callable[[FunctionPrimitive[Any, Any]], WorkflowPrimitive[Any, Any]]"
"""Makes the nominal primitive of the function's own."""


if TYPE_CHECKING:  # a protocol class costs an import more than its worth

    class _Method(Protocol[TIn, Q, TOut]):
        def __call__(self, instance: TIn, /, *args: Q.args, **kwargs: Q.kwargs) -> TOut: ...


class DecoratedFunction(Generic[P, R]):
    """A function that a decorator of this package has changed: callable, and a primitive.

    The type parameters are the function's parameters and what a call returns: for an asynchronous
    function, a coroutine.

    Args:
        function: The function as written. Methods are bound when they are read from an object.
        around: What happens on a call.
        make_step: Makes the primitive that stands for it in a workflow.

    Raises:
        CompositionError: `function` is a generator, or a `classmethod` object.

    Example:
        >>> from tta_dev_primitives.observability import trace_operation
        >>> @trace_operation(span_name="measure")
        ... async def length(text: str) -> int:
        ...     return len(text)
        >>> (length >> str).run("four")
        '4'
    """

    _function: Callable[..., Any]
    _around: Around
    _make_step: MakeStep
    _step: WorkflowPrimitive[Any, Any] | None
    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], *, around: Around, make_step: MakeStep) -> None:
        _refuse(function)
        functools.update_wrapper(self, function)
        self._function = function
        self._around = around
        self._make_step = make_step
        self._step = None
        # What `inspect.iscoroutinefunction` looks at, in objects that are no functions.
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is None or is_async(function) != bool(code.co_flags & inspect.CO_COROUTINE):
            code = (_asynchronous if is_async(function) else _synchronous).__code__
        own = self.__dict__
        own["__code__"] = code
        own["__defaults__"] = getattr(function, "__defaults__", None)
        own["__kwdefaults__"] = getattr(function, "__kwdefaults__", None)
        own.setdefault("__annotations__", {})
        own.setdefault("__name__", type(function).__name__)
        own.setdefault("__qualname__", own["__name__"])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as it is decorated."""
        return cast("R", self._around(self._function, args, kwargs))

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: _Method[Self_, Q, T], instance: Self_, owner: type | None = None, /
    ) -> DecoratedFunction[Q, T]: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any:
        """Bind a method: what is read from an object is decorated and has operators as well."""
        bind = getattr(type(self._function), "__get__", None)
        if bind is None:
            return self
        function = bind(self._function, instance, owner)
        if function is self._function:
            return self
        bound: DecoratedFunction[..., R] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._function = bound.__wrapped__ = function
        bound._step = None
        return bound

    @property
    def step(self) -> WorkflowPrimitive[Any, Any]:
        """The nominal primitive.

        Raises:
            CompositionError: The function's parameters cannot be those of a step.
        """
        found = self._step
        if found is None:
            found = self._step = self._make_step(FunctionPrimitive(self._function))
        return found

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Answer what any primitive can be asked, such as `walk` and `draw`."""
            if name[0] != "_" and hasattr(WorkflowPrimitive, name):
                return getattr(self.step, name)
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self)

    def __repr__(self) -> str:
        return f"<decorated function {self.__qualname__}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where the name leads here, else by parts."""
        function = self._function
        if isinstance(function, MethodType):
            return getattr, (function.__self__, function.__func__.__name__)
        found: Any = sys.modules.get(self.__module__)
        for part in self.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is self:
            return str(self.__qualname__)
        return _rebuild, (type(self), function, self._around, self._make_step)

    # --- running ---------------------------------------------------------------------------

    @overload
    def execute(
        self: Callable[[In], Awaitable[Out]], context: WorkflowContext, input_data: In
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(self: Callable[[In], Awaitable[Out]], context: In) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[WorkflowContext, In], Awaitable[Out]],
        context: WorkflowContext,
        input_data: In,
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[WorkflowContext, In], Awaitable[Out]], context: In
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[], Awaitable[Out]], context: WorkflowContext, input_data: object
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[], Awaitable[Out]], context: object
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[In], Out], context: WorkflowContext, input_data: In
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(self: Callable[[In], Out], context: In) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[WorkflowContext, In], Out], context: WorkflowContext, input_data: In
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[WorkflowContext, In], Out], context: In
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(
        self: Callable[[], Out], context: WorkflowContext, input_data: object
    ) -> Coroutine[Any, Any, Out]: ...
    @overload
    def execute(self: Callable[[], Out], context: object) -> Coroutine[Any, Any, Out]: ...
    def execute(self: Any, context: Any = MISSING, input_data: Any = MISSING) -> Any:
        """Run it as a workflow of one step; see `WorkflowPrimitive.execute`."""
        return self.step.execute(context, input_data)

    @overload
    def run(
        self: Callable[[In], Awaitable[Out]], context: WorkflowContext, input_data: In
    ) -> Out: ...
    @overload
    def run(self: Callable[[In], Awaitable[Out]], context: In) -> Out: ...
    @overload
    def run(
        self: Callable[[WorkflowContext, In], Awaitable[Out]],
        context: WorkflowContext,
        input_data: In,
    ) -> Out: ...
    @overload
    def run(self: Callable[[WorkflowContext, In], Awaitable[Out]], context: In) -> Out: ...
    @overload
    def run(
        self: Callable[[], Awaitable[Out]], context: WorkflowContext, input_data: object
    ) -> Out: ...
    @overload
    def run(self: Callable[[], Awaitable[Out]], context: object) -> Out: ...
    @overload
    def run(self: Callable[[In], Out], context: WorkflowContext, input_data: In) -> Out: ...
    @overload
    def run(self: Callable[[In], Out], context: In) -> Out: ...
    @overload
    def run(
        self: Callable[[WorkflowContext, In], Out], context: WorkflowContext, input_data: In
    ) -> Out: ...
    @overload
    def run(self: Callable[[WorkflowContext, In], Out], context: In) -> Out: ...
    @overload
    def run(self: Callable[[], Out], context: WorkflowContext, input_data: object) -> Out: ...
    @overload
    def run(self: Callable[[], Out], context: object) -> Out: ...
    def run(self: Any, context: Any = MISSING, input_data: Any = MISSING) -> Any:
        """Run it from synchronous code; see `WorkflowPrimitive.run`."""
        return self.step.run(context, input_data)

    # --- composing -------------------------------------------------------------------------

    @overload
    def __rshift__(
        self: Callable[[In], Awaitable[Mid]], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[WorkflowContext, In], Awaitable[Mid]], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[], Awaitable[Mid]], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[object, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[In], Awaitable[Mid]], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[WorkflowContext, In], Awaitable[Mid]], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[], Awaitable[Mid]], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[object, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[In], Mid], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[WorkflowContext, In], Mid], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[], Mid], other: AsyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[object, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[In], Mid], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[WorkflowContext, In], Mid], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rshift__(
        self: Callable[[], Mid], other: SyncTaking[Mid, Out], /
    ) -> SequentialPrimitive[object, Out]: ...
    def __rshift__(self: Any, other: Any, /) -> Any:
        """Chain, as `WorkflowPrimitive` does."""
        return self.step >> other

    @overload
    def __or__(
        self: Callable[[In], Awaitable[A]], other: AsyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[WorkflowContext, In], Awaitable[A]], other: AsyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[], Awaitable[A]], other: AsyncTaking[object, Out], /
    ) -> FanOut[object, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[In], Awaitable[A]], other: SyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[WorkflowContext, In], Awaitable[A]], other: SyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[], Awaitable[A]], other: SyncTaking[object, Out], /
    ) -> FanOut[object, A | Out]: ...
    @overload
    def __or__(self: Callable[[In], A], other: AsyncTaking[In, Out], /) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[WorkflowContext, In], A], other: AsyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[], A], other: AsyncTaking[object, Out], /
    ) -> FanOut[object, A | Out]: ...
    @overload
    def __or__(self: Callable[[In], A], other: SyncTaking[In, Out], /) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[WorkflowContext, In], A], other: SyncTaking[In, Out], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __or__(
        self: Callable[[], A], other: SyncTaking[object, Out], /
    ) -> FanOut[object, A | Out]: ...
    def __or__(self: Any, other: Any, /) -> Any:
        """Fan out, as `WorkflowPrimitive` does."""
        return self.step | other

    @overload
    def __rrshift__(
        self: Callable[[Mid], Awaitable[Out]], other: AsyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[WorkflowContext, Mid], Awaitable[Out]], other: AsyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[Mid], Awaitable[Out]], other: SyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[WorkflowContext, Mid], Awaitable[Out]], other: SyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[Mid], Out], other: AsyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[WorkflowContext, Mid], Out], other: AsyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[Mid], Out], other: SyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    @overload
    def __rrshift__(
        self: Callable[[WorkflowContext, Mid], Out], other: SyncTaking[In, Mid], /
    ) -> SequentialPrimitive[In, Out]: ...
    def __rrshift__(self: Any, other: Any, /) -> Any:
        """Chain a function in front, as `WorkflowPrimitive` does."""
        return other >> self.step

    @overload
    def __ror__(
        self: Callable[[In], Awaitable[Out]], other: AsyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(
        self: Callable[[WorkflowContext, In], Awaitable[Out]], other: AsyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(
        self: Callable[[In], Awaitable[Out]], other: SyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(
        self: Callable[[WorkflowContext, In], Awaitable[Out]], other: SyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(self: Callable[[In], Out], other: AsyncTaking[In, A], /) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(
        self: Callable[[WorkflowContext, In], Out], other: AsyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(self: Callable[[In], Out], other: SyncTaking[In, A], /) -> FanOut[In, A | Out]: ...
    @overload
    def __ror__(
        self: Callable[[WorkflowContext, In], Out], other: SyncTaking[In, A], /
    ) -> FanOut[In, A | Out]: ...
    def __ror__(self: Any, other: Any, /) -> Any:
        """Fan out with a function first, as `WorkflowPrimitive` does."""
        return other | self.step

    then = __rshift__
    """The same as `>>`."""
    also = __or__
    """The same as `|`."""


# For `isinstance`: where a step is accepted, a decorated function is one.
WorkflowPrimitive.register(DecoratedFunction)


def _rebuild(
    kind: type[DecoratedFunction[..., Any]],
    function: Callable[..., Any],
    around: Around,
    make_step: MakeStep,
) -> DecoratedFunction[..., Any]:
    return kind(function, around=around, make_step=make_step)


async def _asynchronous() -> None:
    """Lend its code to asynchronous callables that have none of their own."""


def _synchronous() -> None:
    """Lend its code to synchronous callables that have none of their own."""


def _refuse(function: object) -> None:
    """Refuse what cannot be called like a function.

    Raises:
        CompositionError: It is not callable, a generator function, or a `classmethod` object.
    """
    shown = getattr(function, "__qualname__", None) or repr(function)
    if isinstance(function, classmethod):
        raise CompositionError(f"put @classmethod above the decorator of {shown}, not below it")
    if not callable(function):
        kind = type(function).__name__
        raise CompositionError(f"only a function can be decorated, not {shown} ({kind})")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise CompositionError(
            f"{shown} is a generator: its call ends before its work begins, so it cannot be "
            f"decorated; decorate the function that consumes it"
        )
