"""The state of a rate limiter, without a lock, a loop or a clock: what may start, and when.

`Gate` holds one rate by the generic cell rate algorithm, in its form of virtual scheduling (ITU-T
Recommendation I.371, annex A; ATM Forum, Traffic Management Specification 4.0, section 4.4.2): one
number, the theoretical arrival time, stands for the whole past. `Meter` holds several gates, which
a call passes together or not at all, and the queue before them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, TypeVar, cast

from tta_dev_primitives.core import notes
from tta_dev_primitives.core.limits import check_seconds
from tta_dev_primitives.errors import ConfigurationError

__all__ = ("REQUESTS", "REWOUND", "SLACK", "Gate", "Meter", "Rate", "check_amount")

W = TypeVar("W")

REQUESTS = "requests"
"""The unit of which every call takes one."""
SLACK = 1e-9
"""Seconds that a sum of floats may be off, and a timer early."""
REWOUND = 1e-3
"""Seconds; a clock that is this far back has begun anew."""
_LONGEST = 1e100  # seconds for one unit; of infinitely many, the difference would be no number


class Rate:
    """A limit on how much passes in a time: `Rate(60)`, `Rate(90_000, unit="tokens")`.

    In any span of `t` seconds at most `burst + limit * t / per` units pass.

    Args:
        limit: Units that pass in `per` seconds, in the long run; more than zero.
        per: Seconds, more than zero. Default: 60.
        burst: Units that may pass at once after a pause; at least 1. Default: `limit`, or 1 where
            that is less.
        unit: What is counted. Of `requests` (default) each call takes one; of any other, such as
            `tokens`, what its cost says.

    Raises:
        ConfigurationError: A value is out of range.
    """

    __slots__ = ("burst", "limit", "per", "unit")

    def __init__(
        self,
        limit: float,
        *,
        per: float = 60.0,
        burst: float | None = None,
        unit: str = REQUESTS,
    ) -> None:
        self.limit: float = check_amount("limit of Rate", limit)
        self.per: float = check_seconds("per", per)
        self.burst: float = max(1.0, self.limit) if burst is None else check_amount("burst", burst)
        if self.burst < 1:
            message = f"burst must be at least 1, not {burst!r}"
            raise ConfigurationError(message)
        if not isinstance(cast("object", unit), str) or not unit:
            message = f"unit must be a text such as 'tokens', not {notes.shown_value(unit)}"
            raise ConfigurationError(message)
        self.unit: str = unit

    def __repr__(self) -> str:
        return f"Rate({self.limit:g}, per={self.per:g}, burst={self.burst:g}, unit={self.unit!r})"


def check_amount(option: str, value: object, *, zero: bool = False) -> float:
    """Return `value` as a number of units.

    Raises:
        ConfigurationError: It is no number, negative, not finite, or zero where that means nothing.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            amount = float(value)
        except OverflowError:
            amount = math.inf
        if (amount > 0 or (zero and amount == 0)) and amount != math.inf:
            return amount
    least = "zero or more" if zero else "more than zero"
    message = f"{option} must be a finite number, {least}, not {notes.shown_value(value)}"
    raise ConfigurationError(message)


class Gate:
    """One rate, and how much of it is used up.

    Attributes:
        tat: The theoretical arrival time: when all that has passed would be paid off. Before it,
            the gate owes `tat - now` seconds, and may owe at most `tolerance`.
        interval: Seconds that pay for one unit.
        tolerance: The most seconds that the gate may owe.
        burst: The most units at once.
        open: The calls whose cost may still change. To each belongs what the theoretical arrival
            time would be if only those that came after it had passed: whatever it turns out to
            have cost, the gate owes no less.

    Args:
        rate: The rate.

    Example:
        >>> gate = Gate(Rate(60, burst=2))
        >>> gate.pass_at(0.0, 1), gate.pass_at(0.0, 1), gate.start(0.0, gate.tat, 1)
        (1.0, 2.0, 1.0)
    """

    __slots__ = ("burst", "interval", "open", "rate", "tat", "tolerance")

    def __init__(self, rate: Rate) -> None:
        self.rate: Rate = rate
        self.tat: float = -math.inf
        self.open: dict[object, float] = {}
        self.adopt(rate.limit)

    def adopt(self, limit: float) -> None:
        """Take another limit, never above that of the rate."""
        limit = min(limit, self.rate.limit)
        self.burst: float = min(self.rate.burst, max(1.0, limit))
        self.interval: float = min(self.rate.per / limit, _LONGEST)
        self.tolerance: float = self.burst * self.interval

    def start(self, now: float, tat: float, units: float) -> float:
        """Return the earliest time, from `now` on, at which `units` may pass.

        Args:
            now: Seconds.
            tat: The theoretical arrival time to reckon with.
            units: What is to pass; more than a burst passes when nothing is owed.
        """
        if not units:
            return now
        cost = min(units, self.burst) * self.interval
        start = max(tat, now) + cost - self.tolerance
        return start if start > now + SLACK else now

    def after(self, now: float, tat: float, units: float) -> float:
        """Return the theoretical arrival time once `units` have passed at `now`."""
        return max(tat, now) + units * self.interval if units else tat

    def pass_at(self, now: float, units: float) -> float:
        """Let `units` pass at `now`; returns the theoretical arrival time."""
        self.tat = self.after(now, self.tat, units)
        if self.open:
            for call, owed in self.open.items():
                self.open[call] = self.after(now, owed, units)
        return self.tat

    def correct(self, call: object, reserved: float, actual: float) -> None:
        """Reckon as if an open call had cost `actual` from the start.

        What it did not use is given back; but a gate that would have been paid off in between gains
        nothing by it, so no span of time sees more than the rate allows.
        """
        least = self.open[call]
        change = (actual - reserved) * self.interval
        self.tat = max(self.tat + change, least)
        for earlier, owed in self.open.items():
            if earlier is call:
                break
            self.open[earlier] = max(owed + change, least)
        del self.open[call]

    def owe(self, tat: float) -> None:
        """Owe at least until `tat`: others have used the rate as well."""
        self.tat = max(self.tat, tat)
        for call, owed in self.open.items():
            self.open[call] = max(owed, tat)


class _Place:
    """A place in the queue: what the call costs, and when it can start as things stand."""

    __slots__ = ("costs", "start")

    def __init__(self, costs: tuple[float, ...], start: float) -> None:
        self.costs = costs
        self.start = start


class Meter(Generic[W]):
    """Several gates that a call passes together, and a queue in strict order of arrival.

    What waits has taken nothing yet; so nothing is lost by whoever leaves.

    Args:
        gates: At least one.

    Example:
        >>> meter = Meter[str]([Gate(Rate(60, burst=1))])
        >>> meter.take(0.0, (1,)), meter.take(0.0, (1,)), meter.join(0.0, "b", (1,))
        (True, False, 1.0)
        >>> meter.due(0.5), meter.due(1.0)
        (None, 'b')
    """

    __slots__ = ("_stale", "_tail", "gates", "held", "queue", "seen")

    def __init__(self, gates: list[Gate]) -> None:
        self.gates: list[Gate] = gates
        self.queue: OrderedDict[W, _Place] = OrderedDict()
        """Those who wait, in order."""
        self.held: float = -math.inf
        """Nothing starts before."""
        self.seen: float = -math.inf
        """When a call passed last."""
        self._stale = False
        self._tail: list[float] = []

    def take(self, now: float, costs: tuple[float, ...]) -> bool:
        """Let a call pass at once if it may; returns whether it did."""
        if self.queue or self.plan(now, costs) > now:
            return False
        self._pass(now, costs)
        return True

    def plan(self, now: float, costs: tuple[float, ...]) -> float:
        """Return when a call could start that joins the end of the queue now."""
        self._rewind(now)
        start = max(now, self.held)
        if not self.queue:
            tats = [gate.tat for gate in self.gates]
        else:
            if self._stale:
                self._plan_all(now)
            tats = self._tail
            start = max(start, self.queue[next(reversed(self.queue))].start)
        return self._start(start, tats, costs)

    def join(self, now: float, waiter: W, costs: tuple[float, ...]) -> float:
        """Let a call wait; returns when it can start as things stand."""
        start = self.plan(now, costs)
        if self.queue:
            tats = self._tail
        else:
            tats = [gate.tat for gate in self.gates]
            self._stale = False
        self.queue[waiter] = _Place(costs, start)
        self._tail = self._after(start, tats, costs)
        return start

    def leave(self, waiter: W) -> bool:
        """Let a call leave the queue; returns False where it was not in it (any more)."""
        if self.queue.pop(waiter, None) is None:
            return False
        self._stale = True
        return True

    def next_at(self, now: float) -> float | None:
        """Return when the first in the queue can start, or None where nobody waits."""
        if not self.queue:
            return None
        self._rewind(now)
        place = self.queue[next(iter(self.queue))]
        tats = [gate.tat for gate in self.gates]
        place.start = self._start(max(now, self.held), tats, place.costs)
        return place.start

    def due(self, now: float) -> W | None:
        """Let the first in the queue pass if it may, as an open call; returns who did."""
        start = self.next_at(now)
        if start is None or start > now + SLACK:
            return None
        waiter, place = self.queue.popitem(last=False)
        self._pass(start, place.costs)
        for gate in self.gates:
            gate.open[waiter] = -math.inf
        self._stale = True
        return waiter

    def open(self, call: object) -> None:
        """Keep the cost of the call that has just passed open to correction."""
        for gate in self.gates:
            gate.open[call] = -math.inf

    def close(self, call: object) -> None:
        """Leave the cost of a call at what it was taken for."""
        for gate in self.gates:
            gate.open.pop(call, None)

    def correct(self, call: object, reserved: tuple[float, ...], actual: tuple[float, ...]) -> None:
        """Set what an open call has cost, which closes it."""
        for gate, before, after in zip(self.gates, reserved, actual, strict=True):
            if call in gate.open:
                gate.correct(call, before, after)
        self._stale = True

    def hold(self, until: float) -> None:
        """Let nothing start before `until`."""
        self.held = max(self.held, until)
        self._stale = True

    def learn(
        self,
        now: float,
        unit: str,
        *,
        limit: float | None,
        remaining: float | None,
        reset: float | None,
    ) -> None:
        """Take what the other side says of its own limit; it can only make ours stricter.

        Args:
            now: Seconds.
            unit: Which rates it concerns.
            limit: Its limit, in units per the `per` of the rate.
            remaining: The units that it would let pass at once now.
            reset: Seconds until it has its whole limit to give again, as a bucket that fills
                steadily.
        """
        for gate in self.gates:
            if gate.rate.unit != unit:
                continue
            if limit is not None and limit > 0:
                gate.adopt(limit)
            left = math.inf if remaining is None else max(0.0, remaining)
            if reset is not None:
                whole = gate.rate.limit if limit is None or limit <= 0 else limit
                left = min(left, max(0.0, whole - reset * whole / gate.rate.per))
            if left < gate.burst:
                gate.owe(now + (gate.burst - left) * gate.interval)
        self._stale = True

    def _start(self, now: float, tats: list[float], costs: tuple[float, ...]) -> float:
        start = now
        for gate, tat, units in zip(self.gates, tats, costs, strict=True):
            start = max(start, gate.start(now, tat, units))
        return start

    def _after(self, now: float, tats: list[float], costs: tuple[float, ...]) -> list[float]:
        return [
            gate.after(now, tat, units)
            for gate, tat, units in zip(self.gates, tats, costs, strict=True)
        ]

    def _pass(self, now: float, costs: tuple[float, ...]) -> None:
        self.seen = max(now, self.seen)
        for gate, units in zip(self.gates, costs, strict=True):
            gate.pass_at(now, units)

    def _plan_all(self, now: float) -> None:
        """Plan the whole queue anew."""
        start = max(now, self.held)
        tats = [gate.tat for gate in self.gates]
        for place in self.queue.values():
            start = place.start = self._start(start, tats, place.costs)
            tats = self._after(start, tats, place.costs)
        self._tail = tats
        self._stale = False

    def _rewind(self, now: float) -> None:
        """Follow a clock that began anew, as one in virtual time does with each loop."""
        back = self.seen - now
        if back > REWOUND:
            self.seen = now
            self.held -= back
            self._stale = True
            for gate in self.gates:
                gate.tat -= back
                gate.open = {call: owed - back for call, owed in gate.open.items()}
