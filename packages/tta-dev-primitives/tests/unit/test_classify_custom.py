"""Classification by functions of the user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.recovery.classification.classify import (
    classify_error,
    classify_with,
    stop_classifying_with,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.recovery.classification.classify import Classifier, ErrorKind


@pytest.fixture
def forget() -> Iterator[list[Classifier]]:
    """Take classifiers away after the test."""
    added: list[Classifier] = []
    yield added
    for classifier in added:
        stop_classifying_with(classifier)


def test_the_classifier_given_last_is_asked_first(forget: list[Classifier]) -> None:
    """And all of them before the built-in rules; None hands on."""

    def first(error: Exception) -> ErrorKind | None:
        return "content_policy" if isinstance(error, ValueError) else None

    def second(error: Exception) -> ErrorKind | None:
        return "auth" if str(error) == "key" else None

    forget += [classify_with(first), classify_with(second)]
    assert classify_error(ValueError("words")) == "content_policy"
    assert classify_error(ValueError("key")) == "auth"
    assert classify_error(TimeoutError()) == "timeout"
    assert stop_classifying_with(first)
    assert not stop_classifying_with(first)
    assert classify_error(ValueError("words")) == "unknown"


def test_a_broken_classifier_is_logged_once_and_passed_over(
    forget: list[Classifier], caplog: pytest.LogCaptureFixture
) -> None:
    """The error that it was asked about must not be lost over it."""

    async def late() -> ErrorKind:
        return "auth"

    def raises(error: Exception) -> ErrorKind | None:
        raise ZeroDivisionError

    def wrong(error: Exception) -> Any:
        return "no such kind"

    def unfinished(error: Exception) -> Any:
        return late()

    forget += [classify_with(c) for c in (raises, wrong, unfinished)]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert classify_error(TimeoutError()) == "timeout"
    assert len(caplog.records) == 3
    assert "'no such kind' is no kind of error" in str(caplog.text)


def test_what_is_no_classifier_is_refused() -> None:
    """When it is given."""

    async def asynchronous(error: Exception) -> ErrorKind | None:
        return None

    for bad in (7, None, asynchronous):
        given_value: Any = bad
        with pytest.raises(ConfigurationError, match="a classifier is a synchronous function"):
            classify_with(given_value)
