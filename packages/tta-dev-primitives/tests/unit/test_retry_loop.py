"""`retrying`: the attempts of a Retry as a loop over a block."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.errors import ConfigurationError, Filtered
from tta_dev_primitives.recovery import RetryPrimitive, TimeoutPrimitive
from tta_dev_primitives.recovery.retries.loop import retrying
from tta_dev_primitives.recovery.retries.schedules import listed
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.retries.options import RetryEvent


class Flaky:
    """Fails as often as it is told."""

    def __init__(self, failures: int, error: Callable[[], BaseException] = ConnectionError) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self, value: object = None) -> object:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error()
        return value


async def test_the_first_attempt_that_ends_well_ends_the_loop() -> None:
    """Two failures, then a success; each attempt knows its number."""
    step = Flaky(2)
    numbers: list[int] = []
    async for attempt in retrying(max_attempts=5, initial_delay=0):
        with attempt:
            numbers.append(attempt.number)
            await step()
    assert numbers == [1, 2, 3]


async def test_the_last_failure_comes_out_as_itself() -> None:
    """With a note of what was tried before."""
    errors = [ConnectionError(str(n)) for n in range(3)]
    step = Flaky(3, iter(errors).__next__)

    async def main() -> None:
        async for attempt in retrying(initial_delay=0):
            with attempt:
                await step()

    with pytest.raises(ConnectionError) as caught:
        await main()
    assert caught.value is errors[2]
    (note,) = errors[2].__notes__
    assert note.startswith("attempt 3 of retrying\n  attempt 1: ConnectionError, after 0.0")


async def test_a_block_can_return_break_and_continue() -> None:
    """As any loop."""

    async def returns() -> int:
        async for attempt in retrying():
            with attempt:
                return attempt.number
        return 0

    assert await returns() == 1
    async for attempt in retrying():
        with attempt:
            break
    async for attempt in retrying():
        with attempt:
            continue


def test_pauses_are_those_of_the_schedule() -> None:
    """In virtual time."""
    step = Flaky(2)

    async def main() -> float:
        async for attempt in retrying(schedule=listed(10, 20)):
            with attempt:
                await step()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 30


def always(error: Exception) -> bool:
    return True


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError,
        GeneratorExit,
        lambda: Filtered("held back"),
        lambda: BaseExceptionGroup("g", [ConnectionError(), asyncio.CancelledError()]),
    ],
    ids=["cancelled", "closed", "filtered", "group"],
)
@pytest.mark.parametrize("on", [BaseException, always], ids=["class", "function"])
async def test_control_flow_passes(error: Callable[[], BaseException], on: Any) -> None:
    """Whatever `on` says (case 3)."""
    step = Flaky(9, error)

    async def main() -> None:
        async for attempt in retrying(on=on):
            with attempt:
                await step()

    with pytest.raises(BaseException):  # noqa: B017, PT011 - the kind is the parameter
        await main()
    assert step.calls == 1


async def test_what_is_not_to_be_retried_passes_at_once() -> None:
    """By the same rule as in `Retry`."""
    step = Flaky(9, TypeError)

    async def main() -> None:
        async for attempt in retrying():
            with attempt:
                await step()

    with pytest.raises(TypeError):
        await main()
    assert step.calls == 1


async def test_retries_inside_the_block_share_its_attempts() -> None:
    """And the block shares those of a Retry around it."""
    step = Flaky(99)
    inner = RetryPrimitive(step, initial_delay=0)

    async def block(value: object) -> None:
        async for attempt in retrying(initial_delay=0):
            with attempt:
                await inner.execute(value)

    with pytest.raises(ConnectionError):
        await block("x")
    assert step.calls == 3
    step.calls = 0
    with pytest.raises(ConnectionError):
        await RetryPrimitive(block, initial_delay=0).execute("x")
    assert step.calls == 3 + 2


async def test_nothing_is_shared_after_the_loop() -> None:
    """A Retry that follows has all its attempts."""

    async def main() -> None:
        async for attempt in retrying(max_attempts=2, initial_delay=0):
            with attempt:
                raise ConnectionError

    with pytest.raises(ConnectionError):
        await main()
    step = Flaky(2)
    await RetryPrimitive(step, initial_delay=0).execute("x")
    assert step.calls == 3


def test_a_timeout_around_the_loop_ends_it_before_a_useless_pause() -> None:
    """The failure comes out, not the timeout."""

    async def block(value: object) -> None:
        async for attempt in retrying(schedule=listed(10)):
            with attempt:
                raise ConnectionError

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await TimeoutPrimitive(block, seconds=5).execute("x")
        assert asyncio.get_running_loop().time() == 0

    run_virtual(main())


async def test_hooks_are_told_and_their_errors_keep_the_original() -> None:
    """As in `Retry` (case 44)."""
    told: list[tuple[str, int]] = []
    original = ConnectionError("original")

    async def on_retry(event: RetryEvent) -> None:
        told.append((event.name, event.attempt))
        if event.attempt == 2:
            raise ZeroDivisionError

    async def main() -> None:
        async for attempt in retrying(initial_delay=0, on_retry=on_retry):
            with attempt:
                raise original

    with pytest.raises(ZeroDivisionError) as caught:
        await main()
    assert caught.value.__context__ is original
    assert told == [("retrying", 1), ("retrying", 2)]


async def test_each_loop_starts_anew() -> None:
    """What `retrying` returns can be kept and used again, also by several tasks at once."""
    policy = retrying(max_attempts=2, initial_delay=0, rng=random.Random(1))

    async def attempts() -> int:
        number = 0
        try:
            async for attempt in policy:
                with attempt:
                    number = attempt.number
                    await asyncio.sleep(0)
                    raise ConnectionError
        except ConnectionError:
            return number
        return 0

    assert await asyncio.gather(*[attempts() for _ in range(5)]) == [2] * 5


async def test_a_loop_without_its_block_is_refused() -> None:
    """It would run for ever."""

    async def forgets() -> None:
        async for _ in retrying():
            pass

    with pytest.raises(ConfigurationError, match="with attempt"):
        await forgets()
    async for attempt in retrying():
        with attempt:
            pass
        with pytest.raises(ConfigurationError, match="is over"), attempt:
            pass


def test_until_has_no_result_to_ask() -> None:
    """Raise instead."""
    bad: Any = {"until": bool}
    with pytest.raises(ConfigurationError, match="until"):
        retrying(**bad)


def ignore(event: RetryEvent) -> None:
    del event


@pytest.mark.parametrize("on_retry", [None, ignore], ids=["plain", "with a hook"])
async def test_failed_frames_are_freed_without_the_collector(on_retry: Any) -> None:
    """No cycle holds what a failed block held (case 7)."""

    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    async def body() -> None:
        big = Big()
        held.append(weakref.ref(big))
        raise ConnectionError

    async def main() -> None:
        async for attempt in retrying(initial_delay=0, on_retry=on_retry):
            with attempt:
                await body()

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ConnectionError):
            await main()
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()
