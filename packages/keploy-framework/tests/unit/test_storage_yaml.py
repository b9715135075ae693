"""YAML as Keploy's library and PyYAML both read it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError
from keploy_framework.storage.places import line_of
from keploy_framework.storage.text import dump
from keploy_framework.storage.tree import Plain, Repeated, as_bool, as_int, load_all, load_one

TRAPS = (
    # what other readers take for truth values, numbers, times, nothing
    *("no", "NO", "y", "N", "on", "Off", "yes", "true", "False", "null", "~", "", "NaN", ".inf"),
    *("0o17", "017", "0x1F", "0b1", "1_000", "+1", "-0", ".5", "5.", "1e3", "12:30", "1:02:03"),
    *("2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "<<", "=", "!", "&a", "*a"),
    # what ends or begins something
    *("- a", "-", "?", "? a", "a: b", "a:", ":a", "a #b", "#a", "---", "...", "--- a", "|", ">"),
    *("{a}", "[a", "a, b", "%a", "@a", "`a", "'", '"', "\\", "a\\n", "'a'", '"a"', "a'b\"c\\d"),
    # lines and blanks
    *(
        "\n",
        "\n\n",
        "a\n",
        "a\n\n",
        "a\n\n\n",
        "\na",
        "\n\na",
        " a",
        "a ",
        " a\nb",
        "a\n b",
        "a\n ",
    ),
    *(
        "a\n\tb",
        "\ta",
        "a\tb",
        "a\t",
        "\t",
        "a\r\nb",
        "\r",
        "a\rb",
        "a\n---\nb",
        "a\n...\n",
        "a\n#b",
    ),
    # what ends a line for some
    *("a\x85b", "a\u2028b", "a\u2029b\n", "a\nb\x85c\n", "\ufeffa", "a\ufeff\nb"),
    # what cannot stand as it is
    *("\0", "\x1b[0m", "\x7f", "\x9f", "\ufffe", "\uffff", "é", "😀", "\U0010ffff", "\ud7ff\ue000"),
    *("a" * 3000, "a b " * 500, "é\n" * 300, '{"a": "b\\nc"}', "http://x/?a=b#c", "*/*"),
)
texts = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.sampled_from("ab:#-?*&!|>'\"%@`{}[],\n \t\r\x85\u2028\\0 1=<~.é😀")),
    st.text(st.characters(codec="utf-8")),
)
trees = st.recursive(
    st.one_of(texts, st.binary(), st.none()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
    max_leaves=30,
)


@given(trees, st.sampled_from([2, 4]))
def test_what_is_written_is_read_back_as_it_was(tree: object, indent: int) -> None:
    """Texts stay texts, bytes stay bytes, whatever they look like."""
    text = dump(tree, indent=indent)
    back = load_one(text.encode(), "f.yaml")
    assert back == tree
    assert dump(back, indent=indent) == text


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.BaseLoader])
@given(st.lists(texts, min_size=1))
def test_readers_of_yaml_1_1_get_the_same_texts(loader: type, values: list[str]) -> None:
    """PyYAML's own rules, which know `no` and `12:30`, find nothing but texts either."""
    assert yaml.load(dump(values), Loader=loader) == values  # noqa: S506 - safe loaders


@pytest.mark.parametrize("text", TRAPS)
def test_each_trap_survives_as_value_and_as_key(text: str) -> None:
    """The 84 awkward strings and more, one by one."""
    tree = {"value": text, "list": [text], "key": {text: "x"}, "deep": [{"a": text}]}
    assert load_one(dump(tree).encode(), "f") == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", "no"),
        ("a: 12:30", "12:30"),
        ("a: =", "="),
        ("a: <<", "<<"),
        ('a: "5"', "5"),
        ("a: !!str 5", "5"),
        ("a: !!binary aGk=", b"hi"),
        ("a: ~", None),
        ("a:", None),
    ],
)
def test_plain_scalars_mean_what_keploy_takes_them_for(text: str, value: object) -> None:
    """Norway, sexagesimals, `=` and `<<` are texts."""
    tree = load_one(text.encode(), "f")
    assert tree == {"a": value}
    assert not isinstance(tree["a"] if isinstance(tree, dict) else None, Plain)


@pytest.mark.parametrize(
    "text", ["0o644", "0644", "1e3", "2026-03-04", "2026-03-04T01:02:03.123456789Z", "true", "0x1F"]
)
def test_what_is_no_text_there_is_written_back_as_it_stood(text: str) -> None:
    """Nanoseconds, octals and exponents of foreign kinds survive."""
    data = f"a: {text}\n"
    tree = load_one(data.encode(), "f")
    assert isinstance(tree, dict)
    assert isinstance(tree["a"], Plain)
    assert dump(tree) == data


def test_numbers_are_taken_as_keploy_takes_them() -> None:
    """`200.0` is a status, `"200"` is not."""
    given_ = {"200": 200, "200.0": 200, "0o17": 15, "017": 15, "-0x10": -16, "1_000": 1000}
    assert {text: as_int(Plain(text)) for text in given_} == given_
    assert [as_int(value) for value in ("200", Plain("1.5"), Plain(".inf"), None, True)] == [
        None
    ] * 5
    truths = (Plain("True"), True, "true", Plain("1"))
    assert [as_bool(value) for value in truths] == [
        True,
        True,
        None,
        None,
    ]


def test_anchors_and_merge_keys_are_followed() -> None:
    """What a mapping says itself comes before what it merges."""
    text = b"base: &b {x: one, y: two}\nmore: &c {z: three}\n"
    text += b"use:\n  <<: [*b, *c]\n  y: own\nsame: *b\n"
    tree = load_one(text, "f")
    assert isinstance(tree, dict)
    assert tree["use"] == {"y": "own", "x": "one", "z": "three"}
    assert tree["same"] == tree["base"]
    assert load_one(b'"<<": text', "f") == {"<<": "text"}


def test_a_key_that_stands_twice_is_kept_twice() -> None:
    """Frames of a stream may repeat a field."""
    tree = load_one(b"data:\n  data: one\n  id: a\n  data: two\n", "f")
    assert isinstance(tree, dict)
    assert tree["data"] == Repeated([("data", "one"), ("id", "a"), ("data", "two")])
    assert dump(tree) == "data:\n  data: one\n  id: a\n  data: two\n"


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"a: [1,\n", "f.yaml:2", "ends too early"),
        (b'a: "x\nb: y\n', "f.yaml:3", "ends too early"),
        (b"a: 1\nb: \xff\n", "f.yaml:2", "0xff"),
        (b"a: \x00", "f.yaml:1", "control characters"),
        (b"a: 1\nb: *x", "f.yaml:2", "not defined"),
        (b"a: &x [*x]", "f.yaml:1", "contains itself"),
        (b"? [a]\n: b", "f.yaml:1", "keys have to be text"),
        (b"[" * 100_000, "f.yaml:1", "nests deeper"),
        (b"a: !!binary x", "f.yaml:1", "base64"),
        (b"\ta: b", "f.yaml:1", "cannot start any token"),
        (b"a: b\n---\nc: d", "f.yaml", "more than one"),
        (b"a: b\n<<: c\n", "f.yaml:1", "needs a mapping"),
    ],
)
def test_what_is_no_yaml_is_one_error_with_its_line(data: bytes, place: str, words: str) -> None:
    """File, line, and what is wrong."""
    with pytest.raises(FormatError) as caught:
        load_one(data, "f.yaml")
    assert str(caught.value).startswith(place)
    assert words in str(caught.value)


def test_aliases_of_aliases_do_not_unfold() -> None:
    """A billion laughs are refused."""
    lines = [b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 20)]
    with pytest.raises(FormatError, match="without bound"):
        load_one(b"\n".join(lines), "f")


def test_lines_of_values_are_found() -> None:
    """Errors name the line of the field, or of the nearest thing around it."""
    data = b"a: 1\nb:\n  c:\n   - x\n   - d: 1\n     e: 2\n---\nz: 1\n"
    assert line_of(data, ("b", "c", 1, "e")) == 6
    assert line_of(data, ("b", "c", 0)) == 4
    assert line_of(data, ("z",), document=1) == 8


def test_documents_are_read_one_by_one() -> None:
    """Empty documents do not count."""
    assert list(load_all(b"---\na: b\n---\n---\nc: d\n", "f")) == [{"a": "b"}, {"c": "d"}]
