"""CircuitBreaker: rates, hands, hooks, and options that cannot be."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError
from tta_dev_primitives.recovery import (
    Breaker,
    BreakerConfig,
    CircuitBreaker,
    CircuitBreakerPrimitive,
    MemoryBreakerStore,
)
from tta_dev_primitives.testing import run_virtual

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.breakers.records import StateChange


async def echo(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


async def takes(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def state(breaker: CircuitBreakerPrimitive[Any, Any]) -> str:
    """Return the state as a text, which a type checker does not take for settled."""
    return breaker.breaker.state


async def fail(breaker: CircuitBreakerPrimitive[Any, Any], times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await breaker.execute(ConnectionError("down"))


# --- rates ----------------------------------------------------------------------------------------


async def test_a_failure_rate_opens_it_once_enough_calls_are_seen() -> None:
    """Half of the calls, once there are four; before that, nothing is said."""
    breaker = CircuitBreakerPrimitive(echo, failure_rate=0.5, window_calls=8, minimum_calls=4)
    await fail(breaker, 3)
    assert state(breaker) == "closed"
    assert await breaker.execute("the fourth") == "the fourth"
    assert state(breaker) == "open"


async def test_with_a_rate_failures_in_a_row_do_not_matter_unless_asked_for() -> None:
    """The default threshold of 5 stands only where no rate is given."""
    assert BreakerConfig().failure_threshold == 5
    assert BreakerConfig(failure_rate=1.0).failure_threshold is None
    both = CircuitBreakerPrimitive(echo, failure_rate=1.0, failure_threshold=3)
    await fail(both, 3)
    assert state(both) == "open"


def test_a_rate_over_time_forgets_old_failures() -> None:
    """Nine failures, then nothing for longer than the window, then one more: closed."""
    breaker = CircuitBreakerPrimitive(echo, failure_rate=0.5, window_seconds=30.0)

    async def main() -> None:
        await fail(breaker, 9)
        await asyncio.sleep(31)
        await fail(breaker, 9)
        assert state(breaker) == "closed"
        assert breaker.breaker.statistics().calls == 9
        await fail(breaker)
        assert state(breaker) == "open"

    run_virtual(main())


def test_slow_calls_open_it() -> None:
    """Calls that succeed above the threshold count as slow; at it, they do not (case 55)."""
    breaker = CircuitBreakerPrimitive(
        takes, slow_call_rate=0.5, slow_call_seconds=2.0, minimum_calls=4
    )

    async def main() -> None:
        for seconds in (2.0, 1.0, 3.0):
            assert await breaker.execute(seconds) == seconds
        statistics = breaker.breaker.statistics()
        assert (statistics.calls, statistics.slow_calls, statistics.failures) == (3, 1, 0)
        assert statistics.slow_call_rate == pytest.approx(1 / 3)
        assert await breaker.execute(3.0) == 3.0  # the tripping call has its result
        assert state(breaker) == "open"
        await asyncio.sleep(60)
        assert await breaker.execute(5.0) == 5.0  # a slow probe is a failed one
        assert state(breaker) == "open"
        await asyncio.sleep(60)
        await breaker.execute(1.0)
        assert state(breaker) == "closed"

    run_virtual(main())


# --- by hand --------------------------------------------------------------------------------------


def test_it_can_be_opened_isolated_closed_and_reset_by_hand() -> None:
    """Open ends by itself, isolated does not."""
    breaker = CircuitBreakerPrimitive(echo, recovery_timeout=10.0)
    hand = breaker.breaker

    async def rejected() -> CircuitOpenError:
        with pytest.raises(CircuitOpenError) as caught:
            await breaker.execute("x")
        return caught.value

    async def main() -> None:
        hand.open()
        assert (await rejected()).retry_after == 10.0
        await asyncio.sleep(5)
        hand.open()  # the time begins anew
        assert (await rejected()).retry_after == 10.0
        await asyncio.sleep(10)
        assert await breaker.execute("x") == "x"
        hand.isolate()
        await asyncio.sleep(1e6)
        error = await rejected()
        assert (error.state, error.retry_after) == ("isolated", None)
        hand.close()
        assert await breaker.execute("x") == "x"
        assert hand.statistics().rejected == 3
        assert hand.statistics().opened == 2
        await fail(breaker, 4)
        hand.reset()
        await fail(breaker)
        statistics = hand.statistics()
        assert (statistics.state, statistics.consecutive_failures) == ("closed", 1)
        assert (statistics.rejected, statistics.opened) == (0, 0)

    run_virtual(main())


def test_statistics_of_an_unused_breaker_are_zeros() -> None:
    """No division by the calls that were not made."""
    statistics = Breaker("mail", failure_rate=0.5).statistics()
    assert (statistics.failure_rate, statistics.slow_call_rate) == (0.0, 0.0)
    assert (statistics.state, statistics.retry_after) == ("closed", 0.0)


# --- hooks ----------------------------------------------------------------------------------------


def test_a_hook_is_told_of_each_change() -> None:
    """In order, with the reason."""
    changes: list[StateChange] = []
    breaker = CircuitBreakerPrimitive(
        echo, failure_threshold=2, name="mail", on_state_change=changes.append
    )

    async def main() -> None:
        await fail(breaker, 2)
        await asyncio.sleep(60)
        await breaker.execute("x")
        breaker.breaker.close()  # it is closed already: no change

    run_virtual(main())
    assert [(change.before, change.after, change.at) for change in changes] == [
        ("closed", "open", 0.0),
        ("open", "half_open", 60.0),
        ("half_open", "closed", 60.0),
    ]
    assert {change.name for change in changes} == {"mail"}
    assert changes[0].reason == "2 failures in a row"


async def test_a_hook_that_fails_loses_no_error_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call's own error comes out (case 44)."""

    def broken(change: StateChange) -> None:
        raise KeyError(change.after)

    breaker = CircuitBreakerPrimitive(echo, failure_threshold=1, on_state_change=broken)
    with caplog.at_level(logging.WARNING, logger="tta_dev_primitives"):
        await fail(breaker)
        breaker.breaker.close()
    assert state(breaker) == "closed"
    assert len(caplog.records) == 1


async def test_a_hook_may_change_the_state_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Its change is told after the one it was told of; nothing deadlocks."""
    seen: list[str] = []

    def close(change: StateChange) -> None:
        seen.append(change.after)
        if change.after == "open":
            breaker.breaker.isolate()

    breaker = CircuitBreakerPrimitive(echo, failure_threshold=1, on_state_change=close)
    await fail(breaker)
    assert seen == ["open", "isolated"]
    assert not caplog.records


async def test_an_asynchronous_hook_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """State changes where nothing can be awaited; one in disguise is reported and closed."""

    async def hook(change: StateChange) -> None:
        raise NotImplementedError(change)

    with pytest.raises(ConfigurationError, match="synchronous"):
        CircuitBreakerPrimitive(echo, on_state_change=hook)
    breaker = Breaker("mail", on_state_change=lambda change: hook(change))  # noqa: PLW0108 - the disguise
    breaker.open()
    assert "on_state_change of circuit breaker 'mail' failed" in caplog.text
    assert "returned a coroutine" in caplog.text


def test_a_picture_tells_whose_breaker_it_is() -> None:
    """Where it is shared, by its name."""
    shared = CircuitBreakerPrimitive(echo, breaker=Breaker("provider"))
    assert shared.edge_labels == ("while 'provider' is closed",)
    own = CircuitBreakerPrimitive(echo)
    stored = CircuitBreakerPrimitive(echo, store=MemoryBreakerStore(), name="mail")
    assert own.edge_labels == stored.edge_labels == ("while it works",)


# --- bad input ------------------------------------------------------------------------------------

NUMBERS: list[Any] = [-1, 0, float("nan"), True, "3", [], -0.5, 0.0]


@pytest.mark.parametrize("value", [*NUMBERS, 2.5, float("inf")], ids=repr)
@pytest.mark.parametrize(
    "option",
    ["failure_threshold", "half_open_max_calls", "success_threshold", "minimum_calls"],
)
def test_a_count_that_is_none_is_refused(option: str, value: Any) -> None:
    """At construction, with the name of the option."""
    rate: dict[str, Any] = {"failure_rate": 0.5} if option == "minimum_calls" else {}
    with pytest.raises(ConfigurationError, match=option):
        CircuitBreakerPrimitive(echo, **{option: value, **rate})


@pytest.mark.parametrize("value", [*NUMBERS, float("inf")], ids=repr)
@pytest.mark.parametrize(
    ("option", "rest"),
    [
        ("recovery_timeout", {}),
        ("half_open_timeout", {}),
        ("store_timeout", {}),
        ("window_seconds", {"failure_rate": 0.5}),
        ("slow_call_seconds", {"slow_call_rate": 0.5}),
    ],
)
def test_seconds_that_are_none_are_refused(option: str, rest: dict[str, Any], value: Any) -> None:
    """At construction, with the name of the option."""
    with pytest.raises(ConfigurationError, match=option):
        CircuitBreakerPrimitive(echo, **{option: value, **rest})


@pytest.mark.parametrize("value", [*NUMBERS, 50, 1.0001, float("inf")], ids=repr)
@pytest.mark.parametrize("option", ["failure_rate", "slow_call_rate"])
def test_a_rate_that_is_no_fraction_is_refused(option: str, value: Any) -> None:
    """A percentage is told what it is as a fraction."""
    rest: dict[str, Any] = {"slow_call_seconds": 1.0} if option == "slow_call_rate" else {}
    with pytest.raises(ConfigurationError, match=f"{option}.*fraction") as caught:
        CircuitBreakerPrimitive(echo, **{option: value, **rest})
    assert ("50 % is 0.5" in str(caught.value)) == (value == 50)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window_calls": 10, "window_seconds": 1.0, "failure_rate": 0.5}, "one window"),
        ({"window_calls": 10}, "window_calls.*without failure_rate"),
        ({"window_seconds": 10.0}, "window_seconds.*without failure_rate"),
        ({"minimum_calls": 10}, "minimum_calls.*without failure_rate"),
        ({"failure_rate": 0.5, "window_calls": 5, "minimum_calls": 6}, "could never open"),
        ({"slow_call_rate": 0.5}, "slow_call_seconds"),
        ({"slow_call_seconds": 0.5}, "slow_call_rate"),
        ({"config": BreakerConfig(), "failure_threshold": 3}, "both given"),
        ({"config": {"failure_threshold": 3}}, "BreakerConfig"),
        ({"breaker": Breaker(), "failure_threshold": 3}, "both given"),
        ({"breaker": Breaker(), "store": MemoryBreakerStore()}, "both given"),
        ({"breaker": "mail"}, "must be a Breaker"),
        ({"store": MemoryBreakerStore()}, "name="),
        ({"store": object(), "name": "mail"}, "allow"),
        ({"store": MemoryBreakerStore(), "name": "mail", "clock": float}, "store's clock"),
        ({"on": 3}, "on must be"),
        ({"on_state_change": 3}, "on_state_change"),
        ({"clock": 3}, "clock"),
        ({"name": ""}, "name"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    """Clearly, and before there is a call; under the decorator before there is a function."""
    with pytest.raises(ConfigurationError, match=said):
        CircuitBreakerPrimitive(echo, **options)
    if "name=" not in said:  # a decorated function has a name
        with pytest.raises(ConfigurationError, match=said):
            CircuitBreaker(**options)


def test_an_unknown_option_is_an_error() -> None:
    """Not a word that is dropped."""
    with pytest.raises(TypeError, match="threshold"):
        CircuitBreaker(threshold=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_breaker_needs_a_name_that_is_a_text(name: Any) -> None:
    """It stands in errors and statistics."""
    with pytest.raises(ConfigurationError, match="name"):
        Breaker(name)
    assert repr(Breaker("mail")) == "<Breaker 'mail': closed>"
