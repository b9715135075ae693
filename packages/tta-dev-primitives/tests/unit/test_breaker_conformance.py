"""The memory store conforms, and a store that does not is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.recovery import BreakerConfig, MemoryBreakerStore
from tta_dev_primitives.testing import BreakerStoreConformance, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tta_dev_primitives.recovery import BreakerStore
    from tta_dev_primitives.recovery.breakers.store import Permit


class TestMemoryStore(BreakerStoreConformance):
    async def make_store(self) -> MemoryBreakerStore:
        return MemoryBreakerStore()

    def run(self, main: Coroutine[object, object, None]) -> None:
        run_virtual(main)


class Prompt(MemoryBreakerStore):
    """Lets the next probe through at once when one is lost: that is right as well."""

    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        stuck = [c for c in self._circuits.values() if c.state == "half_open" and not c.wait(0.0)]
        permit = await super().allow(name, config)
        if permit is None and stuck and stuck[0].state == "open":
            stuck[0].shut = 0.0
            permit = await super().allow(name, config)
        return permit


class TestPromptStore(TestMemoryStore):
    async def make_store(self) -> MemoryBreakerStore:
        return Prompt()


class Forgetful(MemoryBreakerStore):
    async def record(self, permit: Permit, outcome: Any) -> Any:
        return "closed"


class Generous(MemoryBreakerStore):
    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        return await super().allow(name, BreakerConfig(failure_threshold=10**6))


class AnyName(MemoryBreakerStore):
    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        return await super().allow("one", config)


class CountsCancelled(MemoryBreakerStore):
    async def record(self, permit: Permit, outcome: Any) -> Any:
        return await super().record(permit, "failure" if outcome == "cancelled" else outcome)


class CountsRepeats(MemoryBreakerStore):
    async def record(self, permit: Any, outcome: Any) -> Any:
        permit.spent = False
        return await super().record(permit, outcome)


class KeepsLostProbes(MemoryBreakerStore):
    async def allow(self, name: str, config: BreakerConfig) -> Permit | None:
        settings = config.as_settings()
        settings["half_open_timeout"] = 1e6
        return await super().allow(name, BreakerConfig(**settings))


@pytest.mark.parametrize(
    ("store", "found"),
    [
        (Forgetful, "it_opens_after_the_failures_in_a_row"),
        (Generous, "it_opens_after_the_failures_in_a_row"),
        (AnyName, "breakers_of_other_names_are_others"),
        (CountsCancelled, "a_probe_that_says_nothing_gives_its_place_back"),
        (CountsCancelled, "cancelled_calls_count_as_nothing"),
        (CountsRepeats, "a_result_that_is_told_twice_counts_once"),
        (KeepsLostProbes, "a_probe_that_never_ends_does_not_hold_it_up"),
    ],
)
def test_the_conformance_class_finds_a_store_that_is_wrong(
    store: Callable[[], BreakerStore], found: str
) -> None:
    """A check that cannot fail is none."""

    class Suite(TestMemoryStore):
        async def make_store(self) -> Any:
            return store()

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{found}")()
