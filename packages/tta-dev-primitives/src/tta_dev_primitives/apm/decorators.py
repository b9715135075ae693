"""Decorators that make functions of any kind visible to monitoring."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from tta_dev_primitives.observability.metrics import track_metrics
from tta_dev_primitives.observability.operations import operation, trace_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tta_dev_primitives.core.decorated import DecoratedFunction

__all__ = ("instrument", "trace_operation", "track_metrics")

P = ParamSpec("P")
R = TypeVar("R")


@overload
def instrument(function: Callable[P, R], /) -> DecoratedFunction[P, R]: ...
@overload
def instrument(
    *, name: str | None = None, attributes: Mapping[str, object] | None = None
) -> Callable[[Callable[P, R]], DecoratedFunction[P, R]]: ...
def instrument(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Any:
    """Trace and count the calls of a function, with fixed attributes on each record.

    The same as `trace_operation`, with attributes. With or without parentheses.

    Args:
        function: Synchronous or asynchronous, with any parameters.
        name: Default: the function's name.
        attributes: Low-cardinality facts, such as `{"team": "search"}`.

    Raises:
        ConfigurationError: The name cannot stand in a path.
        CompositionError: The function is a generator.

    Example:
        >>> @instrument(name="lookup", attributes={"store": "fts5"})
        ... def find(text: str, limit: int = 10) -> list[str]:
        ...     return text.split()[:limit]
        >>> find("a b c", limit=2)
        ['a', 'b']
    """
    if function is not None:
        return operation(function, name, attributes)
    return partial(operation, name=name, attributes=attributes)
