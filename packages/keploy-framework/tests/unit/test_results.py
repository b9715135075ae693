"""What a run comes to, and whether that is enough."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.matching import Difference, Miss
from keploy_framework.results import CaseOutcome, ResultValidator, TestResults

if TYPE_CHECKING:
    from keploy_framework.results import CaseStatus

STATUSES: tuple[CaseStatus, ...] = ("PASSED", "FAILED", "IGNORED", "OBSOLETE")


def outcome(status: CaseStatus, name: str = "one", **fields: Any) -> CaseOutcome:
    return CaseOutcome(test_set="test-set-0", name=name, status=status, **fields)


@given(st.lists(st.sampled_from(STATUSES), max_size=20))
def test_counts_and_rates_agree(statuses: list[CaseStatus]) -> None:
    """Passed, failed and ignored make up the total; the rate is that of what was compared."""
    results = TestResults.of(outcome(status) for status in statuses)
    assert results.total == len(statuses)
    assert results.passed == statuses.count("PASSED")
    assert len(results.failures) == results.failed
    assert 0.0 <= results.pass_rate <= 1.0
    assert results.is_success == (results.pass_rate == 1.0)
    assert ResultValidator(0).validate_test_run(results) == (results.passed + results.failed > 0)


def test_a_run_of_nothing_is_no_pass() -> None:
    """Without any case there is no success, not even for a rate of 0."""
    nothing = TestResults(total=0, passed=0, failed=0)
    assert not nothing.is_success
    assert nothing.pass_rate == 0.0
    assert not ResultValidator(0).validate_test_run(nothing)
    with pytest.raises(AssertionError, match="nothing was compared"):
        ResultValidator(0).assert_pass_rate(nothing)
    assert str(nothing) == "nothing was replayed: there are no test cases"


def test_ignored_cases_are_no_pass() -> None:
    """What was not replayed neither fails nor passes."""
    results = TestResults.of([outcome("IGNORED")])
    assert not results.is_success
    assert results.sets == {"test-set-0": "IGNORED"}


@pytest.mark.parametrize(
    ("statuses", "crashed", "expected"),
    [
        (["PASSED", "PASSED"], [False, False], "PASSED"),
        (["PASSED", "IGNORED"], [False, False], "PASSED"),
        (["PASSED", "FAILED"], [False, False], "FAILED"),
        (["FAILED", "PASSED"], [True, False], "FAILED"),
        (["PASSED", "FAILED"], [False, True], "APP_HALTED"),
        (["FAILED", "FAILED"], [True, True], "APP_FAULT"),
    ],
)
def test_sets_have_the_status_that_keploy_gives(
    statuses: list[CaseStatus], crashed: list[bool], expected: str
) -> None:
    """A set is told by its cases: passed, failed, halted on the way, or never there."""
    cases = [outcome(status, crashed=down) for status, down in zip(statuses, crashed, strict=True)]
    assert TestResults.of(cases).sets == {"test-set-0": expected}


@pytest.mark.parametrize(
    "counts",
    [(-1, 0, 0), (1, 1, 1), (1, True, 0), (1.0, 1, 0), (2, 3, 0)],
    ids=str,
)
def test_counts_that_cannot_be_are_refused(counts: tuple[Any, Any, Any]) -> None:
    """Numbers that contradict each other, or are none, raise."""
    total, passed, failed = counts
    with pytest.raises(OptionError):
        TestResults(total=total, passed=passed, failed=failed)


@pytest.mark.parametrize("rate", [80, 1.5, 101, -0.1, float("nan"), "0.8", None, True], ids=repr)
def test_a_rate_is_a_fraction(rate: Any) -> None:
    """Whatever is no number from 0 to 1 is refused."""
    with pytest.raises(OptionError, match="fraction from 0 to 1"):
        ResultValidator(rate)
    if rate is not None:
        with pytest.raises(OptionError, match="expected_pass_rate"):
            ResultValidator().validate_test_run(TestResults(total=1, passed=1, failed=0), rate)


def test_percent_are_told_as_the_fraction_that_was_meant() -> None:
    """80 is answered with 0.8."""
    with pytest.raises(OptionError, match=r"for 80 percent write 0\.8"):
        ResultValidator(80)


@given(st.floats(0, 1), st.integers(0, 50), st.integers(0, 50))
def test_enough_is_the_fraction_or_more(rate: float, passed: int, failed: int) -> None:
    """A run is good enough exactly when its rate is the wanted one or more."""
    results = TestResults(total=passed + failed, passed=passed, failed=failed)
    validator = ResultValidator(rate)
    good = passed + failed > 0 and results.pass_rate >= rate
    assert validator.validate_test_run(results) == good
    if good:
        validator.assert_pass_rate(results)
    else:
        with pytest.raises(AssertionError):
            validator.assert_pass_rate(results)


def test_a_failed_assertion_tells_what_failed() -> None:
    """The rate, the cases and their differences stand in the message; many are cut short."""
    difference = Difference("body.n", "value", 1, 2)
    cases = [outcome("FAILED", f"case-{n}", differences=(difference,)) for n in range(7)]
    with pytest.raises(AssertionError) as caught:
        ResultValidator().assert_pass_rate(TestResults.of(cases))
    text = str(caught.value)
    assert "0 of the cases passed, 0.8 were expected" in text
    assert "test-set-0/case-0: FAILED\n  body.n: 1 became 2" in text
    assert text.endswith("and 2 more")


def test_an_outcome_tells_its_unanswered_calls() -> None:
    """A call that nothing answers is explained in the outcome."""
    miss = Miss("GET http://h/b", "mock-0", (), played=False, hint="hint")
    text = str(outcome("FAILED", reason="1 difference", unanswered=(miss,)))
    assert text.startswith("test-set-0/one: FAILED: 1 difference\n  GET http://h/b")


def test_results_do_not_change_and_can_be_sent() -> None:
    """They are frozen, and survive pickling, as the error of a start does."""
    results = TestResults.of([outcome("PASSED")], notices=["a", "a"])
    assert results.notices == ("a",)
    assert pickle.loads(pickle.dumps(results)) == results  # noqa: S301 - our own
    with pytest.raises(FrozenInstanceError):
        results.total = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    error = AppStartError("no", output="log")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.output) == ("no\nlog", "log")


def test_pytest_takes_none_of_them_for_a_test() -> None:
    """Classes whose name begins with Test say that they are none."""
    assert TestResults.__test__ is False
