"""JSON bodies compared: what counts, what is said of it, and that depth and length do no harm."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.matching import (
    Difference,
    JSONRules,
    NotJSONError,
    SameSecrets,
    json_differences,
    parsed,
)
from keploy_framework.matching.json_value import Number, canonical, plain

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, 1.0])
    | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


def said(expected: str, actual: str, **rules: Any) -> list[str]:
    found = json_differences(parsed(expected), parsed(actual), rules=JSONRules(**rules))
    return [str(difference) for difference in found]


@pytest.mark.parametrize(
    ("expected", "actual", "words"),
    [
        ('{"a": 1}', '{"a": 2}', ["body.a: 1 became 2"]),
        ('{"a": 1}', '{"a": 1.0}', ["body.a: 1 became 1.0"]),
        ('{"a": 1}', '{"a": true}', ["body.a: 1 became true"]),
        ('{"a": 0}', '{"a": false}', ["body.a: 0 became false"]),
        ('{"a": "1"}', '{"a": 1}', ["body.a: '1' became 1"]),
        ('{"a": null}', "{}", ["body.a: missing, was null"]),
        ("{}", '{"a": null}', ["body.a: added, null"]),
        (
            '{"a": {"b": [1, 2]}}',
            '{"a": {"b": [2, 1]}}',
            ["body.a.b: the same elements in another order"],
        ),
        ("[1, 2, 3]", "[1, 3]", ["body[1]: 3 elements became 2"]),
        ("[1, 2]", "[1, 2, 3, 4]", ["body[2]: 2 elements became 4"]),
        (
            "[1, 2, 3]",
            "[7, 8]",
            ["body: 3 elements became 2", "body[0]: 1 became 7", "body[1]: 2 became 8"],
        ),
        ('{"a": 1, "a": 2}', '{"a": 2}', ["body.a: an array of 2 elements became 2"]),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', []),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            ["body: 123456789012345678901234567890 became 123456789012345678901234567891"],
        ),
        ("0.1", "0.10", ["body: 0.1 became 0.10"]),
        ("[NaN]", "[Infinity]", ["body[0]: nan became inf"]),
        ('[{"id": 1}, {"id": 2}]', '[{"id": 1}, {"id": 3}]', ["body[1].id: 2 became 3"]),
        ('{"a": []}', '{"a": {}}', ["body.a: an array of 0 elements became an object of 0 keys"]),
    ],
)
def test_every_change_is_said(expected: str, actual: str, words: list[str]) -> None:
    """Status of the art: the place, what was, what came."""
    assert said(expected, actual) == words


def test_paths_are_those_of_noise_files() -> None:
    """A path has no index; the place has one."""
    (found,) = json_differences(parsed('{"a": [{"b": 1}]}'), parsed('{"a": [{"b": 2}]}'))

    assert found == Difference("body.a.b", "value", 1, 2, "body.a[0].b")


@given(VALUES)
def test_a_value_is_itself_in_any_spelling(value: object) -> None:
    """Order of keys, spacing and escapes are no difference."""
    one = json.dumps(value)
    other = json.dumps(value, indent=3, ensure_ascii=False, sort_keys=True)

    assert said(one, other) == []


@given(VALUES, st.data())
def test_a_change_is_always_found(value: object, data: st.DataObject) -> None:
    """Whatever is changed, somewhere: there is a difference, and going back there is one, too."""
    places: list[tuple[Any, Any]] = []

    def walk(parent: object) -> None:
        item = cast("Any", parent)
        keys: list[Any] = []
        if isinstance(parent, list):
            keys = list(range(len(item)))
        elif isinstance(parent, dict):
            keys = list(item)
        for key in keys:
            places.append((item, key))
            walk(item[key])

    changed = copy.deepcopy(value)
    walk(changed)
    if not places:
        return
    parent, key = data.draw(st.sampled_from(places))
    new = data.draw(VALUES.filter(lambda v: json.dumps(v) != json.dumps(parent[key])))
    parent[key] = new
    if json.dumps(changed, sort_keys=True) == json.dumps(value, sort_keys=True):
        return

    assert said(json.dumps(value), json.dumps(changed))
    assert said(json.dumps(changed), json.dumps(value))


@given(VALUES, VALUES)
def test_order_may_be_ignored(one: object, other: object) -> None:
    """With that rule an array is the set of its elements, and nothing is lost otherwise."""
    both = json.dumps([one, other, one])
    assert said(both, json.dumps([one, one, other]), order="ignore") == []
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        different = said(both, json.dumps([one, other, other]), order="ignore")
        same = said(json.dumps([one]), json.dumps([other]), order="ignore")
        assert bool(different) is bool(same)


def test_noise_in_elements_does_not_spoil_their_pairing() -> None:
    """Unordered elements are paired by what is not noise."""
    found = json_differences(
        parsed('[{"n": 1, "t": "a"}, {"n": 2, "t": "b"}]'),
        parsed('[{"n": 2, "t": "x"}, {"n": 1, "t": "y"}]'),
        rules=JSONRules(order="ignore"),
        excuses=lambda difference: difference.path == "body.t",
    )

    assert found == []


@pytest.mark.parametrize(
    ("a", "b"), [("1", "1.0"), ("1e2", "100"), ("-0", "0"), ("1E400", "10e399"), ("0.10", "0.1")]
)
def test_numbers_may_be_compared_by_value(a: str, b: str) -> None:
    """By default the text of a number counts; by value equal ones are equal, exactly."""
    assert said(a, b)
    assert said(a, b, numbers="value") == []
    assert said("0.1", "0.1000000000000000000000001", numbers="value")


def test_the_shape_alone_may_be_compared() -> None:
    """Values, and how many elements there are, do not count; types and keys do."""
    recorded = '{"a": [{"b": 1, "c": "x"}], "d": null}'

    assert (
        said(
            recorded, '{"a": [{"b": 9, "c": ""}, {"b": 2, "c": "z"}], "d": null}', schema_only=True
        )
        == []
    )
    assert said(recorded, '{"a": [{"b": "9", "c": ""}], "d": null}', schema_only=True)
    assert said(recorded, '{"a": [{"b": 9}], "d": null}', schema_only=True)
    assert said(recorded, '{"a": [{"b": 9, "c": "", "e": 1}], "d": null}', schema_only=True)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_no_limit(open_: str, close: str) -> None:
    """Ten thousand levels are parsed, compared, found different, and shown."""
    deep = open_ * 10_000
    one, two = parsed(f"{deep}1{close * 10_000}"), parsed(f"{deep}2{close * 10_000}")

    (found,) = json_differences(one, two)
    assert (found.kind, found.expected, found.actual) == ("value", 1, 2)
    assert json_differences(one, parsed(f"{deep}1{close * 10_000}")) == []
    missing = json_differences(
        parsed('{"x": 0}'), parsed(f'{{"x": 0, "y": {deep}1{close * 10_000}}}')
    )
    assert [each.kind for each in missing] == ["added"]
    assert canonical(one) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        '{"a"}',
        '{"a":1,}',
        "nul",
        "01",
        "[1] 2",
        "'a'",
        '{"a" 1}',
        "{1: 2}",
        "]",
        "[}",
        '"\\x"',
        "+1",
        ".5",
    ],
)
@pytest.mark.parametrize("depth", [0, 3_000])
def test_what_is_no_json_is_refused(text: str, depth: int) -> None:
    """By the parser of the standard library, and by the one for deep texts alike."""
    with pytest.raises(NotJSONError):
        parsed("[" * depth + text + "]" * depth if depth and text else "[" * depth + text)


def test_bytes_have_to_be_utf8() -> None:
    """A byte order mark is passed over; other encodings are no JSON."""
    assert parsed(b"\xef\xbb\xbf[1]") == [Number("1")]
    with pytest.raises(NotJSONError, match="UTF-8"):
        parsed(b'"\xff"')


@given(VALUES)
def test_the_parser_for_deep_texts_agrees_with_the_other(value: object) -> None:
    """Both read the same values."""
    inner = json.dumps(value)
    deep: Any = parsed("[" * 3_000 + inner + "]" * 3_000)
    for _ in range(3_000):
        (deep,) = deep

    assert deep == parsed(inner)
    assert json.loads(json.dumps(plain(deep), default=float)) == value


def test_what_is_shown_keeps_the_text_of_numbers() -> None:
    """Whole numbers are ints, others Decimals."""
    assert plain(parsed('[1, 1.10, -3, {"a": 1, "a": 2}]')) == [
        1,
        Decimal("1.10"),
        -3,
        {"a": [1, 2]},
    ]
    assert str(plain(parsed("1.10"))) == "1.10"


def test_long_arrays_are_compared_in_one_go() -> None:
    """One change in thirty thousand elements; all of them turned round; one left out."""
    numbers = list(range(30_000))
    one = json.dumps(numbers)
    changed = [*numbers]
    changed[15_000] = -1

    assert said(one, json.dumps(changed)) == ["body[15000]: 15000 became -1"]
    assert said(one, json.dumps(numbers[::-1])) == ["body: the same elements in another order"]
    assert said(one, json.dumps(numbers[1:])) == ["body[0]: 30000 elements became 29999"]
    assert said(one, json.dumps(numbers[::-1]), order="ignore") == []
    assert len(said(one, json.dumps([-n for n in numbers]))) == 1000


def test_secrets_are_compared_one_to_one() -> None:
    """Equal placeholders stand for equal values, in the same document and in the next."""
    secrets = SameSecrets()
    recorded = parsed(
        '{"a": "[redacted:token:1]", "b": "[redacted:token:2]", "c": "[redacted:token:1]"}'
    )

    def found(text: str) -> list[str]:
        return [each.path for each in json_differences(recorded, parsed(text), secrets=secrets)]

    assert (
        found('{"a": "[redacted:token:5]", "b": "[redacted:token:6]", "c": "[redacted:token:5]"}')
        == []
    )
    assert found(
        '{"a": "[redacted:token:5]", "b": "[redacted:token:5]", "c": "[redacted:token:5]"}'
    ) == ["body.b"]
    assert found(
        '{"a": "[redacted:token:6]", "b": "[redacted:token:6]", "c": "[redacted:token:6]"}'
    ) == ["body.a", "body.c"]


@given(st.lists(st.integers(0, 4), max_size=8), st.permutations(range(5)))
def test_any_renumbering_of_secrets_is_the_same(uses: list[int], order: list[int]) -> None:
    """A one-to-one renumbering agrees; a use that breaks it does not."""
    secrets = SameSecrets()
    for use in uses:
        assert secrets.same(f"x [redacted:a:{use}]", f"x [redacted:b:{order[use]}]")
    for use in set(uses):
        assert not secrets.same(f"[redacted:a:{use}]", "[redacted:b:77]")
        assert secrets.recorded(f"[redacted:b:{order[use]}]") == f"[redacted:a:{use}]"


@pytest.mark.parametrize(
    ("recorded", "actual", "same"),
    [
        ("Bearer [redacted:bearer:1]", "Bearer abcdef", True),
        ("Bearer [redacted:bearer:1]", "Basic abcdef", False),
        ("Bearer [redacted:bearer:1]", "Bearer ", False),
        ("[redacted:a:1][redacted:a:2]", "xy", False),
        ("[redacted:a:1]-[redacted:a:2]", "[redacted:a:1]-[redacted:a:1]", False),
        ("plain", "plain", True),
        ("plain", "[redacted:a:1]", False),
    ],
)
def test_a_replay_need_not_be_redacted(recorded: str, actual: str, *, same: bool) -> None:
    """One placeholder in a text stands for whatever is there; two cannot be told apart."""
    assert SameSecrets().same(recorded, actual) is same
