"""A soak: many mixed calls through the whole stack, of which some are cancelled.

    uv run --directory packages/tta-dev-primitives python -m benchmarks.soak --calls 1000000

Prints how many memory blocks the interpreter holds along the way, and what is left at the end.
Exits with 1 if the heap grew by more than 1 % after the first tenth, if a task is left, or if the
loop had something to complain of.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tta_dev_primitives import (
    Bulkhead,
    CachePrimitive,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)

if TYPE_CHECKING:
    from tta_dev_primitives import WorkflowPrimitive

__all__ = ("main", "soak")

_WORKERS = 50
_KEYS = 5_000
_SAMPLES = 10
_CANCELLED = 0.05
_FAILING = 0.02
_MOST_GROWTH = 0.01


def _stack(rng: random.Random) -> WorkflowPrimitive[int, str]:
    """Return every kind of recovery around a model that sometimes fails."""

    async def model(number: int) -> str:
        if rng.random() < _FAILING:
            message = "reset"
            raise ConnectionError(message)
        await asyncio.sleep(0)
        return f"answer {number}"

    async def local(number: int) -> str:
        return f"local {number}"

    cached = Bulkhead(max_concurrency=2 * _WORKERS)(CachePrimitive(model, max_size=_KEYS // 5))
    guarded = CircuitBreakerPrimitive(cached, failure_threshold=20, recovery_timeout=0.01)
    return TimeoutPrimitive(
        RetryPrimitive(FallbackPrimitive(guarded, fallback=local), initial_delay=0),
        timeout_seconds=30.0,
    )


async def _one(stack: WorkflowPrimitive[int, str], number: int, rng: random.Random) -> str:
    """Make a call, perhaps cancelling it soon, and return what became of it."""
    if rng.random() >= _CANCELLED:
        return (await stack.execute(number)).split()[0]
    task = asyncio.ensure_future(stack.execute(number))
    for _ in range(rng.randrange(3)):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    return "too late to cancel"


async def soak(calls: int, seed: int = 1) -> tuple[list[int], Counter[str], int, int]:
    """Run `calls` calls.

    Returns:
        The allocated blocks at each tenth, what became of the calls, the tasks that are left, and
        how often the loop complained.
    """
    rng = random.Random(seed)  # noqa: S311 - a repeatable load, no secret
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    others = len(asyncio.all_tasks())
    stack = _stack(rng)
    outcomes: Counter[str] = Counter()
    started = 0
    blocks: list[int] = []

    async def worker() -> None:
        nonlocal started
        while started < calls:
            started += 1
            if started % (calls // _SAMPLES) == 0:
                gc.collect()
                blocks.append(sys.getallocatedblocks())
            outcomes[await _one(stack, rng.randrange(_KEYS), rng)] += 1

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(worker())
    finally:
        loop.set_exception_handler(before)
    return blocks, outcomes, len(asyncio.all_tasks()) - others, len(complaints)


def main() -> int:
    """Run the soak and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    blocks, outcomes, left, complaints = asyncio.run(soak(options.calls, options.seed))
    growth = blocks[-1] / blocks[0] - 1
    print(f"{options.calls:,} calls: {dict(outcomes)}")
    print(f"allocated blocks at each tenth: {', '.join(f'{count:,}' for count in blocks)}")
    print(f"growth after the first tenth: {growth:+.2%}; tasks left: {left}")
    print(f"complaints of the loop: {complaints}")
    return 1 if growth > _MOST_GROWTH or left or complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
