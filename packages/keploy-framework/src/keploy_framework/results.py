"""What a replay found: one outcome for each case, and what they come to together.

Rates are fractions from 0 to 1. A run in which nothing was compared is never a success.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from keploy_framework.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from keploy_framework.model import Exchange

__all__ = (
    "CaseDifference",
    "CaseOutcome",
    "CaseStatus",
    "ResultValidator",
    "SetStatus",
    "TestResults",
    "UnansweredCall",
)

CaseStatus: TypeAlias = Literal["PASSED", "FAILED", "IGNORED", "OBSOLETE"]
"""What became of a case, in Keploy's words: IGNORED was not replayed, for a reason that is told;
OBSOLETE has lost what it would be compared with."""

SetStatus: TypeAlias = Literal[
    "PASSED", "FAILED", "APP_HALTED", "APP_FAULT", "IGNORED", "NO_TESTS_TO_RUN"
]
"""What became of a test set, in Keploy's words: APP_FAULT when no case of it got an answer,
APP_HALTED when the application was gone before the last case."""

_SHOWN = 5


class CaseDifference(Protocol):
    """One way in which an answer is not the recorded one, as the matching tells it."""

    @property
    def path(self) -> str:
        """Where, in the words of noise files: `status`, `header.Name`, `body.a.b`."""
        ...

    @property
    def kind(self) -> str:
        """What is different: missing, added, type, value, order, length."""
        ...

    @property
    def expected(self) -> object:
        """What was recorded."""
        ...

    @property
    def actual(self) -> object:
        """What came."""
        ...

    @property
    def place(self) -> str:
        """Where exactly, for people."""
        ...

    @property
    def asserted(self) -> str:
        """The assertion of the case that does not hold; "" for a difference from the recording."""
        ...


class UnansweredCall(Protocol):
    """An outbound call that no recording answers; its text explains it."""

    @property
    def request(self) -> str:
        """The method and the URL."""
        ...

    @property
    def nearest(self) -> str | None:
        """The name of the recording that is most like it."""
        ...

    @property
    def differences(self) -> Sequence[CaseDifference]:
        """How the call differs from that one."""
        ...

    @property
    def hint(self) -> str:
        """A line that would make it match; "" if none can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """What became of one case.

    Attributes:
        test_set: The set that it belongs to.
        name: Its name.
        status: What became of it.
        kind: `Http`, `WebSocket`, or a kind that is only carried through.
        reason: Why it failed or was ignored, in a sentence; "" if it passed.
        differences: How the answer differs from the recorded one, noise left out.
        excused: Differences that noise rules excuse, or that follow from another case's.
        noise: The noise rules of the case itself.
        expected: What was recorded.
        actual: What came, without secrets; None if it is what was recorded, or if nothing came.
        played: The names of the mocks that answered its outbound calls, in order.
        unplayed: The names of its mocks that nothing asked for.
        unanswered: Its outbound calls that no mock answers.
        crashed: Whether the application gave no whole answer: it raised, hung, or was gone.
        started_at: When it was replayed, in nanoseconds since the epoch.
        ended_at: When its answer was compared, in the same unit.
        path: Its file; None if it is not known.
    """

    test_set: str
    name: str
    status: CaseStatus
    kind: str = "Http"
    reason: str = ""
    differences: tuple[CaseDifference, ...] = ()
    excused: tuple[CaseDifference, ...] = ()
    noise: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    expected: Exchange | None = None
    actual: Exchange | None = None
    played: tuple[str, ...] = ()
    unplayed: tuple[str, ...] = ()
    unanswered: tuple[UnansweredCall, ...] = ()
    crashed: bool = False
    started_at: int = 0
    ended_at: int = 0
    path: Path | None = None

    @property
    def id(self) -> str:
        """The set and the name: `test-set-0/get-users-1`."""
        return f"{self.test_set}/{self.name}"

    def __str__(self) -> str:
        """Return the outcome in some lines: the id, the status, the reason, the differences."""
        lines = [f"{self.id}: {self.status}"]
        if self.reason:
            lines[0] += f": {self.reason}"
        lines += [f"  {difference}" for difference in self.differences]
        for call in self.unanswered:
            lines += [f"  {line}" for line in str(call).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResults:
    """What a run came to.

    Attributes:
        total: How many cases there were, those that were ignored included.
        passed: How many passed.
        failed: How many did not.
        test_cases: The outcome of each, in the order of the recording.
        notices: What a reader should know of the run, one sentence each.
        app_log: The end of what the application printed, if it was started here.
        started_at: When the run began, in nanoseconds since the epoch.
        ended_at: When it ended, in the same unit.

    Raises:
        OptionError: The numbers contradict each other.

    Example:
        >>> results = TestResults(total=10, passed=9, failed=1)
        >>> results.pass_rate, results.is_success
        (0.9, False)
        >>> TestResults(total=0, passed=0, failed=0).is_success
        False
    """

    __test__ = False  # its name begins as those of pytest's classes do

    total: int
    passed: int
    failed: int
    test_cases: tuple[CaseOutcome, ...] = ()
    notices: tuple[str, ...] = ()
    app_log: str = ""
    started_at: int = 0
    ended_at: int = 0

    def __post_init__(self) -> None:
        counts = (self.total, self.passed, self.failed)
        whole = all(
            isinstance(cast("object", count), int) and not isinstance(cast("object", count), bool)
            for count in counts
        )
        if not whole or min(counts) < 0 or self.passed + self.failed > self.total:
            raise OptionError(
                f"total={self.total!r:.20}, passed={self.passed!r:.20} and "
                f"failed={self.failed!r:.20} cannot be the counts of one run"
            )

    @classmethod
    def of(
        cls,
        outcomes: Iterable[CaseOutcome],
        *,
        notices: Iterable[str] = (),
        app_log: str = "",
        started_at: int = 0,
        ended_at: int = 0,
    ) -> TestResults:
        """Count outcomes; a run that joins others is made of all their outcomes."""
        cases = tuple(outcomes)
        return cls(
            total=len(cases),
            passed=sum(case.status == "PASSED" for case in cases),
            failed=sum(case.status in {"FAILED", "OBSOLETE"} for case in cases),
            test_cases=cases,
            notices=tuple(dict.fromkeys(notices)),
            app_log=app_log,
            started_at=started_at,
            ended_at=ended_at,
        )

    @property
    def pass_rate(self) -> float:
        """The fraction of the compared cases that passed, from 0 to 1; 0 if none was compared."""
        compared = self.passed + self.failed
        return self.passed / compared if compared else 0.0

    @property
    def is_success(self) -> bool:
        """Whether something was compared, and all of it passed."""
        return self.passed > 0 and self.failed == 0

    @property
    def failures(self) -> tuple[CaseOutcome, ...]:
        """The outcomes of the cases that did not pass, ignored ones left out."""
        return tuple(case for case in self.test_cases if case.status in {"FAILED", "OBSOLETE"})

    @property
    def sets(self) -> dict[str, SetStatus]:
        """The status of each test set, in the order of the run."""
        names = dict.fromkeys(case.test_set for case in self.test_cases)
        return {
            name: _set_status([case for case in self.test_cases if case.test_set == name])
            for name in names
        }

    def __str__(self) -> str:
        """Return one line of counts, and some lines for each failure."""
        if not self.total:
            return "nothing was replayed: there are no test cases"
        lines = [f"{self.passed} of {self.total} cases passed, {self.failed} failed"]
        return "\n".join([*lines, *map(str, self.failures)])


class ResultValidator:
    """Says whether a run is good enough.

    Args:
        min_pass_rate: The fraction of cases that have to pass, from 0 to 1.

    Raises:
        OptionError: The rate is no fraction.

    Example:
        >>> validator = ResultValidator(min_pass_rate=0.9)
        >>> validator.validate_test_run(TestResults(total=10, passed=9, failed=1))
        True
        >>> validator.validate_test_run(TestResults(total=0, passed=0, failed=0))
        False
    """

    def __init__(self, min_pass_rate: float = 0.8) -> None:
        self.min_pass_rate: float = _rate("min_pass_rate", min_pass_rate)

    def validate_test_run(
        self, results: TestResults, expected_pass_rate: float | None = None
    ) -> bool:
        """Say whether enough cases passed; never if none was compared.

        Args:
            results: The run.
            expected_pass_rate: The fraction for this run; None takes `min_pass_rate`.

        Raises:
            OptionError: The rate is no fraction.
        """
        wanted = self._wanted(expected_pass_rate)
        return results.passed + results.failed > 0 and results.pass_rate >= wanted

    def assert_pass_rate(
        self, results: TestResults, expected_pass_rate: float | None = None
    ) -> None:
        """Raise unless enough cases passed.

        Raises:
            AssertionError: Too few did, or none was compared; it tells which failed, and how.
            OptionError: The rate is no fraction.
        """
        if self.validate_test_run(results, expected_pass_rate):
            return
        if not results.passed + results.failed:
            raise AssertionError("nothing was compared: a run of nothing is not a pass")
        shown = [str(case) for case in results.failures[:_SHOWN]]
        if len(results.failures) > _SHOWN:
            shown.append(f"and {len(results.failures) - _SHOWN} more")
        wanted = self._wanted(expected_pass_rate)
        head = f"{results.pass_rate:.4g} of the cases passed, {wanted:.4g} were expected"
        raise AssertionError("\n".join([head, *shown]))

    def _wanted(self, expected: float | None) -> float:
        return self.min_pass_rate if expected is None else _rate("expected_pass_rate", expected)


def _rate(option: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise OptionError(f"{option} must be a fraction from 0 to 1, not {value!r:.60}")
    if value > 1:
        meant = f": for {value:g} percent write {value / 100:g}" if value <= 100 else ""  # noqa: PLR2004 - percent
        raise OptionError(f"{option} must be a fraction from 0 to 1, not {value!r:.60}{meant}")
    return float(value)


def _set_status(cases: Sequence[CaseOutcome]) -> SetStatus:
    compared = [case for case in cases if case.status != "IGNORED"]
    if not compared:
        return "IGNORED" if cases else "NO_TESTS_TO_RUN"
    if all(case.status == "PASSED" for case in compared):
        return "PASSED"
    if all(case.crashed for case in compared):
        return "APP_FAULT"
    return "APP_HALTED" if compared[-1].crashed else "FAILED"
