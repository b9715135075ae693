"""The steps of a saga as they are given, and what a compensation is called with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from tta_dev_primitives.core.base import WorkflowPrimitive
from tta_dev_primitives.core.functions import function_name
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.wrapper import whole_step
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_dev_primitives.core.base import AnyStep
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Rollback", "SagaEntry", "SagaStep", "lifted_entry", "lifted_step")

X = TypeVar("X")
R = TypeVar("R")

Rollback: TypeAlias = "WorkflowPrimitive[R, Any] | Callable[[R], object] | Callable[[WorkflowContext, R], object] | Callable[[WorkflowContext, X, R], object] | Callable[[], object]"  # noqa: E501 - checkers want one literal
"""A compensation, by the types of its step's result and input."""
SagaEntry: TypeAlias = "AnyStep | tuple[AnyStep] | tuple[AnyStep, AnyStep | None]"
"""A step, with or without its compensation."""


class SagaStep:
    """One step of a saga, built.

    Attributes:
        action: What it does.
        rollback: What undoes it; None where nothing can or must be undone.
        takes_both: Whether `rollback` is called with the step's input and its result.
        before: Whether it registers before it acts, and so is undone also when it failed.
        stage: The number of its stage.
    """

    __slots__ = ("action", "before", "rollback", "stage", "takes_both")

    def __init__(
        self,
        action: WorkflowPrimitive[Any, Any],
        rollback: WorkflowPrimitive[Any, Any] | None,
        *,
        before: bool,
        stage: int,
    ) -> None:
        self.action: WorkflowPrimitive[Any, Any] = action
        self.rollback: WorkflowPrimitive[Any, Any] | None = rollback
        self.takes_both: bool = isinstance(rollback, InputAndResult)
        self.before: bool = before
        self.stage: int = stage


class InputAndResult(WorkflowPrimitive[Any, Any]):
    """A compensation that wants the context, its step's input and its step's result.

    As a primitive it takes one input: the pair of the step's input and result.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function_name(function)
        self.function = function

    @property
    def type_name(self) -> str:
        """`function`, for that is what it is."""
        return "function"

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        given, result = input_data
        undone: object = self.function(context, given, result)
        return cast("object", await undone) if isinstance(undone, Awaitable) else undone


def lifted_step(
    action: object, rollback: object, *, before: object, stage: int, role: str
) -> SagaStep:
    """Return a step of a saga.

    Args:
        action: A primitive or a callable.
        rollback: A primitive, a callable, or None.
        before: Whether it registers before it acts.
        stage: The number of its stage.
        role: Which step it is, for the error's text.

    Raises:
        CompositionError: One of them is no step, or wants other arguments than it would get.
    """
    if not isinstance(before, bool):
        message = f"undo_failed of {role} must be True or False, not {shown_value(before)}"
        raise CompositionError(message)
    lifted = whole_step(action, role=role)
    undo = None if rollback is None else _lifted_rollback(rollback, f"rollback of {role}")
    if undo is None and before:
        message = f"{role} has no rollback, so undo_failed=True has nothing to undo it with"
        raise CompositionError(message)
    return SagaStep(lifted, undo, before=before, stage=stage)


def lifted_entry(entry: object, *, before: bool, stage: int, role: str) -> SagaStep:
    """Return a step that was given as `do` or `(do, undo)`.

    Raises:
        CompositionError: It is neither.
    """
    if isinstance(entry, (tuple, list)):
        pair: list[object] = [*cast("Sequence[object]", entry)]
        if len(pair) not in {1, 2}:
            message = f"{role} must be (do, undo), or (do, None); it has {len(pair)} parts"
            raise CompositionError(message)
        rollback = pair[1] if len(pair) > 1 else None
        return lifted_step(
            pair[0], rollback, before=before and rollback is not None, stage=stage, role=role
        )
    return lifted_step(entry, None, before=False, stage=stage, role=role)


def _lifted_rollback(candidate: object, role: str) -> WorkflowPrimitive[Any, Any]:
    if isinstance(candidate, WorkflowPrimitive) or not callable(candidate):
        return whole_step(candidate, role=role)  # pyright: ignore[reportUnknownArgumentType] - isinstance leaves the type arguments open
    required, keywords = _required(candidate)
    if len(required) < 2:  # noqa: PLR2004 - at most the result
        return whole_step(candidate, role=role)
    name = function_name(candidate)
    names = ", ".join(p.name for p in required)
    if len(required) > 3:  # noqa: PLR2004 - the context, the input and the result
        message = (
            f"{role}: {name!r} needs {len(required)} arguments ({names}); a compensation gets its "
            f"step's result, (context, result) or (context, input, result)"
        )
        raise CompositionError(message)
    if not _may_be_context(required[0]):  # its author expects the input there
        message = (
            f"{role}: {name!r} takes ({names}); a compensation with {len(required)} parameters "
            f"gets the context first: (context, result) or (context, input, result)"
        )
        raise CompositionError(message)
    if len(required) == 2:  # noqa: PLR2004 - the context and the result
        return whole_step(candidate, role=role)
    if keywords:
        message = (
            f"{role}: {name!r} needs the keyword argument {', '.join(keywords)}, which a "
            f"compensation is not given; bind it with functools.partial"
        )
        raise CompositionError(message)
    if inspect.isgeneratorfunction(candidate) or inspect.isasyncgenfunction(candidate):
        message = (
            f"{role}: {name!r} is a generator function, and calling it runs nothing yet; give a "
            f"function that ends when its work is done"
        )
        raise CompositionError(message)
    return InputAndResult(candidate)


def _required(function: Callable[..., Any]) -> tuple[list[inspect.Parameter], list[str]]:
    """Return the parameters that must be given: by position, and by keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a C function or class without a signature
        return [], []
    needed = [p for p in parameters if p.default is inspect.Parameter.empty]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        [p for p in needed if p.kind in kinds],
        [p.name for p in needed if p.kind is inspect.Parameter.KEYWORD_ONLY],
    )


def _may_be_context(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    plain = text.strip("'\"").rpartition(".")[2]
    return hint is inspect.Parameter.empty or plain in {"WorkflowContext", "Any", "object"}
