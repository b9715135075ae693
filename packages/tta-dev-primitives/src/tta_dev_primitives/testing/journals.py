"""What every journal of sagas must hold, as a test class to inherit from.

    class TestMyJournal(SagaJournalConformance):
        def make_journal(self) -> MyJournal:
            return MyJournal()

The checks use nothing but the protocol `SagaJournal`, so they hold back no journal that keeps it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, get_args

from tta_dev_primitives.recovery.saga.journal import EntryKind, JournalEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tta_dev_primitives.recovery.saga.journal import SagaJournal

__all__ = ("SagaJournalConformance",)

_OPEN = JournalEntry(kind="run", step="saga", value="{}")
_CLOSE = JournalEntry(kind="ended", value="undone")


class SagaJournalConformance(ABC):
    """Checks an implementation of `SagaJournal`."""

    @abstractmethod
    def make_journal(self) -> SagaJournal:
        """Return a new journal with nothing in it."""

    def reopened(self, journal: SagaJournal) -> SagaJournal:
        """Return the journal as the next process finds it. Default: the same object."""
        return journal

    def test_a_run_is_read_as_it_was_appended(self) -> None:
        """Every kind of entry, in order, with every text that there is."""
        texts = (
            None,
            "",
            "{}",
            'a "quoted"\nline\u2028',
            "\x00\x7f",
            "\U0001f600 é",
            "x" * 100_000,
        )
        entries = [
            JournalEntry(kind=kind, step=f"step[{number}]/é\n", value=text)
            for number, text in enumerate(texts)
            for kind in get_args(EntryKind)
        ]
        _hold(asyncio.run(self._kept({"run": entries})) == {"run": entries}, "entries changed")

    def test_runs_are_kept_apart(self) -> None:
        """However their entries alternate, and whatever their ids hold."""
        runs = {name: [_OPEN, _CLOSE] for name in ("a", "A", "a/b", "a\nb", "é")}
        _hold(asyncio.run(self._kept(runs)) == runs, "entries of one run are in another")

    def test_an_unknown_run_has_no_entries(self) -> None:
        """To ask for one is no error, and makes none."""

        async def check() -> None:
            journal = self.make_journal()
            _hold(not await journal.read("unknown"), "an unknown run has entries")
            _hold(not await journal.unfinished(), "asking for a run has made one")

        asyncio.run(check())

    def test_runs_are_unfinished_until_they_end(self) -> None:
        """The oldest first."""

        async def check() -> None:
            journal = self.make_journal()
            for run in ("c", "a", "b"):
                await journal.append(run, _OPEN)
            _hold(list(await journal.unfinished()) == ["c", "a", "b"], "not the oldest first")
            await journal.append("a", _CLOSE)
            journal = self.reopened(journal)
            _hold(list(await journal.unfinished()) == ["c", "b"], "an ended run is unfinished")

        asyncio.run(check())

    def test_appends_at_once_lose_nothing(self) -> None:
        """Many runs append at the same time; the entries of each stay in order."""

        async def check() -> None:
            journal = self.make_journal()

            async def run(name: str) -> None:
                for number in range(5):
                    await journal.append(name, JournalEntry(kind="began", step=f"{number}"))

            names = [f"r{number}" for number in range(20)]
            await asyncio.gather(*map(run, names))
            journal = self.reopened(journal)
            for name in names:
                steps = [entry.step for entry in await journal.read(name)]
                _hold(steps == list("01234"), f"the entries of {name} are {steps}")

        asyncio.run(check())

    def test_what_was_read_does_not_change_the_journal(self) -> None:
        """A caller may do with it what it likes."""

        async def check() -> None:
            journal = self.make_journal()
            await journal.append("r", _OPEN)
            found = await journal.read("r")
            if isinstance(found, list):
                found.clear()
            _hold(len(await journal.read("r")) == 1, "the journal shares its list")

        asyncio.run(check())

    async def _kept(self, runs: dict[str, list[JournalEntry]]) -> dict[str, Sequence[JournalEntry]]:
        """Append the entries of runs by turns, and read them back."""
        journal = self.make_journal()
        for number in range(max(map(len, runs.values()))):
            for run, entries in runs.items():
                await journal.append(run, entries[number])
        journal = self.reopened(journal)
        return {run: list(await journal.read(run)) for run in runs}


def _hold(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - the fact itself
    if not fact:
        raise AssertionError(otherwise)
