"""Retry, Fallback and Timeout act on a stream until its first item, Timeout between items too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import StreamPrimitive, add_observer
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompositionError, TimeoutExceededError
from tta_dev_primitives.performance import CachePrimitive
from tta_dev_primitives.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["bare", "framed"], autouse=True)
def mode(request: pytest.FixtureRequest) -> str:
    """Run with nobody or an observer listening."""
    if request.param == "bare":
        engine.install_defaults()
    else:
        add_observer(NullObserver())
    return str(request.param)


class Model:
    """A model whose answer comes in tokens, after some trouble."""

    def __init__(self, failures: int = 0, fail_at: int | None = None, delay: float = 0.0) -> None:
        self.failures = failures
        self.fail_at = fail_at
        self.delay = delay
        self.calls = 0
        self.open = 0

    async def tokens(self, prompt: str) -> AsyncIterator[str]:
        """Stream the words of the prompt."""
        self.calls += 1
        self.open += 1
        try:
            if self.calls <= self.failures:
                message = "overloaded"
                raise ConnectionError(message)
            for number, word in enumerate(prompt.split()):
                await asyncio.sleep(self.delay * number)
                if number == self.fail_at:
                    message = "line broke"
                    raise OSError(message)
                yield word
        finally:
            self.open -= 1


async def read(workflow: Any, prompt: str = "a b c") -> list[str]:
    """Read a workflow's whole stream."""
    async with workflow.stream(prompt) as stream:
        return [item async for item in stream]


def test_a_retry_starts_the_stream_again_until_its_first_item() -> None:
    """Nothing is lost or doubled."""
    model = Model(failures=2)
    workflow = RetryPrimitive(StreamPrimitive(model.tokens), initial_delay=1.0)
    assert run_virtual(read(workflow)) == ["a", "b", "c"]
    assert (model.calls, model.open) == (3, 0)


def test_an_error_after_the_first_item_is_not_retried() -> None:
    """The consumer has seen part of the result."""
    model = Model(fail_at=1)
    with pytest.raises(OSError, match="line broke"):
        run_virtual(read(RetryPrimitive(model.tokens)))
    assert (model.calls, model.open) == (1, 0)


def test_a_fallback_takes_over_before_the_first_item() -> None:
    """With a stream or with a plain result."""
    broken, spare = Model(failures=9), Model()
    workflow = FallbackPrimitive(broken.tokens, fallbacks=[spare.tokens])
    assert run_virtual(read(workflow)) == ["a", "b", "c"]
    plain = FallbackPrimitive(broken.tokens, fallbacks=[str.upper])
    assert run_virtual(read(plain)) == ["A B C"]


def test_a_timeout_limits_the_first_item_and_each_later_one() -> None:
    """Not the sum of them."""
    steady = Model(delay=1.0)
    assert run_virtual(read(TimeoutPrimitive(steady.tokens, seconds=2.5))) == ["a", "b", "c"]
    slowing = Model(delay=2.0)
    seen: list[str] = []

    async def append_each(items: AsyncIterator[str]) -> None:
        async for item in items:
            seen.append(item)  # noqa: PERF401 - a comprehension would be lost with the error

    async def main() -> None:
        workflow = TimeoutPrimitive(StreamPrimitive(slowing.tokens), seconds=3.0)
        with pytest.raises(TimeoutExceededError, match=r"within the 3 s of 'timeout'"):
            async with workflow.stream("a b c d") as stream:
                await append_each(stream)
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)

    run_virtual(main())
    assert (seen, slowing.open) == (["a", "b"], 0)


def test_a_source_that_never_gives_its_first_item_times_out() -> None:
    """As any step does."""

    async def silent(prompt: str) -> AsyncIterator[str]:
        await asyncio.sleep(100)
        yield prompt

    with pytest.raises(TimeoutExceededError):
        run_virtual(read(TimeoutPrimitive(silent, seconds=1)))


def test_a_timeout_error_of_the_source_is_its_own() -> None:
    """It is told apart from our expiry, also between items."""

    async def breaks(prompt: str) -> AsyncIterator[str]:
        yield prompt
        message = "socket"
        raise TimeoutError(message)

    with pytest.raises(TimeoutError, match="socket") as raised:
        run_virtual(read(TimeoutPrimitive(breaks, seconds=1)))
    assert not isinstance(raised.value, TimeoutExceededError)


def test_a_stream_cannot_be_cached() -> None:
    """It can be read once."""
    with pytest.raises(CompositionError, match="generator function"):
        CachePrimitive(Model().tokens)
