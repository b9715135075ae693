"""Texts that are the same but for numbers, times and tokens: what still has to be true of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.matching import Difference, body_differences, body_kind
from keploy_framework.noise import NoiseRules, classify, typed_pattern
from keploy_framework.noise.text_pattern import alternatives, text_pattern


@pytest.mark.parametrize(
    ("values", "fits", "does_not"),
    [
        (["took 1.25 ms", "took 17 ms"], "took 3.5 ms", "took long"),
        (['"254-1795-256"', '"255-1796-256"'], '"9-9-256"', '"9-9-257"'),
        (["on Sat, 21 Nov 2026 09:12:15 GMT", "on Sat, 21 Nov 2026 09:12:19 GMT"],
         "on Sun, 22 Nov 2026 01:00:00 GMT", "on a day"),
        (["- Sat Nov 21 09:12:15 2026 -", "- Sat Nov 21 09:12:19 2026 -"],
         "- Sun Dec  6 01:00:00 2026 -", "- never -"),
        (["id 9f86d0818 of 2", "id 60303ae22 of 2"], "id fd61a03af of 2", "id fd61a03af of 3"),
        (["at 09:12 and 3", "at 09:13 and 4"], "at 10:59 and 7", "at noon and 7"),
    ],
)  # fmt: skip
def test_what_varies_may_vary_and_the_rest_has_to_stay(
    values: list[str], fits: str, does_not: str
) -> None:
    """The pattern fits other values of the same make, and nothing else."""
    pattern = text_pattern(values)

    assert pattern is not None
    assert all(re.fullmatch(pattern, value) for value in [*values, fits])
    assert not re.fullmatch(pattern, does_not)


@pytest.mark.parametrize(
    "values",
    [
        ["in stock", "sold out"],
        ["one word", "one word more"],
        ["17", "18"],
        ["x" * 9000 + "1", "x" * 9000 + "2"],
    ],
)
def test_words_are_no_noise(values: list[str]) -> None:
    """Another word, more of them, nothing in common, or too much of it."""
    assert text_pattern(values) is None


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=4, unique=True), st.text(max_size=20))
def test_a_pattern_fits_all_that_it_was_made_of(numbers: list[int], around: str) -> None:
    """Whatever stands around the numbers, in whatever script."""
    values = [f"{around} {number} ends" for number in numbers]
    pattern = text_pattern(values)

    assert pattern is None or all(re.fullmatch(pattern, value) for value in values)


def test_lines_of_a_page_become_one_rule() -> None:
    """Each line that varies is an alternative; a line that says something else is a difference."""
    pages = [f"<p>1</p>\n<p>took {n}.5ms</p>\n<p>{n} of 7</p>\n".encode() for n in (1, 2, 3, 9)]
    passes = [body_differences(pages[0], page, content_type="text/html") for page in pages[1:3]]
    (evidence,) = classify(passes)
    path, patterns = evidence.entry
    rules = NoiseRules({path: patterns})

    assert (path, evidence.kind) == ("body.text", "text")
    assert not body_differences(pages[0], pages[3], content_type="text/html", excuses=rules)
    other = pages[3].replace(b"took", b"lost")
    assert body_differences(pages[0], other, content_type="text/html", excuses=rules)


def test_alternatives_leave_out_the_names_of_kinds() -> None:
    """A group can have a name once in a pattern."""
    pattern = alternatives(["^a(?P<tta_time>[0-9]+)$", "^b(?P<tta_time>[0-9]+)$"])

    assert re.search(pattern, "a1")
    assert re.search(pattern, "b2")
    assert not re.search(pattern, "c3")


def test_numbers_that_could_be_times_are_times_only_in_the_order_of_the_runs() -> None:
    """A checksum of ten digits lies between 2000 and 2100 too, by chance."""
    assert typed_pattern(["1795252041", "1795252042", "1795252044"]) == (
        "time",
        r"^(?P<tta_time>[0-9]{10,19}(?:\.[0-9]{1,9})?)$",
    )
    for values in (["3836634860", "1182040346"], ["1182040346", "3836634860", "3936634860"]):
        made = typed_pattern(values)
        assert made is not None
        assert made[0] == "number"


@pytest.mark.parametrize(
    "values",
    [
        ["12.100 s", "12.200 s", "12.300 s"],
        ["12.5 s", "13.5 s", "14.5 s"],
        ["in 12.5 s at 3", "in 12.7 s at 3"],
    ],
)
def test_half_of_a_decimal_counts_nothing(values: list[str]) -> None:
    """A lower fraction under a higher whole is no step back."""
    made = typed_pattern(values)

    assert made is not None
    assert made[0] == "text"
    assert re.fullmatch(made[1], values[0].replace("12.", "20."))


@pytest.mark.parametrize("values", [["1.2.3", "1.2.4"], ["v1.2.3-x", "v1.3.3-x"], ["a.1", "a.2"]])
def test_a_part_of_a_version_counts(values: list[str]) -> None:
    """Two points, or a name before the point: no decimal."""
    made = typed_pattern(values)

    assert made is not None
    assert made[0] == "counter"


def test_a_long_token_may_be_somewhat_longer() -> None:
    """Some encodings leave out what they cannot say; a digest in hex is as long as ever."""
    made = typed_pattern(["aB3" * 20, "cD4" * 20])
    hexadecimal = typed_pattern(["0a" * 32, "1b" * 32])

    assert made is not None
    assert re.search(made[1], "xY9" * 19)
    assert hexadecimal is not None
    assert not re.search(hexadecimal[1], "0a" * 31)


def test_letters_without_end_are_a_token() -> None:
    """No word has a hundred letters."""
    made = typed_pattern(["qwertzuiop" * 10, "poiuztrewq" * 10])

    assert made is not None
    assert made[0] == "token"


def test_the_json_of_aws_is_json() -> None:
    """It writes the version of the protocol behind the name."""
    assert body_kind("application/x-amz-json-1.1", b"{}") == "json"


def test_a_text_rule_is_not_one_for_the_whole_body() -> None:
    """A body's lines have a path of their own, for the bare section takes paths, not patterns."""
    rules = NoiseRules({"body.text": (r"^n=[0-9]+$",)})

    assert rules(Difference("body.text", "value", "n=1", "n=2", "body, line 1"))
    assert not rules(Difference("body.text", "value", "n=1", "m=2", "body, line 1"))
