"""`Retry(...)` as a decorator and as a wrapper."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, cast

import pytest

from tta_dev_primitives.core.base import WorkflowPrimitive
from tta_dev_primitives.core.notes import path_of
from tta_dev_primitives.errors import CompositionError
from tta_dev_primitives.recovery import Retry, RetryPrimitive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


async def test_a_decorated_function_is_called_as_before() -> None:
    """Any parameters, the same signature, and still a coroutine function."""
    calls: list[tuple[object, ...]] = []

    @Retry(max_attempts=3, initial_delay=0)
    async def fetch(url: str, *, tries: int = 1) -> str:
        """Fetch."""
        calls.append((url, tries))
        if len(calls) < 3:
            raise ConnectionError
        return url

    assert await fetch("u", tries=2) == "u"
    assert calls == [("u", 2)] * 3
    assert inspect.iscoroutinefunction(fetch)
    assert list(inspect.signature(fetch).parameters) == ["url", "tries"]
    assert fetch.__doc__ == "Fetch."


async def test_bare_and_called_decorator_are_the_same() -> None:
    """`@Retry` is `@Retry()`."""

    @Retry
    async def a(x: int) -> int:
        return x + 1

    @Retry()
    async def b(x: int) -> int:
        return x + 1

    assert await a(1) == await b(1) == 2
    assert isinstance(cast("object", a), WorkflowPrimitive)
    assert await (a >> b).execute(1) == 3


async def test_the_note_of_a_decorated_function_names_it() -> None:
    """Its name is the path."""

    @Retry(max_attempts=2, initial_delay=0)
    async def fetch() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        await fetch()
    assert path_of(caught.value) == "fetch/fetch"


def test_with_a_primitive_retry_is_the_wrapper() -> None:
    """The second form of the one name."""
    wrapped = Retry(RetryPrimitive(str.upper), max_attempts=2)
    assert isinstance(wrapped, RetryPrimitive)
    assert isinstance(Retry(max_attempts=2)(wrapped), RetryPrimitive)


def test_what_cannot_be_retried_is_refused_when_decorated() -> None:
    """A synchronous function, a generator function, a coroutine, a number."""

    def items(x: int) -> Iterator[int]:
        yield x

    async def stream(x: int) -> AsyncIterator[int]:
        yield x

    with pytest.raises(CompositionError, match="synchronous"):
        Retry(len)  # type: ignore[call-overload, type-var, unused-ignore]  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(CompositionError, match="generator function"):
        RetryPrimitive(items)
    with pytest.raises(CompositionError):
        Retry(stream)  # type: ignore[call-overload, type-var, unused-ignore]  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(CompositionError, match="7"):
        Retry(7)  # type: ignore[call-overload, type-var, unused-ignore]  # pyright: ignore[reportCallIssue, reportArgumentType]
