"""The cache against a model: calls, failures, cancels, invalidation and time in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tta_dev_primitives.core import engine
from tta_dev_primitives.performance import CachePrimitive
from tta_dev_primitives.performance.flights import leading
from tta_dev_primitives.testing import VirtualTimeLoop

if TYPE_CHECKING:
    import asyncio

    from tta_dev_primitives.performance.flights import Flight

KEYS = st.sampled_from(["a", "b", "c"])
TTL, STALE = 10.0, 5.0
ROOM = 2  # for three keys


@dataclass(eq=False)
class Body:
    """One run of the step, which ends when the machine says so."""

    key: str
    number: int
    flight: Flight | None
    end: asyncio.Future[None]


@dataclass(eq=False)
class Caller:
    """One call: when it came, and what it may be given."""

    key: str
    after: int
    task: asyncio.Task[int]
    waiting: bool = True


@dataclass
class Held:
    """What the model says is kept."""

    number: int
    fresh: float
    stale: float


@dataclass
class Model:
    """What is known besides the cache."""

    bodies: list[Body] = field(default_factory=list[Body])
    callers: list[Caller] = field(default_factory=list[Caller])
    held: dict[str, Held] = field(default_factory=dict[str, Held])
    forgotten: dict[str, int] = field(default_factory=dict[str, int])
    began: dict[int, int] = field(default_factory=dict[int, int])
    made: int = 0
    clock: int = 0


class CacheMachine(RuleBasedStateMachine):
    """A cache in a loop of virtual time."""

    options: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        engine.silence()
        self.loop = VirtualTimeLoop()
        self.model = Model()
        self.started = False

    def teardown(self) -> None:
        """Nobody is left waiting, and the figures add up."""
        for caller in self.model.callers:
            caller.task.cancel()
        self.settle()
        self.loop.run_until_complete(self.cache.aclose())
        self.settle()
        assert not self.model.bodies
        assert not self.cache.store.flights
        assert self.cache.cache_stats().calls == self.model.made
        self.loop.close()

    @initialize(
        eviction=st.sampled_from(["s3-fifo", "lru", "lfu", "fifo"]),
        copied=st.booleans(),
        stale=st.booleans(),
    )
    def start(self, *, eviction: Any, copied: bool, stale: bool) -> None:
        self.started = True
        self.stale = STALE if stale else 0.0
        self.cache: CachePrimitive[str, int] = CachePrimitive(
            self.body,
            ttl=TTL,
            max_size=ROOM,
            eviction=eviction,
            stale_ttl=self.stale,
            copy="copy" if copied else "none",
        )

    async def body(self, key: str) -> int:
        model = self.model
        model.clock += 1
        end: asyncio.Future[None] = self.loop.create_future()
        run = Body(key, model.clock, leading.get(), end)
        model.began[run.number] = model.clock
        model.bodies.append(run)
        try:
            await end
        finally:
            model.bodies.remove(run)
        return run.number

    def settle(self) -> None:
        self.loop.run_until_complete(self.loop.advance(0))

    def now(self) -> float:
        return self.loop.time()

    # --- rules ------------------------------------------------------------------------------

    @rule(key=KEYS)
    def call_once_more(self, key: str) -> None:
        self.call(key)  # twice as often as the other rules

    @rule(key=KEYS)
    def call(self, key: str) -> None:
        model = self.model
        before = len(model.bodies)
        running = any(body.key == key for body in model.bodies)
        kept = set(self.cache.store.entries)
        model.clock += 1
        task = self.loop.create_task(self.cache.execute(key))
        model.made += 1
        model.callers.append(Caller(key, model.forgotten.get(key, 0), task))
        self.settle()
        if key not in kept:
            model.held.pop(key, None)  # it has made room
        held = model.held.get(key)
        if held is not None and self.now() < held.fresh:
            assert task.done()
            assert task.result() == held.number
            assert len(model.bodies) == before
        elif held is not None and self.now() < held.stale:
            assert task.done()
            assert task.result() == held.number
            assert any(body.key == key for body in model.bodies)
        else:
            assert not task.done()
            assert running or len(model.bodies) == before + 1

    @precondition(lambda self: self.model.bodies)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, *, fails: bool) -> None:
        model = self.model
        run = data.draw(st.sampled_from(model.bodies))
        # Not one that was begun, or taken over, by callers who came before the key was forgotten.
        is_kept = run.flight is not None and run.flight.listed
        if fails:
            run.end.set_exception(OSError(run.key))
        else:
            run.end.set_result(None)
        self.settle()
        if is_kept and not fails:
            until = self.now() + TTL
            model.held[run.key] = Held(run.number, until, until + self.stale)

    @precondition(lambda self: any(not c.task.done() for c in self.model.callers))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [c for c in self.model.callers if not c.task.done()]
        caller = data.draw(st.sampled_from(waiting))
        caller.task.cancel()
        self.settle()
        assert caller.task.cancelled()

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.5, 10.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(self.loop.advance(seconds))

    @precondition(lambda self: self.model.bodies or self.model.held)
    @rule(key=KEYS, everything=st.integers(0, 4).map(lambda n: n == 0))
    def invalidate(self, key: str, *, everything: bool) -> None:
        if everything:
            self.cache.cache_clear()
        else:
            self.cache.cache_invalidate(key)
        for forgotten in ("a", "b", "c") if everything else (key,):
            self.forget(forgotten)

    def forget(self, key: str) -> None:
        self.model.clock += 1
        self.model.forgotten[key] = self.model.clock
        self.model.held.pop(key, None)

    # --- what always holds ------------------------------------------------------------------

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        for caller in self.model.callers:
            if not caller.task.done():
                assert any(body.key == caller.key for body in self.model.bodies)

    @invariant()
    def nobody_gets_what_was_forgotten_before_he_came(self) -> None:
        for caller in self.model.callers:
            if caller.waiting and caller.task.done():
                caller.waiting = False
                if not caller.task.cancelled() and caller.task.exception() is None:
                    assert self.model.began[caller.task.result()] > caller.after

    @invariant()
    def there_is_one_run_for_a_key_that_was_not_forgotten(self) -> None:
        for key in ("a", "b", "c"):
            if key not in self.model.forgotten:
                assert sum(body.key == key for body in self.model.bodies) <= 1

    @invariant()
    def no_more_is_kept_than_there_is_room(self) -> None:
        if self.started:
            assert len(self.cache.store.entries) <= ROOM


@pytest.mark.slow
def test_the_cache_does_what_the_model_does() -> None:
    """In any order of calls, ends, failures, cancels, waits and invalidations."""
    run_state_machine_as_test(
        CacheMachine, settings=settings(max_examples=150, stateful_step_count=60, deadline=None)
    )
