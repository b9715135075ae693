"""`FilterPrimitive`: lets through what satisfies a condition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tta_dev_primitives.core.base import Chooser, WorkflowPrimitive, check_name
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Filter", "FilterPrimitive")

T = TypeVar("T")
TOut = TypeVar("TOut", covariant=True)
TIn = TypeVar("TIn", contravariant=True)

_WHOLE = (str, bytes, bytearray, memoryview, Mapping)  # collections that are one value to a user


class FilterPrimitive(WorkflowPrimitive[TIn, TOut]):
    """Drops the items of a collection that do not satisfy a condition.

    Lists, tuples and sets keep their type; other iterables give a list. Any other input, texts and
    mappings included, is a single value: it passes, or it ends the chain with `Filtered`.

    Args:
        condition: `(context, item)` or `(item)`, synchronous or asynchronous.
        name: Default: `filter`.

    Raises:
        CompositionError: The condition cannot be called.
        Filtered: From the call: a single value does not satisfy the condition. It is no failure:
            nothing retries it or falls back.

    Example:
        >>> Filter(lambda n: n % 2 == 0).run([1, 2, 3, 4])
        [2, 4]
    """

    @overload
    def __init__(
        self: FilterPrimitive[Collection[T], list[T]],
        condition: Callable[[WorkflowContext, T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FilterPrimitive[Collection[T], list[T]],
        condition: Callable[[T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FilterPrimitive[T, T],
        condition: Callable[[WorkflowContext, T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FilterPrimitive[T, T],
        condition: Callable[[T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, condition: Any, *, name: str | None = None) -> None:
        self._condition = Chooser(condition, role="condition of Filter")
        self._name = check_name(name) if name is not None else None

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        condition = self._condition
        if not isinstance(input_data, Iterable) or isinstance(input_data, _WHOLE):
            if await condition(context, input_data):
                return input_data
            message = f"{self.name!r} held back {input_data!r:.80}"
            raise Filtered(message, value=input_data)
        items = cast("Iterable[Any]", input_data)
        kept = [item for item in items if await condition(context, item)]
        for kind in (tuple, frozenset, set):
            if isinstance(input_data, kind):
                return kind(kept)
        return kept


Filter = FilterPrimitive
