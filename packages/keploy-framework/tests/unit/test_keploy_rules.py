"""Keploy's own verdicts, as a table: what it passes and fails, with each kind of noise.

It is longer than a file should be, because a table is read in one place.
"""

from __future__ import annotations

from typing import Final

import pytest

from keploy_framework.matching import KeployNoise, keploy_verdict
from keploy_framework.matching.keploy_rules import go_number

Noise = dict[str, list[str]]
A: Final = "^[a-z]+$"
D: Final = r"^\d+$"

# Recorded body, replayed body, noise of bodies without its first word, verdict.
BODIES: Final[list[tuple[str, str, Noise, bool]]] = [
    # No noise: scalars.
    ("1", "1", {}, True),
    ("1", "2", {}, False),
    ("1", "1.0", {}, True),
    ("1e2", "100", {}, True),
    ("0.10", "0.1", {}, True),
    ('"a"', '"a"', {}, True),
    ('"a"', '"b"', {}, False),
    ("true", "true", {}, True),
    ("true", "false", {}, False),
    ("null", "null", {}, True),
    ("null", "0", {}, False),
    ("1", "true", {}, False),
    ('"1"', "1", {}, False),
    ("9007199254740993", "9007199254740992", {}, True),
    ("1", "[1]", {}, False),
    # No noise: objects.
    ("{}", "{}", {}, True),
    ('{"a":1}', '{"a":1}', {}, True),
    ('{"a":1}', '{"a":2}', {}, False),
    ('{"a":1}', "{}", {}, False),
    ("{}", '{"a":1}', {}, False),
    ('{"a":1,"b":2}', '{"b":2,"a":1}', {}, True),
    ('{"a":1}', '{"A":1}', {}, False),
    ('{"a":null}', "{}", {}, False),
    ('{"a":{"b":1}}', '{"a":{"b":2}}', {}, False),
    ('{"a":{"b":1}}', '{"a":1}', {}, False),
    ('{"a":{}}', '{"a":[]}', {}, False),
    ('{"a":1,"a":2}', '{"a":2}', {}, True),
    ('{"a":1,"a":2}', '{"a":1}', {}, False),
    # No noise: arrays, in any order.
    ("[]", "[]", {}, True),
    ("[1,2]", "[2,1]", {}, True),
    ("[1,2]", "[1]", {}, False),
    ("[1]", "[1,2]", {}, False),
    ("[1,1,2]", "[1,2,2]", {}, False),
    ("[1,2,3]", "[3,1,2]", {}, True),
    ('[{"a":1},{"a":2}]', '[{"a":2},{"a":1}]', {}, True),
    ('[{"a":1},{"a":2}]', '[{"a":2},{"a":2}]', {}, False),
    ("[[1,2],[3]]", "[[3],[2,1]]", {}, True),
    ("[1,[2]]", "[[2],1]", {}, True),
    ("[null,1]", "[1,null]", {}, True),
    ("[]", "{}", {}, False),
    ('["a",1,true]', '[true,"a",1]', {}, True),
    ('["a",1,true]', '[false,"a",1]', {}, False),
    # A word without a dot names a key at any depth, exactly.
    ('{"a":1}', '{"a":2}', {"a": []}, True),
    ('{"x":{"a":1}}', '{"x":{"a":2}}', {"a": []}, True),
    ('{"x":[{"a":1}]}', '{"x":[{"a":2}]}', {"a": []}, True),
    ('{"A":1}', '{"A":2}', {"a": []}, True),
    ('{"a":1}', '{"a":2}', {"A": []}, True),
    ('{"aa":1}', '{"aa":2}', {"a": []}, False),
    ('{"a":1}', '{"a":2}', {"aa": []}, False),
    ('{"a":1}', "{}", {"a": []}, True),
    ("{}", '{"a":1}', {"a": []}, True),
    ('{"a":1}', '{"a":"x"}', {"a": []}, True),
    ('{"a":1}', '{"a":{"b":1}}', {"a": []}, True),
    ('{"a":{"b":1}}', '{"a":{"b":2}}', {"a": []}, True),
    ('{"a":{"b":1}}', '{"a":7}', {"a": []}, True),
    ('{"a":[1,2]}', '{"a":[]}', {"a": []}, True),
    ('{"a":1,"b":1}', '{"a":2,"b":2}', {"a": []}, False),
    ('{"b":1}', '{"b":2}', {"a": []}, False),
    # The same with patterns: the replayed value has to match.
    ('{"a":"x"}', '{"a":"y"}', {"a": [A]}, True),
    ('{"a":"x"}', '{"a":"7"}', {"a": [A]}, False),
    ('{"a":"7"}', '{"a":"x"}', {"a": [A]}, True),
    ('{"a":"7"}', '{"a":"7"}', {"a": [A]}, True),
    ('{"a":1}', '{"a":2}', {"a": [D]}, True),
    ('{"a":1}', '{"a":2.5}', {"a": [D]}, False),
    ('{"a":true}', '{"a":false}', {"a": ["^(true|false)$"]}, True),
    ('{"a":true}', '{"a":false}', {"a": ["^true$"]}, False),
    ('{"a":"x"}', "{}", {"a": [A]}, False),
    ("{}", '{"a":"x"}', {"a": [A]}, True),
    ("{}", '{"a":"7"}', {"a": [A]}, False),
    ('{"a":"x"}', '{"a":{"b":"x"}}', {"a": [A]}, False),
    ('{"a":"x"}', '{"a":["x"]}', {"a": [A]}, False),
    ('{"a":"x"}', '{"a":"9"}', {"a": [A, D]}, True),
    ('{"a":"x"}', '{"a":"-"}', {"a": [A, D]}, False),
    ('{"x":{"a":"q"}}', '{"x":{"a":"z"}}', {"a": [A]}, True),
    ('{"a":"xx"}', '{"a":"7xx7"}', {"a": ["x"]}, True),
    ('{"a":"x"}', '{"a":"y"}', {"a": ["("]}, False),
    ('{"a":"x"}', '{"a":"x"}', {"a": ["("]}, True),
    ('{"a":"x"}', '{"a":"y"}', {"a": ["(", A]}, True),
    ('{"a":null}', '{"a":"x"}', {"a": [A]}, True),
    ('{"a":"x"}', '{"a":null}', {"a": [A]}, False),
    ('{"a":1200}', '{"a":1250}', {"a": [r"^12\d\d$"]}, True),
    ('{"a":12.5}', '{"a":12.75}', {"a": [r"^12\.\d+$"]}, True),
    ('{"a":1}', '{"a":1e21}', {"a": [r"^1e\+21$"]}, True),
    ('{"a":1}', '{"a":1e20}', {"a": ["^1000"]}, True),
    # Dotted paths: parts of the whole path, in lower case, without indexes.
    ('{"a":{"b":1}}', '{"a":{"b":2}}', {"a.b": []}, True),
    ('{"a":{"b":1}}', '{"a":{"b":2}}', {"A.B": []}, True),
    ('{"A":{"B":1}}', '{"A":{"B":2}}', {"a.b": []}, True),
    ('{"a":{"c":1}}', '{"a":{"c":2}}', {"a.b": []}, False),
    ('{"a":{"b":1}}', '{"a":{}}', {"a.b": []}, True),
    ('{"a":{}}', '{"a":{"b":1}}', {"a.b": []}, True),
    ('{"a":{"b":1}}', "{}", {"a.b": []}, False),
    ('{"a":{"b":{"c":1}}}', '{"a":{"b":{"c":2}}}', {"a.b": []}, True),
    ('{"a":{"b":{"c":1}}}', '{"a":{"b":7}}', {"a.b": []}, True),
    ('{"a":{"b":[1]}}', '{"a":{"b":[]}}', {"a.b": []}, True),
    ('{"a":{"bc":1}}', '{"a":{"bc":2}}', {"a.b": []}, True),
    ('{"xa":{"b":1}}', '{"xa":{"b":2}}', {"a.b": []}, True),
    ('{"x":{"a":{"b":1}}}', '{"x":{"a":{"b":2}}}', {"a.b": []}, True),
    ('{"a":[{"b":1}]}', '{"a":[{"b":2}]}', {"a.b": []}, True),
    ('{"a":[{"b":1}]}', '{"a":[{"b":2}]}', {"a.0.b": []}, False),
    ('{"a":[[{"b":1}]]}', '{"a":[[{"b":2}]]}', {"a.b": []}, True),
    ('{"a":[{"b":1},{"b":2}]}', '{"a":[{"b":1}]}', {"a.b": []}, False),
    ('[{"a":{"b":1}}]', '[{"a":{"b":2}}]', {"a.b": []}, True),
    (
        '{"items":{"id":1,"idempotency":1}}',
        '{"items":{"id":1,"idempotency":2}}',
        {"items.id": []},
        True,
    ),
    ('{"a":{"b":1,"c":1}}', '{"a":{"b":2,"c":2}}', {"a.b": []}, False),
    ('{"a":{"b":1,"c":1}}', '{"a":{"b":2,"c":2}}', {"a.b": [], "a.c": []}, True),
    # Dotted paths with patterns.
    ('{"a":{"b":"x"}}', '{"a":{"b":"y"}}', {"a.b": [A]}, True),
    ('{"a":{"b":"x"}}', '{"a":{"b":"7"}}', {"a.b": [A]}, False),
    ('{"a":{"b":"7"}}', '{"a":{"b":"7"}}', {"a.b": [A]}, True),
    ('{"a":{"b":"x"}}', '{"a":{}}', {"a.b": [A]}, False),
    ('{"a":{}}', '{"a":{"b":"x"}}', {"a.b": [A]}, True),
    ('{"a":{}}', '{"a":{"b":"7"}}', {"a.b": [A]}, False),
    ('{"a":{}}', '{"a":{"b":{"c":"x"}}}', {"a.b": [A]}, False),
    ('{"a":{"b":"x"}}', '{"a":{"b":{"c":"x"}}}', {"a.b": [A]}, False),
    ('{"a":{"b":"x"}}', '{"a":{"b":["x"]}}', {"a.b": [A]}, False),
    ('{"a":{"b":1}}', '{"a":{"b":2}}', {"a.b": [D]}, True),
    ('{"a":{"b":1}}', '{"a":{"b":"2"}}', {"a.b": [D]}, False),
    ('{"a":{"b":[1]}}', '{"a":{"b":[2]}}', {"a.b": [D]}, True),
    # A pattern on a container relaxes the values under it, and not their shape.
    ('{"a":{"b":{"c":"x","d":1}}}', '{"a":{"b":{"c":"?","d":9}}}', {"a.b": [A]}, True),
    ('{"a":{"b":{"c":"x"}}}', '{"a":{"b":{}}}', {"a.b": [A]}, False),
    ('{"a":{"b":{"c":"x"}}}', '{"a":{"b":{"c":"x","d":{}}}}', {"a.b": [A]}, False),
    ('{"a":{"b":{"c":"x"}}}', '{"a":{"b":{"c":1}}}', {"a.b": [A]}, False),
    ('{"a":{"b":{"c":"x"}}}', '{"a":{"b":{"c":{"d":1}}}}', {"a.b": [A]}, False),
    ('{"a":{"b":["x","y"]}}', '{"a":{"b":["x"]}}', {"a.b": [A]}, False),
    ('{"a":{"b":["x","y"]}}', '{"a":{"b":["1","2"]}}', {"a.b": [A]}, True),
    ('{"a":{"b":{"c":"x"},"n":1}}', '{"a":{"b":{"c":"y"},"n":2}}', {"a.b": [A]}, False),
    # The longest entry decides.
    (
        '{"o":{"user":{"id":"x"}}}',
        '{"o":{"user":{"id":"7"}}}',
        {"user.id": [A], "o.user.id": []},
        True,
    ),
    (
        '{"o":{"user":{"id":"x"}}}',
        '{"o":{"user":{"id":"7"}}}',
        {"user.id": [], "o.user.id": [A]},
        False,
    ),
    (
        '{"o":{"user":{"id":"x"}}}',
        '{"o":{"user":{"id":"7"}}}',
        {"user.id": [D], "o.user.id": [A]},
        False,
    ),
    (
        '{"o":{"user":{"id":"x"}}}',
        '{"o":{"user":{"id":"7"}}}',
        {"user.id": [A], "o.user.id": [D]},
        True,
    ),
    ('{"a":{"b":"x"}}', '{"a":{"b":"7"}}', {"b": [], "a.b": [A]}, True),
    ('{"a":{"b":"x"}}', '{"a":{"b":"7"}}', {"b": [D], "a.b": [A]}, True),
    ('{"a":{"b":"x"}}', '{"a":{"b":"-"}}', {"b": [D], "a.b": [A]}, False),
    # Everything.
    ('{"a":1}', '{"b":[2]}', {"*": ["*"]}, True),
    ('{"a":1}', "[]", {"*": ["*"]}, True),
    ('{"a":1}', '{"a":2}', {"*": []}, False),
    ('{"a":1}', "no json", {"*": ["*"]}, True),
    # Unordered elements that differ by noise only are paired.
    ('[{"i":1,"t":1},{"i":2,"t":2}]', '[{"i":2,"t":8},{"i":1,"t":9}]', {"t": []}, True),
    ('[{"i":1,"t":1},{"i":2,"t":2}]', '[{"i":3,"t":1},{"i":1,"t":2}]', {"t": []}, False),
    (
        '{"l":[{"i":1,"t":"a"},{"i":2,"t":"b"}]}',
        '{"l":[{"i":2,"t":"z"},{"i":1,"t":"y"}]}',
        {"l.t": [A]},
        True,
    ),
    (
        '{"l":[{"i":1,"t":"a"},{"i":2,"t":"b"}]}',
        '{"l":[{"i":2,"t":"1"},{"i":1,"t":"y"}]}',
        {"l.t": [A]},
        False,
    ),
    # What is no JSON is not compared.
    ("hello", "world", {}, True),
    ("hello", '{"a":1}', {}, False),
    ('{"a":1}', "hello", {}, True),
    ("", "", {}, True),
    ('{"a":1}', "", {}, True),
    ("", '{"a":1}', {}, False),
    ("<a>", "<b>", {"a": []}, True),
]

# The same with the order of arrays.
ORDERED: Final[list[tuple[str, str, Noise, bool]]] = [
    ("[1,2]", "[1,2]", {}, True),
    ("[1,2]", "[2,1]", {}, False),
    ("[[1,2]]", "[[2,1]]", {}, False),
    ('{"a":[1,2]}', '{"a":[2,1]}', {"a": []}, True),
    ('{"a":{"b":[1,2]}}', '{"a":{"b":[2,1]}}', {"a.b": []}, True),
    ('{"a":{"b":[1,2]}}', '{"a":{"b":[2,1]}}', {"a.b": [D]}, True),
    ('[{"t":1},{"t":2}]', '[{"t":2},{"t":1}]', {"t": []}, True),
    ("[1,2,3]", "[1,2]", {}, False),
    ('[{"i":1,"t":1},{"i":2,"t":2}]', '[{"i":2,"t":8},{"i":1,"t":9}]', {"t": []}, False),
    ("[null]", "[null]", {}, True),
    ("[1.0]", "[1]", {}, True),
    ('["a"]', '["A"]', {}, False),
]

# Bodies that are no JSON, where all are compared.
EVERY: Final[list[tuple[str, str, Noise, bool]]] = [
    ("a", "a", {}, True),
    ("a", "b", {}, False),
    ("", "b", {}, False),
    ("a", "", {}, False),
    ("<a/>", "<a />", {}, False),
    ("a", "b", {"*": ["*"]}, True),
    ('{"a":1}', "b", {}, False),
    ('{"a":1}', '{ "a" : 1 }', {}, True),
]

# Recorded headers, replayed headers, noise of headers, verdict; "a=1" is a header, "|" is between.
HEADERS: Final[list[tuple[str, str, Noise, bool]]] = [
    ("", "", {}, True),
    ("A=1", "A=1", {}, True),
    ("A=1", "a=1", {}, True),
    ("A=1", "A=2", {}, False),
    ("A=1", "", {}, False),
    ("", "A=1", {}, False),
    ("A=1|B=2", "B=2|A=1", {}, True),
    ("A=1|A=2", "A=1|A=2", {}, True),
    ("A=1|A=2", "A=1", {}, False),
    ("A=1", "A=1|A=2", {}, False),
    ("A=1", "A=2", {"A": []}, True),
    ("A=1", "A=2", {"a": []}, True),
    ("A=1", "", {"A": []}, True),
    ("", "A=1", {"A": []}, True),
    ("A=1", "A=2", {"B": []}, False),
    ("Date=1", "Date=2", {"date": []}, True),
    ("X-Candidate-Id=1", "X-Candidate-Id=2", {"date": []}, True),
    ("X-Id=1", "X-Id=2", {"x-id-more": []}, False),
    ("A=x", "A=y", {"A": [A]}, True),
    ("A=x", "A=7", {"A": [A]}, False),
    ("A=7", "A=7", {"A": [A]}, True),
    ("A=x", "A=9", {"A": [A, D]}, True),
    ("A=x", "A=-", {"A": [A, D]}, False),
    ("A=x", "A=y", {"A": ["("]}, False),
    ("A=x|B=1", "A=y|B=2", {"A": []}, False),
    ("A=x|B=1", "A=y|B=2", {"A": [], "B": []}, True),
    ("A=x", "A=y", {"header": []}, True),
    ("Content-Length=1", "Content-Length=2", {}, True),
    ("Content-Length=1", "", {}, False),
    ("Content-Length=1", "content-length=2", {}, True),
    ("", "Content-Length=2", {}, False),
    ("X-Date-Long=a", "X-Date-Long=7", {"date": [], "x-date-long": [A]}, False),
    ("X-Date-Long=a", "X-Date-Long=7", {"date": [A], "x-date-long": []}, True),
    ("ETag=a", "ETag=b", {"etag": []}, True),
    ("Location=/a", "Location=/b", {"location": ["^/"]}, True),
    ("Location=/a", "Location=b", {"location": ["^/"]}, False),
]

# Whole entries of a test case, as they stand in its file.
CASES: Final[list[tuple[Noise, str, str, bool]]] = [
    ({"body.a": []}, '{"a":1}', '{"a":2}', True),
    ({"body.x.a": []}, '{"x":{"a":1}}', '{"x":{"a":2}}', True),
    ({"body": []}, '{"a":1}', "[]", True),
    ({"header.a": []}, '{"a":1}', '{"a":2}', False),
    ({"body.A": []}, '{"a":1}', '{"a":2}', True),
    ({"a": []}, '{"a":1}', '{"a":2}', False),
    ({"body.a": [D]}, '{"a":1}', '{"a":2}', True),
    ({"body.a": [A]}, '{"a":1}', '{"a":2}', False),
]


def heads(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [item.split("=", 1) for item in text.split("|") if item]
    return tuple((name, value) for name, value in pairs)


def test_the_table_is_long_enough() -> None:
    """At least two hundred verdicts are written down, none of them twice."""
    assert len(BODIES) + len(ORDERED) + len(EVERY) + len(HEADERS) + len(CASES) >= 200
    assert len({repr(case) for case in BODIES}) == len(BODIES)


@pytest.mark.parametrize(("old", "new", "noise", "passes"), BODIES)
def test_bodies(old: str, new: str, noise: Noise, *, passes: bool) -> None:
    """Its defaults: any order, only JSON."""
    verdict = keploy_verdict(
        (200, (), old.encode()), (200, (), new.encode()), noise=KeployNoise(body=noise)
    )

    assert verdict.body is passes


@pytest.mark.parametrize(("old", "new", "noise", "passes"), ORDERED)
def test_bodies_in_order(old: str, new: str, noise: Noise, *, passes: bool) -> None:
    """With ``ignoreOrdering: false``."""
    verdict = keploy_verdict(
        (200, (), old.encode()),
        (200, (), new.encode()),
        noise=KeployNoise(body=noise),
        ignore_ordering=False,
    )

    assert verdict.body is passes


@pytest.mark.parametrize(("old", "new", "noise", "passes"), EVERY)
def test_bodies_of_every_kind(old: str, new: str, noise: Noise, *, passes: bool) -> None:
    """With ``compareAll: true``."""
    verdict = keploy_verdict(
        (200, (), old.encode()),
        (200, (), new.encode()),
        noise=KeployNoise(body=noise),
        compare_all=True,
    )

    assert verdict.body is passes


@pytest.mark.parametrize(("old", "new", "noise", "passes"), HEADERS)
def test_headers(old: str, new: str, noise: Noise, *, passes: bool) -> None:
    """Names match by substring, and a length is forgiven when the body passes."""
    verdict = keploy_verdict(
        (200, heads(old), b""), (200, heads(new), b""), noise=KeployNoise(header=noise)
    )

    assert verdict.headers is passes


@pytest.mark.parametrize(("noise", "old", "new", "passes"), CASES)
def test_entries_of_a_case(noise: Noise, old: str, new: str, *, passes: bool) -> None:
    """Dotted entries of a test case override those of the configuration."""
    both = KeployNoise(noise, body={"a": ["^nothing$"]} if "body.a" in noise else None)

    verdict = keploy_verdict((200, (), old.encode()), (200, (), new.encode()), noise=both)

    assert verdict.body is passes


def test_a_status_is_never_noise() -> None:
    """And one thing that fails fails the whole."""
    verdict = keploy_verdict((200, (), b"1"), (500, (), b"1"), noise=KeployNoise({"body": []}))

    assert (verdict.status, verdict.headers, verdict.body, verdict.passed) == (
        False,
        True,
        True,
        False,
    )


def test_a_length_is_not_forgiven_when_the_body_fails() -> None:
    """Then it is a difference of its own."""
    verdict = keploy_verdict(
        (200, (("Content-Length", "1"),), b"1"), (200, (("Content-Length", "2"),), b"22")
    )

    assert not verdict.headers
    assert not verdict.body


def test_depth_is_no_limit() -> None:
    """Ten thousand levels pass when they are equal, and fail when they are not."""
    one, two = (b"[" * 10_000 + value + b"]" * 10_000 for value in (b"1", b"2"))

    assert keploy_verdict((200, (), one), (200, (), one)).passed
    assert not keploy_verdict((200, (), one), (200, (), two)).passed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1200", "1200"),
        ("1200.5", "1200.5"),
        ("100.10", "100.1"),
        ("0", "0"),
        ("-0", "-0"),
        ("-12.75", "-12.75"),
        ("1e21", "1e+21"),
        ("1e-7", "1e-7"),
        ("5e-324", "5e-324"),
        ("1e20", "100000000000000000000"),
        ("1e-6", "0.000001"),
        ("123456789012345680000", "123456789012345680000"),
        ("2.5e-7", "2.5e-7"),
        ("1.5e300", "1.5e+300"),
        ("NaN", "NaN"),
        ("0.00001234", "0.00001234"),
    ],
)
def test_numbers_are_written_as_go_writes_them(text: str, shown: str) -> None:
    """Patterns see a number as Keploy prints it."""
    assert go_number(text) == shown
