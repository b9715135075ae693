"""`AssignPrimitive`: adds the results of steps to a dict and passes the rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from tta_dev_primitives.core.base import Composite, as_primitive, check_name
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.parallel import ParallelPrimitive
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import CompositionError

if TYPE_CHECKING:
    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Assign", "AssignPrimitive")

M = TypeVar("M", bound="Mapping[str, Any]")


class AssignPrimitive(Composite[Mapping[str, Any], dict[str, object]]):
    """Runs steps on a dict, at once, and returns a new dict with their results added.

    The input is not changed. A key that the input has already is replaced in the result.

    Args:
        steps: By the key under which each result is added; at least one. Each gets the whole dict.

    Raises:
        CompositionError: No steps, or something is no step.
        TypeError: From the call: the input is no mapping.

    Example:
        >>> add = Assign(length=lambda d: len(d["text"]))
        >>> add.run({"text": "four"})
        {'text': 'four', 'length': 4}
    """

    kind = "wrapper"

    def __init__(self, **steps: AsyncStep[M, object] | SyncStep[M, object]) -> None:
        if not steps:
            message = "Assign needs at least one step: Assign(key=step)"
            raise CompositionError(message)
        lifted = {key: as_primitive(s, role=f"{key}= of Assign") for key, s in steps.items()}
        self._steps = (ParallelPrimitive[Any, dict[str, Any]](lifted, name="fields"),)

    def named(self, name: str) -> Self:
        """Return a copy under another name."""
        copy = self._copy()
        copy._name = check_name(name)
        return copy

    async def _execute_impl(
        self,
        context: WorkflowContext,
        input_data: Any,
        site: engine.Site | None = None,
    ) -> dict[str, object]:
        with Run(self, context, site) as run:
            if not isinstance(input_data, Mapping):
                shown = shown_value(input_data, 80)
                message = f"{self.name!r} adds to a dict, but its input is {shown}"
                raise TypeError(message)
            given = cast("Mapping[str, object]", input_data)
            added = cast("dict[str, object]", await run.call(0, given))
            return {**given, **added}


Assign = AssignPrimitive
