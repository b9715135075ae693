"""`FallbackPrimitive`: another step in the place of one that failed.

Which step comes next is decided in `alternatives`; steps that run side by side are in `race`. The
file is longer than the house rule allows because of the overloads that keep the types of all steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import MISSING, check_name
from tta_dev_primitives.core.context import fresh_context
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Failed, StandBy, tuned, whole_step
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.classification.classify import asked_to_stop, is_failure
from tta_dev_primitives.recovery.fallbacks.alternatives import (
    Alternatives,
    FallbackEvent,
    check_by_kind,
    check_in_order,
    check_pause,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.recovery.classification.classify import ErrorKind

__all__ = ("Fallback", "FallbackHook", "FallbackOptions", "FallbackPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
A = TypeVar("A")
B = TypeVar("B")

_AsyncByKind: TypeAlias = "Mapping[ErrorKind, AsyncTaking[I, A]]"
_SyncByKind: TypeAlias = "Mapping[ErrorKind, SyncTaking[I, A]]"
FallbackHook: TypeAlias = Callable[[FallbackEvent], object]
"""Is told that something takes over; may be asynchronous."""


class FallbackOptions(TypedDict, total=False):
    """The options of a Fallback besides its steps; see `FallbackPrimitive`."""

    start_after: float | None
    on_fallback: FallbackHook | None
    name: str | None


class FallbackPrimitive(StandBy[TIn, TOut]):
    """Runs a step and, when it fails, others in its place until one succeeds.

    All get the same input. After each failure comes the step that `by_kind` names for that kind of
    failure, unless it has run already, and else the next of `fallbacks`. Cancellation and
    `Filtered` are no failures and pass at once.

    When nothing is left, the primary's exception comes out: a note lists why each fallback failed,
    and its attribute `fallback_errors` holds their exceptions in order (a tuple; the primary's own
    is not in it, for it would refer to itself). When one succeeds, no later error refers to the
    failures; the record's attribute `used` names the step that answered, and `on_fallback` is told
    of each failure.

    A step that streams is replaced until its first item is there.

    Args:
        primary: The step to run first: a primitive or a callable.
        fallbacks: The steps in its place for any failure, in order. This, `fallback`, `by_kind` or
            `value` is required.
        fallback: A single one.
        by_kind: Steps for kinds of failures, as in `{"context_length": long_model}`; the kinds are
            those of `classify_error`.
        value: The result when everything has failed.
        start_after: Seconds after which the next of `fallbacks` starts although the one before it
            has not failed yet; zero starts all at once. The first result counts; the others are
            cancelled, and have ended when the call returns. Default: None, one after the other.
        on_fallback: Called with a `FallbackEvent` before something takes over; may be asynchronous.
            What it raises is logged, and changes nothing.
        name: Default: `fallback`.

    Raises:
        CompositionError: Something is no step, or a generator function that does not stream.
        ConfigurationError: Nothing is given that could take over, two options contradict each
            other, or one is out of range.

    Example:
        >>> def broken(question: str) -> str:
        ...     raise OSError("no route to host")
        >>> Fallback(primary=broken, fallback=str.upper).run("hello")
        'HELLO'
        >>> def small(question: str) -> str:
        ...     raise TimeoutError
        >>> Fallback(small, by_kind={"timeout": str.title}, value="?").run("hello")
        'Hello'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        fallbacks: Sequence[AsyncTaking[I, B]],
        *,
        by_kind: _AsyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        fallbacks: Sequence[SyncTaking[I, B]],
        *,
        by_kind: _SyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        fallbacks: Sequence[AsyncTaking[I, B]],
        *,
        by_kind: _AsyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        fallbacks: Sequence[SyncTaking[I, B]],
        *,
        by_kind: _SyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        *,
        fallback: AsyncTaking[I, B],
        by_kind: _AsyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        *,
        fallback: SyncTaking[I, B],
        by_kind: _SyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        *,
        fallback: AsyncTaking[I, B],
        by_kind: _AsyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        *,
        fallback: SyncTaking[I, B],
        by_kind: _SyncByKind[I, B] | None = None,
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        *,
        by_kind: _AsyncByKind[I, B],
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        *,
        by_kind: _SyncByKind[I, B],
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        *,
        by_kind: _AsyncByKind[I, B],
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        *,
        by_kind: _SyncByKind[I, B],
        value: B = ...,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: AsyncTaking[I, A],
        *,
        value: B,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: SyncTaking[I, A],
        *,
        value: B,
        **options: Unpack[FallbackOptions],
    ) -> None: ...
    def __init__(
        self,
        primary: Any,
        fallbacks: Sequence[Any] | None = None,
        *,
        fallback: Any = None,
        by_kind: Mapping[Any, Any] | None = None,
        value: Any = MISSING,
        start_after: float | None = None,
        on_fallback: FallbackHook | None = None,
        name: str | None = None,
    ) -> None:
        candidates = check_in_order(fallbacks, fallback)
        kinds = check_by_kind(by_kind)
        if not candidates and not kinds and value is MISSING:
            message = "Fallback needs a fallback: Fallback(primary, fallback=step)"
            raise ConfigurationError(message)
        steps = [whole_step(primary, role="primary of Fallback", streams=True)]
        labels = ["primary"]
        for number, candidate in enumerate(candidates, 1):
            role = f"fallback {number} of Fallback"
            steps.append(whole_step(candidate, role=role, streams=True))
            labels.append(f"fallback {number}")
        known = {id(candidate): index for index, candidate in enumerate(candidates, 1)}
        self._by_kind: dict[ErrorKind, int] = {}
        for kind, candidate in kinds.items():
            index = known.setdefault(id(candidate), len(steps))
            if index == len(steps):
                role = f"fallback for {kind!r} of Fallback"
                steps.append(whole_step(candidate, role=role, streams=True))
                labels.append(f"on {kind}")
            elif index > len(candidates):
                labels[index] += f", {kind}"
            self._by_kind[kind] = index
        self._steps = tuple(steps)
        self._edge_labels = tuple(labels)
        self._in_order = tuple(range(1, len(candidates) + 1))
        self._value = value
        self._start_after = check_pause(start_after, candidates)
        if on_fallback is not None and not callable(cast("object", on_fallback)):
            shown = notes.shown_value(on_fallback)
            message = f"on_fallback of Fallback is a function of a FallbackEvent, not {shown}"
            raise ConfigurationError(message)
        self._hook = on_fallback
        self._idle = start_after is None
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The part of each step."""
        return self._edge_labels

    @property
    def signature(self) -> tuple[Any, Any]:
        """The primary's input; the output where all steps agree on it."""
        signatures = [node.signature for node in self._steps]
        out = signatures[0][1]
        same = self._value is MISSING and all(signature[1] == out for signature in signatures)
        return signatures[0][0], out if same else Any

    async def _execute_impl(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                return await self._run_whole(context, input_data, site)
        if not self._idle:
            return await self._run_whole(context, input_data, site)
        began = clock.now() if context is None or place is not None else 0.0
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            if type(result) in engine.unfinished:
                await self._complete(result)
        except BaseException as error:
            more = self._after(error, Failed(context, input_data, began, place, site))
            if more is None:
                raise
        else:
            if place is not None:
                (place.well or place.stand_alone(self))(began)
            return result
        return await more

    # Executed by itself, it is given no context (None) where the primary wants none.
    _alone = _execute_impl
    if not TYPE_CHECKING:  # the signatures are those of the base
        execute = _shortcut = tuned(StandBy.execute)

    def _after(self, error: BaseException, failed: Failed) -> Coroutine[Any, Any, Any] | None:
        began = failed.began or 0.0
        replaceable = isinstance(error, Exception) and _replaceable(error)
        if failed.place is not None and not replaceable:
            failed.place.went_wrong(self, began, error)
        if not isinstance(error, Exception):
            return None
        notes.locate(error, self, 0, failed.context)
        if not replaceable:
            return None
        run = Run(self, failed.context, failed.site)
        return self._run_on(run, failed.input_data, [error], began)

    def _run_whole(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None
    ) -> Awaitable[Any]:
        """Run where somebody listens, or the steps side by side."""
        if context is None:
            context, site = fresh_context(clock.now()), None
        return self._run_on(Run(self, context, site), input_data, [])

    async def _run_on(
        self, around: Run, input_data: Any, failures: list[Exception], began: float = 0.0
    ) -> Any:
        """Run the steps; the primary, begun at `began`, is over if it has failed already."""
        try:
            with around as run:
                if failures and run.site is not None:
                    run.take_over(began, failures[0])
                if self._idle:
                    result = await self._run_in_turn(run, input_data, failures)
                else:
                    result = await self._race(run, input_data, failures)
                if result is MISSING:
                    run.index = 0
                    raise self._summed_up(failures)
                run.result = result
                _dismiss(failures)
                return result
        finally:
            failures.clear()  # they refer to this frame

    async def _run_in_turn(self, run: Run, input_data: Any, failures: list[Exception]) -> Any:
        """Run the steps one after the other; the primary is over if it has failed already."""
        order = Alternatives(self._in_order, self._by_kind)
        index: int | None = 0
        if failures:
            index = order.after(failures[-1])
            await self._tell(failures[-1], index)
        while index is not None:
            try:
                result = run.checked(await run.call(index, input_data))
                if result.__class__ is engine.stream_type:
                    await result.prime()
            except Exception as error:
                if not _replaceable(error):
                    raise
                notes.locate(error, self, index, run.context)
                failures.append(error)
            else:
                run.note(used=self.segments[index])
                return result
            index = order.after(failures[-1])
            await self._tell(failures[-1], index)
        return self._last_resort(run)

    async def _race(self, run: Run, input_data: Any, failures: list[Exception]) -> Any:
        """Run the steps side by side, each a while after the one before."""
        from tta_dev_primitives.recovery.fallbacks.race import Race  # noqa: PLC0415 - rarely wanted

        order = Alternatives(self._in_order, self._by_kind)
        race = Race(run, order, self._start_after, self._tell)
        await race.finish(input_data)
        failures += race.causes()
        winner, verdict, race.verdict = race.winner, race.verdict, None
        if winner is not None:
            run.note(used=self.segments[winner])
            return race.result
        if verdict is None:
            return self._last_resort(run)
        try:
            raise verdict
        finally:
            del verdict  # it refers to this frame

    def _last_resort(self, run: Run) -> Any:
        """Return the value, or `MISSING` where there is none."""
        if self._value is not MISSING:
            run.note(used="value")
        return self._value

    async def _tell(self, error: Exception | None, index: int | None) -> None:
        """Tell the hook that a step takes over, or the value; no hook may change a result."""
        hook = self._hook
        if hook is None or (index is None and self._value is MISSING):
            return
        try:
            step = "value" if index is None else self.segments[index]
            answer = hook(FallbackEvent(error=error, step=step))
            if isinstance(answer, Awaitable):
                await answer
        except Exception as culprit:
            import logging  # noqa: PLC0415 - only for a broken hook

            logging.getLogger("tta_dev_primitives").warning(
                "on_fallback of %r failed", self.name, exc_info=culprit
            )

    def _summed_up(self, failures: list[Exception]) -> Exception:
        """Return the primary's error, with what became of the fallbacks."""
        first = failures[0]
        others = tuple(error for error in failures[1:] if error is not first)
        attributes = vars(first)
        found = [n for n in getattr(first, "__notes__", ()) if isinstance(n, _FallbackNote)]
        if found:  # from a Fallback inside the primary, or from an earlier run of this one
            if any(node is found[0].owner for _, node in self._steps[0].walk()):
                others = (*attributes.get("fallback_errors", ()), *others)
            first.__notes__.remove(found[0])
        lines = [f"  {notes.path_of(e) or 'a fallback'}: {_brief(e)}" for e in others]
        note = _FallbackNote("\n".join(("all fallbacks failed too:", *lines)))
        note.owner = self
        # Past the `__setattr__` of a frozen exception.
        attributes.setdefault("__notes__", []).append(note)
        attributes["fallback_errors"] = others
        traceback = first.__traceback__
        # It is raised anew from here, so its first entry, which is this place, would stand twice.
        return first.with_traceback(None if traceback is None else traceback.tb_next)


class _FallbackNote(str):
    """The note on a primary's error; pickled as plain text."""

    __slots__ = ("owner",)

    owner: FallbackPrimitive[Any, Any]

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _replaceable(error: Exception) -> bool:
    return is_failure(error) and not asked_to_stop()


def _dismiss(failures: list[Exception]) -> None:
    """Take our notes off errors that were made good."""
    for error in failures:
        notes.forget(error)


def _brief(error: Exception) -> str:
    """Return an error in one line, of bounded length."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text:.200}" if text else type(error).__name__


Fallback = FallbackPrimitive
