"""Recorded cases as tests of their own."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.errors import KeployError
from keploy_framework.mock.recordings import recorded_sets
from keploy_framework.pytest_plugin.names import shortened
from keploy_framework.replay import replaying
from keploy_framework.replay.plan import Plans
from keploy_framework.report import terminal_report
from keploy_framework.results import TestResults

if TYPE_CHECKING:
    from pathlib import Path

    from keploy_framework.results import CaseOutcome

__all__ = ("Case", "cases_of")


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded case.

    Attributes:
        folder: The `keploy` folder.
        test_set: The name of its set.
        name: Its name.
        plans: Reads the recording, once for all cases that share it.
    """

    folder: Path
    test_set: str
    name: str
    plans: Plans = field(default_factory=Plans, repr=False, compare=False)

    @property
    def short_name(self) -> str:
        """Its name, cut where it is long: the id of its test."""
        return shortened(self.name)

    def check(self, target: Any, **options: Any) -> CaseOutcome:
        """Replay the case, with those whose answers it needs, and fail where it differs.

        A case that cannot be replayed is skipped, with the reason. In an async test: `acheck`.

        Args:
            target: An ASGI or WSGI application, a URL, or a `Command`.
            options: Those of `replay`, such as `freeze=True`.

        Returns:
            What came of it.

        Raises:
            RuntimeError: An event loop runs here.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.acheck(target, **options))
        raise RuntimeError("an event loop runs here: use `await keploy_case.acheck(...)`")

    async def acheck(self, target: Any, **options: Any) -> CaseOutcome:
        """Do the same in an async test; see `check`."""
        chosen: dict[str, Any] = {"test_sets": [self.test_set], "cases": [self.name], **options}
        async with replaying(target, self.folder, read=self.plans, **chosen) as running:
            await running.once()
        return self._judged(running.results())

    def _judged(self, results: TestResults) -> CaseOutcome:
        mine = [case for case in results.test_cases if case.name == self.name]
        if not mine:
            pytest.fail(f"{self.test_set}/{self.name} was not replayed", pytrace=False)
        outcome = mine[0]
        if outcome.status == "IGNORED":
            pytest.skip(outcome.reason)
        if outcome.status != "PASSED":
            shown = TestResults.of(
                mine,
                notices=results.notices,
                app_log=results.app_log,
                started_at=outcome.started_at,
                ended_at=outcome.ended_at,
            )
            pytest.fail(terminal_report(shown), pytrace=False)
        return outcome


def cases_of(mark: pytest.Mark, root: Path, where: str) -> list[Case]:
    """Return the cases that a mark names.

    Raises:
        pytest.UsageError: The mark names no path, something else besides, or no recording.
    """
    if len(mark.args) != 1 or not isinstance(mark.args[0], (str, os.PathLike)) or mark.kwargs:
        given = ", ".join([*map(repr, mark.args), *(f"{key}=…" for key in mark.kwargs)])
        raise pytest.UsageError(
            f"{where}: the mark keploy_cases takes the path of a test set, not ({given:.80})"
        )
    try:
        sets = recorded_sets(root / mark.args[0])
        plans = Plans()
        found = [
            Case(one.path.parent, one.name, name, plans)
            for one in sets
            for name in one.case_names()
        ]
    except KeployError as error:
        raise pytest.UsageError(f"{where}: the mark keploy_cases: {error}") from error
    if not found:
        raise pytest.UsageError(f"{where}: there are no test cases in {mark.args[0]}")
    return found
