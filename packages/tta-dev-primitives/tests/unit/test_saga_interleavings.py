"""Sagas in every order of events: failures, cancellations and crashes at every await."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.protocols import NullObserver
from tta_dev_primitives.errors import CompensationError
from tta_dev_primitives.recovery import MemoryJournal, Saga, saga_key
from tta_dev_primitives.recovery.saga.plan import SagaPlan
from tta_dev_primitives.testing import no_leaked_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tta_dev_primitives.recovery.saga.journal import JournalEntry

STEPS = 5
ONE_BY_ONE = ((0,), (1,), (2,), (3,), (4,))
SIDE_BY_SIDE = ((0,), (1, 2), (3, 4))
ALL_AT_ONCE = ((0, 1, 2, 3, 4),)


class World:
    """What the steps do, and a place where something happens to the run at a chosen await."""

    def __init__(self, *, failing: int = -1, stuck: Sequence[int] = ()) -> None:
        self.failing = failing
        self.stuck = stuck
        self.returned: list[int] = []
        self.undone: list[int] = []
        self.tried: list[int] = []
        self.effects: set[str] = set()
        self.points = 0
        self.at: dict[int, Any] = {}
        self.hang = -1
        self.hung = asyncio.Event()

    async def point(self) -> None:
        """One await."""
        self.points += 1
        if self.points in self.at:
            self.at[self.points]()
        if self.points == self.hang:
            self.hung.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def step(self, index: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        async def do(given: object) -> int:
            await self.point()
            self.effects.add(saga_key())
            if index == self.failing:
                message = f"step {index}"
                raise ConnectionError(message)
            await self.point()
            self.returned.append(index)
            return index

        async def undo(result: int | None) -> None:
            self.tried.append(index)
            assert result in {index, None}
            await self.point()
            if index in self.stuck:
                message = f"undo {index}"
                raise OSError(message)
            self.effects.discard(saga_key())
            self.undone.append(index)

        do.__name__, undo.__name__ = f"do{index}", f"undo{index}"
        return do, undo

    def saga(self, stages: Sequence[Sequence[int]], **options: Any) -> Any:
        saga: Any = Saga(**options)
        for stage in stages:
            if len(stage) == 1:
                saga.add_step(*self.step(stage[0]))
            else:
                saga.add_stage([self.step(index) for index in stage])
        return saga


async def end_of(world: World, saga: Any) -> BaseException | None:
    """Run a saga in a task of its own, which the world may cancel."""
    task = asyncio.ensure_future(saga.execute(0))
    world.at = dict.fromkeys(world.at, task.cancel)
    await asyncio.wait((task,))
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def reported(error: BaseException | None) -> set[str]:
    """Return the steps that the exception says are not undone."""
    if isinstance(error, CompensationError):
        return set(error.not_undone)
    notes = getattr(error, "__notes__", ())
    lines = [n.partition("not undone: ")[2] for n in notes if "not undone: " in n]
    return {name for line in lines for name in line.split(", ")}


def check(world: World, error: BaseException | None, *, cancelled: bool) -> None:
    """Each step that was done is undone once, or reported; others are left alone."""
    if error is None:
        assert world.tried == []
        assert len(world.returned) == STEPS
        return
    assert world.tried == world.returned[::-1]
    left = [index for index in world.returned if index not in world.undone]
    assert left == [index for index in world.returned if index in world.stuck]
    if not isinstance(error, asyncio.CancelledError):  # asyncio makes it anew, without the notes
        assert reported(error) == {f"do{index}" for index in left}
    if cancelled:
        assert isinstance(error, asyncio.CancelledError)
    elif left:
        assert isinstance(error, CompensationError)
        assert [str(e) for e in error.exceptions[1:]] == [
            f"undo {index}" for index in world.tried if index in world.stuck
        ]
        assert str(error.exceptions[0]) == f"step {world.failing}"
    else:
        assert str(error) == f"step {world.failing}"


@pytest.mark.parametrize("observed", ["no", "counted", "recorded"])
@pytest.mark.parametrize("stages", [ONE_BY_ONE, SIDE_BY_SIDE, ALL_AT_ONCE])
async def test_every_done_step_is_undone_once_or_reported(
    stages: Sequence[Sequence[int]], observed: str
) -> None:
    """Every step that fails, times every set of compensations that fail."""
    if observed == "no":
        engine.silence()
    elif observed == "recorded":
        engine.add_observer(NullObserver())
    for failing in range(-1, STEPS):
        for size in range(STEPS + 1):
            for stuck in itertools.combinations(range(STEPS), size):
                world = World(failing=failing, stuck=stuck)
                with no_leaked_tasks():
                    error = await end_of(world, world.saga(stages))
                check(world, error, cancelled=False)


@pytest.mark.virtual_time
@pytest.mark.parametrize("journaled", [False, True])
@pytest.mark.parametrize("stages", [ONE_BY_ONE, SIDE_BY_SIDE, ALL_AT_ONCE])
async def test_a_cancel_at_every_await_undoes_all_that_was_done(
    stages: Sequence[Sequence[int]], *, journaled: bool
) -> None:
    """While steps run and while compensations run, beside a failure or not (case 60)."""
    engine.silence()
    for failing, stuck in itertools.product((-1, 2, 4), ((), (1,), (0, 3))):
        for number in itertools.count(1):
            world = World(failing=failing, stuck=stuck)
            world.at = {number: bool}
            options: dict[str, Any] = {"journal": MemoryJournal()} if journaled else {}
            error = await end_of(world, world.saga(stages, **options))
            if world.points < number:
                break
            check(world, error, cancelled=True)
            assert len(asyncio.all_tasks()) == 1


async def test_a_second_cancel_at_every_await_leaves_no_compensation_half_way() -> None:
    """However often the caller is cancelled, the compensations run to their end (case 60)."""
    engine.silence()
    for first in range(1, 2 * STEPS + 1):
        for second in range(first + 1, first + STEPS + 2):
            world = World(stuck=(1,))
            world.at = {first: bool, second: bool}
            error = await end_of(world, world.saga(ONE_BY_ONE))
            check(world, error, cancelled=True)


class Recorded(MemoryJournal):
    """A journal each of whose appends can be the last thing that happens, before or after."""

    def __init__(self, world: World | None = None) -> None:
        super().__init__()
        self.world = world

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        if self.world is not None:
            await self.world.point()
        await super().append(run_id, entry)
        if self.world is not None:
            await self.world.point()

    def copy(self) -> Recorded:
        copy = Recorded()
        copy.runs = {run: list(entries) for run, entries in self.runs.items()}
        return copy


@pytest.mark.virtual_time
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("again", [0, 2, 5])
@pytest.mark.parametrize("failing", [-1, 3])
@pytest.mark.parametrize("stages", [ONE_BY_ONE, SIDE_BY_SIDE, ALL_AT_ONCE])
async def test_a_crash_at_every_await_is_made_good_by_recover(
    stages: Sequence[Sequence[int]], failing: int, again: int, *, before: bool
) -> None:
    """What the journal knows as done is undone; with `undo_failed`, all that may have acted."""
    engine.silence()
    for number in itertools.count(1):
        world = World(failing=failing)
        world.hang = number
        journal = Recorded(world)
        task = asyncio.ensure_future(
            world.saga(stages, journal=journal, undo_failed=before).execute(0)
        )
        hung = asyncio.ensure_future(world.hung.wait())
        await asyncio.wait((task, hung), return_when=asyncio.FIRST_COMPLETED)
        if not world.hung.is_set():
            await end_all()
            _ = task.exception()
            break
        # From here on the first process is dead: what it still does is not looked at.
        effects, kept = set(world.effects), journal.copy()
        await end_all()
        left = [key for key, entries in kept.runs.items() if entries[-1].kind != "ended"]
        known = {
            f"{run}/{entry.step}"
            for run in left
            for entry in kept.runs[run]
            if entry.kind == "done"
        }
        if again:  # the second process dies as well, while it makes that good
            second = World()
            second.effects, second.hang = effects, again
            kept.world = second
            saga = second.saga(stages, journal=kept, undo_failed=before)
            task = asyncio.ensure_future(saga.recover())
            hung = asyncio.ensure_future(second.hung.wait())
            await asyncio.wait((task, hung), return_when=asyncio.FIRST_COMPLETED)
            effects, kept = set(second.effects), kept.copy()
            await end_all()
        unfinished = await kept.unfinished()
        after = World()
        after.effects = effects
        reports = await after.saga(stages, journal=kept, undo_failed=before).recover()
        assert [report.run_id for report in reports] == unfinished
        assert len(set(after.tried)) == len(after.tried)
        if any(kept.runs[run][-1].value == "completed" for run in left):
            assert len(after.effects) == STEPS
            assert after.tried == []
        elif left:
            assert not after.effects & known
            unknown = {f"{r.run_id}/{name}" for r in reports for name in r.unknown}
            assert again or after.effects <= (set() if before else unknown | failed_in(kept))
            assert not before or not after.effects
        assert await kept.unfinished() == []


async def end_all() -> None:
    """End all other tasks, of which some are shielded."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for other in others:
            other.cancel()
        await asyncio.wait(others, timeout=1.0)
        for other in others:
            _ = not other.done() or other.cancelled() or other.exception()


def failed_in(journal: Recorded) -> set[str]:
    return {
        f"{run}/{entry.step}"
        for run, entries in journal.runs.items()
        for entry in entries
        if entry.kind == "failed"
    }


class PlanMachine(RuleBasedStateMachine):
    """The plan alone, told events in any order that can happen."""

    @initialize(data=st.data(), count=st.integers(1, 6))
    def begin(self, data: st.DataObject, count: int) -> None:
        flags = st.lists(st.booleans(), min_size=count, max_size=count)
        jumps = data.draw(flags)
        self.stages = list(itertools.accumulate(int(jump) for jump in jumps[1:]))
        self.stages = [0, *self.stages]
        self.undoable = data.draw(flags)
        self.before = data.draw(flags)
        self.plan = SagaPlan(stages=self.stages, undoable=self.undoable, before=self.before)
        self.registered: list[int] = []
        self.undoing: list[int] = []
        self.log: list[int] = []

    def running(self) -> list[int]:
        return list(self.plan.with_state("running"))

    @precondition(lambda self: self.plan.decision[0] == "act")
    @rule(data=st.data())
    def begin_step(self, data: st.DataObject) -> None:
        waiting: Any = self.plan.decision[1]
        step: int = data.draw(st.sampled_from(waiting))
        self.plan.on("began", step)
        if self.before[step] and self.undoable[step]:
            self.registered.append(step)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), well=st.booleans())
    def end_step(self, data: st.DataObject, *, well: bool) -> None:
        step = data.draw(st.sampled_from(self.running()))
        self.plan.on("done" if well else "failed", step)
        if well and self.undoable[step] and not self.before[step]:
            self.registered.append(step)

    @rule()
    def cancel(self) -> None:
        self.plan.on("turned")

    @precondition(lambda self: self.plan.decision[0] == "undo")
    @rule(well=st.booleans(), begins=st.booleans())
    def undo(self, *, well: bool, begins: bool) -> None:
        step: Any = self.plan.decision[1]
        assert step == self.registered.pop()
        if begins:
            assert self.plan.on("undoing", step) == ("wait", None)
            self.plan.on("undone" if well else "undo_failed", step)
        else:
            self.plan.on("undo_failed", step)
        self.log.append(step)

    @rule(data=st.data(), event=st.sampled_from(["began", "done", "undoing", "undone"]))
    def what_cannot_happen_is_refused(self, data: st.DataObject, event: Any) -> None:
        step = data.draw(st.integers(-2, len(self.stages) + 1))
        states = self.plan.states
        fits = {"began": "waiting", "done": "running", "undone": "undoing"}
        if not 0 <= step < len(states) or states[step] != fits.get(event, states[step]):
            seen = list(states)
            with pytest.raises(ValueError, match="step"):
                self.plan.on(event, step)
            assert self.plan.states == seen

    @invariant()
    def no_stage_begins_before_the_last_has_ended(self) -> None:
        begun = [s for s, state in enumerate(self.plan.states) if state != "waiting"]
        for step in begun:
            earlier = [s for s in range(step) if self.stages[s] < self.stages[step]]
            assert all(self.plan.states[s] not in {"waiting", "running"} for s in earlier)

    @invariant()
    def nothing_is_undone_twice_or_while_something_runs(self) -> None:
        assert len(set(self.log)) == len(self.log)
        if self.running():
            assert self.plan.decision[0] in {"act", "wait"}
            assert not self.plan.turned or self.plan.decision == ("wait", None)

    @invariant()
    def an_end_leaves_nothing_to_do(self) -> None:
        kind, how = self.plan.decision
        if kind == "end":
            assert not self.running()
            if how == "completed":
                assert self.plan.states == ["done"] * len(self.stages)
            else:
                assert self.registered == []
                assert (how == "stuck") == ("undo_failed" in self.plan.states)

    def teardown(self) -> None:
        if hasattr(self, "plan"):  # what is left after a crash can always be brought to its end
            decision = self.plan.reopen()
            while decision[0] == "undo":
                step = decision[1]
                self.plan.on("undoing", step)
                decision = self.plan.on("undone", step)
            assert decision in {("end", "completed"), ("end", "undone")}


TestPlan = PlanMachine.TestCase
