"""What a case asserts in so many words: that decides, beside what typed noise rules keep true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import FormatError
from keploy_framework.matching import (
    ASSERTIONS,
    answer_differences,
    assertion_differences,
    decoded_body,
)
from keploy_framework.model import Piece
from keploy_framework.redact import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from keploy_framework.matching import Difference, SameSecrets
    from keploy_framework.model import Response
    from keploy_framework.noise import NoiseRules
    from keploy_framework.storage.stored import StoredCase

__all__ = ("assertions_of", "broken", "left_standing", "with_recorded_names")

_SILENT: Final = frozenset({"noise"})


def assertions_of(stored: StoredCase) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the assertions of a case that are known, and the names of others.

    Raises:
        FormatError: One has a value that it cannot have.
    """
    known = {name: stored.assertions[name] for name in ASSERTIONS if name in stored.assertions}
    try:
        assertion_differences(known, 200, (), b"")
    except FormatError as error:
        raise FormatError(f"assertions: {error.message}", path=str(stored.path)) from None
    return known, tuple(sorted(stored.assertions.keys() - set(ASSERTIONS) - _SILENT))


def broken(
    assertions: Mapping[str, object], expected: Response, actual: Response, shown: Response
) -> Iterator[Difference]:
    """Yield what an answer does not hold of what is asserted.

    Args:
        assertions: What is.
        expected: What was recorded, for ``json_equal``.
        actual: What came, with its secrets: an assertion may speak of them.
        shown: The same as it may be told, with the placeholders of the recording.
    """
    for name, value in assertions.items():
        one = {name: value}
        if name == "json_equal" and expected.omitted is not None:
            for found in answer_differences(expected, actual):
                if found.path.partition(".")[0] == "body":
                    yield replace(found, asserted=name)
        elif shown is actual or _failing(one, expected, actual):
            yield from _failing(one, expected, shown)


def _failing(one: Mapping[str, object], expected: Response, actual: Response) -> list[Difference]:
    found = assertion_differences(
        one,
        actual.status,
        actual.headers,
        decoded_body(actual.headers, actual.body),
        recorded=decoded_body(expected.headers, expected.body),
    )
    return found or []


def left_standing(
    found: Sequence[Difference], noise: NoiseRules, follows: Callable[[Difference], bool]
) -> Iterator[Difference]:
    """Yield those differences from the recording that count beside assertions.

    They are those at places of which a typed rule of noise tells what stays true, and an answer
    that is not whole; assertions themselves count unless they only follow from earlier answers.
    """
    for each in found:
        if each.asserted:
            if not follows(each):
                yield each
        elif each.path == "failure" or noise.asserts(each.path):
            yield each


def with_recorded_names(response: Response, secrets: SameSecrets | None) -> Response:
    """Return an answer in which secrets have the placeholders of the recording, where known."""
    if secrets is None:
        return response

    def name(text: str) -> str:
        return PLACEHOLDER.sub(lambda found: secrets.recorded(found[0]) or found[0], text)

    body = decoded_body(response.headers, response.body)
    renamed = name(body.decode("latin-1")).encode("latin-1")
    headers = tuple((key, name(value)) for key, value in response.headers)
    if renamed == body:
        return replace(response, headers=headers)
    plain = tuple(line for line in headers if line[0].lower() != "content-encoding")
    return replace(response, headers=plain, pieces=(Piece(0.0, renamed),))
