"""`LoopPrimitive`: one step again and again, with a bound; the shape of an agent loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from tta_dev_primitives.core.annotations import check_fit
from tta_dev_primitives.core.base import Composite, as_primitive, check_name, is_count
from tta_dev_primitives.core.functions import Chooser
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import ConfigurationError, LoopLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Loop", "LoopPrimitive")

S = TypeVar("S")


class LoopPrimitive(Composite[S, S]):
    """Runs a step on its own output until a condition holds, at most `max_iterations` times.

    The step runs at least once; the condition sees what it returned.

    Args:
        step: Takes and returns the state of the loop.
        until: `(context, state)` or `(state)`, synchronous or asynchronous; the loop ends when it
            holds.
        max_iterations: The bound, at least 1; there is no loop without one.
        on_limit: What happens at the bound: `raise` (default) or `return` the last state.
        name: Default: `loop`.

    Raises:
        CompositionError: The step is no step, or what it gives cannot be what it takes.
        ConfigurationError: `max_iterations` or `on_limit` is out of range.
        LoopLimitError: From the call: the bound was reached; it carries the last state.

    Example:
        >>> halve = Loop(lambda n: n // 2, until=lambda n: n < 10, max_iterations=20)
        >>> halve.run(1000)
        7
    """

    kind = "loop"

    @overload
    def __init__(
        self,
        step: AsyncStep[S, S],
        *,
        until: Callable[[WorkflowContext, S], object] | Callable[[S], object],
        max_iterations: int,
        on_limit: Literal["raise", "return"] = "raise",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        step: SyncStep[S, S],
        *,
        until: Callable[[WorkflowContext, S], object] | Callable[[S], object],
        max_iterations: int,
        on_limit: Literal["raise", "return"] = "raise",
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        step: Any,
        *,
        until: Any,
        max_iterations: int,
        on_limit: Literal["raise", "return"] = "raise",
        name: str | None = None,
    ) -> None:
        inner = as_primitive(step, role="step of Loop")
        check_fit(inner, inner)
        if not is_count(max_iterations) or max_iterations < 1:
            message = f"max_iterations must be at least 1, not {max_iterations!r}"
            raise ConfigurationError(message)
        if on_limit not in {"raise", "return"}:
            message = f"on_limit must be 'raise' or 'return', not {on_limit!r}"
            raise ConfigurationError(message)
        self._steps = (inner,)
        self._until = Chooser(until, role="until of Loop")
        self._limit = max_iterations
        self._on_limit = on_limit
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How often the step runs at most."""
        return (f"at most {self._limit} times",)

    @property
    def signature(self) -> tuple[Any, Any]:
        """The types of the step."""
        return self._steps[0].signature

    async def _execute_impl(
        self, context: WorkflowContext, input_data: S, site: engine.Site | None = None
    ) -> S:
        state = input_data
        with Run(self, context, site) as run:
            for iteration in range(1, self._limit + 1):
                state = cast("S", run.checked(await run.call(0, state)))
                run.own()
                if await self._until(context, state):
                    run.note(iterations=iteration)
                    return state
            run.note(iterations=self._limit)
            if self._on_limit == "return":
                return state
            message = (
                f"{self.name!r} reached its bound of {self._limit} iterations before its condition "
                f"held; raise max_iterations, or use on_limit='return'"
            )
            raise LoopLimitError(message, iterations=self._limit, value=state)


Loop = LoopPrimitive
