"""What changed between two runs: what broke, what was mended, what fails in another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keploy_framework.storage.reports import CaseReport, RunReport

__all__ = ("RunChanges", "compare_runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """How a run differs from an earlier one; each entry is the id of a case.

    Attributes:
        old: The name of the earlier run.
        new: The name of the later one.
        broken: Passed then, and does not now.
        mended: Did not pass then, and does now.
        different: Failed both times, but not in the same places.
        failing: Failed both times, in the same places.
        added: Only in the later run.
        gone: Only in the earlier run.
    """

    old: str
    new: str
    broken: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both runs say the same of the same cases."""
        return not (self.broken or self.mended or self.different or self.added or self.gone)

    def __str__(self) -> str:
        """Return one line for each case that changed, and one of counts."""
        words = {
            "broken": "broke",
            "mended": "was mended",
            "different": "fails in another way",
            "added": "is new",
            "gone": "is gone",
        }
        lines = [f"{name} {word}" for field, word in words.items() for name in getattr(self, field)]
        same = f"{len(self.failing)} still fail" if self.failing else "nothing else fails"
        head = "no change" if self.is_empty else f"{len(lines)} changes"
        return "\n".join([*lines, f"{self.old} to {self.new}: {head}, {same}"])


def compare_runs(old: RunReport, new: RunReport) -> RunChanges:
    """Return how one run differs from an earlier one.

    Example:
        >>> from keploy_framework.report import CaseReport, RunReport
        >>> one = RunReport(
        ...     "test-run-0", (CaseReport(test_set="s", name="c", status="PASSED"),), {}
        ... )
        >>> two = RunReport(
        ...     "test-run-1", (CaseReport(test_set="s", name="c", status="FAILED"),), {}
        ... )
        >>> print(compare_runs(one, two))
        s/c broke
        test-run-0 to test-run-1: 1 changes, nothing else fails
    """
    before = {case.id: case for case in old.cases}
    after = {case.id: case for case in new.cases}
    kinds: dict[str, list[str]] = {}
    for name, case in after.items():
        kind = _kind(before.get(name), case)
        kinds.setdefault(kind, []).append(name)
    kinds["gone"] = [name for name in before if name not in after]
    found = {kind: tuple(names) for kind, names in kinds.items() if kind}
    return RunChanges(old=old.name, new=new.name, **found)


def _kind(old: CaseReport | None, new: CaseReport) -> str:
    if old is None:
        return "added"
    if old.status == new.status == "PASSED":
        return ""
    if "PASSED" not in {old.status, new.status}:
        same = (old.status, old.changed) == (new.status, new.changed)
        return "failing" if same else "different"
    return "broken" if old.status == "PASSED" else "mended"
