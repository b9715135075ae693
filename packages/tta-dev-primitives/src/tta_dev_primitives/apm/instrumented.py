"""`InstrumentedPrimitive`: a base class whose instances are named when they are made."""

from __future__ import annotations

from typing import TypeVar

from tta_dev_primitives.core.base import WorkflowPrimitive, check_name

__all__ = ("InstrumentedPrimitive",)

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)


class InstrumentedPrimitive(WorkflowPrimitive[TIn, TOut]):
    """A primitive that takes its name as an argument.

    Every primitive is observed (spans, metrics, log lines, correlation ids), whatever its base.
    This base adds only the argument, for primitives of which a workflow has several.

    Args:
        name: In paths, records, spans and metrics. Default: the class name in snake case.

    Raises:
        ConfigurationError: The name cannot stand in a path.

    Example:
        >>> from tta_dev_primitives import WorkflowContext
        >>> class Truncate(InstrumentedPrimitive[str, str]):
        ...     def __init__(self, length: int, name: str | None = None) -> None:
        ...         super().__init__(name)
        ...         self.length = length
        ...
        ...     async def _execute_impl(self, context: WorkflowContext, input_data: str) -> str:
        ...         return input_data[: self.length]
        >>> workflow = Truncate(5, "teaser") >> Truncate(3)
        >>> workflow.segments
        ('teaser', 'truncate')
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            self._name = check_name(name)
