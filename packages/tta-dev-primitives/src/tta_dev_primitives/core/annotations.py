"""What annotations say about a step, and whether two steps can fit.

The check refuses only what cannot work: both sides are concrete classes and neither is a subclass
of the other. Protocols, abstract classes, type variables, unions and `Any` are left to the type
checker, and so are hints that do not resolve.
"""

from __future__ import annotations

import inspect
import typing
from abc import ABCMeta
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.functions import Form

__all__ = ("check_fit", "of_class", "of_function", "shown")

# PEP 484: where float is expected an int will do, and both will do where complex is.
_PROMOTED: dict[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def of_function(function: Callable[..., Any], form: Form) -> tuple[Any, Any]:
    """Return the annotated types of a function's input and awaited output."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    target: Any = function
    if isinstance(target, type):
        return Any, target
    if not inspect.isroutine(target) and not hasattr(target, "__wrapped__"):
        target = type(target).__call__
    target = inspect.unwrap(target)
    try:
        hints = typing.get_type_hints(target)
        parameters = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
        ]
    except Exception:  # noqa: BLE001 - a hint can run any code; what does not resolve is not judged
        return Any, Any
    index = {"input": 0, "context, input": 1}.get(form)
    taken: Any = Any
    if index is not None and index < len(parameters):
        taken = hints.get(parameters[index], Any)
    return taken, hints.get("return", Any)


def of_class(primitive: WorkflowPrimitive[Any, Any]) -> tuple[Any, Any]:
    """Return the types that a primitive's class gives to `WorkflowPrimitive[In, Out]`."""
    made_as = getattr(primitive, "__orig_class__", None)
    if made_as is not None:
        return _resolve(typing.get_origin(made_as), typing.get_args(made_as))
    return _resolve(type(primitive), ())


def _resolve(cls: Any, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    from tta_dev_primitives.core.base import WorkflowPrimitive  # noqa: PLC0415 - it imports this

    if cls is WorkflowPrimitive:
        return arguments if len(arguments) == 2 else (Any, Any)  # noqa: PLR2004
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
    given = dict(zip(parameters, arguments, strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, WorkflowPrimitive):
            filled = tuple(given.get(a, a) for a in typing.get_args(base))
            return _resolve(origin, filled)
    for base in cls.__bases__:
        if issubclass(base, WorkflowPrimitive):
            return _resolve(base, ())
    return Any, Any


def check_fit(left: WorkflowPrimitive[Any, Any], right: WorkflowPrimitive[Any, Any]) -> None:
    """Refuse a chain whose annotated types cannot fit.

    Raises:
        CompositionError: What `left` gives can never be what `right` takes.
    """
    giver, taker = left.edges[1], right.edges[0]
    try:
        given, wanted = giver.signature[1], taker.signature[0]
    except RecursionError:  # nested deeper than a signature can be read
        return
    if cannot_fit(given, wanted):
        message = (
            f"{giver.name!r} gives {shown(given)}, but {taker.name!r} takes {shown(wanted)}; "
            f"they cannot be chained"
        )
        raise CompositionError(message)


def cannot_fit(given: Any, wanted: Any) -> bool:
    """Whether a value annotated `given` can never be one annotated `wanted`."""
    if given is wanted or given is Any or wanted is Any:
        return False
    source, target = _concrete(given), _concrete(wanted)
    if source is None or target is None:
        return False
    if issubclass(source, target) or issubclass(target, source):
        return False
    return not any(issubclass(source, promoted) for promoted in _PROMOTED.get(target, ()))


def _concrete(hint: Any) -> type | None:
    """Return the class behind a hint, or None where subclass tests would prove nothing."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint is None:
        return NoneType
    hint = typing.get_origin(hint) or hint
    if not isinstance(hint, type) or hint is object:
        return None
    if typing.is_typeddict(hint):
        return dict
    if type(hint) is ABCMeta or inspect.isabstract(hint) or getattr(hint, "_is_protocol", False):
        return None
    return hint


def shown(hint: Any) -> str:
    """Return a hint as a reader would write it."""
    if hint is Any:
        return "Any"
    if hint is None or hint is NoneType:
        return "None"
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__qualname__
    return str(hint).replace("typing.", "")
