"""`BreakerStore`: where breakers keep their state when several processes share it.

Clock and state are the store's: a caller asks whether it may call, and tells how that went. The
protocol stands here and not in the core's protocols, since it speaks of a breaker's configuration.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Protocol, cast, get_args

from tta_dev_primitives.core import clock as engine_clock
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.errors import CircuitOpenError, ConfigurationError
from tta_dev_primitives.recovery.breakers.breaker import Judge, Teller
from tta_dev_primitives.recovery.breakers.config import BreakerState
from tta_dev_primitives.recovery.breakers.state import REJECTED, Circuit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.recovery.breakers.breaker import StateHook
    from tta_dev_primitives.recovery.breakers.config import BreakerConfig, CallOutcome
    from tta_dev_primitives.recovery.classification.classify import RetryOn

__all__ = ("BreakerStore", "MemoryBreakerStore", "Permit", "StoreGate", "check_store")

_STATES: tuple[object, ...] = get_args(BreakerState)
_PAUSE = 1.0  # seconds for which a store that has just failed is not asked again
_log = logging.getLogger("tta_dev_primitives")


class Permit(Protocol):
    """The leave to make one call, given by a store and handed back to it."""

    @property
    def name(self) -> str:
        """The breaker's name."""
        ...

    @property
    def generation(self) -> int:
        """The period in which it was given; its result counts while that lasts."""
        ...

    @property
    def token(self) -> str:
        """What tells this permit from all others of the store."""
        ...


class BreakerStore(Protocol):
    """Keeps the state of breakers, by name, for whoever asks.

    Breakers that are asked for under one name with one configuration are one breaker. Every
    decision is atomic. A permit that never comes back holds nothing up for longer than
    `half_open_timeout`. Conformance: `tta_dev_primitives.testing.BreakerStoreConformance`.
    """

    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        """Give leave for one call; None while the breaker is open, or its probes are under way."""
        ...

    async def record(self, permit: Permit, outcome: CallOutcome) -> BreakerState:
        """Take the result of a call that had leave; a repeat of it counts once.

        Returns:
            The state that the breaker is in now.
        """
        ...


class _Leave:
    """A permit of `MemoryBreakerStore`, and whether its result is still out."""

    __slots__ = ("circuit", "generation", "name", "spent", "token")

    def __init__(self, name: str, circuit: Circuit, generation: int, token: str) -> None:
        self.name: str = name
        self.circuit: Circuit = circuit
        self.generation: int = generation
        self.token: str = token
        self.spent: bool = False


class MemoryBreakerStore:
    """Keeps the state of breakers in this process, for all primitives that are given this store.

    Safe for threads. Breakers are never forgotten, so names should not be made of inputs.

    Args:
        clock: Gives monotonic seconds, the same in all threads. Default: the engine's clock.

    Example:
        >>> import asyncio
        >>> from tta_dev_primitives.recovery.breakers.config import BreakerConfig
        >>> store, config = MemoryBreakerStore(), BreakerConfig(failure_threshold=1)
        >>> async def main() -> tuple[str, object]:
        ...     permit = await store.allow("mail", config)
        ...     assert permit is not None
        ...     return await store.record(permit, "failure"), await store.allow("mail", config)
        >>> asyncio.run(main())
        ('open', None)
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._circuits: dict[tuple[str, BreakerConfig], Circuit] = {}
        self._given = 0
        self._lock = threading.Lock()

    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        """Give leave for one call, or None."""
        with self._lock:
            now = self._now()
            circuit = self._circuits.get((name, config))
            if circuit is None:
                circuit = self._circuits[name, config] = Circuit(config, now)
            generation = circuit.admit(now)
            circuit.changes.clear()
            if generation == REJECTED:
                return None
            self._given += 1
            return _Leave(name, circuit, generation, str(self._given))

    async def record(self, permit: Permit, outcome: CallOutcome) -> BreakerState:
        """Take the result of a call that had leave.

        Raises:
            ConfigurationError: The permit is not from here.
        """
        leave = cast("object", permit)
        if not isinstance(leave, _Leave):
            message = f"{shown_value(leave)} is no permit of this store"
            raise ConfigurationError(message)
        with self._lock:
            if not leave.spent:
                leave.spent = True
                leave.circuit.settle(leave.generation, outcome, self._now())
                leave.circuit.changes.clear()
            return leave.circuit.state

    def _now(self) -> float:
        return engine_clock.now() if self._clock is None else self._clock()


class StoreGate:
    """Asks a store on behalf of one primitive, and does without it while it does not work.

    A store that raises, answers too late or answers nonsense must neither stop calls nor hold them
    up: they go through as if there were no breaker. That is said in the log once, counted in
    `store_failures`, and the store is left alone for a second.

    Args:
        store: The store.
        name: The breaker's name in it.
        config: When the breaker opens and closes.
        timeout: The longest to wait for an answer, in seconds.
        on: Which errors are failures, as in `CircuitBreakerPrimitive`.
        on_state_change: Is told of the changes of state that this primitive comes to see.

    Raises:
        ConfigurationError: `store`, `on` or `on_state_change` is none of what it may be.
    """

    __slots__ = (
        "_asked_again",
        "_complained",
        "_config",
        "_hook",
        "_on",
        "_seen",
        "_store",
        "_teller",
        "_timeout",
        "judge",
        "name",
        "store_failures",
    )

    def __init__(
        self,
        store: BreakerStore,
        name: str,
        config: BreakerConfig,
        *,
        timeout: float,
        on: RetryOn | None = None,
        on_state_change: StateHook | None = None,
    ) -> None:
        self._store = check_store(store)
        self._config = config
        self._timeout = timeout
        self._on = on
        self._hook = on_state_change
        self._teller = Teller(name, on_state_change)
        self.judge: Judge = Judge(config, on)
        """Says how a call ended."""
        self._seen: BreakerState = "closed"
        self._asked_again: float | None = None
        self._complained = False
        self.name: str = name
        """The breaker's name."""
        self.store_failures: int = 0
        """How often the store did not give a proper answer."""

    async def enter(self) -> Permit | None:
        """Ask for leave.

        Returns:
            The permit; None where the store does not work, and the call goes through uncounted.

        Raises:
            CircuitOpenError: The breaker is open.
        """
        if self._asked_again is not None:
            # More than a pause ahead: it was set on another clock, before virtual time began.
            if 0 < self._asked_again - engine_clock.now() <= _PAUSE:
                return None
            self._asked_again = None
        try:
            async with asyncio.timeout(self._timeout):
                permit = await self._store.allow(self.name, self._config)
            if permit is not None and not isinstance(getattr(permit, "token", None), str):
                message = f"allow() must give a Permit or None, not {shown_value(permit)}"
                raise TypeError(message)  # noqa: TRY301 - as if the store had raised it
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a store, calls go through
            self._failed(error)
            return None
        if permit is None:
            if self._seen == "closed":
                self._saw("open")
            raise CircuitOpenError(self.name)
        return permit

    async def leave(self, permit: Permit | None, outcome: CallOutcome) -> None:
        """Tell the store how the call ended; None where it gave no permit."""
        if permit is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                state = await self._store.record(permit, outcome)
            if not isinstance(cast("object", state), str) or state not in _STATES:
                message = f"record() must give a breaker's state, not {shown_value(state)}"
                raise TypeError(message)  # noqa: TRY301 - as if the store had raised it
        except Exception as error:  # noqa: BLE001 - as in `enter`
            self._failed(error)
        else:
            self._saw(state)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _rebuilt, (
            self._store,
            self.name,
            self._config,
            self._timeout,
            self._on,
            self._hook,
        )

    def _saw(self, state: BreakerState) -> None:
        before, self._seen = self._seen, state
        if before != state:
            change = (before, state, engine_clock.now(), "seen in the store")
            self._teller.add([change])
            self._teller.tell()

    def _failed(self, error: Exception) -> None:
        self.store_failures += 1
        self._asked_again = engine_clock.now() + _PAUSE
        if not self._complained:
            self._complained = True
            _log.warning(
                "the store of circuit breaker %r does not work; calls go through as if there were "
                "no breaker, and this is said once",
                self.name,
                exc_info=error,
            )


def _rebuilt(
    store: BreakerStore,
    name: str,
    config: BreakerConfig,
    timeout: float,
    on: RetryOn | None,
    hook: StateHook | None,
) -> StoreGate:
    return StoreGate(store, name, config, timeout=timeout, on=on, on_state_change=hook)


def check_store(store: object) -> BreakerStore:
    """Return `store` if it has the methods of one.

    Raises:
        ConfigurationError: It has not.
    """
    for method in ("allow", "record"):
        if not callable(getattr(store, method, None)):
            message = (
                f"store of a breaker must have the methods of BreakerStore; {shown_value(store)} "
                f"has no {method}()"
            )
            raise ConfigurationError(message)
    return cast("BreakerStore", store)
