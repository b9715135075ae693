"""Noise as files spell it, and what its rules excuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError
from keploy_framework.matching import Difference, answer_differences, json_differences, parsed
from keploy_framework.model import Piece, Response
from keploy_framework.noise import (
    NoiseRules,
    dotted,
    entries,
    explain,
    global_entries,
    line,
    noise_line,
    sectioned,
)


def _path(section: str, words: list[str]) -> str:
    return ".".join([section, *words])


PATHS = st.builds(
    _path,
    st.sampled_from(["body", "header", "url", "requestbody"]),
    st.lists(st.sampled_from(["a", "b", "Date", "x-y"]), min_size=1, max_size=3),
)
ENTRIES = st.dictionaries(
    PATHS, st.lists(st.sampled_from(["^a$", r"\d+", "x|y"]), max_size=2).map(tuple), max_size=4
)


@pytest.mark.parametrize(
    ("noise", "found"),
    [
        (None, {}),
        ({}, {}),
        ({"body.a.b": ["x"], "header.Date": []}, {"body.a.b": ("x",), "header.Date": ()}),
        ({"body": ["a.b", "c"], "header": ["x"]}, {"body.a.b": (), "body.c": (), "header.x": ()}),
        ({"body": []}, {"body": ()}),
        ({"body": ["*"]}, {"body": ()}),
        ({"body": None}, {"body": ()}),
        ({"body": {"a": ["x"], "*": ["*"]}}, {"body.a": ("x",), "body": ("*",)}),
        ({"body.a": "x"}, {"body.a": ("x",)}),
        ({"body.a": ["*"]}, {"body.a": ()}),
        (["body.a"], {"body.a": ()}),
    ],
)
def test_both_spellings_are_read(noise: object, found: dict[str, tuple[str, ...]]) -> None:
    """By dots, by section, by section and name."""
    assert entries(noise) == found


@pytest.mark.parametrize(
    "noise", ["body", 7, {7: []}, {"": []}, {"body.a": 7}, {"body.a": [7]}, [7]]
)
def test_what_is_no_noise_is_refused(noise: object) -> None:
    """With what was found."""
    with pytest.raises(FormatError):
        entries(noise)


@pytest.mark.parametrize("noise", ["x", {"bodies": {}}, ["a"]])
def test_global_noise_has_its_sections(noise: object) -> None:
    """An unknown section is an error, not noise that matches nothing."""
    with pytest.raises(FormatError):
        global_entries(noise)


@given(ENTRIES)
def test_what_is_written_is_read_back(noise: dict[str, tuple[str, ...]]) -> None:
    """In both spellings."""
    assert entries(dotted(noise)) == noise
    assert global_entries(sectioned(noise)) == noise


def change(path: str, kind: Any, expected: Any, actual: Any) -> Difference:
    return Difference(path, kind, expected, actual, path)


UUID = "^(?P<tta_uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$"


@pytest.mark.parametrize(
    ("path", "patterns", "difference", "excused"),
    [
        ("body.a", [], change("body.a", "value", 1, 2), True),
        ("body.a", [], change("body.a.b", "value", 1, 2), True),
        ("body.a", [], change("body.ab", "value", 1, 2), False),
        ("body.a", [], change("body", "value", 1, 2), False),
        ("body.a", [], change("body.x.a", "value", 1, 2), False),
        ("body.a", [], change("body.A", "value", 1, 2), False),
        ("body.a", [], change("body.a", "missing", 1, None), True),
        ("body.a", [], change("body.a", "type", 1, "x"), True),
        ("body", [], change("body.x.y", "added", None, 1), True),
        ("header.Date", [], change("header.date", "value", "a", "b"), True),
        ("header.date", [], change("header.X-Candidate-Id", "value", "a", "b"), False),
        ("Header.Date", [], change("header.Date", "missing", "a", None), True),
        ("body.a", ["^[0-9]+$"], change("body.a", "value", 1, 2), True),
        ("body.a", ["^[0-9]+$"], change("body.a", "value", "1", "x"), False),
        ("body.a", ["^[0-9]+$"], change("body.a", "missing", 1, None), False),
        ("body.a", ["^[0-9]+$"], change("body.a", "added", None, 1), False),
        ("body.a", ["^[0-9]+$"], change("body.a", "type", 1, "1"), False),
        ("body.a", ["^[0-9]+$"], change("body.a", "value", 1, "1"), False),
        ("body.a", ["^true$"], change("body.a", "value", False, True), True),
        ("body.a", ["."], change("body.a.b", "value", 1, 2), False),
        ("body.a", ["."], change("body.a", "order", [1, 2], [2, 1]), False),
        ("body.a", ["^(?P<tta_order>.*)$"], change("body.a", "order", [1, 2], [2, 1]), True),
        ("body.a", ["^(?P<tta_order>.*)$"], change("body.a", "length", 1, 2), False),
        (
            "body.a",
            [UUID],
            change("body.a", "value", "x", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
            True,
        ),
        ("body.a", [UUID], change("body.a", "value", "x", "3f2504e0"), False),
        ("body.a", ["^(?P<tta_counter>[0-9]+)$"], change("body.a", "value", 5, 6), True),
        ("body.a", ["^(?P<tta_counter>[0-9]+)$"], change("body.a", "value", 5, 4), False),
        ("body.a", ["^n(?P<tta_counter>[0-9]+)$"], change("body.a", "value", "n9", "n10"), True),
        ("body.a", ["^(?P<tta_float_e3>.+)$"], change("body.a", "value", 1.0, 1.0005), True),
        ("body.a", ["^(?P<tta_float_e3>.+)$"], change("body.a", "value", 1.0, 1.01), False),
        (
            "body.a",
            ["^(?P<tta_time>.+)$"],
            change("body.a", "value", "2024-01-01", "2025-01-01"),
            True,
        ),
        (
            "body.a",
            ["^(?P<tta_time>.+)$"],
            change("body.a", "value", "2024-01-01", "2025-13-01"),
            False,
        ),
        (
            "body.a",
            ["^(?P<tta_time>[0-9]+)$"],
            change("body.a", "value", 1700000000, 1700000009),
            True,
        ),
        ("body.a", ["^(?P<tta_time>[0-9]+)$"], change("body.a", "value", 1700000000, 7), False),
    ],
)
def test_a_rule_excuses_just_what_it_says(
    path: str, patterns: list[str], difference: Difference, *, excused: bool
) -> None:
    """Exact paths, subtrees only without patterns, and no pattern hides a change of shape."""
    assert NoiseRules({path: patterns})(difference) is excused


def test_the_nearer_level_overrides() -> None:
    """A case overrides its set, a set the configuration, path by path."""
    rules = NoiseRules(
        {"body.a": ["^1$"]},
        test_set={"body.a": [], "body.b": ["^2$"]},
        everywhere={"body.b": [], "body.c": []},
    )

    assert [rules(change(f"body.{key}", "value", 0, 9)) for key in "abc"] == [False, False, True]
    assert [rules(change(f"body.{key}", "value", 0, n)) for key, n in (("a", 1), ("b", 2))] == [
        True,
        True,
    ]
    assert rules.paths == ("body.b", "body.c", "body.a")
    assert rules
    assert not NoiseRules()
    assert not NoiseRules()(change("body", "value", 1, 2))


def test_a_pattern_that_is_none_is_refused() -> None:
    """With its path: it would match nothing without a word."""
    with pytest.raises(FormatError, match=r"noise of body\.a"):
        NoiseRules({"body.a": ["("]})


def test_rules_excuse_in_a_comparison() -> None:
    """The whole way: entries of a file, an answer, what is left."""
    head = (("Content-Type", "application/json"),)
    old = Response(
        200, headers=(*head, ("X-Id", "1")), pieces=(Piece(0, b'{"id": 1, "l": [{"t": 1}]}'),)
    )
    new = Response(
        200, headers=(*head, ("X-Id", "2")), pieces=(Piece(0, b'{"id": 2, "l": [{"t": 3}]}'),)
    )
    rules = NoiseRules(entries({"body": ["l.t"], "header.x-id": []}))

    assert [each.path for each in answer_differences(old, new, excuses=rules)] == ["body.id"]


@pytest.mark.parametrize(
    ("path", "patterns", "words"),
    [
        ("body.a", (), "body.a: []"),
        ("header.Location", ["^/it's$"], "header.Location: ['^/it''s$']"),
        ("body.a: b", ["x"], "\"body.a: b\": ['x']"),
        ("body.é", ["x", "y"], "body.é: ['x', 'y']"),
    ],
)
def test_lines_are_yaml(path: str, patterns: list[str], words: str) -> None:
    """What is to be pasted is read back as what it says."""
    import yaml

    assert line(path, patterns) == words
    assert entries(yaml.safe_load(words)) == {path: tuple(patterns)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            '{"a": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}',
            '{"a": "4f2504e0-4f89-11d3-9a0c-0305e82c3302"}',
        ),
        ('{"a": "2024-01-01T00:00:00Z"}', '{"a": "2024-01-02T00:00:00Z"}'),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
        ('{"a": [1, 2]}', '{"a": [2]}'),
        ('{"a": 1}', "{}"),
        ("{}", '{"a": {"b": 1}}'),
        ('{"a": "x"}', '{"a": 7}'),
        ('{"a": "x"}', '{"a": "y"}'),
        ('{"a": 5}', '{"a": 3}'),
        ('{"a b: c": 5}', '{"a b: c": 3}'),
    ],
)
def test_the_line_to_paste_does_excuse(old: str, new: str) -> None:
    """Pasted into the file, each line that is offered makes its difference go."""
    import yaml

    for difference in json_differences(parsed(old), parsed(new)):
        pasted = NoiseRules(entries(yaml.safe_load(noise_line(difference))))
        assert pasted(difference)
        assert noise_line(difference) in explain(difference)


def test_a_status_has_no_line() -> None:
    """It is never noise."""
    assert noise_line(change("status", "value", 200, 500)) == ""
    assert explain(change("status", "value", 200, 500)) == "status: 200 became 500"
