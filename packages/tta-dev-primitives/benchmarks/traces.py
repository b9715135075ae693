"""Hit ratios of the cache's eviction policies and of its peers', beside LRU and the optimum.

`python -m benchmarks.traces` prints a table in Markdown. The traces are made here, from a seed:
Zipf's law, a mix with scans and a loop, and a law whose ranks drift. The optimum is Belady's, which
knows the future. `gap closed` is the share of the way from LRU to the optimum that a policy goes,
as the mean over all cells.
"""

from __future__ import annotations

import functools
import gc
import heapq
import importlib
import importlib.util
import itertools
import math
import random
import statistics
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tta_dev_primitives.performance.policies import POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = (
    "PEERS",
    "SHARES",
    "Cell",
    "Peer",
    "as_markdown",
    "drift",
    "gap_closed",
    "lru",
    "main",
    "optimum",
    "relative_cost",
    "relative_costs",
    "replay",
    "room_for",
    "scan_and_loop",
    "traces",
    "zipf",
)

Trace: TypeAlias = "Sequence[int]"
"""The keys that are asked for, in order."""
Replay: TypeAlias = "Callable[[Trace, int], float]"
"""Gives the hit ratio of a policy on a trace, with room for so many keys."""

REQUESTS = 400_000
KEYS = 100_000
SHARES = (0.01, 0.1)
"""Room, as a share of the distinct keys of a trace."""
_REDRAWN_EVERY = 20_000  # requests of the drifting trace
_ROUNDS = 7


# --- traces -------------------------------------------------------------------------------------


@functools.cache
def _cumulated(exponent: float) -> list[float]:
    return list(itertools.accumulate(rank**-exponent for rank in range(1, KEYS + 1)))


def _ranks(exponent: float, count: int, rng: random.Random) -> list[int]:
    return rng.choices(range(KEYS), cum_weights=_cumulated(exponent), k=count)


def zipf(exponent: float, requests: int = REQUESTS, seed: int = 1) -> list[int]:
    """Return requests for keys whose popularity falls with the power `exponent` of their rank."""
    return _ranks(exponent, requests, random.Random(seed))  # noqa: S311 - repeatable


def scan_and_loop(requests: int = REQUESTS, seed: int = 2) -> list[int]:
    """Return requests by Zipf's law, with runs of keys that never return and with a loop.

    Of 10,000 requests 7,000 follow the law, 800 are asked for once, and 2,200 walk on through a
    loop of 5,000 keys.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable
    once = itertools.count(KEYS)
    loop = itertools.cycle(range(-5_000, 0))
    made: list[int] = []
    while len(made) < requests:
        made += _ranks(1.0, 7_000, rng)
        made += itertools.islice(once, 800)
        made += itertools.islice(loop, 2_200)
    return made[:requests]


def drift(requests: int = REQUESTS, seed: int = 3) -> list[int]:
    """Return requests by Zipf's law; every 20,000, a tenth of the ranks is redrawn."""
    rng = random.Random(seed)  # noqa: S311 - repeatable
    key_at = list(range(KEYS))
    made: list[int] = []
    while len(made) < requests:
        made += [key_at[rank] for rank in _ranks(1.0, _REDRAWN_EVERY, rng)]
        for rank in rng.sample(range(KEYS), KEYS // 10):
            key_at[rank] = rng.randrange(KEYS)
    return made[:requests]


def traces(requests: int = REQUESTS) -> dict[str, list[int]]:
    """Return the traces by name."""
    return {
        "zipf 0.8": zipf(0.8, requests),
        "zipf 1.0": zipf(1.0, requests),
        "scan + loop": scan_and_loop(requests),
        "drift": drift(requests),
    }


def room_for(trace: Trace, share: float) -> int:
    """Return how many keys are that share of the distinct ones."""
    return int(len(set(trace)) * share)


# --- policies -----------------------------------------------------------------------------------


def replay(name: str) -> Replay:
    """Return what replays a trace against the policy of that name."""
    make = POLICIES[name]

    def run(trace: Trace, room: int) -> float:
        policy = make()
        put, touch, find = policy.put, policy.touch, policy.entries.get
        hears, hits = policy.hears, 0
        for key in trace:
            entry = find(key)
            if entry is not None:
                entry.uses += 1
                hits += 1
                if hears:
                    touch(entry)
                continue
            put(key, None, math.inf, 0.0, None, room)
        return hits / len(trace)

    return run


def lru(trace: Trace, room: int) -> float:
    """Return the hit ratio of plain LRU."""
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        else:
            kept[key] = None
            if len(kept) > room:
                kept.popitem(last=False)
    return hits / len(trace)


def optimum(trace: Trace, room: int) -> float:
    """Return the hit ratio of Belady's policy: that goes which is asked for last from now."""
    never = len(trace)
    upcoming = [never] * never
    last: dict[int, int] = {}
    for index in range(never - 1, -1, -1):
        key = trace[index]
        upcoming[index] = last.get(key, never)
        last[key] = index
    kept: dict[int, int] = {}
    order: list[tuple[int, int]] = []
    hits = 0
    for key, following in zip(trace, upcoming, strict=True):
        if key in kept:
            hits += 1
        elif len(kept) >= room:
            while True:
                when, goes = heapq.heappop(order)
                if kept.get(goes) == -when:
                    break
            del kept[goes]
        kept[key] = following
        heapq.heappush(order, (-following, key))
    return hits / never


def c_lru(trace: Trace, room: int) -> float:
    """Return the hit ratio of `functools.lru_cache`, which is written in C."""
    kept = functools.lru_cache(maxsize=room)(_nothing)
    for key in trace:
        kept(key)
    return kept.cache_info().hits / len(trace)


def _nothing(key: int) -> None:
    """Compute what is cached where only the cost of the cache matters."""
    del key


# --- peers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """A cache of others that the traces are replayed against.

    Attributes:
        policy: What it evicts by.
        replay: Replays a trace; it fails where the distribution is not installed.
    """

    policy: str
    replay: Replay


def _as_mapping(module: str, name: str) -> Replay:
    """Return what replays against a class of mappings that takes its size first."""

    def run(trace: Trace, room: int) -> float:
        kept: Any = getattr(importlib.import_module(module), name)(room)
        find, missing, hits = kept.get, object(), 0
        for key in trace:
            if find(key, missing) is missing:
                kept[key] = None
            else:
                hits += 1
        return hits / len(trace)

    return run


def _theine(trace: Trace, room: int) -> float:
    kept: Any = importlib.import_module("theine").Cache(room)
    find, put, hits = kept.get, kept.set, 0
    for key in trace:
        if find(key)[1]:
            hits += 1
        else:
            put(key, None)
    kept.close()
    return hits / len(trace)


PEERS = {
    "cachetools": Peer("LFU", _as_mapping("cachetools", "LFUCache")),
    "cachebox": Peer("LFU", _as_mapping("cachebox", "LFUCache")),
    "theine": Peer("W-TinyLFU", _theine),
}
"""By distribution; the dependency group `bench` has them."""


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A trace with a room.

    Attributes:
        trace: The name of the trace.
        share: The room as a share of its distinct keys.
        room: How many keys that is.
        lru: The hit ratio of LRU.
        optimum: That of Belady's policy.
        ratios: Those of the policies, by name.
    """

    trace: str
    share: float
    room: int
    lru: float
    optimum: float
    ratios: Mapping[str, float]

    def closed(self, name: str) -> float:
        """Return the share of the way from LRU to the optimum that a policy goes."""
        return (self.ratios[name] - self.lru) / (self.optimum - self.lru)


def measure(made: Mapping[str, Trace], policies: Mapping[str, Replay]) -> list[Cell]:
    """Replay every trace with every room."""
    return [
        Cell(
            trace=name,
            share=share,
            room=(room := room_for(trace, share)),
            lru=lru(trace, room),
            optimum=optimum(trace, room),
            ratios={policy: run(trace, room) for policy, run in policies.items()},
        )
        for name, trace in made.items()
        for share in SHARES
    ]


def gap_closed(cells: Sequence[Cell], name: str) -> float:
    """Return the mean of `Cell.closed` over all cells."""
    return statistics.fmean(cell.closed(name) for cell in cells)


def relative_cost(trace: Trace, room: int, run: Replay, rounds: int = _ROUNDS) -> float:
    """Return the median of `relative_costs`."""
    return statistics.median(relative_costs(trace, room, run, rounds))


def relative_costs(trace: Trace, room: int, run: Replay, rounds: int = _ROUNDS) -> list[float]:
    """Return the time per access of a policy as multiples of that of `functools.lru_cache`.

    Interleaved, one for each round; processor time, with the garbage collector at rest.
    """
    ratios: list[float] = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        try:
            began = time.process_time()
            c_lru(trace, room)
            between = time.process_time()
            run(trace, room)
            ended = time.process_time()
        finally:
            gc.enable()
        ratios.append((ended - between) / (between - began))
    return ratios


def as_markdown(cells: Sequence[Cell], costs: Mapping[str, float]) -> str:
    """Return the table."""
    heads = [f"{cell.trace} @ {cell.share:.0%}" for cell in cells]
    lines = [
        f"| policy | {' | '.join(heads)} | gap closed | least | cost, x C LRU |",
        f"|---|{'---|' * (len(heads) + 3)}",
        f"| optimum | {_ratios([c.optimum for c in cells])} | 100 % | 100 % | |",
        f"| LRU (C) | {_ratios([c.lru for c in cells])} | 0 % | 0 % | 1.00 |",
    ]
    for name, cost in costs.items():
        ratios = _ratios([cell.ratios[name] for cell in cells])
        least = min(cell.closed(name) for cell in cells)
        lines.append(
            f"| {name} | {ratios} | {gap_closed(cells, name):.0%} | {least:.0%} | {cost:.2f} |"
        )
    return "\n".join(lines)


def _ratios(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.3f}" for value in values)


def main() -> int:
    """Measure, and print the table."""
    made = traces()
    policies = {name: replay(name) for name in POLICIES}
    for name, peer in PEERS.items():
        if importlib.util.find_spec(name) is not None:
            policies[f"{name}, {peer.policy}"] = peer.replay
    cells = measure(made, policies)
    costs = {
        name: statistics.fmean(relative_cost(made[cell.trace], cell.room, run) for cell in cells)
        for name, run in policies.items()
    }
    sys.stdout.write(f"{as_markdown(cells, costs)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
