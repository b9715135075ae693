"""What a block of work costs: time, processor time on both sides, commands on the server.

A machine changes its speed while it measures. So all contenders take their turn in every round, in
an order that rotates, and a ratio is made of two blocks of one round. Processor time is steadier
than wall time, commands and bytes are exact.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = (
    "FULL",
    "QUICK",
    "Effort",
    "Figure",
    "Goal",
    "Meter",
    "Sample",
    "Sense",
    "Verdict",
    "figure",
    "ratio",
    "verdict",
)

Sense = Literal["at most", "at least"]
Verdict = Literal["met", "missed", "not measured"]
OURS = frozenset({"info", "evalsha", "eval", "hello", "select", "client|setinfo", "ping"})
"""Commands that are not counted: the meter's own, what wraps a script, and a connection's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is run.

    Attributes:
        rounds: Ratios per figure.
        messages: Messages per block.
        deep: The longest queue.
        agents: Agents in the registry.
        messages_apart: Messages whose latency is taken.
    """

    rounds: int
    messages: int
    deep: int
    agents: int
    messages_apart: int


FULL = Effort(rounds=7, messages=1000, deep=1_000_000, agents=10_000, messages_apart=1000)
"""What the page shows."""
QUICK = Effort(rounds=3, messages=300, deep=50_000, agents=2_000, messages_apart=200)
"""A first look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a block cost, per message.

    Attributes:
        wall: Microseconds.
        client: Microseconds of this process's processor time.
        server: Microseconds of the server's processor time.
        commands: Commands that ran on the server, those inside scripts included.
        scripts: Calls of scripts.
    """

    wall: float
    client: float
    server: float
    commands: float
    scripts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median with the quartiles around it."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal, and what was measured.

    Attributes:
        key: Names it: the goal's number and what tells it from its neighbors.
        title: What is measured.
        sense: Whether less or more is better.
        budget: The goal.
        unit: Stands behind the figure.
        found: None: not measured; `facts` says why.
        facts: What was seen besides.
    """

    key: str
    title: str
    sense: Sense
    budget: float
    unit: str
    found: Figure | None
    facts: tuple[str, ...] = ()


def verdict(goal: Goal) -> Verdict:
    """Say whether the median keeps to the goal, to the two decimals that are shown."""
    if goal.found is None:
        return "not measured"
    value = round(goal.found.median, 2)
    kept = value <= goal.budget if goal.sense == "at most" else value >= goal.budget
    return "met" if kept else "missed"


def figure(values: Sequence[float]) -> Figure:
    """Return median and quartiles, both ends of the data included.

    Raises:
        ValueError: There are no values, or one is not a number.
    """
    if not values or any(math.isnan(value) for value in values):
        message = f"a figure cannot be made of {list(values)!r}"
        raise ValueError(message)
    if len(values) == 1:
        return Figure(median=values[0], low=values[0], high=values[0], rounds=1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median=median, low=low, high=high, rounds=len(values))


def ratio(ours: Sequence[float], others: Sequence[float]) -> Figure:
    """Return ours to the others', round by round."""
    return figure([one / other for one, other in zip(ours, others, strict=True)])


class Meter:
    """Looks at a server from outside, over a connection of its own.

    Args:
        port: Where the server listens on this machine.
    """

    def __init__(self, port: int) -> None:
        self._client: Any = redis.Redis(port=port)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def empty(self) -> None:
        """Delete all keys."""
        self._client.flushall()

    def memory(self) -> int:
        """Return the bytes that the server uses."""
        return int(self._client.info("memory")["used_memory"])

    def cpu(self) -> float:
        """Return the seconds of processor time that the server has used."""
        info: dict[str, float] = self._client.info("cpu")
        return info["used_cpu_user"] + info["used_cpu_sys"]

    def counted(self) -> tuple[int, int]:
        """Return how many commands have run, and how many scripts."""
        stats: dict[str, Any] = self._client.info("commandstats")
        calls = {key.split("_", 1)[1]: value["calls"] for key, value in stats.items()}
        return (
            sum(count for name, count in calls.items() if name not in OURS),
            calls.get("evalsha", 0) + calls.get("eval", 0),
        )

    async def block(self, work: Callable[[int], Awaitable[object]], messages: int) -> Sample:
        """Run a block of work, and return what it cost per message."""
        gc.collect()
        commands, scripts = self.counted()
        server, client, wall = self.cpu(), time.process_time(), time.perf_counter()
        await work(messages)
        wall, client = time.perf_counter() - wall, time.process_time() - client
        server = self.cpu() - server
        more, further = self.counted()
        return Sample(
            wall=wall / messages * 1e6,
            client=client / messages * 1e6,
            server=server / messages * 1e6,
            commands=(more - commands) / messages,
            scripts=(further - scripts) / messages,
        )
