"""One run of a saga: acts as its plan says, writes the journal, and undoes what was done.

The decisions are the plan's; here are the awaits. Compensations run in one task of their own, so
that cancelling the caller cannot reach them; the caller waits for that task to its end.

Longer than the house rule allows: the way forward, the way back and the journal act on one state.
"""

from __future__ import annotations

import asyncio
import math
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.core import engine, frames, notes
from tta_dev_primitives.core.base import nested_awaitable
from tta_dev_primitives.core.context import FreshContext, WorkflowContext
from tta_dev_primitives.core.crew import Crew
from tta_dev_primitives.errors import (
    CompensationCancelledError,
    CompensationError,
    ConfigurationError,
    SagaJournalError,
    TimeoutExceededError,
)
from tta_dev_primitives.recovery.deadlines import deadline
from tta_dev_primitives.recovery.retries.sharing import close_pool
from tta_dev_primitives.recovery.saga.place import Place, enter
from tta_dev_primitives.recovery.saga.plan import SagaPlan
from tta_dev_primitives.recovery.saga.settled import settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from tta_dev_primitives.core.base import Composite
    from tta_dev_primitives.core.run import Run
    from tta_dev_primitives.recovery.saga.journal import EntryKind, SagaCodec, SagaJournal
    from tta_dev_primitives.recovery.saga.steps import SagaStep

__all__ = ("Layout", "SagaRun")


class Layout:
    """A saga as it stands when it runs: its steps by position, and where their compensations are.

    Attributes:
        owner: The saga.
        steps: Its steps.
        undo_nodes: The position of each step's compensation among the saga's nodes, or -1.
        groups: For each stage None for a single step, () for a list of steps, or their keys.
        limit: Seconds for one compensation; infinite for no bound.
        total: Seconds for all compensations of a run; infinite for no bound.
        journal: Where the run is written down, or None.
        codec: How values are written there.
    """

    __slots__ = ("codec", "groups", "journal", "limit", "owner", "steps", "total", "undo_nodes")

    def __init__(
        self,
        owner: Composite[Any, Any],
        steps: tuple[SagaStep, ...],
        groups: tuple[tuple[str, ...] | None, ...],
        *,
        limit: float,
        total: float,
        journal: SagaJournal | None,
        codec: SagaCodec | None,
    ) -> None:
        self.owner: Composite[Any, Any] = owner
        self.steps: tuple[SagaStep, ...] = steps
        self.groups: tuple[tuple[str, ...] | None, ...] = groups
        self.limit: float = limit
        self.total: float = total
        self.journal: SagaJournal | None = journal
        self.codec: SagaCodec | None = codec
        nodes: list[int] = []
        following = len(steps) + sum(step.rollback is not None for step in steps)
        for step in steps:
            following -= step.rollback is not None
            nodes.append(-1 if step.rollback is None else following)
        self.undo_nodes: tuple[int, ...] = tuple(nodes)

    def plan(self) -> SagaPlan:
        """Return the plan of a run that begins."""
        return SagaPlan(
            stages=[step.stage for step in self.steps],
            undoable=[step.rollback is not None for step in self.steps],
            before=[step.before for step in self.steps],
        )

    def names(self, steps: Iterable[int]) -> tuple[str, ...]:
        """Return the names of steps, as their paths end."""
        segments = self.owner.segments
        return tuple(segments[step] for step in steps)


class SagaRun:
    """One run, from its first step to its last compensation.

    Args:
        layout: The saga.
        context: The run's context.
        run: Whoever listens; None where nobody does.
        run_id: Its id in keys and in the journal.
    """

    __slots__ = (
        "at",
        "context",
        "failures",
        "fatal",
        "given",
        "layout",
        "place",
        "plan",
        "results",
        "run",
        "undone",
        "unwritten",
    )

    def __init__(
        self, layout: Layout, context: WorkflowContext, run: Run | None, place: Place
    ) -> None:
        self.layout: Layout = layout
        self.context: WorkflowContext = context
        self.run: Run | None = run
        self.place: Place = place
        self.plan: SagaPlan = layout.plan()
        self.given: list[Any] = []  # the input of each stage
        self.results: dict[int, Any] = {}
        self.at: int | None = None  # which step raises
        self.undone: list[int] = []
        self.failures: list[tuple[int, Exception]] = []
        self.fatal: BaseException | None = None
        self.unwritten: SagaJournalError | None = None

    # --- forwards ---------------------------------------------------------------------------

    def reached(self, values: list[Any], index: int) -> None:
        """Take over a plain run that ended in step `index`: the input, and each step's result."""
        self.given = values
        self.results = dict(enumerate(values[1:]))
        self.at = index
        for step in range(index):
            self.plan.on("began", step)
            self.plan.on("done", step)
        if index < len(self.layout.steps):
            self.plan.on("began", index)

    async def forward(self, input_data: Any) -> Any:
        """Run the steps, stage by stage; return the last one's result."""
        owner, steps = self.layout.owner, self.layout.steps
        value = input_data
        if self.layout.journal is not None:
            await self._record("run", owner.name, self._encoded(value, "the input"))
        decision = self.plan.decision
        while decision[0] == "act":
            stage = decision[1]
            self.given.append(value)
            for index in stage:
                await self._record("began", owner.segments[index])
                self.plan.on("began", index)
            group = self.layout.groups[steps[stage[0]].stage]
            if group is None:
                self.at = self.place.index = stage[0]
                await self._done(stage[0], await self._call(stage[0], value))
                value = self.results[stage[0]]
            else:
                await self._side_by_side(stage, value)
                results = [self.results[index] for index in stage]
                value = dict(zip(group, results, strict=True)) if group else results
            self.at = None
            decision = self.plan.decision
        return value

    async def _done(self, index: int, result: Any) -> None:
        """Take a step's result."""
        name = self.layout.owner.nodes[index].name
        if result.__class__ is CoroutineType:
            raise nested_awaitable(name, result)
        if result.__class__ is engine.stream_type:
            message = f"step {name!r} of a saga returned a stream; a step must be over to be undone"
            raise ConfigurationError(message)
        self.results[index] = result
        self.plan.on("done", index)
        if self.layout.journal is not None:
            text = self._encoded(result, f"the result of step {name!r}")
            await self._record("done", self.layout.owner.segments[index], text)

    async def _side_by_side(self, stage: tuple[int, ...], value: Any) -> None:
        """Run the steps of one stage at once; one that fails cancels the others."""
        crew = Crew()
        errors: list[tuple[int, Exception]] = []

        async def branch(index: int) -> None:
            enter(Place(self.place.owner, index, self.place.run()))  # in this task's variables
            try:
                await self._done(index, await self._branch_call(index, value))
            except Exception as error:  # noqa: BLE001 - raised below, once all have ended
                notes.locate(error, self.layout.owner, index, self.context)
                errors.append((index, error))
                crew.stop()
            except BaseException as error:  # noqa: BLE001 - raised by `drain`
                crew.escape(error)

        try:
            for index in stage:
                crew.start(branch(index))
                if crew.stopping:
                    break
        except BaseException as error:  # noqa: BLE001 - a task that could not be started
            crew.escape(error)
        await crew.drain()
        if errors:
            self.at, first = errors[0]
            for index, later in errors[1:]:
                name = self.layout.owner.segments[index]
                text = f"step {name!r} failed too, while it was being cancelled: "
                notes.remark(first, text + notes.shown_error(later))
            errors.clear()  # its traceback holds this frame, as does `first`
            try:
                raise first
            finally:
                del first

    def _call(self, node: int, value: Any) -> Awaitable[Any]:
        if self.run is not None:
            return self.run.call(node, value)
        return self.layout.owner.calls[node](self.context, value)

    def _branch_call(self, index: int, value: Any) -> Awaitable[Any]:
        """Start a step that runs beside others."""
        owner, run = self.layout.owner, self.run
        if run is None:
            return owner.calls[index](self.context, value)
        if run.frame is not None:
            frame = run.frame.branch(index)
            engine.current.set(frame)  # in this task's own variables: nothing to reset
            return frames.observe(frame, index, owner.calls[index], self.context, value)
        return run.call(index, value)

    # --- backwards --------------------------------------------------------------------------

    async def unwind(self, cause: BaseException | None) -> BaseException | None:
        """Undo what was done.

        Args:
            cause: Why; None for a run that was read back from a journal.

        Returns:
            What the call is to raise; None if there is no cause and all went well.
        """
        if isinstance(cause, Exception):
            notes.locate(cause, self.layout.owner, self.at, self.context)
        if isinstance(cause, GeneratorExit):  # nothing can be awaited any more
            self._tell_left_behind()
            return cause
        cancelled = None
        running = self.plan.with_state("running")
        if self.layout.journal is None:
            for step in running:
                self.plan.on("failed", step)
            running = ()
        if self.layout.journal is not None or self.plan.on("turned")[0] != "end":
            broken, cancelled = await settled(self._undo_all(cause, running))
            if broken is not None:
                self.fatal = self.fatal or broken
        try:
            return self._outcome(cause, cancelled)
        finally:
            del cancelled, cause

    async def _undo_all(self, cause: BaseException | None, running: tuple[int, ...]) -> None:
        """Run the compensations, in a task of their own."""
        names = self.layout.owner.segments
        for step in running:
            self.plan.on("failed", step)
            await self._record_if_possible("failed", names[step], type(cause).__name__)
        self.context = without_deadline(self.context)
        if self.run is not None:
            self.run.context = self.context
        # Timeouts and Retries around the saga have no say here; these are this task's variables.
        deadline.current.set(None)
        close_pool([0], None)
        loop = asyncio.get_running_loop()
        end = loop.time() + self.layout.total
        decision = self.plan.on("turned")
        while decision[0] == "undo":
            step = decision[1]
            limit = min(self.layout.limit, end - loop.time())
            if limit <= 0:
                self._not_undone(step, self._out_of_time(step, limit))
            else:
                await self._undo(step, limit)
            decision = self.plan.decision
        if decision == ("end", "undone"):
            await self._record_if_possible("ended", "", "undone")

    async def _undo(self, step: int, limit: float) -> None:
        """Run one compensation to its end, and write down how that was."""
        name = self.layout.owner.segments[step]
        self.plan.on("undoing", step)
        await self._record_if_possible("undoing", name)
        node = self.layout.undo_nodes[step]
        built = self.layout.steps[step]
        value = self.results.get(step)
        if built.takes_both:
            value = self.given[built.stage], value
        enter(Place(self.place.owner, step, self.place.run()))
        failure: BaseException | None = None
        loop = asyncio.get_running_loop()
        scope = None if limit == math.inf else deadline.open_until(loop, loop.time() + limit)
        token = deadline.current.set(scope)
        try:
            result = await self._call(node, value)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.layout.owner.nodes[node].name, result)  # noqa: TRY301 - a failure as any
        except BaseException as error:  # noqa: BLE001 - told at the end: the others must run
            failure = error
        late = scope is not None and scope.close(token)
        if late and isinstance(failure, asyncio.CancelledError):
            failure = self._out_of_time(step, limit)
        try:
            if failure is None:
                self.plan.on("undone", step)
                self.undone.append(step)
                await self._record_if_possible("undone", name)
            else:
                self._not_undone(step, failure)
                await self._record_if_possible("undo_failed", name, type(failure).__name__)
        finally:
            del failure  # its traceback holds this frame

    def _not_undone(self, step: int, failure: BaseException) -> None:
        self.plan.on("undo_failed", step)
        node = self.layout.undo_nodes[step]
        if isinstance(failure, asyncio.CancelledError):
            name = self.layout.owner.segments[node]
            told = CompensationCancelledError(
                f"compensation {name!r} was cancelled before it had ended"
            )
            told.__cause__ = failure
            failure = told
        if isinstance(failure, Exception):
            notes.locate(failure, self.layout.owner, node, self.context)
            self.failures.append((step, failure))
        else:
            self.fatal = self.fatal or failure

    def _out_of_time(self, step: int, limit: float) -> TimeoutExceededError:
        name = self.layout.owner.segments[self.layout.undo_nodes[step]]
        if limit <= 0:
            message = (
                f"compensation {name!r} was not started: the {self.layout.total:g} s for all "
                f"compensations had passed"
            )
        else:
            message = f"compensation {name!r} did not end within {limit:g} s"
        return TimeoutExceededError(message, seconds=max(0.0, limit))

    def _outcome(  # noqa: C901 - one rule each
        self, cause: BaseException | None, cancelled: asyncio.CancelledError | None
    ) -> BaseException | None:
        """Return what the call raises, with what became of the compensations."""
        layout = self.layout
        undone = layout.names(self.undone)
        stuck = layout.names(self.plan.with_state("undo_failed"))
        if self.run is not None:
            self.run.own()
            if undone:
                self.run.note(compensated=undone)
            if stuck:
                self.run.note(compensation_failed=stuck)
        raised = cause
        if self.failures:
            errors = [error for _, error in self.failures]
            if isinstance(cause, Exception):
                errors.insert(0, cause)
            group = CompensationError(
                f"{layout.owner.name!r} is not undone: {_told(stuck)}", errors
            )
            group.undone, group.not_undone = undone, stuck
            group.run_id = self.place.run() if layout.journal is not None else None
            if cause is None or isinstance(cause, Exception):
                notes.locate(group, layout.owner, None, self.context)
                raised = group
            else:
                cause.__cause__ = group
        for stronger in (self.fatal, cancelled):
            if stronger is not None and (raised is None or isinstance(raised, Exception)):
                if stronger.__cause__ is None:
                    stronger.__cause__ = raised
                raised = stronger
        if raised is not None:
            self._remark(raised, undone, stuck)
        self.failures = []  # as they are handed over, lest they tie a cycle
        self.fatal = None
        return raised

    def _remark(
        self, raised: BaseException, undone: tuple[str, ...], stuck: tuple[str, ...]
    ) -> None:
        """Say in a note what was undone; one for this saga, also if the exception comes again."""
        kept: object = vars(raised).get("__notes__")
        if isinstance(kept, list):
            listed = cast("list[object]", kept)
            listed[:] = [n for n in listed if not (isinstance(n, _Note) and n.owner is self._owner)]
        parts = [f"undone: {', '.join(undone)}"] if undone else []
        if stuck:
            parts.append(f"not undone: {_told(stuck)}")
        if self.unwritten is not None:
            parts.append(f"not in the journal: {self.unwritten}")
        if parts:
            note = _Note(f"saga {self._owner.name!r}: {'; '.join(parts)}")
            note.owner = self._owner
            notes.remark(raised, note)

    @property
    def _owner(self) -> Composite[Any, Any]:
        return self.layout.owner

    def _tell_left_behind(self) -> None:
        """Log what stays done, where the call is thrown away and cannot undo it."""
        left = self.layout.names(
            step
            for step in self.plan.with_state("done")
            if self.layout.steps[step].rollback is not None
        )
        if left:
            import logging  # noqa: PLC0415 - only for a call that is thrown away

            logging.getLogger("tta_dev_primitives").error(
                "saga %s was closed while it ran; not undone: %s", self._owner.name, _told(left)
            )

    # --- the journal ------------------------------------------------------------------------

    async def finish(self) -> None:
        """Write down that all steps are done."""
        if self.layout.journal is None:
            return
        try:
            await self._record("ended", "", "completed")
        except SagaJournalError as error:  # every step is in the journal: nothing is lost
            import logging  # noqa: PLC0415 - only for a broken journal

            logging.getLogger("tta_dev_primitives").warning("%s", error)
        except asyncio.CancelledError:
            # The saga is over: the cancellation belongs to what the caller awaits next.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
                task.cancel()

    def _encoded(self, value: Any, what: str) -> str:
        codec = cast("SagaCodec", self.layout.codec)
        try:
            return codec.encode(value)
        except Exception as error:
            message = f"{what} cannot be kept in the journal of {self._owner.name!r}: {error}"
            raise SagaJournalError(message) from error

    async def _record(self, kind: EntryKind, step: str = "", value: str | None = None) -> None:
        """Append an entry, and be sure whether it is there: cancellation waits for that."""
        if self.layout.journal is None:
            return
        error, cancelled = await self._append(kind, step, value, grace=self.layout.limit)
        try:
            if error is not None and not isinstance(error, Exception | asyncio.CancelledError):
                raise error
            if cancelled is not None:
                raise cancelled
            if error is not None:
                raise self._unkept(kind, step, error) from error
        finally:
            del error, cancelled

    async def _record_if_possible(
        self, kind: EntryKind, step: str = "", value: str | None = None
    ) -> None:
        """Append an entry about the way back, which must be gone also where that fails."""
        if self.layout.journal is None:
            return
        error, _ = await self._append(kind, step, value, limit=self.layout.limit)
        if error is not None:
            self.unwritten = self.unwritten or self._unkept(kind, step, error)

    async def _append(
        self, kind: EntryKind, step: str, value: str | None, **limits: float
    ) -> tuple[BaseException | None, asyncio.CancelledError | None]:
        from tta_dev_primitives.recovery.saga.journal import JournalEntry  # noqa: PLC0415 - on demand

        entry = JournalEntry(kind=kind, step=step, value=value)
        journal = cast("SagaJournal", self.layout.journal)

        async def append() -> None:
            await journal.append(self.place.run_id, entry)

        return await settled(append(), **limits)

    def _unkept(self, kind: str, step: str, error: BaseException) -> SagaJournalError:
        about = f"{kind} {step}".strip()
        return SagaJournalError(
            f"the journal of {self._owner.name!r} did not keep {about!r}: "
            f"{notes.shown_error(error)}"
        )


class _Note(str):
    """The note on what was undone; pickled as plain text."""

    __slots__ = ("owner",)

    owner: Composite[Any, Any]

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _told(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def without_deadline(context: WorkflowContext) -> WorkflowContext:
    """Return the context for compensations: a deadline of the run must not cut them short."""
    if context.__class__ is FreshContext or context.deadline is None:
        return context
    copy: WorkflowContext = object.__new__(type(context))
    for field in WorkflowContext.__slots__:
        setattr(copy, field, getattr(context, field))
    copy.deadline = None
    return copy
