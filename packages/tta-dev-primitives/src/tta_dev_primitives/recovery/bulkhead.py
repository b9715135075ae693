"""`Bulkhead` and `BulkheadPrimitive`: no more than so many calls at once, the rest in one queue.

Who runs and who waits is decided by `Permits`, an object without a lock, a loop or a clock; the
bulkhead wakes those whom it names.

This file is longer than the house rule allows because the value and the primitive are two forms of
one thing, each made of the other, and a checker wants every form of a step written out.
"""

from __future__ import annotations

import asyncio
import math
import threading
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypedDict, TypeVar, Unpack, cast, overload

from tta_dev_primitives.core import clock, engine, notes
from tta_dev_primitives.core.base import check_name, is_count, nested_awaitable
from tta_dev_primitives.core.context import FreshContext, fresh_context
from tta_dev_primitives.core.limits import check_count, check_seconds
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.core.wrapper import Wrapper, decorate_async, whole_step
from tta_dev_primitives.errors import BulkheadFullError, CompositionError, ConfigurationError
from tta_dev_primitives.recovery.load.permits import Permits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType

    from tta_dev_primitives.core.base import AsyncTaking, SyncTaking, WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext
    from tta_dev_primitives.core.decorated import DecoratedFunction

__all__ = ("Bulkhead", "BulkheadOptions", "BulkheadPrimitive", "deadline_of")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")

_MAX_QUEUE = 1000


class BulkheadOptions(TypedDict, total=False):
    """The options of a BulkheadPrimitive."""

    max_concurrency: int | None
    max_queue: int | None
    queue_timeout: float | None
    bulkhead: Bulkhead | None
    name: str | None


class _Waiter:
    """A call in the queue."""

    __slots__ = ("expired", "future", "granted", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.granted = False
        self.expired = False

    def wake(self) -> bool:
        """Let the call go on, in whichever loop it waits; returns False where that is closed."""
        if self.loop is asyncio._get_running_loop():  # the asyncio sources: fast, does not raise  # noqa: SLF001
            self.finish()
            return True
        try:
            self.loop.call_soon_threadsafe(self.finish)
        except RuntimeError:
            return False
        return True

    def finish(self) -> None:
        if not self.future.done():  # else it was cancelled in this very pass
            self.future.set_result(None)


class Bulkhead:
    """Lets so many calls run at once; further ones wait in one queue, first come, first served.

    A full queue refuses at once, before anything is awaited. A call that is cancelled while it
    waits leaves the queue; where it has just been given its permit, that goes to the next in line.

    One bulkhead can stand around several steps, which then share its permits. It can be used from
    several event loops and threads at the same time; the order of the queue is the same for all.

    As a decorator, or called with a primitive, it wraps; `async with` holds a permit for a block.
    A step that waits for a permit of the bulkhead that it runs in may wait for ever: set a
    `queue_timeout` where that cannot be ruled out.

    Args:
        max_concurrency: The most calls that run at once.
        max_queue: The most calls that wait; 0 for none, None for no bound. Default: 1000.
        queue_timeout: The longest wait, in seconds. Default: no limit but the run's deadline.
        name: For errors. Default: `bulkhead`.

    Raises:
        ConfigurationError: An option is out of range, or a `queue_timeout` stands beside
            `max_queue=0`.
        BulkheadFullError: From a call: the queue is full, or the wait took too long.

    Example:
        >>> import asyncio
        >>> pool = Bulkhead(2)
        >>> @pool
        ... async def ask(question: str) -> str:
        ...     return f"{question} ({pool.running} running)"
        >>> asyncio.run(ask("how are you?"))
        'how are you? (1 running)'
    """

    __slots__ = (
        "_enter",
        "_leave",
        "_lock",
        "_permits",
        "_woken",
        "name",
        "queue_timeout",
        "refused",
    )

    def __init__(
        self,
        max_concurrency: int,
        *,
        max_queue: int | None = _MAX_QUEUE,
        queue_timeout: float | None = None,
        name: str = "bulkhead",
    ) -> None:
        limit = check_count("max_concurrency", max_concurrency)
        if max_queue is not None and not (is_count(max_queue) and max_queue >= 0):
            message = (
                f"max_queue must be a whole number, zero or more, or None for no bound, "
                f"not {notes.shown_value(max_queue)}"
            )
            raise ConfigurationError(message)
        if queue_timeout is not None:
            queue_timeout = check_seconds("queue_timeout", queue_timeout)
            if max_queue == 0:
                message = (
                    f"queue_timeout ({queue_timeout!r}) has no meaning beside max_queue=0, where "
                    f"nothing waits; leave one of them out"
                )
                raise ConfigurationError(message)
        self._permits: Permits[_Waiter] = Permits(limit, max_queue)
        # Calls that have their permit and will run in the next pass of their loop: whoever comes in
        # between waits for them, or it would start before those that came first.
        self._woken = 0
        # Reentrant: a suspended call that the garbage collector closes gives its permit back
        # wherever the collector happens to run.
        self._lock = lock = threading.RLock()
        self._enter = lock.acquire  # a `with` costs twice as much
        self._leave = lock.release
        self.queue_timeout: float | None = queue_timeout
        """The longest wait, in seconds, or None."""
        self.name: str = check_name(name)
        """What errors call it."""
        self.refused: int = 0
        """How many calls were refused so far, or gave up waiting."""

    @property
    def max_concurrency(self) -> int:
        """The most calls that run at once."""
        return self._permits.limit

    @property
    def max_queue(self) -> int | None:
        """The most calls that wait, or None."""
        return self._permits.max_queue

    @property
    def running(self) -> int:
        """How many calls have a permit."""
        return self._permits.running

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._permits.queue)

    def try_acquire(self) -> bool:
        """Take a permit if one is left, without waiting; returns whether it was."""
        self._enter()
        try:
            return self._permits.take()
        finally:
            self._leave()

    def start_one(self) -> bool:
        """Take a permit if the call can start at once, and before nobody that came first."""
        enter, leave = self._enter, self._leave  # called as methods, they would be bound anew
        enter()
        try:
            return not self._woken and self._permits.take()
        finally:
            leave()

    def refusal(self) -> BulkheadFullError | None:
        """Count and return the error for a call that cannot start now, if nobody more may wait."""
        permits = self._permits
        enter, leave = self._enter, self._leave
        enter()  # an overload refuses by the thousand: before anything is made
        try:
            if permits.running < permits.limit or not permits.full():
                return None
            self.refused += 1
            return BulkheadFullError.told_by(
                _full,
                self.name,
                permits.max_queue,
                permits.running,
                permits.limit,
                len(permits.queue),
            )
        finally:
            leave()

    async def acquire(self, *, deadline: float | None = None) -> None:
        """Take a permit, after a wait if none is left. Each must be given back by `release`.

        Args:
            deadline: No wait goes beyond this reading of the running loop's `time()`.

        Raises:
            BulkheadFullError: The queue is full, or the wait took too long.
        """
        if not self.start_one():
            await self.wait_for_one(deadline)

    def release(self) -> None:
        """Give a permit back: to whoever has waited longest.

        Raises:
            ConfigurationError: No permit is out.
        """
        self._enter()
        try:
            permits = self._permits
            if permits.running <= 0:
                message = f"{self.name!r} got a permit back, but none is out: one release too many"
                raise ConfigurationError(message)
            waiter = permits.give_back()
            if waiter is not None:
                self._grant(waiter)
        finally:
            self._leave()

    async def __aenter__(self) -> Self:
        if not self.start_one():
            await self.wait_for_one(None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @overload
    def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> BulkheadPrimitive[In, Out]: ...
    @overload
    def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...
    def __call__(self, primitive: Any, /) -> Any:
        """Wrap a primitive, or decorate an asynchronous function.

        Raises:
            CompositionError: What is given is neither.
        """
        return decorate_async(
            primitive, BulkheadPrimitive, {"bulkhead": self}, decorator="Bulkhead"
        )

    def resize(self, max_concurrency: int) -> None:
        """Change how many calls run at once; those that run are left alone.

        Raises:
            ConfigurationError: It is no whole number of at least 1.
        """
        limit = check_count("max_concurrency", max_concurrency)
        with self._lock:
            for waiter in self._permits.resize(limit):
                self._grant(waiter)

    def _grant(self, waiter: _Waiter | None) -> None:
        """Wake who has a permit now, or the next in line whose loop is still open."""
        while waiter is not None:
            if waiter.wake():
                waiter.granted = True
                self._woken += 1
                return
            waiter = self._permits.give_back()

    async def wait_for_one(self, deadline: float | None) -> None:
        """Wait for a permit, where `start_one` has just failed; as `acquire`."""
        full = self.refusal()
        if full is not None:
            try:
                raise full
            finally:
                del full  # it refers to this frame
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit = self.queue_timeout
        if deadline is not None and deadline != math.inf:
            limit = deadline - began if limit is None else min(limit, deadline - began)
        with self._lock:
            waiter = None if self._permits.take() else self._queue_up(loop, limit)
        if waiter is None:
            await self._after_the_woken()
            return
        timer = None if limit is None else loop.call_at(began + limit, self._expire, waiter)
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                if not self._permits.withdraw(waiter) and waiter.granted:
                    self._grant(self._permits.give_back())
            raise
        finally:
            if waiter.granted:
                with self._lock:
                    self._woken -= 1
            if timer is not None:
                timer.cancel()
        if waiter.expired:
            raise self._refusal(f"gave no permit within {limit:g} s")

    def _queue_up(self, loop: asyncio.AbstractEventLoop, limit: float | None) -> _Waiter:
        """Take a place in the queue; called with the lock."""
        waiter = _Waiter(loop)
        if limit is not None and limit <= 0:
            raise self._refusal("has no permit left, and the run's deadline has passed")
        if not self._permits.enqueue(waiter):
            raise self.refusal() or self._refusal("has no room in its queue")
        return waiter

    async def _after_the_woken(self) -> None:
        """Let those start that have waited for their permit, one pass of the loop."""
        try:
            await asyncio.sleep(0)
        except BaseException:
            self.release()
            raise

    def _expire(self, waiter: _Waiter) -> None:
        with self._lock:
            if self._permits.withdraw(waiter):
                waiter.expired = True
                waiter.finish()

    def _refusal(self, reason: str) -> BulkheadFullError:
        self.refused += 1
        return BulkheadFullError(
            _refused(self.name, reason, self.running, self.max_concurrency, self.waiting)
        )

    def __reduce__(self) -> tuple[Callable[..., Bulkhead], tuple[Any, ...]]:
        # A copy has permits and a queue of its own: those who wait here wait in this process.
        options = (self.max_concurrency, self.max_queue, self.queue_timeout, self.name)
        return _rebuild, options

    def __repr__(self) -> str:
        return (
            f"<Bulkhead {self.name!r}: {self.running} running of {self.max_concurrency}, "
            f"{self.waiting} waiting>"
        )


def _full(name: str, max_queue: int, running: int, limit: int, waiting: int) -> str:
    return _refused(
        name, f"has no room in its queue (max_queue={max_queue})", running, limit, waiting
    )


def _refused(name: str, reason: str, running: int, limit: int, waiting: int) -> str:
    return f"{name!r} {reason}: {running} running of {limit}, {waiting} waiting; try again later"


def _rebuild(limit: int, max_queue: int | None, timeout: float | None, name: str) -> Bulkhead:
    return Bulkhead(limit, max_queue=max_queue, queue_timeout=timeout, name=name)


class BulkheadPrimitive(Wrapper[TIn, TOut]):
    """Runs a step under a permit of a bulkhead; see `Bulkhead` for who waits and who is refused.

    A step that streams holds its permit until its stream has ended.

    Args:
        primitive: The step: a primitive or a callable.
        max_concurrency: The most runs of the step at once. Either this or `bulkhead` is required.
        max_queue: The most calls that wait; 0 for none, None for no bound. Default: 1000.
        queue_timeout: The longest wait, in seconds. Default: no limit but `context.deadline`.
        bulkhead: One that is shared with other steps; stands in place of the options above.
        name: Default: `bulkhead`.

    Raises:
        CompositionError: `primitive` is no step, a generator function, or holds a permit of the
            same bulkhead inside.
        ConfigurationError: An option is out of range, or given beside `bulkhead`.
        BulkheadFullError: From the call: the queue is full, or the wait took too long.

    Example:
        >>> async def ask(question: str) -> str:
        ...     return f"{question} Indeed."
        >>> BulkheadPrimitive(ask, max_concurrency=10, max_queue=100).run("Is it so?")
        'Is it so? Indeed.'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: BulkheadPrimitive[In, Out],
        primitive: AsyncTaking[In, Out],
        **options: Unpack[BulkheadOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BulkheadPrimitive[In, Out],
        primitive: SyncTaking[In, Out],
        **options: Unpack[BulkheadOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BulkheadPrimitive[object, Out],
        primitive: Callable[[], Awaitable[Out]],
        **options: Unpack[BulkheadOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BulkheadPrimitive[object, Out],
        primitive: Callable[[], Out],
        **options: Unpack[BulkheadOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Any,
        *,
        max_concurrency: int | None = None,
        max_queue: int | None = _MAX_QUEUE,
        queue_timeout: float | None = None,
        bulkhead: Bulkhead | None = None,
        name: str | None = None,
    ) -> None:
        self._steps = (whole_step(primitive, role="step of Bulkhead", streams=True),)
        self._name = check_name(name) if name is not None else None
        if bulkhead is None:
            if max_concurrency is None:
                message = "a bulkhead needs its limit: BulkheadPrimitive(..., max_concurrency=10)"
                raise ConfigurationError(message)
            bulkhead = Bulkhead(
                max_concurrency, max_queue=max_queue, queue_timeout=queue_timeout, name=self.name
            )
        elif not isinstance(cast("object", bulkhead), Bulkhead):
            message = f"bulkhead must be a Bulkhead, not {notes.shown_value(bulkhead)}"
            raise ConfigurationError(message)
        elif (max_concurrency, max_queue, queue_timeout) != (None, _MAX_QUEUE, None):
            message = (
                "bulkhead= has its own max_concurrency, max_queue and queue_timeout; give these "
                "to the Bulkhead"
            )
            raise ConfigurationError(message)
        for path, node in self._steps[0].walk():
            if isinstance(node, BulkheadPrimitive) and node.bulkhead is bulkhead:
                message = (
                    f"the step {path!r} takes a permit of the same bulkhead as what stands around "
                    f"it: with no permit left, both would wait for ever"
                )
                raise CompositionError(message)
        self._bulkhead: Bulkhead = bulkhead

    @property
    def bulkhead(self) -> Bulkhead:
        """Whose permits are taken."""
        return self._bulkhead

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """How many run at once."""
        return (f"at most {self._bulkhead.max_concurrency} at once",)

    async def _execute_impl(  # noqa: C901, PLR0912, PLR0915 - written out for speed
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        place = site
        if place is None and engine.listening is not None:
            place = self._find_place()
            if place is None:
                return await self._observed(context, input_data, site)
        began = start = clock.now() if context is None or place is not None else 0.0
        bulkhead = self._bulkhead
        if not bulkhead.start_one():
            full = bulkhead.refusal()
            if full is not None:
                try:
                    raise self._told(full, context, place, began)
                finally:
                    del full  # it refers to this frame
            try:
                await bulkhead.wait_for_one(deadline_of(context))
            except BaseException as error:
                if place is not None:
                    place.ended(began, error)
                if isinstance(error, Exception):
                    notes.locate(error, self, None, context or fresh_context(began))
                raise
            if place is not None:
                start = clock.now()
        held = True
        try:
            direct = self._direct
            result = await (
                direct(input_data) if direct is not None else self.start(context, input_data, place)
            )
            kind = result.__class__
            if kind is CoroutineType:
                raise nested_awaitable(self._steps[0].name, result)  # noqa: TRY301 - a failure of the step
            if kind is engine.stream_type:
                held = False
                result.when_ended(lambda _: bulkhead.release())  # pyright: ignore[reportUnknownLambdaType] - streams are loaded late
        except BaseException as error:
            if place is not None:
                place.went_wrong(self, began, error)
            if isinstance(error, Exception):
                notes.locate(error, self, 0, context or fresh_context(began))
            raise
        else:
            if place is not None:
                if start == began:
                    (place.well or place.stand_alone(self))(began)
                else:  # it has waited, which was no time of the step's
                    place.open(self)[0].took(clock.now() - start)
                    place.ended(began)
            return result
        finally:
            if held:
                bulkhead.release()

    # Executed by itself, it is given no context (None) where the step wants none.
    _alone = _execute_impl

    async def _observed(
        self, context: WorkflowContext | None, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens."""
        if context is None:
            context, site = fresh_context(clock.now()), None
        bulkhead = self._bulkhead
        with Run(self, context, site) as run:
            if not bulkhead.start_one():
                began = clock.now()
                await bulkhead.acquire(deadline=deadline_of(context))
                run.note(waited=clock.now() - began)
            held = True
            try:
                result = run.checked(await run.call(0, input_data))
                if result.__class__ is engine.stream_type:
                    held = False
                    result.when_ended(lambda _: bulkhead.release())  # pyright: ignore[reportUnknownLambdaType] - streams are loaded late
                return result
            finally:
                if held:
                    bulkhead.release()


def deadline_of(context: WorkflowContext | None) -> float | None:
    """Return the run's deadline; a context that the engine made has none."""
    if context is None or context.__class__ is FreshContext:
        return None
    return context.deadline
