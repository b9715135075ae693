"""How a callable is called as a step: asynchronous or not, and with which arguments."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Form", "form_of", "is_async")

Form: TypeAlias = Literal["input", "context, input", "context", "nothing"]

_CONTEXT_NAMES = frozenset({"context", "ctx", "workflow_context"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(call)


def form_of(function: Callable[..., Any]) -> Form:
    """Tell which arguments `function` wants; the rules stand in `step`.

    Raises:
        CompositionError: It wants more than a step can give, or `(data, context)`.
    """
    try:
        parameters = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a C function or class without a signature
        return "input"
    shown = getattr(function, "__qualname__", repr(function))
    keyword_only = [
        p.name
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
    ]
    if keyword_only:
        message = (
            f"{shown!r} needs the keyword argument {', '.join(keyword_only)}, which a step is not "
            f"given; bind it with functools.partial"
        )
        raise CompositionError(message)
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    required = [p for p in positional if p.default is inspect.Parameter.empty]
    if len(required) == 1:
        return "context" if _is_context(required[0]) else "input"
    if len(required) == 2:  # noqa: PLR2004 - the context and the input
        first, second = required
        if _is_context(second) and not _is_context(first):
            message = (
                f"{shown!r} takes ({first.name}, {second.name}); a step with two parameters takes "
                f"the context first: ({second.name}, {first.name})"
            )
            raise CompositionError(message)
        return "context, input"
    if required:
        message = (
            f"{shown!r} needs {len(required)} arguments ({', '.join(p.name for p in required)}); "
            f"a step gets the input, or the context and the input"
        )
        raise CompositionError(message)
    takes_any = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return "input" if positional or takes_any else "nothing"


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return parameter.name in _CONTEXT_NAMES
    if isinstance(annotation, str):
        return annotation.strip("'\"").rpartition(".")[2] == "WorkflowContext"
    return annotation is WorkflowContext
