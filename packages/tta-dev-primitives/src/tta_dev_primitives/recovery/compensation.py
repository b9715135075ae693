"""`CompensationPrimitive` (`Saga`): steps that are undone when a later one fails.

Longer than the house rule allows by its overloads and the documentation of one class, whose ways to
run are written out: the plain one must cost little more than a chain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.annotations import check_fit
from tta_dev_primitives.core.base import Composite, check_acyclic, check_name, nested_awaitable
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.recovery.saga.place import (
    Place,
    PlainPlace,
    enter,
    leave,
    new_run_id,
    reset,
    saga_key,
)
from tta_dev_primitives.recovery.saga.run import Layout, SagaRun
from tta_dev_primitives.recovery.saga.steps import lifted_entry, lifted_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tta_dev_primitives.core.base import AsyncStep, SyncStep, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.recovery.saga.journal import SagaCodec, SagaJournal
    from tta_dev_primitives.recovery.saga.recovery import SagaReport
    from tta_dev_primitives.recovery.saga.steps import Rollback, SagaEntry, SagaStep

__all__ = ("CompensationPrimitive", "Saga", "saga_key")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
X = TypeVar("X")

_Prepared: TypeAlias = "tuple[Layout, bool, tuple[Callable[..., Awaitable[Any]], ...], bool]"
"""The layout; whether runs can be plain; what to call; and whether that takes the input alone."""


class CompensationPrimitive(Composite[TIn, TOut]):
    """Runs steps in order, and undoes what was done when one fails: the saga pattern.

    The output of one step is the input of the next, as in a chain. When a step fails, or the call
    is cancelled, the compensations of the steps that were done run one after another, the last
    first, each once. Then the step's own exception leaves, with a note of what was undone. Whatever
    leaves the call by an exception was undone; where compensations fail, the others still run, and
    a `CompensationError`, an ExceptionGroup, holds the cause and their failures.

    A compensation is called by its required parameters: `()`, `(result)`, `(context, result)` or
    `(context, input, result)`, with the input and the result of its own step. A primitive, such as
    a `Retry`, gets the result.

    The step that fails is not undone: it did nothing. Where that is not certain, as after a
    timeout, `undo_failed=True` registers a step before it acts; its compensation then runs in any
    case, with None for a result that is not known. `saga_key` gives both the same idempotency key.

    Compensations are shielded: cancelling the call does not reach them, whether it comes before or
    while they run; it leaves when they have ended. They have deadlines of their own instead.

    Steps can be added until the first run.

    Args:
        steps: `(do, undo)` pairs, `(do, None)` or plain steps. Left out, they are added by
            `add_step`.
        undo_failed: Whether the steps given in `steps` and added without a word on it register
            before they act, where they have a compensation. Default: False.
        compensation_timeout: Seconds for one compensation, more than zero; None for no bound.
            Default: 30.
        total_timeout: Seconds for all compensations of a run, more than zero; those for which no
            time is left do not start, and are reported. Default: None, no bound.
        journal: Where every action is written down before it happens, so that `recover` can finish
            the compensations after a crash. Default: None.
        codec: Writes inputs and results to the journal and reads them. Default: JSON, exactly.
        name: Default: `compensation`.

    Raises:
        CompositionError: `steps` is empty, something in it is no step, or an undo wants arguments
            that it would not get. From the call: there are no steps.
        ConfigurationError: An option is out of range.
        CompensationError: From the call: a step failed, and then a compensation.
        SagaJournalError: From the call: the journal does not keep what is to be written, or a value
            cannot be. The saga then does not act, and what was done is undone.

    Example:
        >>> import asyncio
        >>> async def reserve(order: str) -> str:
        ...     return f"room for {order}"
        >>> async def release(reservation: str) -> None:
        ...     print(f"released {reservation}")
        >>> async def charge(reservation: str) -> str:
        ...     raise ConnectionError("the bank is down")
        >>> saga = Saga()
        >>> _ = saga.add_step(reserve, rollback=release).add_step(charge)
        >>> try:
        ...     asyncio.run(saga.execute("order 7"))
        ... except ConnectionError as error:
        ...     print(error)
        released room for order 7
        the bank is down
    """

    kind = "wrapper"
    _opens_frame = True
    _plan: _Prepared | None = None

    def __init__(
        self: CompensationPrimitive[object, object],
        steps: Sequence[SagaEntry] | None = None,
        *,
        undo_failed: bool = False,
        compensation_timeout: float | None = 30.0,
        total_timeout: float | None = None,
        journal: SagaJournal | None = None,
        codec: SagaCodec | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(cast("object", undo_failed), bool):
            shown = notes.shown_value(undo_failed)
            message = f"undo_failed of Saga must be True or False, not {shown}"
            raise ConfigurationError(message)
        self._undo_failed = undo_failed
        self._limit = _seconds("compensation_timeout", compensation_timeout)
        self._total = _seconds("total_timeout", total_timeout)
        for what, given, methods in (
            ("journal", journal, ("append", "read", "unfinished")),
            ("codec", codec, ("encode", "decode")),
        ):
            if given is not None and not all(callable(getattr(given, m, None)) for m in methods):
                shown = notes.shown_value(given)
                message = f"{what} of Saga must have the methods {', '.join(methods)}, not {shown}"
                raise ConfigurationError(message)
        if codec is not None and journal is None:
            message = "codec of Saga writes to a journal; give the journal as well"
            raise ConfigurationError(message)
        self._journal = journal
        self._codec = codec
        self._name = check_name(name) if name is not None else None
        self._running: set[str] = set()  # runs with a journal that are under way here
        self._built: tuple[SagaStep, ...] = ()
        self._groups: tuple[tuple[str, ...] | None, ...] = ()
        if steps is None:
            return
        if not isinstance(cast("object", steps), Sequence) or isinstance(
            cast("object", steps), str
        ):
            message = f"steps of Saga is a list of (do, undo), not a {type(steps).__name__}"
            raise CompositionError(message)
        if not steps:
            message = "steps of Saga is empty; give at least one, or Saga() and add_step"
            raise CompositionError(message)
        for number, entry in enumerate(steps, 1):
            self._add([(entry, None)], role=f"step {number} of Saga")

    @overload
    def add_step(
        self: CompensationPrimitive[In, Any],
        action: AsyncStep[X, Out],
        rollback: Rollback[Out, X] | None = None,
        *,
        undo_failed: Literal[False] | None = None,
    ) -> CompensationPrimitive[In, Out]: ...
    @overload
    def add_step(
        self: CompensationPrimitive[In, Any],
        action: SyncStep[X, Out],
        rollback: Rollback[Out, X] | None = None,
        *,
        undo_failed: Literal[False] | None = None,
    ) -> CompensationPrimitive[In, Out]: ...
    @overload
    def add_step(
        self: CompensationPrimitive[In, Any],
        action: AsyncStep[X, Out],
        rollback: Rollback[Out | None, X],
        *,
        undo_failed: bool,
    ) -> CompensationPrimitive[In, Out]: ...
    @overload
    def add_step(
        self: CompensationPrimitive[In, Any],
        action: SyncStep[X, Out],
        rollback: Rollback[Out | None, X],
        *,
        undo_failed: bool,
    ) -> CompensationPrimitive[In, Out]: ...
    def add_step(
        self, action: Any, rollback: Any = None, *, undo_failed: bool | None = None
    ) -> Any:
        """Add a step at the end.

        Args:
            action: What it does: a primitive or a callable.
            rollback: What undoes it; None where nothing has to be undone.
            undo_failed: Whether it registers before it acts, so that it is undone also when it
                failed; its rollback then takes None for a result that is not known. Default: as
                the saga.

        Returns:
            The saga itself; for checkers, with the output type of this step.

        Raises:
            CompositionError: One of them is no step, wants other arguments, does not fit the step
                before it, or contains this saga.
            ConfigurationError: The saga has run already.
        """
        if undo_failed is None:
            before: object = self._undo_failed and rollback is not None
        else:
            before = undo_failed
        return self._add(
            [(action, rollback)], role=f"step {len(self._built) + 1} of Saga", before=before
        )

    @overload
    def add_stage(
        self: CompensationPrimitive[In, Any], steps: Mapping[str, SagaEntry]
    ) -> CompensationPrimitive[In, dict[str, object]]: ...
    @overload
    def add_stage(
        self: CompensationPrimitive[In, Any], steps: Sequence[SagaEntry]
    ) -> CompensationPrimitive[In, list[object]]: ...
    def add_stage(self, steps: Any) -> Any:
        """Add steps that run side by side on one input.

        When one fails, the others are cancelled, and when all have ended, exactly those that were
        done are undone, the last that ended first.

        Args:
            steps: A list of `(do, undo)`, whose results are a list in this order; or a dict of
                them, whose results are a dict. At least one.

        Returns:
            The saga itself.

        Raises:
            CompositionError: As `add_step`.
            ConfigurationError: The saga has run already.

        Example:
            >>> saga = Saga().add_stage({"upper": str.upper, "length": (len, None)})
            >>> saga.run("abc")
            {'upper': 'ABC', 'length': 3}
        """
        keys: tuple[str, ...] = ()
        if isinstance(steps, Mapping):
            keyed = cast("Mapping[object, object]", steps)
            for key in keyed:
                if not isinstance(key, str) or not key:
                    message = f"a step of a stage of Saga has the key {key!r:.60}; keys are texts"
                    raise CompositionError(message)
            keys = tuple(cast("Mapping[str, object]", keyed))
            entries = list(keyed.values())
        elif isinstance(steps, Sequence) and not isinstance(steps, str):
            entries = list(cast("Sequence[object]", steps))
        else:
            message = f"add_stage takes a list or dict of (do, undo), not {type(steps).__name__}"
            raise CompositionError(message)
        if not entries:
            message = "a stage of Saga needs at least one step; it was given none"
            raise CompositionError(message)
        pairs = [(entry, None) for entry in entries]
        return self._add(pairs, role=f"stage {len(self._groups) + 1} of Saga", group=keys)

    def _add(
        self,
        entries: Sequence[tuple[object, object]],
        *,
        role: str,
        before: object = None,
        group: tuple[str, ...] | None = None,
    ) -> Self:
        """Add one stage, whole or not at all."""
        if self._plan is not None:
            message = (
                f"{self.name!r} has run already, and its steps are fixed from then on; add them "
                f"before the first run, or to a copy: saga.named({self.name!r})"
            )
            raise ConfigurationError(message)
        stage = len(self._groups)
        added: list[SagaStep] = []
        for number, (action, rollback) in enumerate(entries, 1):
            told = role if group is None else f"step {number} of {role}"
            if before is None:
                step = lifted_entry(action, before=self._undo_failed, stage=stage, role=told)
            else:
                step = lifted_step(action, rollback, before=before, stage=stage, role=told)
            if self._groups and self._groups[-1] is None:
                check_fit(self._built[-1].action, step.action)
            added.append(step)
        old = self._built, self._groups
        self._built = (*self._built, *added)
        self._groups = (*self._groups, group)
        self._segments = self._calls = self._sites = None
        try:
            check_acyclic(self)
        except CompositionError:
            self._built, self._groups = old
            raise
        return self

    # --- structure --------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[WorkflowPrimitive[Any, Any], ...]:
        """The steps in order, then their compensations in the order in which they would run."""
        undo = [step.rollback for step in reversed(self._built) if step.rollback is not None]
        return (*(step.action for step in self._built), *undo)

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """`then` or `beside` for a step, and which step a compensation undoes."""
        built, names = self._built, self.segments
        return (
            *(
                "first" if not i else "beside" if step.stage == built[i - 1].stage else "then"
                for i, step in enumerate(built)
            ),
            *(
                f"undoes {names[i]}"
                for i in reversed(range(len(built)))
                if built[i].rollback is not None
            ),
        )

    @property
    def signature(self) -> tuple[Any, Any]:
        """The input of the first step and the output of the last, where these are single."""
        if not self._built:
            return Any, Any
        first, last = self._built[0].action, self._built[-1].action
        return (
            first.signature[0] if self._groups[0] is None else Any,
            last.signature[1] if self._groups[-1] is None else Any,
        )

    def _copy(self) -> Any:
        copy = super()._copy()
        vars(copy).update(_plan=None, _running=set())
        return copy

    def _with_nodes(self, nodes: tuple[WorkflowPrimitive[Any, Any], ...]) -> Any:
        copy: Any = self._copy()
        count = len(self._built)
        undo = list(nodes[count:])
        built: list[SagaStep] = []
        for action, step in zip(nodes, self._built, strict=False):
            rollback = undo.pop() if step.rollback is not None else None
            built.append(
                lifted_step(action, rollback, before=step.before, stage=step.stage, role="step")
            )
        copy.__dict__["_built"] = tuple(built)
        return copy

    # --- running ----------------------------------------------------------------------------

    def _prepare(self) -> _Prepared:
        """Fix the steps."""
        if not self._built:
            message = f"{self.name!r} has no steps; add them with add_step(do, rollback=undo)"
            raise CompositionError(message)
        codec = self._codec
        if codec is None and self._journal is not None:
            from tta_dev_primitives.recovery.saga.journal import JsonSagaCodec  # noqa: PLC0415 - on demand

            codec = JsonSagaCodec()
        layout = Layout(
            self,
            self._built,
            self._groups,
            limit=self._limit,
            total=self._total,
            journal=self._journal,
            codec=codec,
        )
        plain = self._journal is None and all(group is None for group in self._groups)
        unary = [step.action.unary for step in self._built]
        calls = self.calls[: len(self._built)]
        found = self._plan = (
            (layout, plain, calls, False)
            if None in unary
            else (layout, plain, tuple(cast("list[Callable[..., Any]]", unary)), True)
        )
        return found

    async def _execute_impl(  # noqa: C901, PLR0912 - written out for speed
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        layout, plain, calls, unary = self._plan or self._prepare()
        watch: engine.Site | None = None
        outermost = False
        state = engine.listening
        if state is not None:
            watch = site
            if watch is None:
                state = engine.state_for_run(state)
                if state is not None:
                    plain = plain and not state.framed()
                    watch, outermost = self.site(state, self.name), True
        if not plain:
            return await self._managed(layout, context, input_data, site)
        value = input_data
        values = [value]
        place = PlainPlace(self, values)
        token = enter(place)
        began = 0.0 if watch is None else clock.now()
        try:
            if watch is not None:
                value = await self._counted(watch, context, values)
            else:
                keep = values.append
                if unary:
                    for call in calls:
                        value = await call(value)
                        kind = value.__class__
                        if kind is CoroutineType or kind is engine.stream_type:
                            self._refuse(value, len(values) - 1)
                        keep(value)
                else:
                    for call in calls:
                        value = await call(context, value)
                        kind = value.__class__
                        if kind is CoroutineType or kind is engine.stream_type:
                            self._refuse(value, len(values) - 1)
                        keep(value)
        except BaseException as error:  # noqa: BLE001 - raised below, or what stands for it
            leave(token)
            place.run()
            run = SagaRun(
                layout, context, None if watch is None else Run(self, context, watch), place
            )
            run.reached(values, len(values) - 1)
            try:
                await _give_up(run, error)
                raise
            except BaseException as left:
                if outermost and watch is not None:
                    watch.failed(clock.now() - began, left)
                raise
        reset(token)
        if outermost and watch is not None:
            watch.took(clock.now() - began)
        return value

    async def _counted(self, site: engine.Site, context: WorkflowContext, values: list[Any]) -> Any:
        """Run the steps where only the recorder listens."""
        now = clock.now
        value = values[0]
        then = now()
        for call, child in zip(
            self.calls_at(site)[: len(self._built)], site.open(self), strict=False
        ):
            try:
                value = await call(context, value)
                kind = value.__class__
                if kind is CoroutineType or kind is engine.stream_type:
                    self._refuse(value, len(values) - 1)
            except BaseException as error:
                child.failed(now() - then, error)
                raise
            at = now()
            child.took(at - then)
            then = at
            values.append(value)
        return value

    async def _managed(
        self, layout: Layout, context: WorkflowContext, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens, where steps run side by side, or with a journal."""
        run_id = ""
        if layout.journal is not None:
            run_id = new_run_id()
            self._running.add(run_id)
        try:
            with Run(self, context, site) as run:
                place = Place(self, 0, run_id or new_run_id())
                token = enter(place)
                saga = SagaRun(layout, context, run, place)
                try:
                    value = await saga.forward(input_data)
                except BaseException as error:
                    await _give_up(saga, error)
                    raise
                finally:
                    leave(token)
                await saga.finish()
                return value
        finally:
            self._running.discard(run_id)

    def _refuse(self, value: Any, index: int) -> None:
        """Raise for a result that is none yet."""
        name = self._built[index].action.name
        if value.__class__ is CoroutineType:
            raise nested_awaitable(name, value)
        message = f"step {name!r} of a saga returned a stream; a step must be over to be undone"
        raise ConfigurationError(message)

    async def resume(self, run_id: str, *, context: WorkflowContext | None = None) -> SagaReport:
        """Finish a run that a crash has ended: undo what was done and is not undone yet.

        A run whose steps were all done is complete, and nothing is undone. A compensation that was
        under way, or failed, runs again: at least once, with the same `saga_key`.

        Args:
            run_id: The run, as the journal's `unfinished` names it.
            context: For the compensations. Default: a fresh one.

        Raises:
            ConfigurationError: The saga has no journal.
            SagaJournalError: The journal has no such run, it is of another saga or other steps, or
                it is under way in this process.
            CompensationError: Compensations failed; `resume` can be called again.
        """
        from tta_dev_primitives.recovery.saga.recovery import resume  # noqa: PLC0415 - on demand

        return await resume((self._plan or self._prepare())[0], run_id, context, self._running)

    async def recover(self, *, context: WorkflowContext | None = None) -> tuple[SagaReport, ...]:
        """Finish all runs of this saga that a crash has ended; to be called when a process starts.

        The runs of a saga are those under its name. Runs that are under way in this very saga are
        left alone; those of another process are not known, so give each process its own journal.

        Args:
            context: For the compensations. Default: a fresh one for each run.

        Raises:
            ConfigurationError: The saga has no journal.
            SagaJournalError: The journal cannot be read.
            ExceptionGroup: Some runs could not be finished, each with the reason; all were tried.
        """
        from tta_dev_primitives.recovery.saga.recovery import recover  # noqa: PLC0415 - on demand

        return await recover((self._plan or self._prepare())[0], context, self._running)


async def _give_up(run: SagaRun, error: BaseException) -> None:
    """Undo, and raise what is to leave instead of `error`, if anything is."""
    outcome = await run.unwind(error)
    try:
        if outcome is not None and outcome is not error:
            raise outcome from outcome.__cause__
    finally:
        del outcome, error  # they refer to this frame


def _seconds(option: str, value: object) -> float:
    return math.inf if value is None else check_seconds(f"{option} of Saga", value)


Saga = CompensationPrimitive
