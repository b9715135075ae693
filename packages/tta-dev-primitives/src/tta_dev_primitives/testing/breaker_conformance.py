"""What every `BreakerStore` must hold, as a test class to inherit from.

    class TestMyStore(BreakerStoreConformance):
        async def make_store(self) -> MyStore:
            return MyStore(await connect())

A store has its own clock, so the checks wait for it: `recovery` seconds at a time, in real time
unless `run` and `pass_time` are replaced.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast, get_args

from tta_dev_primitives.recovery.breakers.config import BreakerConfig, BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tta_dev_primitives.recovery.breakers.config import BreakerSettings, CallOutcome
    from tta_dev_primitives.recovery.breakers.store import BreakerStore, Permit

__all__ = ("BreakerStoreConformance",)

_STATES = get_args(BreakerState)
_NAME = "conformance"


class BreakerStoreConformance(ABC):
    """Checks an implementation of `BreakerStore`, with failures in a row."""

    recovery: ClassVar[float] = 0.2
    """Seconds that a breaker of the checks stays open; longer for a store that is far away."""

    @abstractmethod
    async def make_store(self) -> BreakerStore:
        """Return a store that knows of no breaker yet, in the loop in which it will be used."""

    async def close_store(self, store: BreakerStore) -> None:  # noqa: B027 - most need nothing
        """Let go of what `make_store` took; called when a check has ended."""

    async def pass_time(self, seconds: float) -> None:
        """Wait until the store's clock has moved on."""
        await asyncio.sleep(seconds)

    def run(self, main: Coroutine[object, object, None]) -> None:
        """Run a check in an event loop."""
        asyncio.run(main)

    # --- checks -----------------------------------------------------------------------------

    def test_it_lets_calls_through_at_first(self) -> None:
        """A name that it has never heard of is a closed breaker."""
        self._check(self._lets_through)

    def test_it_opens_after_the_failures_in_a_row(self) -> None:
        """The last of them is told that it is open; from then on there is no leave."""
        self._check(self._opens)

    def test_a_success_ends_a_row_of_failures(self) -> None:
        """A slow one does so as well; what says nothing does not."""
        self._check(self._row)

    def test_cancelled_calls_count_as_nothing(self) -> None:
        """Neither failures nor successes."""
        self._check(self._cancelled)

    def test_it_gives_as_many_probes_as_it_may(self) -> None:
        """After the recovery time, callers that come at once get the permitted number."""
        self._check(self._probes)

    def test_a_probe_that_says_nothing_gives_its_place_back(self) -> None:
        """A cancelled probe must not hold the breaker half-open."""
        self._check(self._probe_given_back)

    def test_successful_probes_close_it(self) -> None:
        """As many as are asked for."""
        self._check(self._closes)

    def test_a_failed_probe_opens_it_again(self) -> None:
        """For the whole recovery time."""
        self._check(self._reopens)

    def test_late_results_do_not_count(self) -> None:
        """Neither a late success nor a late failure of an earlier period changes anything."""
        self._check(self._late)

    def test_a_result_that_is_told_twice_counts_once(self) -> None:
        """A client that got no answer tells it again."""
        self._check(self._repeated)

    def test_a_probe_that_never_ends_does_not_hold_it_up(self) -> None:
        """Its process may have died; after `half_open_timeout` the breaker goes on."""
        self._check(self._lost_probe)

    def test_breakers_of_other_names_are_others(self) -> None:
        """One name, one breaker."""
        self._check(self._names)

    def test_failures_that_come_at_once_are_all_counted(self) -> None:
        """Fifty callers fail at the same time, and the threshold is fifty."""
        self._check(self._at_once)

    # --- how they go ------------------------------------------------------------------------

    def _check(self, check: Callable[[BreakerStore], Coroutine[object, object, None]]) -> None:
        async def main() -> None:
            store = await self.make_store()
            try:
                await check(store)
            finally:
                await self.close_store(store)

        self.run(main())

    def _config(self, **settings: object) -> BreakerConfig:
        usual: dict[str, object] = {"failure_threshold": 2, "recovery_timeout": self.recovery}
        return BreakerConfig(**cast("BreakerSettings", {**usual, **settings}))

    async def _lets_through(self, store: BreakerStore) -> None:
        config = self._config()
        for _ in range(3):
            state = await _call(store, config, "success")
            _hold(state == "closed", f"a success left the breaker {state!r}")

    async def _opens(self, store: BreakerStore) -> None:
        config = self._config()
        first = await _call(store, config, "failure")
        _hold(first == "closed", f"one failure of two left the breaker {first!r}")
        second = await _call(store, config, "failure")
        _hold(second == "open", f"the second failure of two left the breaker {second!r}")
        await _refused(store, config)

    async def _row(self, store: BreakerStore) -> None:
        config = self._config()
        outcomes: tuple[CallOutcome, ...] = ("failure", "success", "failure", "slow", "failure")
        for outcome in outcomes:
            state = await _call(store, config, outcome)
            _hold(state == "closed", f"{outcome!r} after a success left the breaker {state!r}")
        state = await _call(store, config, "slow_failure")
        _hold(state == "open", f"two failures in a row left the breaker {state!r}")

    async def _cancelled(self, store: BreakerStore) -> None:
        config = self._config()
        for _ in range(5):
            state = await _call(store, config, "cancelled")
            _hold(state == "closed", f"a cancelled call left the breaker {state!r}")
        await _call(store, config, "failure")
        await _call(store, config, "cancelled")
        state = await _call(store, config, "failure")
        _hold(state == "open", f"failure, cancelled, failure left the breaker {state!r}")

    async def _half_open(self, store: BreakerStore, config: BreakerConfig) -> None:
        await self._opened(store, config)
        await self.pass_time(self.recovery * 1.25)

    async def _opened(self, store: BreakerStore, config: BreakerConfig) -> None:
        for _ in range(config.failure_threshold or 0):
            await _call(store, config, "failure")
        await _refused(store, config)

    async def _probes(self, store: BreakerStore) -> None:
        config = self._config(half_open_max_calls=2)
        await self._half_open(store, config)
        permits = await asyncio.gather(*(store.allow(_NAME, config) for _ in range(20)))
        given = sum(permit is not None for permit in permits)
        _hold(given == 2, f"{given} of 20 callers were let through in place of 2")  # noqa: PLR2004 - as configured

    async def _probe_given_back(self, store: BreakerStore) -> None:
        config = self._config()
        await self._half_open(store, config)
        for _ in range(3):
            state = await _call(store, config, "cancelled")
            _hold(state == "half_open", f"a cancelled probe left the breaker {state!r}")
        state = await _call(store, config, "success")
        _hold(state == "closed", f"a successful probe left the breaker {state!r}")

    async def _closes(self, store: BreakerStore) -> None:
        config = self._config(success_threshold=2)
        await self._half_open(store, config)
        first = await _call(store, config, "success")
        _hold(first == "half_open", f"one good probe of two left the breaker {first!r}")
        second = await _call(store, config, "success")
        _hold(second == "closed", f"the second good probe left the breaker {second!r}")
        state = await _call(store, config, "failure")
        _hold(state == "closed", f"the first failure after closing left the breaker {state!r}")

    async def _reopens(self, store: BreakerStore) -> None:
        config = self._config()
        await self._half_open(store, config)
        state = await _call(store, config, "failure")
        _hold(state == "open", f"a failed probe left the breaker {state!r}")
        await self.pass_time(self.recovery / 2)
        await _refused(store, config)

    async def _late(self, store: BreakerStore) -> None:
        config = self._config()
        success, failure, another = [await _leave(store, config) for _ in range(3)]
        await self._opened(store, config)
        state = await store.record(success, "success")
        _hold(state == "open", f"a late success left the breaker {state!r}")
        await self.pass_time(self.recovery * 1.25)
        state = await _call(store, config, "success")
        _hold(state == "closed", f"a successful probe left the breaker {state!r}")
        for permit in (failure, another):
            state = await store.record(permit, "failure")
            _hold(state == "closed", f"a late failure left the breaker {state!r}")
        await _leave(store, config)

    async def _repeated(self, store: BreakerStore) -> None:
        config = self._config()
        permit = await _leave(store, config)
        for _ in range(4):
            state = await store.record(permit, "failure")
            _hold(state == "closed", f"one failure, told again, left the breaker {state!r}")
        config = self._config(half_open_max_calls=1, success_threshold=2)
        await self._half_open(store, config)
        permit = await _leave(store, config)
        for _ in range(2):
            state = await store.record(permit, "success")
            _hold(state == "half_open", f"one good probe, told again, left it {state!r}")

    async def _lost_probe(self, store: BreakerStore) -> None:
        config = self._config(half_open_timeout=self.recovery)
        await self._half_open(store, config)
        lost = await _leave(store, config)
        await _refused(store, config)
        await self.pass_time(self.recovery * 1.25)
        # It may let a probe through now, or stay open for another recovery time first.
        permit = await store.allow(_NAME, config)
        if permit is None:
            await self.pass_time(self.recovery * 1.25)
            permit = await _leave(store, config)
        await store.record(lost, "failure")
        state = await store.record(permit, "success")
        _hold(state == "closed", f"a good probe after a lost one left the breaker {state!r}")

    async def _names(self, store: BreakerStore) -> None:
        config = self._config()
        await self._opened(store, config)
        permit = await store.allow("another", config)
        _hold(permit is not None, "an open breaker stopped a call of another")

    async def _at_once(self, store: BreakerStore) -> None:
        config = self._config(failure_threshold=50)
        permits = [await _leave(store, config) for _ in range(50)]
        await asyncio.gather(*(store.record(permit, "failure") for permit in permits[:-1]))
        await _leave(store, config)  # 49 do not open it
        state = await store.record(permits[-1], "failure")
        _hold(state == "open", f"the last of 50 failures left the breaker {state!r}")


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Fail with a message; a bare `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(otherwise)


async def _leave(store: BreakerStore, config: BreakerConfig) -> Permit:
    """Return the leave for a call; the breaker must give it."""
    permit = await store.allow(_NAME, config)
    if permit is None:
        message = "the breaker gave no leave where it must"
        raise AssertionError(message)
    return permit


async def _call(store: BreakerStore, config: BreakerConfig, outcome: CallOutcome) -> BreakerState:
    """Make one call that ends so; return the state after it."""
    state = await store.record(await _leave(store, config), outcome)
    _hold(state in _STATES, f"record() gave {state!r}, which is no state of a breaker")
    return state


async def _refused(store: BreakerStore, config: BreakerConfig) -> None:
    """Hold that the breaker lets nothing through."""
    permit = await store.allow(_NAME, config)
    _hold(permit is None, f"a breaker that is open gave leave: {permit!r}")
