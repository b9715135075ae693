"""`Breaker`: the value that decides whether calls pass, shared by whoever is given it.

It puts a lock, a clock and hooks around the `Circuit`, and awaits nothing, so any number of
primitives, threads and event loops may use one.
"""

from __future__ import annotations

import inspect
import logging
import threading
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack, cast

from tta_dev_primitives.core import clock as engine_clock
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError
from tta_dev_primitives.recovery.breakers.config import BreakerConfig
from tta_dev_primitives.recovery.breakers.state import REJECTED, Circuit
from tta_dev_primitives.recovery.classification.classify import (
    asked_to_stop,
    counts_as_failure,
    is_failure,
    matcher,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.breakers.config import (
        BreakerSettings,
        BreakerState,
        CallOutcome,
    )
    from tta_dev_primitives.recovery.breakers.records import BreakerStatistics, StateChange
    from tta_dev_primitives.recovery.classification.classify import RetryOn

__all__ = ("Breaker", "Judge", "StateHook", "Teller", "config_of")

StateHook: TypeAlias = "Callable[[StateChange], object]"
"""Is told of each change of state; must return quickly, and its result is dropped."""

_log = logging.getLogger("tta_dev_primitives")


class Judge:
    """Says how a call ended, as far as a breaker is concerned.

    Args:
        config: Says which calls are slow.
        on: Which errors count, as in `CircuitBreakerPrimitive`.

    Raises:
        ConfigurationError: `on` is none of what it may be.
    """

    __slots__ = ("_complained", "_counts", "slow_after")

    def __init__(self, config: BreakerConfig, on: RetryOn | None = None) -> None:
        self._counts = counts_as_failure if on is None else matcher(on)
        self._complained = False
        self.slow_after: float | None = config.slow_call_seconds
        """Seconds; None where no duration is wanted."""

    def outcome(self, error: BaseException | None, seconds: float = 0.0) -> CallOutcome:
        """Return how a call ended.

        Args:
            error: What it raised, or None.
            seconds: How long it took; read only where slow calls matter.
        """
        slow = self.slow_after is not None and seconds > self.slow_after
        if error is None:
            return "slow" if slow else "success"
        if not is_failure(error) or asked_to_stop() or not self._counts_against(error):
            return "cancelled"
        return "slow_failure" if slow else "failure"

    def _counts_against(self, error: BaseException) -> bool:
        try:
            return self._counts(cast("Exception", error))
        except Exception as culprit:  # noqa: BLE001 - the step's own error must come out, not this one
            if not self._complained:
                self._complained = True
                _log.warning(
                    "the function given to a circuit breaker as `on` failed; such errors count as "
                    "failures, and this is said once",
                    exc_info=culprit,
                )
            return True


class Teller:
    """Tells a hook of changes of state, one after the other and in their order.

    Args:
        name: The breaker's name.
        hook: Who is told; None for nobody.

    Raises:
        ConfigurationError: `hook` is no synchronous function.
    """

    __slots__ = ("_complained", "_hook", "_name", "_telling", "_waiting")

    def __init__(self, name: str, hook: StateHook | None) -> None:
        if hook is not None and (
            not callable(cast("object", hook)) or inspect.iscoroutinefunction(hook)
        ):
            message = (
                f"on_state_change must be a synchronous function of the change, not "
                f"{shown_value(hook)}"
            )
            raise ConfigurationError(message)
        self._name = name
        self._hook = hook
        self._waiting: list[tuple[BreakerState, BreakerState, float, str]] = []
        self._telling = threading.Lock()
        self._complained = False

    def add(self, changes: list[tuple[BreakerState, BreakerState, float, str]]) -> None:
        """Take changes over, emptying the list; to be called under the breaker's lock."""
        if self._hook is not None:
            self._waiting += changes
        changes.clear()

    def tell(self) -> None:
        """Tell what waits; to be called without the lock.

        Whoever finds another thread telling leaves its changes to that one, and so does a hook
        that changes the state itself.
        """
        while self._waiting and self._telling.acquire(blocking=False):
            try:
                while self._waiting:
                    self._tell(*self._waiting.pop(0))
            finally:
                self._telling.release()

    def _tell(self, before: BreakerState, after: BreakerState, at: float, reason: str) -> None:
        from tta_dev_primitives.recovery.breakers.records import StateChange  # noqa: PLC0415 - on demand

        change = StateChange(name=self._name, before=before, after=after, at=at, reason=reason)
        try:
            answer = None if self._hook is None else self._hook(change)
            if isinstance(answer, CoroutineType):
                answer.close()
                message = "on_state_change returned a coroutine; it must be synchronous"
                raise TypeError(message)  # noqa: TRY301 - reported as what the hook raises is
        except Exception as error:  # noqa: BLE001 - no hook may take the place of a call's own end
            if not self._complained:
                self._complained = True
                _log.warning(
                    "on_state_change of circuit breaker %r failed; its further failures are not "
                    "logged",
                    self._name,
                    exc_info=error,
                )


class Breaker:
    """Decides whether calls pass; shared by all that are given the same object.

    A `CircuitBreakerPrimitive` makes one of its own unless it is given one. Two breakers of the
    same name are two breakers: what is shared is the object, by any number of primitives, threads
    and event loops, with exact counts. (To share by name, across processes, see `BreakerStore`.)

    Whoever calls something under a breaker by hand takes a permit and gives it back exactly once:

        permit = breaker.acquire()
        try:
            result = await call()
        except BaseException as error:
            breaker.release(permit, breaker.judge.outcome(error))
            raise
        breaker.release(permit, "success")

    A copy, and what is unpickled, starts closed and with the engine's clock.

    Args:
        name: Stands in errors, changes and statistics.
        config: When it opens and closes. Left out, it is made of `settings`.
        on: Which errors are failures, as in `CircuitBreakerPrimitive`.
        on_state_change: A synchronous function that is told of each `StateChange`, in the thread
            of the call that brought it about. What it raises is logged once.
        clock: Gives monotonic seconds, the same in all threads. Default: the engine's clock, which
            is virtual in virtual time.
        settings: Those of `BreakerConfig`.

    Raises:
        ConfigurationError: An option is out of range, or `config` and a setting are both given.

    Example:
        >>> breaker = Breaker("mail", failure_threshold=2, recovery_timeout=30.0)
        >>> for _ in range(2):
        ...     breaker.release(breaker.acquire(), "failure")
        >>> breaker.state
        'open'
        >>> breaker.close()
        >>> breaker.statistics().opened
        1
    """

    __slots__ = ("_hook", "_lock", "_on", "_teller", "circuit", "clock", "judge", "name")

    def __init__(
        self,
        name: str = "breaker",
        config: BreakerConfig | None = None,
        *,
        on: RetryOn | None = None,
        on_state_change: StateHook | None = None,
        clock: Callable[[], float] | None = None,
        **settings: Unpack[BreakerSettings],
    ) -> None:
        if not isinstance(cast("object", name), str) or not name:
            message = f"a breaker's name is a text that is not empty, not {shown_value(name)}"
            raise ConfigurationError(message)
        if clock is not None and not callable(cast("object", clock)):
            message = f"clock of a breaker is a function without arguments, not {clock!r:.60}"
            raise ConfigurationError(message)
        self.name: str = name
        config = config_of(config, settings)
        self.judge: Judge = Judge(config, on)
        """Says how a call ended: `breaker.judge.outcome(error, seconds)`."""
        self._on = on
        self._hook = on_state_change
        self._teller = Teller(name, on_state_change)
        self.clock: Callable[[], float] | None = clock
        """What gives the time; None: the engine's clock."""
        # A garbage collection inside the lock may close a call that gives its permit back here.
        self._lock = threading.RLock()
        self.circuit: Circuit = Circuit(config, self.now())
        """The state itself; for reading."""

    # --- calls ------------------------------------------------------------------------------

    def acquire(self, now: float | None = None) -> int:
        """Take a permit for one call.

        Args:
            now: Seconds on the breaker's clock; read from it if left out.

        Returns:
            The permit: to be given to `release` exactly once, however the call ends.

        Raises:
            CircuitOpenError: The call must not be made.
        """
        circuit = self.circuit
        permit = circuit.passing
        if permit >= 0:
            return permit
        if now is None:
            now = self.now()
        early = circuit.shut - now
        if early > 0:  # an outage rejects by the thousand: the least that can be done, no lock
            circuit.count_rejection()
            raise CircuitOpenError(self.name, early)
        with self._lock:
            permit = circuit.admit(now)
            state, wait = circuit.state, circuit.wait(now)
            if circuit.changes:
                self._teller.add(circuit.changes)
        self._teller.tell()
        if permit == REJECTED:
            raise CircuitOpenError(self.name, wait, state)
        return permit

    def release(self, permit: int, outcome: CallOutcome, now: float | None = None) -> None:
        """Give a permit back and count how its call ended.

        A result that comes after the period in which its call began does not count.

        Args:
            permit: What `acquire` gave.
            outcome: How the call ended; `judge.outcome(error)` says so.
            now: Seconds on the breaker's clock; read from it if left out.
        """
        circuit = self.circuit
        with self._lock:
            circuit.settle(permit, outcome, self.now() if now is None else now)
            if circuit.changes:
                self._teller.add(circuit.changes)
        self._teller.tell()

    # --- by hand ----------------------------------------------------------------------------

    def open(self) -> None:
        """Reject calls until the recovery time is over, counted from now."""
        self._by_hand(self.circuit.open)

    def isolate(self) -> None:
        """Reject calls until `close` or `reset`, for maintenance of what it guards."""
        self._by_hand(self.circuit.isolate)

    def close(self) -> None:
        """Let calls through again and count anew; totals go on."""
        self._by_hand(self.circuit.close)

    def reset(self) -> None:
        """Close, and forget all counts and totals."""
        self._by_hand(self.circuit.reset)

    def _by_hand(self, change: Callable[[float], None]) -> None:
        with self._lock:
            change(self.now())
            self._teller.add(self.circuit.changes)
        self._teller.tell()

    # --- what is seen -----------------------------------------------------------------------

    @property
    def config(self) -> BreakerConfig:
        """When it opens and closes."""
        return self.circuit.config

    @property
    def state(self) -> BreakerState:
        """The state; one that is open becomes half-open with the first call after its time."""
        return self.circuit.state

    def statistics(self) -> BreakerStatistics:
        """Return state, counts, rates and totals, all of one moment."""
        with self._lock:
            return self.circuit.statistics(self.name, self.now())

    def now(self) -> float:
        """Return the seconds on the breaker's clock."""
        return (self.clock or engine_clock.now)()

    def __reduce__(self) -> tuple[object, tuple[Any, ...]]:
        return _rebuilt, (self.name, self.config, self._on, self._hook)

    def __repr__(self) -> str:
        return f"<Breaker {self.name!r}: {self.state}>"


def config_of(config: BreakerConfig | None, settings: BreakerSettings) -> BreakerConfig:
    """Return the configuration, or make it of the settings.

    Raises:
        ConfigurationError: Both are given, or one is wrong.
    """
    if config is None:
        return BreakerConfig(**settings)
    if not isinstance(cast("object", config), BreakerConfig):
        message = f"config of a breaker is a BreakerConfig, not {shown_value(config)}"
        raise ConfigurationError(message)
    if settings:
        message = f"config and {next(iter(settings))} are both given; put it into the config"
        raise ConfigurationError(message)
    return config


def _rebuilt(
    name: str, config: BreakerConfig, on: RetryOn | None, hook: StateHook | None
) -> Breaker:
    return Breaker(name, config, on=on, on_state_change=hook)
