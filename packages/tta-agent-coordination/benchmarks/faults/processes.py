"""Consumers in processes of their own, and what they say."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ("Crew", "Member")

PACKAGE = Path(__file__).parents[2]


class Member:
    """One consumer."""

    def __init__(self, process: asyncio.subprocess.Process, crew: Crew) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        self.process = process
        self.ready = asyncio.Event()
        self.begun = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(process.stdout, crew))

    async def _listen(self, lines: asyncio.StreamReader, crew: Crew) -> None:
        while line := await lines.readline():
            if not line.endswith(b"\n"):
                return  # it was killed while it wrote
            match line.decode().split():
                case ["ready"]:
                    self.ready.set()
                case ["begun", _]:
                    self.begun.set()
                case ["done", name, attempt, at]:
                    crew.done[name].append((int(attempt), float(at)))
                    crew.moved.set()
                case ["error", kind]:
                    crew.errors[kind] += 1
                case _:
                    pass

    async def kill(self) -> None:
        """Kill it, as the kernel does when memory is short, and read what it still said."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._listening


class Crew:
    """Some consumers, and what they have done, together.

    Attributes:
        done: By message: on which attempt it was worked on, and when.
        errors: What they complained of, and how often.
        moved: Set when a message is done.
    """

    def __init__(self, where: str, prefix: str, *, lease: float, work: float) -> None:
        self._arguments = (where, prefix, str(lease), str(work))
        self.members: list[Member] = []
        self.done: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.moved = asyncio.Event()

    async def hire(self) -> Member:
        """Start one more; it is ready to work."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.faults.consumer", *self._arguments),
            stdout=asyncio.subprocess.PIPE,
            cwd=PACKAGE,
        )
        member = Member(process, self)
        self.members.append(member)
        async with asyncio.timeout(60):
            await member.ready.wait()
        return member

    @classmethod
    @asynccontextmanager
    async def of(
        cls, where: str, prefix: str, *, members: int = 3, lease: float = 3, work: float = 0.004
    ) -> AsyncGenerator[Self]:
        """Run so many consumers until the end of the block."""
        crew = cls(where, prefix, lease=lease, work=work)
        try:
            await asyncio.gather(*(crew.hire() for _ in range(members)))
            yield crew
        finally:
            await asyncio.gather(*(member.kill() for member in crew.members))
