"""`ConditionalPrimitive` and `SwitchPrimitive`: one of several steps, chosen by the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tta_dev_primitives.core.base import Composite, as_primitive, check_name, path_safe
from tta_dev_primitives.core.functions import Chooser
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import CompositionError, RoutingError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Conditional", "ConditionalPrimitive", "Switch", "SwitchPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
A = TypeVar("A")
B = TypeVar("B")


class ConditionalPrimitive(Composite[TIn, TOut]):
    """Runs one of two steps, by a condition on the context and the input.

    Args:
        condition: `(context, input)` or `(input)`, synchronous or asynchronous; its result counts
            as true or false.
        true_primitive: Runs when the condition holds.
        false_primitive: Runs when it does not. Left out, the input passes through unchanged.
        name: Default: `conditional`.

    Raises:
        CompositionError: Something is no step, or the condition cannot be called.

    Example:
        >>> short = Conditional(lambda ctx, text: len(text) < 5, str.upper, str.lower)
        >>> short.run("Abc"), short.run("Abcdef")
        ('ABC', 'abcdef')
    """

    kind = "choice"

    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | B],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: AsyncStep[I, A],
        false_primitive: AsyncStep[I, B],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | B],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: AsyncStep[I, A],
        false_primitive: SyncStep[I, B],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | B],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: SyncStep[I, A],
        false_primitive: AsyncStep[I, B],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | B],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: SyncStep[I, A],
        false_primitive: SyncStep[I, B],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | I],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: AsyncStep[I, A],
        false_primitive: None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ConditionalPrimitive[I, A | I],
        condition: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        true_primitive: SyncStep[I, A],
        false_primitive: None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        condition: Any,
        true_primitive: Any,
        false_primitive: Any = None,
        *,
        name: str | None = None,
    ) -> None:
        self._condition = Chooser(condition, role="condition of Conditional")
        steps = [as_primitive(true_primitive, role="true_primitive of Conditional")]
        if false_primitive is not None:
            steps.append(as_primitive(false_primitive, role="false_primitive of Conditional"))
        self._steps = tuple(steps)
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """What leads to each step."""
        return ("true", "false")[: len(self._steps)]

    @property
    def passes_through(self) -> bool:
        """Whether the input can leave unchanged, for want of a second step."""
        return len(self._steps) == 1

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        with Run(self, context, site) as run:
            holds = bool(await self._condition(context, input_data))
            run.note(condition=holds)
            if holds:
                return run.checked(await run.call(0, input_data))
            if len(self._steps) == 1:
                return input_data
            return run.checked(await run.call(1, input_data))


class SwitchPrimitive(Composite[TIn, TOut]):
    """Runs the step whose key a selector names.

    Args:
        selector: `(context, input)` or `(input)`, synchronous or asynchronous; returns a key.
        cases: Steps by key; at least one. Keys may be any hashable value.
        default: Runs for a key that is not in `cases`. Left out, such a key is an error.
        name: Default: `switch`.

    Raises:
        CompositionError: No cases, or something is no step.
        RoutingError: From the call: the selector named a case that does not exist, and there is
            no default; the message lists the cases.

    Example:
        >>> greet = Switch(lambda text: text[:1], {"A": str.upper, "b": str.title}, str.lower)
        >>> greet.run("Ab"), greet.run("bc"), greet.run("Xy")
        ('AB', 'Bc', 'xy')
    """

    kind = "choice"

    @overload
    def __init__(
        self: SwitchPrimitive[I, A],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        cases: Mapping[Any, AsyncStep[I, A]],
        default: AsyncStep[I, A] | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SwitchPrimitive[I, A],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        cases: Mapping[Any, SyncStep[I, A]],
        default: SyncStep[I, A] | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: SwitchPrimitive[I, A],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object],
        cases: Mapping[Any, AsyncStep[I, A] | SyncStep[I, A]],
        default: AsyncStep[I, A] | SyncStep[I, A] | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self, selector: Any, cases: Any, default: Any = None, *, name: str | None = None
    ) -> None:
        if not isinstance(cases, Mapping) or not cases:
            message = f"Switch needs cases, a dict of at least one step, not {cases!r}"
            raise CompositionError(message)
        by_key = cast("Mapping[Hashable, object]", cases)
        self._selector = Chooser(selector, role="selector of Switch")
        self._cases = {key: index for index, key in enumerate(by_key)}
        steps = [as_primitive(s, role=f"case {key!r} of Switch") for key, s in by_key.items()]
        labels = [path_safe(str(key)) for key in by_key]
        self._has_default = default is not None
        if default is not None:
            steps.append(as_primitive(default, role="default of Switch"))
            labels.append("default")
        self._steps = tuple(steps)
        self._labels = tuple(labels)
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The keys, and `default` where there is one."""
        keys = tuple(str(key) for key in self._cases)
        return (*keys, "default") if self._has_default else keys

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        with Run(self, context, site) as run:
            key = await self._selector(context, input_data)
            try:
                index = self._cases.get(key)
            except TypeError:  # an unhashable key is in no dict
                index = None
            if index is None:
                if not self._has_default:
                    keys = tuple(self._cases)
                    message = (
                        f"{self.name!r} has no case {shown_value(key)}; its cases are "
                        f"{', '.join(map(repr, keys))}"
                    )
                    raise RoutingError(message, selected=key, routes=keys)
                index = len(self._steps) - 1
            if run.frame is not None:
                run.note(case=str(key) if isinstance(key, (str, int)) else shown_value(key))
            return run.checked(await run.call(index, input_data))


Conditional = ConditionalPrimitive
Switch = SwitchPrimitive
