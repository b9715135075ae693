"""One workflow under way many times at once: run as a program, for a peak of memory of its own.

`python -m benchmarks.crowd SUBJECT COUNT` prints one JSON object. SUBJECT is `bare`, `chain` or
`fan-out` of ours, or the distribution of a peer.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import Parallel, Sequential

from .peers import beside_role, find
from .subjects import passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .measure import Timed

__all__ = ("Gate", "main", "peak_megabytes", "run")


class Gate:
    """A step that lets nobody pass until all have arrived.

    Args:
        expected: How many calls are awaited.
    """

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self._opened = asyncio.Event()

    async def __call__(self, value: int) -> int:
        """Wait for all others."""
        self._missing -= 1
        if not self._missing:
            self._opened.set()
        await self._opened.wait()
        return value


def _workflow(subject: str, count: int) -> Callable[[int], Awaitable[object]]:
    gate = Gate(count * 2 if subject == "fan-out" else count)
    steps: Sequence[Callable[[int], Awaitable[int]]] = (passes, gate.__call__, passes)
    if subject == "bare":

        async def bare(value: int) -> int:
            for step in steps:
                value = await step(value)
            return value

        return bare
    ours: Any
    run: Timed
    if subject == "chain":
        ours = Sequential(steps)
        run = ours.execute
        return run
    if subject == "fan-out":
        ours = Sequential([passes, Parallel([gate.__call__, gate.__call__]), max])
        run = ours.execute
        return run
    (peer,) = beside_role(find([subject]), None).values()
    if isinstance(peer, str):
        raise SystemExit(peer)
    run = peer.chain(steps)
    return run


def peak_megabytes() -> float | None:
    """Return the most memory that this process has held; None where the system does not say."""
    # Not getrusage there: Linux hands its peak on from a parent to the program that it starts.
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        if found is not None:
            return int(found[1]) / 1024
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere


async def run(subject: str, count: int) -> dict[str, float | int | None]:
    """Run `count` executions at once, and say what they held and what they left."""
    execute = _workflow(subject, count)
    before = peak_megabytes()
    others = asyncio.all_tasks()
    results = await asyncio.gather(*[execute(number) for number in range(count)])
    return {
        "before": before,
        "peak": peak_megabytes(),
        "left": len(asyncio.all_tasks() - others),
        "wrong": sum(result != number for number, result in enumerate(results)),
    }


def main(arguments: Sequence[str]) -> None:
    """Run as the module's docstring says."""
    subject, count = arguments
    print(json.dumps(asyncio.run(run(subject, int(count)))))


if __name__ == "__main__":
    main(sys.argv[1:])
