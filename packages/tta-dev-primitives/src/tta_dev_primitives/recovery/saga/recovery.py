"""After a crash: runs of a saga are read back from their journal, and what was done is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from tta_dev_primitives.core import clock, notes
from tta_dev_primitives.core.context import FreshContext
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import ConfigurationError, SagaJournalError
from tta_dev_primitives.recovery.saga.place import Place
from tta_dev_primitives.recovery.saga.run import SagaRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.recovery.saga.journal import JournalEntry, SagaCodec, SagaJournal
    from tta_dev_primitives.recovery.saga.plan import SagaEvent
    from tta_dev_primitives.recovery.saga.run import Layout

__all__ = ("SagaReport", "recover", "resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaReport:
    """What became of a run that was resumed."""

    run_id: str
    """The run."""
    outcome: Literal["completed", "undone"]
    """`completed`: all steps were done, and nothing had to be undone."""
    undone: tuple[str, ...] = ()
    """The steps that were undone now, in this order."""
    unknown: tuple[str, ...] = ()
    """The steps that were under way at the crash and do not register before they act: they may
    have acted, and nothing undoes them."""


async def resume(
    layout: Layout, run_id: str, context: WorkflowContext | None, running: set[str]
) -> SagaReport:
    """Do what `CompensationPrimitive.resume` says."""
    journal = _journal(layout)
    if run_id in running:
        message = f"run {run_id!r} of {layout.owner.name!r} is under way; it needs no resuming"
        raise SagaJournalError(message)
    entries = await journal.read(run_id)
    if not entries:
        message = f"the journal of {layout.owner.name!r} has no run {run_id!r}"
        raise SagaJournalError(message)
    if entries[-1].kind == "ended":
        ended = "completed" if entries[-1].value == "completed" else "undone"
        return SagaReport(run_id=run_id, outcome=cast("Any", ended))
    if context is None:
        context = FreshContext()
        context.started = clock.now()
    with Run(layout.owner, context, None) as run:
        saga = SagaRun(layout, context, run, Place(layout.owner, 0, run_id))
        unknown = _replay(saga, entries)
        decision = saga.plan.reopen()
        if decision == ("end", "completed"):
            await saga.finish()
            return SagaReport(run_id=run_id, outcome="completed")
        failure = await saga.unwind(None)
        try:
            if failure is not None:
                raise failure from failure.__cause__
        finally:
            del failure  # it refers to this frame
        left = sorted(step for step in unknown if not layout.steps[step].before)
        return SagaReport(
            run_id=run_id,
            outcome="undone",
            undone=layout.names(saga.undone),
            unknown=layout.names(left),
        )


async def recover(
    layout: Layout, context: WorkflowContext | None, running: set[str]
) -> tuple[SagaReport, ...]:
    """Do what `CompensationPrimitive.recover` says."""
    journal = _journal(layout)
    reports: list[SagaReport] = []
    failures: list[Exception] = []
    for run_id in await journal.unfinished():
        try:
            entries = await journal.read(run_id)
            if run_id in running or entries[0].step != layout.owner.name:
                continue
            reports.append(await resume(layout, run_id, context, running))
        except Exception as error:  # noqa: BLE001 - told at the end: the other runs must be tried
            failures.append(error)
    if failures:
        message = f"{len(failures)} runs of {layout.owner.name!r} could not be finished"
        raise ExceptionGroup(message, failures)
    return tuple(reports)


def _journal(layout: Layout) -> SagaJournal:
    if layout.journal is None:
        message = f"{layout.owner.name!r} has no journal; give it one: Saga(journal=...)"
        raise ConfigurationError(message)
    return layout.journal


def _replay(saga: SagaRun, entries: Sequence[JournalEntry]) -> set[int]:
    """Bring a run to where the journal says it was; return which steps a crash cut off."""
    layout = saga.layout
    names = {name: step for step, name in enumerate(layout.names(range(len(layout.steps))))}
    opening = entries[0]
    if opening.kind != "run" or opening.step != layout.owner.name:
        message = (
            f"run {saga.place.run_id!r} is one of {opening.step!r}, not of {layout.owner.name!r}"
        )
        raise SagaJournalError(message)
    cut_off: set[int] = set()
    for entry in entries[1:]:
        step = names.get(entry.step)
        if step is None:
            message = (
                f"run {saga.place.run_id!r} has the step {entry.step!r}, but the steps of "
                f"{layout.owner.name!r} are {', '.join(names)}; resume it with the steps that it "
                f"began with"
            )
            raise SagaJournalError(message)
        if entry.kind == "undoing" and saga.plan.with_state("running", "undoing", "undo_failed"):
            cut_off.update(saga.plan.with_state("running"))  # it was resumed before
            saga.plan.reopen()
        try:
            saga.plan.on(cast("SagaEvent", entry.kind), step)
        except (KeyError, ValueError) as error:
            message = f"the journal of run {saga.place.run_id!r} is out of order: {error}"
            raise SagaJournalError(message) from error
        if entry.kind == "done":
            saga.results[step] = _decoded(layout, entry)
    saga.given = _inputs(saga, _decoded(layout, opening))
    return cut_off.union(saga.plan.with_state("running"))


def _decoded(layout: Layout, entry: JournalEntry) -> Any:
    try:
        return cast("SagaCodec", layout.codec).decode(entry.value or "")
    except Exception as error:
        message = (
            f"what the journal holds of {entry.step!r} cannot be read: {notes.shown_error(error)}"
        )
        raise SagaJournalError(message) from error


def _inputs(saga: SagaRun, first: Any) -> list[Any]:
    """Return the input of each stage that was reached: the output of the one before."""
    given = [first]
    for number, group in enumerate(saga.layout.groups[:-1]):
        members = [i for i, step in enumerate(saga.layout.steps) if step.stage == number]
        if any(i not in saga.results for i in members):
            break
        results = [saga.results[i] for i in members]
        keyed = dict(zip(group, results, strict=True)) if group else results
        given.append(results[0] if group is None else keyed)
    return given
