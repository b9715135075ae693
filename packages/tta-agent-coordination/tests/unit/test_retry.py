"""Calling again what failed; no test waits, but asks how long it would."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_agent_coordination.errors import (
    CircuitBreakerOpenError,
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    LeaseLost,
)
from tta_agent_coordination.resilience import RetryConfig, retry_with_backoff

AT_ONCE = RetryConfig(base_delay=0)


class Calls:
    """Raises what it is given, one after the other, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.count = 0
        self.args: list[Any] = []

    async def __call__(self, *args: Any, **kwargs: Any) -> str:
        self.count += 1
        self.args.append((args, kwargs))
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_what_works_is_called_once_with_its_arguments() -> None:
    calls = Calls()

    assert await retry_with_backoff(calls, AT_ONCE, 1, 2, x=3) == "done"
    assert calls.args == [((1, 2), {"x": 3})]


async def test_a_plain_function_is_called_too() -> None:
    assert await retry_with_backoff(int, AT_ONCE, "7") == 7
    assert await retry_with_backoff(int, None, "7") == 7


async def test_what_fails_is_called_again_with_the_same_arguments() -> None:
    calls = Calls(OSError("1"), CoordinatorConnectionError("2"), TimeoutError("3"))

    assert await retry_with_backoff(calls, AT_ONCE, "a", b="c") == "done"
    assert calls.args == [(("a",), {"b": "c"})] * 4


async def test_the_last_error_comes_out_unchanged_with_a_note() -> None:
    errors = [OSError(str(n)) for n in range(4)]
    calls = Calls(*errors)

    with pytest.raises(OSError, match="3") as raised:
        await retry_with_backoff(calls, AT_ONCE)

    assert raised.value is errors[3]
    assert raised.value.__notes__ == ["tried 4 times by retry_with_backoff"]


async def test_without_retries_there_is_one_call_and_no_note() -> None:
    calls = Calls(OSError("x"))

    with pytest.raises(OSError, match="x") as raised:
        await retry_with_backoff(calls, RetryConfig(max_retries=0))

    assert calls.count == 1
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()]
)
async def test_what_ends_a_task_or_a_program_is_not_retried(error: BaseException) -> None:
    calls = Calls(error)

    with pytest.raises(type(error)):
        await _here(retry_with_backoff(calls, AT_ONCE))

    assert calls.count == 1


async def _here(call: Any) -> Any:
    return await call


@pytest.mark.parametrize(
    "error",
    [
        CircuitBreakerOpenError("x"),
        ConfigurationError("x"),
        CoordinatorAccessError("x"),
        LeaseLost("x"),
    ],
)
async def test_what_would_be_the_same_next_time_is_not_retried(error: Exception) -> None:
    calls = Calls(error)

    with pytest.raises(type(error)):
        await retry_with_backoff(calls, AT_ONCE)

    assert calls.count == 1


async def test_only_errors_as_asked_for_are_retried() -> None:
    config = RetryConfig(base_delay=0, retry_on=(OSError, KeyError))
    calls = Calls(OSError(), KeyError(), ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        await retry_with_backoff(calls, config)

    assert calls.count == 3


async def test_a_cancellation_ends_the_waiting() -> None:
    calls = Calls(OSError())
    task = asyncio.create_task(retry_with_backoff(calls, RetryConfig(base_delay=1000)))
    while calls.count == 0:  # noqa: ASYNC110 - the call says nothing else
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls.count == 1


@given(
    base=st.floats(0, 100),
    most=st.floats(0, 1000),
    factor=st.floats(1, 100),
    retry=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_waits_grow_to_their_maximum_and_jitter_takes_at_most_half(
    base: float, most: float, factor: float, retry: int, seed: int
) -> None:
    plain = RetryConfig(base_delay=base, max_delay=most, exponential_base=factor, jitter=False)
    jittered = RetryConfig(base_delay=base, max_delay=most, exponential_base=factor)

    longest = plain.delay(retry)

    assert longest <= most
    assert longest >= plain.delay(max(1, retry - 1)) or longest == most
    assert longest / 2 <= jittered.delay(retry, random.Random(seed)) <= longest


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("base_delay", -0.1),
        ("base_delay", float("nan")),
        ("max_delay", float("inf")),
        ("exponential_base", 0.5),
        ("exponential_base", 101),
        ("exponential_base", True),
        ("exponential_base", "2"),
        ("jitter", 1),
        ("retry_on", ()),
        ("retry_on", asyncio.CancelledError),
        ("retry_on", "OSError"),
    ],
)
def test_an_option_that_cannot_work_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        RetryConfig(**{option: value})


async def test_an_argument_in_the_configurations_place_is_refused() -> None:
    wrong: Any = "7"

    with pytest.raises(ConfigurationError, match="second argument"):
        await retry_with_backoff(int, wrong)
