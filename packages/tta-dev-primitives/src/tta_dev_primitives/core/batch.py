"""`BatchPrimitive`: one step for every item of a collection, several at a time."""

# One run has a class of its own, which reads the options of the primitive.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Sized
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from tta_dev_primitives.core import clock, engine, frames, notes
from tta_dev_primitives.core.base import (
    Composite,
    as_primitive,
    check_concurrency,
    check_name,
    nested_awaitable,
)
from tta_dev_primitives.core.crew import Crew
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.stream import close_source
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.outcome import Outcome

__all__ = ("Batch", "BatchPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output


class BatchPrimitive(Composite[TIn, TOut]):
    """Runs a step for each item of an iterable or async iterable; gives the list of results.

    The source is read only as fast as items are worked on. When the call ends early, by an error
    or by cancellation, no item is still being worked on and the source is closed.

    Args:
        step: Takes one item.
        max_concurrency: How many items are worked on at the same time, at least 1. Default: 10.
        ordered: Whether results stand in the order of the items (default) or as completed.
        on_error: `fail_fast` (default): the first error is raised as itself and the rest is
            cancelled. `collect`: each item gives an `Outcome`.
        on_progress: Called after each item with the number of items done and, where the source
            knows its length, their total, else None.
        name: Default: `batch`.

    Raises:
        CompositionError: The step is no step.
        ConfigurationError: An option is out of range.
        TypeError: From the call: the input cannot be iterated.

    Example:
        >>> Batch(str.upper, max_concurrency=2).run(["a", "b", "c"])
        ['A', 'B', 'C']
    """

    kind = "batch"

    @overload
    def __init__(
        self: BatchPrimitive[Iterable[I] | AsyncIterable[I], list[O]],
        step: AsyncStep[I, O],
        *,
        max_concurrency: int = 10,
        ordered: bool = True,
        on_error: Literal["fail_fast"] = "fail_fast",
        on_progress: Callable[[int, int | None], object] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BatchPrimitive[Iterable[I] | AsyncIterable[I], list[O]],
        step: SyncStep[I, O],
        *,
        max_concurrency: int = 10,
        ordered: bool = True,
        on_error: Literal["fail_fast"] = "fail_fast",
        on_progress: Callable[[int, int | None], object] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BatchPrimitive[Iterable[I] | AsyncIterable[I], list[Outcome[O]]],
        step: AsyncStep[I, O],
        *,
        max_concurrency: int = 10,
        ordered: bool = True,
        on_error: Literal["collect"],
        on_progress: Callable[[int, int | None], object] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: BatchPrimitive[Iterable[I] | AsyncIterable[I], list[Outcome[O]]],
        step: SyncStep[I, O],
        *,
        max_concurrency: int = 10,
        ordered: bool = True,
        on_error: Literal["collect"],
        on_progress: Callable[[int, int | None], object] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        step: Any,
        *,
        max_concurrency: int | None = 10,
        ordered: bool = True,
        on_error: str = "fail_fast",
        on_progress: Any = None,
        name: str | None = None,
    ) -> None:
        self._steps = (as_primitive(step, role="step of Batch"),)
        check_concurrency(max_concurrency)
        if max_concurrency is None:
            message = "max_concurrency of Batch must be a number: a source may have no end"
            raise ConfigurationError(message)
        if on_error not in {"fail_fast", "collect"}:
            message = f"on_error of Batch must be 'fail_fast' or 'collect', not {on_error!r}"
            raise ConfigurationError(message)
        if on_progress is not None and not callable(on_progress):
            message = f"on_progress must be a function of (done, total), not {on_progress!r}"
            raise ConfigurationError(message)
        self._limit = max_concurrency
        self._ordered = ordered
        self._collect = on_error == "collect"
        self._on_progress: Callable[[int, int | None], object] | None = on_progress
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How many items are worked on at the same time."""
        return (f"each item, {self._limit} at a time",)

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        work = _Work(self, context, _Items(input_data, self.name))
        with Run(self, context, site) as run:
            work.frame = run.frame
            work.site = None if run.site is None else run.site.open(self)[0]
            try:
                return await work.run(run.calls[0])
            finally:
                run.note(items=work.done)


class _Items:
    """The source, read one item at a time, and closed in the end."""

    __slots__ = ("_source", "total")

    def __init__(self, source: Any, reader: str) -> None:
        self.total = len(source) if isinstance(source, Sized) else None
        if isinstance(source, AsyncIterable):
            self._source: AsyncIterator[Any] = cast("AsyncIterable[object]", source).__aiter__()
        elif isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
            self._source = _in_turns(cast("Iterable[object]", source))
        else:
            message = (
                f"{reader!r} takes a collection or an async iterable of items, not "
                f"{notes.shown_value(source)} ({type(source).__name__})"
            )
            raise TypeError(message)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._source

    async def close(self) -> None:
        """Close the source if it can be closed."""
        await close_source(self._source)


async def _in_turns(source: Iterable[Any]) -> AsyncIterator[Any]:
    """Read a plain iterable as an async one."""
    for item in source:
        yield item


class _Work:
    """One run of a Batch."""

    __slots__ = (
        "context",
        "crew",
        "done",
        "failure",
        "frame",
        "items",
        "owner",
        "results",
        "site",
        "slots",
    )

    def __init__(
        self, owner: BatchPrimitive[Any, Any], context: WorkflowContext, items: _Items
    ) -> None:
        self.owner = owner
        self.context = context
        self.items = items
        self.crew = Crew()
        self.slots = asyncio.Semaphore(owner._limit)
        self.results: list[tuple[int, Any]] = []
        self.failure: Exception | None = None
        self.done = 0
        self.site: engine.Site | None = None
        self.frame: frames.Frame | None = None

    async def run(self, call: Callable[[WorkflowContext, Any], Awaitable[Any]]) -> Any:
        """Read the source, start the items, wait for all, and return their results."""
        try:
            self.crew.start(self._feed(call))
            await self.crew.drain()
        finally:
            await self.items.close()
        if self.failure is not None:
            raise self._take_failure()
        return self._take_results()

    # What is handed over is kept nowhere: errors hold frames, and frames hold this object.

    def _take_failure(self) -> Exception:
        failure, self.failure = self.failure, None
        return cast("Exception", failure)

    def _take_results(self) -> list[Any]:
        results, self.results = self.results, []
        if self.owner._ordered:
            results.sort(key=_by_index)
        return [result for _, result in results]

    async def _feed(self, call: Any) -> None:
        """Start an item whenever a place is free."""
        variables = copy_context()
        index = 0
        try:
            await self.slots.acquire()
            async for item in self.items:
                # Each item sees the variables as they were when the call began.
                self.crew.start(self._item(index, call, item), variables.copy())
                index += 1
                if self.crew.stopping:  # by an item that failed before it waited for anything
                    return
                if not index % _PRUNE_EVERY:
                    self.crew.prune()
                    await asyncio.sleep(0)  # items that never wait must not hold up the loop
                await self.slots.acquire()
        except Exception as error:  # noqa: BLE001 - of the source
            notes.locate(error, self.owner, None, self.context)
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - raised by `drain`
            self.crew.escape(error)

    async def _item(self, index: int, call: Any, item: Any) -> None:
        site, frame = self.site, self.frame
        started = clock.now()
        try:
            if frame is not None:
                branch = frame.branch(0)
                engine.current.set(branch)  # in this task's own variables: nothing to reset
                branch.mark({"item": index})
                result = await frames.observe(branch, 0, call, self.context, item)
            else:
                result = await call(self.context, item)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self.owner.nodes[0].name, result)  # noqa: TRY301 - what follows sees to it as to any error
        except BaseException as error:  # noqa: BLE001 - raised by `drain`, or the policy decides
            if site is not None:
                site.failed(clock.now() - started, error)
            if isinstance(error, Exception):
                self._failed(index, error)
            else:
                self.crew.escape(error)
        else:
            if site is not None:
                site.took(clock.now() - started)
            self._ended(index, self._outcome(result, None) if self.owner._collect else result)
        finally:
            self.slots.release()

    def _failed(self, index: int, error: Exception) -> None:
        engine.hide_frame(error)  # that of `_item`
        notes.locate(error, self.owner, 0, self.context)
        notes.remark(error, f"item {index} of {self.owner.name!r}, counted from 0")
        if self.owner._collect:
            self._ended(index, self._outcome(None, error))
        else:
            self._fail(error)

    def _ended(self, index: int, result: Any) -> None:
        self.results.append((index, result))
        self.done += 1
        report = self.owner._on_progress
        if report is not None:
            try:
                report(self.done, self.items.total)
            except Exception as error:  # noqa: BLE001 - the user's own code
                notes.locate(error, self.owner, None, self.context)
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
        elif self.failure is not error:
            notes.remark(
                self.failure,
                f"another item failed too, while it was being cancelled: "
                f"{notes.shown_error(error)}",
            )
        self.crew.stop()

    @staticmethod
    def _outcome(value: Any, error: Exception | None) -> Outcome[Any]:
        from tta_dev_primitives.core.outcome import Outcome  # noqa: PLC0415 - only where asked for

        return Outcome(value=value, error=error)


_PRUNE_EVERY = 256  # items between which finished tasks are let go


def _by_index(entry: tuple[int, Any]) -> int:
    return entry[0]


Batch = BatchPrimitive
