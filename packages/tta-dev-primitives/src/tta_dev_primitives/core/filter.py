"""`FilterPrimitive`: lets through what satisfies a condition."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tta_dev_primitives.core.base import Chooser, WorkflowPrimitive, check_name
from tta_dev_primitives.core.stream import Stream
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

    Lists, tuples and sets keep their type, a stream stays a stream; other iterables give a list. Any
    other input, texts and mappings included, is a single value: it passes, or it ends
    the chain with `Filtered`.

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
        self: FilterPrimitive[AsyncIterable[T], Stream[T]],
        condition: Callable[[WorkflowContext, T], object] | Callable[[T], object],
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
        if isinstance(input_data, AsyncIterable):
            pieces = cast("AsyncIterable[object]", input_data).__aiter__()
            return Stream(
                self._pieces(context, pieces), before=pieces, stage=self, context=context
            )
        if not isinstance(input_data, Iterable) or isinstance(input_data, _WHOLE):
            value = cast("object", input_data)
            if await condition(context, value):
                return value
            message = f"{self.name!r} held back {value!r:.80}"
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
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()


Filter = FilterPrimitive
