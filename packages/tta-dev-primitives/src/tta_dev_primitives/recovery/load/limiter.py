"""`RateLimiter`: no more requests and tokens in a time than are allowed.

What may start, and when, is decided by `Meter` (in `gcra.py`), an object without a lock, a loop or
a clock; the limiter wakes those whose time has come.

This file is a little longer than the house rule allows: a limiter, a call that waits for it and a
grant are made of one another.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast, overload

from tta_dev_primitives.core import clock, notes
from tta_dev_primitives.core.base import check_name
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.core.wrapper import decorate_async
from tta_dev_primitives.errors import ConfigurationError, RateLimitedError
from tta_dev_primitives.recovery.load.costs import read_cost
from tta_dev_primitives.recovery.load.gcra import REWOUND, SLACK, Gate, Meter, Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.decorated import DecoratedFunction
    from tta_dev_primitives.recovery.load.costs import Cost
    from tta_dev_primitives.recovery.rate_limit import RateLimitPrimitive

__all__ = ("Grant", "RateLimiter")

In = TypeVar("In")
Out = TypeVar("Out")
C = TypeVar("C", bound="Coroutine[Any, Any, Any]")  # kept whole, as an async def has it
P = ParamSpec("P")

_MAX_HOLD = 600.0


class Call:
    """A call that waits, or whose cost can still change."""

    __slots__ = ("admitted", "costs", "expired", "future", "loop", "timer")

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]

    def __init__(self, costs: tuple[float, ...]) -> None:
        self.costs: tuple[float, ...] = costs
        self.admitted: bool = False
        self.expired: bool = False
        self.timer: asyncio.TimerHandle | None = None

    def wait_in(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future = loop.create_future()

    def finish(self) -> None:
        if not self.future.done():  # else it was cancelled in this very pass
            self.future.set_result(None)


class Grant:
    """What `RateLimiter.reserve` gives: entered, it waits for its turn and takes its cost.

    Example:
        >>> import asyncio
        >>> limiter = RateLimiter(Rate(1000, unit="tokens"))
        >>> async def ask() -> bool:
        ...     async with limiter.reserve(800) as grant:
        ...         grant.settle(300)  # the answer was short
        ...     return limiter.try_acquire(700)
        >>> asyncio.run(ask())
        True
    """

    __slots__ = ("_call", "_costs", "_deadline", "_limiter")

    def __init__(
        self, limiter: RateLimiter, costs: tuple[float, ...], deadline: float | None
    ) -> None:
        self._limiter = limiter
        self._costs = costs
        self._deadline = deadline
        self._call: Call | None = None

    async def __aenter__(self) -> Self:
        self._call = await self._limiter.admit(self._costs, self._deadline, keep=True)
        return self

    def settle(self, actual: Cost) -> None:
        """Say what the call has cost in truth: the rest is given back, or what was over is owed.

        Args:
            actual: Units besides the one request, as for `reserve`. Only the first time counts.

        Raises:
            ConfigurationError: It is no cost; or the grant has not been entered, or is over.
        """
        costs = self._limiter.costs(actual)
        if self._call is None:
            message = "settle() is for the inside of `async with limiter.reserve(...) as grant:`"
            raise ConfigurationError(message)
        self._limiter.correct(self._call, costs)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._limiter.close(call)


class RateLimiter:
    """Lets calls start only as fast as its rates allow; further ones wait in one queue.

    Several rates are taken together or not at all: `RateLimiter(Rate(500), Rate(90_000,
    unit="tokens"))` for a model with 500 requests and 90,000 tokens a minute. The queue is strictly
    first come, first served: a small call does not overtake a big one, so that none starves. A call
    that is cancelled while it waits has taken nothing.

    One limiter can stand around several steps. It can be used from several event loops and threads
    at the same time. Time is monotonic: jumps of the wall clock change nothing.

    As a decorator, or called with a primitive, it wraps.

    Args:
        rates: At least one.
        max_wait: The longest wait, in seconds; 0 refuses whatever cannot start at once. A call
            that would wait longer is refused before it waits. Default: no limit but the run's
            deadline.
        max_hold: The longest that a `retry-after` header can hold calls back, in seconds.
            Default: 600.
        unix_time: The wall clock, in seconds since the epoch; only to read dates in headers by.
        name: For errors. Default: `rate_limit`.

    Raises:
        ConfigurationError: There is no rate, or an option is out of range.
        RateLimitedError: From a call: its turn would come too late; it has `retry_after`.

    Example:
        >>> import asyncio
        >>> limiter = RateLimiter(Rate(2, per=60), max_wait=0)
        >>> @limiter
        ... async def ask(question: str) -> str:
        ...     return f"{question} Yes."
        >>> asyncio.run(ask("Again?"))
        'Again? Yes.'
        >>> limiter.try_acquire(), limiter.try_acquire()
        (True, False)
    """

    __slots__ = (
        "_acquire",
        "_lock",
        "_max_hold",
        "_meter",
        "_one",
        "_only",
        "_release",
        "_unix_time",
        "_woken",
        "max_wait",
        "name",
        "rates",
    )

    def __init__(
        self,
        *rates: Rate,
        max_wait: float | None = None,
        max_hold: float = _MAX_HOLD,
        unix_time: Callable[[], float] = time.time,
        name: str = "rate_limit",
    ) -> None:
        for rate in rates:
            if not isinstance(cast("object", rate), Rate):
                message = f"a rate must be a Rate such as Rate(60), not {notes.shown_value(rate)}"
                raise ConfigurationError(message)
        if not rates:
            message = "RateLimiter needs at least one rate: RateLimiter(Rate(60, per=60))"
            raise ConfigurationError(message)
        if not callable(cast("object", unix_time)):
            message = f"unix_time must be a function, not {notes.shown_value(unix_time)}"
            raise ConfigurationError(message)
        self.rates: tuple[Rate, ...] = rates
        self.max_wait: float | None = (
            None if max_wait is None else check_seconds("max_wait", max_wait, zero=True)
        )
        self.name: str = check_name(name)
        self._max_hold = check_seconds("max_hold", max_hold, zero=True)
        self._unix_time = unix_time
        gates = [Gate(rate) for rate in rates]
        self._meter: Meter[Call] = Meter(gates)
        # Calls that have their turn and will run in the next pass of their loop: whoever comes in
        # between lines up behind them, or it would start before those that came first.
        self._woken = 0
        self._one = self.costs(None)
        self._only = gates[0] if self._one == (1.0,) else None
        # Reentrant: a suspended call that the garbage collector closes leaves the queue wherever
        # the collector happens to run.
        self._lock = lock = threading.RLock()
        self._acquire = lock.acquire
        self._release = lock.release

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._meter.queue)

    def try_acquire(self, cost: Cost | None = None) -> bool:
        """Take `cost` if it can be had at once, without waiting; returns whether it was.

        Args:
            cost: Units besides the one request.

        Raises:
            ConfigurationError: It is no cost.
        """
        costs = self.costs(cost)
        with self._lock:
            return self._meter.take(clock.now(), costs)

    def start_one(self) -> float | None:
        """Take one request if it can be had at once; returns the clock, or None if it cannot."""
        gate, meter = self._only, self._meter
        acquire, release = self._acquire, self._release
        acquire()  # a `with` costs twice as much
        try:
            now = clock.now()
            if self._woken:
                return None
            if gate is None or gate.open or meter.queue or meter.held > now:
                return now if meter.take(now, self._one) else None
            tat = gate.tat  # from here on, `Meter.take` spelled out for speed
            if tat < now:  # noqa: PLR1730 - `max` costs more than all else here
                tat = now
            tat += gate.interval
            if tat - now - SLACK <= gate.tolerance:
                gate.tat = tat
                meter.seen = now
                return now
            if meter.seen - now <= REWOUND:
                return None
            return now if meter.take(now, self._one) else None
        finally:
            release()

    async def acquire(self, cost: Cost | None = None, *, deadline: float | None = None) -> None:
        """Take `cost`, after a wait if it cannot be had at once.

        Args:
            cost: Units besides the one request.
            deadline: A turn after this reading of the running loop's `time()` is too late.

        Raises:
            ConfigurationError: It is no cost.
            RateLimitedError: Its turn would come too late.
        """
        if cost is not None:
            await self.admit(self.costs(cost), deadline, keep=False)
        elif self.start_one() is None:
            await self.wait_for_one(deadline)

    def refusal(self) -> RateLimitedError | None:
        """Return the error for a request that cannot start now, if it must not wait so long."""
        limit = self.max_wait
        if limit is None:
            return None
        gate, meter = self._only, self._meter
        acquire, release = self._acquire, self._release
        acquire()  # an overload refuses by the thousand
        try:
            now = clock.now()
            if gate is None or meter.queue or meter.held > now or meter.seen - now > REWOUND:
                wait = meter.plan(now, self._one) - now
            else:
                wait = gate.start(now, gate.tat, 1.0) - now
        finally:
            release()
        return self._refusal(limit, wait) if wait > limit else None

    def wait_for_one(self, deadline: float | None) -> Coroutine[Any, Any, Call]:
        """Take one request, where `start_one` has just failed; as `acquire`."""
        return self.admit(self._one, deadline, keep=False)

    def reserve(self, cost: Cost | None, *, deadline: float | None = None) -> Grant:
        """Return what takes `cost` when it is entered with `async with`, and can correct it then.

        Args:
            cost: An estimate of the units besides the one request; None for none.
            deadline: As for `acquire`.

        Raises:
            ConfigurationError: It is no cost.
        """
        return Grant(self, self.costs(cost), deadline)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of a response what the other side will still take.

        Understood are `retry-after`, and `x-ratelimit-*` and `anthropic-ratelimit-*` for each unit
        that has a rate. What they say can make a rate stricter, and take that back, but never makes
        it laxer than it was given: where another client uses the same account, this one yields.

        Args:
            headers: Names in any case; those that cannot be read are passed over.

        Raises:
            ConfigurationError: `headers` is no mapping.
        """
        from tta_dev_primitives.recovery.classification.headers import (  # noqa: PLC0415 - on demand
            lower_keys,
            read_limits,
            read_retry_after,
        )

        if not hasattr(headers, "items"):
            shown = notes.shown_value(headers)
            message = f"headers must be a mapping of names to texts, not {shown}"
            raise ConfigurationError(message)
        found = lower_keys(headers)
        unix_time = self._unix_time()
        pause = read_retry_after(found, unix_time=unix_time)
        said = [
            (unit, read_limits(found, unit, unix_time=unix_time))
            for unit in dict.fromkeys(rate.unit for rate in self.rates)
        ]
        with self._lock:
            now = clock.now()
            if pause is not None:
                self._meter.hold(now + min(pause, self._max_hold))
            for unit, (limit, remaining, reset) in said:
                self._meter.learn(now, unit, limit=limit, remaining=remaining, reset=reset)
            self._pump()

    @overload
    def __call__(self, primitive: WorkflowPrimitive[In, Out], /) -> RateLimitPrimitive[In, Out]: ...
    @overload
    def __call__(self, primitive: Callable[P, C], /) -> DecoratedFunction[P, C]: ...
    def __call__(self, primitive: Any, /) -> Any:
        """Wrap a primitive, or decorate an asynchronous function.

        Raises:
            CompositionError: What is given is neither.
        """
        from tta_dev_primitives.recovery.rate_limit import RateLimitPrimitive  # noqa: PLC0415 - made of this class

        return decorate_async(
            primitive, RateLimitPrimitive, {"limiter": self}, decorator="RateLimiter"
        )

    def costs(self, cost: Cost | None) -> tuple[float, ...]:
        """Return what a call takes of each rate.

        Args:
            cost: Units besides the one request.

        Raises:
            ConfigurationError: It is no cost, or of a unit that is not counted here.
        """
        return read_cost(cost, self.rates, self.name)

    async def admit(self, costs: tuple[float, ...], deadline: float | None, *, keep: bool) -> Call:
        """Take `costs`, after a wait; with `keep`, open to correction until closed (for grants)."""
        limit = self.max_wait
        if deadline is not None and deadline != math.inf:
            left = deadline - asyncio.get_running_loop().time()
            limit = left if limit is None else min(limit, left)
        with self._lock:
            now = clock.now()
            meter = self._meter
            if costs is not self._one:  # a single request is within any burst
                self._check_burst(costs)
            start = meter.plan(now, costs)
            if limit is not None and start - now > limit:
                raise self._refusal(limit, start - now)
            call = Call(costs)
            if not self._woken and (limit is None or limit >= 0) and meter.take(now, costs):
                if keep:
                    meter.open(call)
                return call
            call.wait_in(asyncio.get_running_loop())
            meter.join(now, call, costs)
            self._pump()
        await self._turn_of(call, limit)
        if not keep:
            self.close(call)
        return call

    async def _turn_of(self, call: Call, limit: float | None) -> None:
        """Wait for a call's turn, no longer than `limit` seconds."""
        expiry = None if limit is None else call.loop.call_later(limit, self._expire, call)
        try:
            if call.admitted:  # a finished future does not wait for those who were woken before
                await asyncio.sleep(0)
            else:
                await call.future
        except BaseException:
            with self._lock:
                if call.admitted:  # in this very pass: what was taken is given back
                    self._meter.correct(call, call.costs, (0.0,) * len(call.costs))
                else:
                    self._meter.leave(call)
                self._pump()
            raise
        finally:
            if call.admitted:
                with self._lock:
                    self._woken -= 1
            for timer in (expiry, call.timer):
                if timer is not None:
                    timer.cancel()
        if call.expired:
            with self._lock:
                now = clock.now()
                raise self._refusal(limit or 0.0, self._meter.plan(now, call.costs) - now)

    def correct(self, call: Call, actual: tuple[float, ...]) -> None:
        """Set what an open call has cost (for grants)."""
        with self._lock:
            self._meter.correct(call, call.costs, actual)
            self._pump()

    def close(self, call: Call) -> None:
        """Leave the cost of a call at what it was taken for (for grants)."""
        with self._lock:
            self._meter.close(call)

    def _expire(self, call: Call) -> None:
        """Give up the wait of a call: its turn was put off since it was planned."""
        with self._lock:
            self._pump()  # its turn may come at this very moment
            if self._meter.leave(call):
                call.expired = True
                call.finish()
                self._pump()

    def _pump(self) -> None:
        """Let those start whose turn has come, and see to it that the next one's turn is noticed.

        Called with the lock or by a timer; the first in the queue has a timer in its own loop.
        """
        with self._lock:
            meter = self._meter
            running = asyncio._get_running_loop()  # the asyncio sources: fast, does not raise  # noqa: SLF001
            while meter.queue:
                now = clock.now()
                call = meter.due(now)
                if call is not None:
                    if _wake(call, running):
                        call.admitted = True
                        self._woken += 1
                    else:
                        meter.correct(call, call.costs, (0.0,) * len(call.costs))
                    continue
                first = next(iter(meter.queue))
                if running is not None and first.loop is running:
                    if first.timer is not None:
                        first.timer.cancel()
                    start = meter.next_at(now)
                    first.timer = running.call_later(max(0.0, (start or now) - now), self._pump)
                    return
                try:
                    first.loop.call_soon_threadsafe(self._pump)
                except RuntimeError:  # its loop is closed: nobody waits any more
                    meter.leave(first)
                else:
                    return

    def _check_burst(self, costs: tuple[float, ...]) -> None:
        for rate, units in zip(self.rates, costs, strict=True):
            if units > rate.burst:
                message = (
                    f"a call that takes {units:g} {rate.unit} can never pass {self.name!r}, which "
                    f"lets at most {rate.burst:g} pass at once: make it smaller"
                )
                raise RateLimitedError(message)

    def _refusal(self, limit: float, wait: float) -> RateLimitedError:
        wait = max(0.0, wait)
        return RateLimitedError.told_by(_too_late, self.name, limit, wait, retry_after=wait)

    def __reduce__(self) -> tuple[Callable[..., RateLimiter], tuple[Any, ...]]:
        # A copy starts afresh: what has been used up was used by this process.
        return _rebuild, (self.rates, self.max_wait, self._max_hold, self._unix_time, self.name)

    def __repr__(self) -> str:
        rates = ", ".join(map(repr, self.rates))
        return f"<RateLimiter {self.name!r}: {rates}, {self.waiting} waiting>"


def _too_late(name: str, limit: float, wait: float) -> str:
    allowed = f"only {limit:g} s are left to wait" if limit > 0 else "no wait is allowed"
    return f"{name!r} lets this call start in {wait:.3g} s, but {allowed}"


def _wake(call: Call, running: asyncio.AbstractEventLoop | None) -> bool:
    """Let the call go on, in whichever loop it waits; returns False where that is closed."""
    if call.loop is running:
        call.finish()
        return True
    try:
        call.loop.call_soon_threadsafe(call.finish)
    except RuntimeError:
        return False
    return True


def _rebuild(
    rates: tuple[Rate, ...],
    max_wait: float | None,
    max_hold: float,
    unix_time: Callable[[], float],
    name: str,
) -> RateLimiter:
    return RateLimiter(*rates, max_wait=max_wait, max_hold=max_hold, unix_time=unix_time, name=name)
