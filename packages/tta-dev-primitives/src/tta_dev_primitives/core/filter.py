"""`FilterPrimitive`: lets through what satisfies a condition."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tta_dev_primitives.core.base import WorkflowPrimitive, check_name
from tta_dev_primitives.core.functions import Chooser
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.stream import Stream, close_source
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.sequential import SequentialPrimitive

__all__ = ("Filter", "FilterPrimitive")

T = TypeVar("T")
In = TypeVar("In")
TOut = TypeVar("TOut", covariant=True)
TIn = TypeVar("TIn", contravariant=True)

_WHOLE = (str, bytes, bytearray, memoryview, Mapping)  # collections that are one value to a user


class FilterPrimitive(WorkflowPrimitive[TIn, TOut]):
    """Drops the items of a collection that do not satisfy a condition.

    Lists, tuples and sets keep their type, a stream stays a stream; other iterables give a list.
    Any other input, texts and mappings included, is a single value: it passes, or it ends the chain
    with `Filtered`.

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
        self: FilterPrimitive[list[T], list[T]],
        condition: Callable[[WorkflowContext, T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FilterPrimitive[list[T], list[T]],
        condition: Callable[[T], object],
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(self, condition: Any, *, name: str | None = None) -> None:
        self._condition = Chooser(condition, role="condition of Filter")
        self._name = check_name(name) if name is not None else None

    # What comes out depends on what stands in front; checkers come here where that is no list.

    @overload  # type: ignore[override]  # the base's forms are among these, joined
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: AsyncStep[In, T], /
    ) -> SequentialPrimitive[In, T]: ...
    @overload
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: AsyncStep[In, AsyncIterable[T]], /
    ) -> SequentialPrimitive[In, Stream[T]]: ...
    @overload
    def __rrshift__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload] - an iterable that stays what it is
        self: FilterPrimitive[list[T], list[T]], other: AsyncStep[In, tuple[T, ...]], /
    ) -> SequentialPrimitive[In, tuple[T, ...]]: ...
    @overload
    def __rrshift__(  # type: ignore[overload-overlap]  # an iterable that stays what it is
        self: FilterPrimitive[list[T], list[T]], other: AsyncStep[In, set[T]], /
    ) -> SequentialPrimitive[In, set[T]]: ...
    @overload
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: AsyncStep[In, Iterable[T]], /
    ) -> SequentialPrimitive[In, list[T]]: ...
    @overload
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: SyncStep[In, T], /
    ) -> SequentialPrimitive[In, T]: ...
    @overload
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: SyncStep[In, AsyncIterable[T]], /
    ) -> SequentialPrimitive[In, Stream[T]]: ...
    @overload
    def __rrshift__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload] - an iterable that stays what it is
        self: FilterPrimitive[list[T], list[T]], other: SyncStep[In, tuple[T, ...]], /
    ) -> SequentialPrimitive[In, tuple[T, ...]]: ...
    @overload
    def __rrshift__(  # type: ignore[overload-overlap]  # an iterable that stays what it is
        self: FilterPrimitive[list[T], list[T]], other: SyncStep[In, set[T]], /
    ) -> SequentialPrimitive[In, set[T]]: ...
    @overload
    def __rrshift__(
        self: FilterPrimitive[list[T], list[T]], other: SyncStep[In, Iterable[T]], /
    ) -> SequentialPrimitive[In, list[T]]: ...
    def __rrshift__(self, other: Any, /) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - as above
        """Chain something in front: `source >> Filter(...)`."""
        return super().__rrshift__(other)

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        condition = self._condition
        if isinstance(input_data, AsyncIterable):
            pieces = cast("AsyncIterable[object]", input_data).__aiter__()
            return Stream(self._pieces(context, pieces), before=pieces, stage=self, context=context)
        if not isinstance(input_data, Iterable) or isinstance(input_data, _WHOLE):
            value = cast("object", input_data)
            if await condition(context, value):
                return value
            message = f"{self.name!r} held back {shown_value(value, 80)}"
            raise Filtered(message, value=value)
        items = cast("Iterable[object]", input_data)
        kept = [item for item in items if await condition(context, item)]
        kinds: tuple[Any, ...] = (tuple, frozenset, set)
        for kind in kinds:
            if isinstance(items, kind):
                return kind(kept)
        return kept

    async def _pieces(
        self, context: WorkflowContext, items: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        try:
            async for item in items:
                if await self._condition(context, item):
                    yield item
        finally:
            await close_source(items)


Filter = FilterPrimitive
