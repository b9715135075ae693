"""A guarded store under faults at every call: a value is right or it is not there."""

import asyncio
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tta_dev_primitives.performance.store_guard import GuardedStore
from tta_dev_primitives.performance.stores import MemoryStore
from tta_dev_primitives.testing import run_virtual

Fault = Literal["none", "before", "after", "hangs before", "hangs after", "cut", "cancelled"]
FAULTS: list[Fault] = [
    "none",
    "none",
    "before",
    "after",
    "hangs before",
    "hangs after",
    "cut",
    "cancelled",
]
KEYS = ["ns:a", "ns:b"]


class Faulty(MemoryStore):
    """Fails before or after it has done what it was asked for, or does it by half."""

    fault: Fault = "none"

    async def _suffer(self, when: str) -> None:
        if self.fault == when:
            raise ConnectionError
        if self.fault == f"hangs {when}" or (self.fault == "cancelled" and when == "before"):
            await asyncio.get_running_loop().create_future()

    async def get(self, key: str) -> bytes | None:
        await self._suffer("before")
        found = await super().get(key)
        await self._suffer("after")
        return found[: len(found) // 2] if found and self.fault == "cut" else found

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await self._suffer("before")
        await super().set(key, value[:-1] if self.fault == "cut" else value, ttl)
        await self._suffer("after")

    async def delete(self, key: str) -> None:
        await self._suffer("before")
        await super().delete(key)
        await self._suffer("after")


class Guarded(RuleBasedStateMachine):
    """Whatever happens, nothing comes back that was removed, or belongs to another key."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Faulty()
        self.now = 0.0
        self.guard = GuardedStore(
            self.store,
            namespace="ns",
            timeout=1.0,
            failures=3,
            pause=5.0,
            clock=lambda: self.now,
            unix_time=lambda: 1e9 + self.now,
        )
        self.allowed: dict[str, set[int]] = {key: set() for key in KEYS}
        self.next = 0

    def call(self, fault: Fault, method: str, *args: Any) -> Any:
        """Call the guard under a fault; None where the caller was cancelled."""
        self.store.fault = fault

        async def main() -> Any:
            task = asyncio.ensure_future(getattr(self.guard, method)(*args))
            if fault == "cancelled":
                await asyncio.sleep(0.5)
                task.cancel()
            await asyncio.wait([task])
            return None if task.cancelled() else task.result()

        return run_virtual(main())

    @rule(key=st.sampled_from(KEYS), fault=st.sampled_from(FAULTS))
    def keep(self, key: str, fault: Fault) -> None:
        self.next += 1
        self.allowed[key].add(self.next)
        if self.call(fault, "keep", key, self.next, 60.0) and fault != "cut":
            self.allowed[key] = {self.next}

    @rule(key=st.sampled_from(KEYS), fault=st.sampled_from(FAULTS))
    def remove(self, key: str, fault: Fault) -> None:
        self.call(fault, "remove", key)
        self.allowed[key].clear()

    @rule(key=st.sampled_from(KEYS))
    def distrust(self, key: str) -> None:
        self.guard.distrust(key)
        self.allowed[key].clear()

    @rule()
    def forget(self) -> None:
        self.guard.forget()
        self.now += 0.001
        for allowed in self.allowed.values():
            allowed.clear()

    @rule(key=st.sampled_from(KEYS), fault=st.sampled_from(FAULTS))
    def find(self, key: str, fault: Fault) -> None:
        found = self.call(fault, "find", key)
        assert found is None or found.value in self.allowed[key]

    @rule(seconds=st.sampled_from([0.5, 6.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from(KEYS))
    def it_works_again_once_the_store_does(self, key: str) -> None:
        self.now += 6.0
        self.next += 1
        self.allowed[key] = {self.next}
        assert self.call("none", "keep", key, self.next, 60.0)
        found = self.call("none", "find", key)
        assert found is not None
        assert found.value == self.next

    def teardown(self) -> None:
        stats = self.guard.stats()
        assert stats.rejected <= stats.errors
        assert stats.rejected <= stats.misses


TestGuarded = Guarded.TestCase
