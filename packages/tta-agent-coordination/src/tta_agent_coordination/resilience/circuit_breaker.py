"""`CircuitBreaker`: what keeps failing is not called, by any process that shares the breaker."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from tta_agent_coordination.errors import (
    CircuitBreakerOpenError,
    ConfigurationError,
    MessageCoordinatorError,
)
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.resilience.breaking import (
    BreakerState,
    BreakerTerms,
    SharedBreaker,
    Standing,
    check_name,
)
from tta_agent_coordination.server.client import check_client
from tta_agent_coordination.server.names import check_prefix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_agent_coordination.resilience.breaking import CallOutcome, Leave
    from tta_agent_coordination.server.client import RedisClient

__all__ = ("BreakerState", "CircuitBreaker", "CircuitBreakerConfig", "Standing")

P = ParamSpec("P")
T = TypeVar("T")

PAUSE = 1.0
"""A server that has just failed is left alone for so many seconds."""
LEASE = 30.0
"""A probe's place is free again after so many seconds at most, unless told otherwise."""
_log = logging.getLogger("tta_agent_coordination")


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerConfig:
    """When a breaker opens, for how long, and what closes it.

    Args:
        failure_threshold: Failures in a row, in whatever processes, that open it; at least 1.
        timeout_seconds: From open to half-open.
        recovery_timeout_seconds: The longest it stays half-open before it opens again.
        half_open_max_calls: The most probes at a time.
        success_threshold: Probes that must succeed to close it; the first that fails opens it.
        probe_lease_seconds: After so long a probe's place is given to another call: its process
            may have died. What it says later still counts. Default: 30, or
            `recovery_timeout_seconds` where that is less.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> CircuitBreakerConfig(failure_threshold=3).timeout_seconds
        60.0
    """

    failure_threshold: int = 5
    timeout_seconds: float = 60.0
    recovery_timeout_seconds: float = 300.0
    half_open_max_calls: int = 3
    success_threshold: int = 2
    probe_lease_seconds: float | None = None

    def __post_init__(self) -> None:
        check_count("failure_threshold", self.failure_threshold)
        check_seconds("timeout_seconds", self.timeout_seconds)
        check_seconds("recovery_timeout_seconds", self.recovery_timeout_seconds)
        check_count("half_open_max_calls", self.half_open_max_calls)
        check_count("success_threshold", self.success_threshold)
        if self.probe_lease_seconds is not None:
            check_seconds("probe_lease_seconds", self.probe_lease_seconds)

    def terms(self) -> BreakerTerms:
        """Return it as the scripts take it."""
        lease = self.probe_lease_seconds
        if lease is None:
            lease = min(LEASE, self.recovery_timeout_seconds)
        return BreakerTerms(
            threshold=self.failure_threshold,
            open_for=_ms(self.timeout_seconds),
            probes=self.half_open_max_calls,
            successes=self.success_threshold,
            half_open_for=_ms(self.recovery_timeout_seconds),
            lease=_ms(lease),
        )


class CircuitBreaker:
    """Calls what works, and rejects calls at once while it does not.

    All breakers of one name and prefix are one, in whatever processes: its state lies on the
    server and goes by the server's clock. *Closed*: calls pass, until enough have failed in a row.
    *Open*: calls are rejected. *Half-open*, after `timeout_seconds`: a few pass as probes; enough
    good ones close it, and the first bad one opens it again. A call that was cancelled counts as
    nothing, and what a call does after the state has changed does not count either. A probe has
    its place on a lease, so a process that dies with one does not hold the others up.

    While the server is away, calls go through as if there were no breaker: that is said in the log
    once, and counted in `store_failures`.

    Args:
        redis: A client of `redis.asyncio`. It is the caller's, and is never closed here.
        name: What the breaker is for, any text.
        config: When it opens and closes; best the same in all processes.
        key_prefix: All keys begin with `{` and this.
        failures: Which exceptions are failures. Others count as nothing.
        cache_seconds: For so long the answer that the breaker is closed may be reused, and a
            success not be told: then a call costs no round trip, and another process's opening is
            seen so much later. Default: 0, each call asks.
        store_timeout: The longest to wait for the server, in seconds.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is no asyncio client.

    Example:
        ```python
        breaker = CircuitBreaker(redis.asyncio.Redis(), "mail", key_prefix="myapp")
        try:
            receipt = await breaker.call(send_mail, "hello", to="ann@example.org")
        except CircuitBreakerOpenError:
            receipt = None  # mail is down, and we know without asking
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        name: str,
        config: CircuitBreakerConfig | None = None,
        key_prefix: str = "tta",
        *,
        failures: type[Exception] | tuple[type[Exception], ...] = Exception,
        cache_seconds: float = 0.0,
        store_timeout: float = 0.25,
        _clock: Callable[[], int] | None = None,
    ) -> None:
        check_client(redis)
        check_prefix(key_prefix)
        self.name: str = check_name("name", name)
        self.config: CircuitBreakerConfig = CircuitBreakerConfig() if config is None else config
        if not isinstance(self.config, CircuitBreakerConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"config must be a CircuitBreakerConfig, not {config!r:.80}")
        self._failures = _exception_types(failures)
        self._cached_for = check_seconds("cache_seconds", cache_seconds, zero=True)
        self._timeout = check_seconds("store_timeout", store_timeout)
        self._breaker = SharedBreaker(redis, key_prefix, name, self.config.terms(), clock=_clock)
        self._known_until = 0.0  # it is closed, without failures, until then
        self._asked_again = 0.0
        self._complained = False
        self.store_failures: int = 0
        """How often the server did not answer properly; those calls went through uncounted."""
        self.rejected: int = 0
        """How many calls this object has rejected."""

    @overload
    async def call(
        self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def call(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, async or not, unless the breaker is open.

        Args:
            func: What to call.
            *args: Passed on.
            **kwargs: Passed on.

        Returns:
            What it returns.

        Raises:
            CircuitBreakerOpenError: It was not called; the message says for how long.
        """
        leave = await self._enter()
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except GeneratorExit:  # nothing can be awaited any more; the lease ends by itself
            raise
        except BaseException as error:
            await self._leave(leave, "failure" if self._counts(error) else "cancelled")
            raise
        await self._leave(leave, "success")
        return result

    async def get_state(self) -> Standing:
        """Ask the server how the breaker stands.

        Raises:
            MessageCoordinatorError: The server cannot be asked; see its subclasses.
        """
        return await self._breaker.look()

    async def reset(self) -> None:
        """Close it in all processes, and count anew.

        Raises:
            MessageCoordinatorError: The server cannot be told.
        """
        await self._breaker.become("closed")

    async def trip(self) -> None:
        """Open it in all processes, as if what it guards had failed just now.

        Raises:
            MessageCoordinatorError: The server cannot be told.
        """
        self._known_until = 0.0
        await self._breaker.become("open")

    def _counts(self, error: BaseException) -> bool:
        # A nested breaker that is open has called nothing, so nothing has failed.
        return isinstance(error, self._failures) and not isinstance(error, CircuitBreakerOpenError)

    async def _enter(self) -> Leave | None:
        now = asyncio.get_running_loop().time()
        # More than a pause ahead: it was set by the clock of another event loop.
        if now < self._known_until <= now + self._cached_for:
            return None
        if now < self._asked_again <= now + PAUSE:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._breaker.allow()
        except (MessageCoordinatorError, TimeoutError) as error:
            self._failed(error)
            return None
        if answer.leave is None:
            self.rejected += 1
            when = (
                "its probes are under way"
                if answer.wait is None
                else f"it lets a call through in {answer.wait:.1f} s"
            )
            raise CircuitBreakerOpenError(
                f"circuit breaker {self.name!r:.80} is {answer.state.replace('_', '-')}: {when}"
            )
        if answer.state == "closed" and not answer.failures:
            self._known_until = now + self._cached_for
        return answer.leave

    async def _leave(self, leave: Leave | None, outcome: CallOutcome) -> None:
        if leave is None:
            if outcome != "failure" or self._store_away():
                return
            # It was called on the word of the cache; a failure must be told all the same.
            self._known_until = 0.0
            try:
                async with asyncio.timeout(self._timeout):
                    leave = (await self._breaker.allow()).leave
            except (MessageCoordinatorError, TimeoutError) as error:
                self._failed(error)
                return
            if leave is None:
                return
        if leave.state == "closed" and (
            outcome == "cancelled" or (outcome == "success" and self._fresh())
        ):
            return
        if outcome == "failure":
            self._known_until = 0.0
        try:
            async with asyncio.timeout(self._timeout):
                await self._breaker.record(leave.generation, leave.token, outcome)
        except (MessageCoordinatorError, TimeoutError) as error:
            self._failed(error)

    def _fresh(self) -> bool:
        now = asyncio.get_running_loop().time()
        return now < self._known_until <= now + self._cached_for

    def _store_away(self) -> bool:
        """Whether the server has failed within the last second, and is not asked for now."""
        now = asyncio.get_running_loop().time()
        return now < self._asked_again <= now + PAUSE

    def _failed(self, error: Exception) -> None:
        self.store_failures += 1
        self._known_until = 0.0
        self._asked_again = asyncio.get_running_loop().time() + PAUSE
        if not self._complained:
            self._complained = True
            _log.warning(
                "circuit breaker %r cannot ask its server; calls go through as if there were no "
                "breaker, and this is said once",
                self.name,
                exc_info=error,
            )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _exception_types(failures: object) -> tuple[type[Exception], ...]:
    types = cast("tuple[object, ...]", failures) if isinstance(failures, tuple) else (failures,)
    if not types or not all(isinstance(one, type) and issubclass(one, Exception) for one in types):
        raise ConfigurationError(
            f"failures must be an exception class or a tuple of them, not {failures!r:.80}"
        )
    return cast("tuple[type[Exception], ...]", types)
