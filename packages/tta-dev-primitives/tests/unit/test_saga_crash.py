"""A process that runs a saga is killed with SIGKILL, and the next one makes it good."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.recovery import FileJournal, Saga, saga_key

if TYPE_CHECKING:
    from tta_dev_primitives.recovery.saga.journal import JournalEntry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

STEPS = 3


def die_at(place: str, name: str) -> None:
    """Kill this process if it was asked to die here."""
    if place == name:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)


class Service:
    """What the steps act on: a folder that holds a file for each thing that is done."""

    def __init__(self, folder: Path, die: str = "") -> None:
        self.folder = folder
        self.die = die

    def _file(self) -> Path:
        return self.folder / saga_key().replace("/", "-")

    def saga(self, *, failing: bool = False, **options: Any) -> Any:
        saga: Any = Saga(journal=DyingJournal(self.folder.parent / "journal", self.die), **options)
        for number in range(STEPS):

            async def do(given: int, number: int = number) -> int:
                die_at(self.die, f"before do{number}")
                if failing and number == STEPS - 1:
                    message = "the last step"
                    raise ConnectionError(message)
                await asyncio.to_thread(self._file().write_text, str(given))
                die_at(self.die, f"after do{number}")
                return given + 1

            async def undo(
                context: object, given: int, result: int | None, number: int = number
            ) -> None:
                die_at(self.die, f"before undo{number}")
                assert given == number
                assert result in {number + 1, None}
                await asyncio.to_thread(self._file().unlink, missing_ok=True)
                die_at(self.die, f"after undo{number}")

            do.__name__, undo.__name__ = f"do{number}", f"undo{number}"
            saga.add_step(do, rollback=undo)
        return saga

    def done(self) -> int:
        return len(list(self.folder.iterdir()))


class DyingJournal(FileJournal):
    """A journal whose process dies in the middle of writing a line, if it was asked to."""

    def __init__(self, path: Path, die: str) -> None:
        super().__init__(path)
        self.die = die

    async def append(self, run_id: str, entry: JournalEntry, /) -> None:
        if self.die == f"torn {entry.kind} {entry.step}".strip():
            with self.path.open("ab") as file:
                file.write(b'{"run": "' + run_id.encode()[:7])
            die_at(self.die, self.die)
        await super().append(run_id, entry)


FORWARDS = [
    f"{when} do{n}" for when in ("before", "after", "torn began", "torn done") for n in (0, 2)
]
BACKWARDS = [
    "before undo1",
    "after undo1",
    "torn undoing do0",
    "torn undone do0",
    "before undo0",
    "torn failed do2",
    "torn ended",
]


@pytest.mark.parametrize("place", ["nowhere", *FORWARDS, *BACKWARDS, "torn run compensation"])
@pytest.mark.slow
def test_a_killed_saga_is_undone_by_the_next_process(place: str, tmp_path: Path) -> None:
    """Wherever it dies: nothing that was done stays done, and nothing is left to recover."""
    folder = tmp_path / "service"
    folder.mkdir()
    failing = place in BACKWARDS or place == "nowhere"
    died = subprocess.run(
        [sys.executable, __file__, str(folder), place, str(int(failing))],
        capture_output=True,
        check=False,
        text=True,
    )
    if place == "nowhere":
        assert died.returncode == 1
        assert "ConnectionError: the last step" in died.stderr
        assert "saga 'compensation': undone: do2, do1, do0" in died.stderr
    else:
        assert died.returncode == -9, died.stderr
    saga = Service(folder).saga(undo_failed=True)
    reports = asyncio.run(saga.recover())
    assert len(reports) == (0 if place in {"nowhere", "torn run compensation"} else 1)
    assert all(report.outcome == "undone" for report in reports)
    assert Service(folder).done() == 0
    assert asyncio.run(saga.recover()) == ()
    assert asyncio.run(saga.execute(0)) == STEPS
    assert Service(folder).done() == STEPS


def test_a_saga_that_dies_after_its_last_step_is_complete(tmp_path: Path) -> None:
    """All steps are done and recorded, so none is undone."""
    folder = tmp_path / "service"
    folder.mkdir()
    died = subprocess.run([sys.executable, __file__, str(folder), "torn ended", "0"], check=False)
    assert died.returncode == -9
    (report,) = asyncio.run(Service(folder).saga(undo_failed=True).recover())
    assert report.outcome == "completed"
    assert Service(folder).done() == STEPS


if __name__ == "__main__":
    service = Service(Path(sys.argv[1]), sys.argv[2])
    asyncio.run(service.saga(failing=sys.argv[3] == "1", undo_failed=True).execute(0))
