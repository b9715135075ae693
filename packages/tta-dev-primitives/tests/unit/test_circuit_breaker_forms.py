"""CircuitBreaker as a decorator, copied, pickled; its errors and its configuration."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from tta_dev_primitives.errors import CircuitOpenError, CompositionError, TTAError
from tta_dev_primitives.recovery import (
    Breaker,
    BreakerConfig,
    CircuitBreaker,
    CircuitBreakerPrimitive,
)


async def echo(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


def state(breaker: CircuitBreakerPrimitive[Any, Any]) -> str:
    """Return the state as a text, which a type checker does not take for settled."""
    return breaker.breaker.state


async def fail(breaker: CircuitBreakerPrimitive[Any, Any], times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await breaker.execute(ConnectionError("down"))


async def test_a_decorated_function_keeps_its_signature_and_has_one_breaker() -> None:
    """What its calls and its place in a workflow see is the same state."""
    breaker = Breaker("fetch", failure_threshold=2)

    @CircuitBreaker(breaker=breaker)
    async def fetch(url: str, *, times: int = 1) -> str:
        """Fetch a page."""
        if url == "down":
            raise ConnectionError(url)
        return url * times

    assert await fetch("a", times=2) == "aa"
    assert inspect.iscoroutinefunction(fetch)
    assert list(inspect.signature(fetch).parameters) == ["url", "times"]
    with pytest.raises(ConnectionError):
        await fetch("down")
    with pytest.raises(ConnectionError):
        await fetch.execute("down")
    assert breaker.state == "open"
    for call in (fetch("a"), fetch.execute("a"), (fetch >> str.upper).execute("a")):
        with pytest.raises(CircuitOpenError):
            await call


async def test_each_decorated_function_has_a_breaker_of_its_own() -> None:
    """Also where one decorator is used twice; its calls and its step share it."""
    decorate = CircuitBreaker(failure_threshold=1)

    @decorate
    async def one(value: str) -> str:
        raise ConnectionError(value)

    @decorate
    async def two(value: str) -> str:
        return value

    with pytest.raises(ConnectionError):
        await one("x")
    with pytest.raises(CircuitOpenError, match="'one'"):
        await one.execute("x")
    assert await two("x") == "x"


async def test_bare_it_decorates_too() -> None:
    """`@CircuitBreaker` is `@CircuitBreaker()`."""

    @CircuitBreaker
    async def fetch(url: str) -> str:
        return url

    assert await fetch("a") == "a"
    assert isinstance(CircuitBreaker(fetch.step), CircuitBreakerPrimitive)


def test_what_it_cannot_wrap_is_refused() -> None:
    """A synchronous function under the decorator, a generator function, a value."""

    def plain(value: str) -> str:
        return value

    def generator(value: str) -> Any:
        yield value

    with pytest.raises(CompositionError, match="asynchronous"):
        CircuitBreaker(plain)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(CompositionError, match="generator"):
        CircuitBreakerPrimitive(generator)
    with pytest.raises(CompositionError):
        CircuitBreaker(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def test_a_renamed_copy_shares_the_breaker_and_an_unpickled_one_does_not() -> None:
    """`replace` and `named` make shallow copies; a pickle starts closed."""
    breaker = CircuitBreakerPrimitive(echo, failure_threshold=1, recovery_timeout=5.0)
    await fail(breaker)
    copied = breaker.named("copy")
    with pytest.raises(CircuitOpenError):
        await copied.execute("x")
    for fresh in (pickle.loads(pickle.dumps(breaker)), copy.deepcopy(breaker)):  # noqa: S301 - our own bytes
        assert await fresh.execute("x") == "x"
        await fail(fresh)
        assert state(fresh) == "open"
        assert fresh.breaker.config == breaker.breaker.config


async def test_the_error_can_be_pickled() -> None:
    """With all of its fields, and what was noted on it."""
    error = CircuitOpenError("mail", 1.5, "half_open")
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (again.name, again.retry_after, again.state) == ("mail", 1.5, "half_open")
    assert again.__notes__ == ["a note"]
    assert str(again) == str(error)
    assert isinstance(error, (TTAError, RuntimeError))
    assert "isolated" in str(CircuitOpenError("mail", state="isolated"))
    assert str(CircuitOpenError("mail")) == "circuit breaker 'mail' is open"


def test_a_config_is_a_value() -> None:
    """Equal by what it says, hashable, unchangeable, told by its repr."""
    config = BreakerConfig(failure_threshold=3, recovery_timeout=5.0)
    assert config == BreakerConfig(**config.as_settings())
    assert hash(config) == hash(BreakerConfig(**config.as_settings()))
    assert config != BreakerConfig(failure_threshold=3)
    assert config != "config"
    assert eval(repr(config)) == config  # noqa: S307 - our own text
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError, match="does not change"):
        config.failure_threshold = 4
    with pytest.raises(AttributeError, match="does not change"):
        del config.failure_threshold
