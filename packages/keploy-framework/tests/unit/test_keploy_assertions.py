"""What Keploy's test cases assert besides noise, and its switches for headers and schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import FormatError
from keploy_framework.matching import (
    ASSERTIONS,
    VOLATILE_HEADERS,
    KeployNoise,
    assertion_differences,
    keploy_verdict,
)

if TYPE_CHECKING:
    from keploy_framework.model import Headers

HEADERS: Headers = (("Content-Type", "application/json"), ("X-Id", "abc-7"), ("Vary", "A"))
BODY = b'{"id": 7, "tags": ["a", "b"], "user": {"name": "ada", "age": 36.0, "ok": true}}'

HOLDS: tuple[dict[str, object], ...] = (
    {"status_code": 200},
    {"status_code": "200"},
    {"status_code_class": "2xx"},
    {"status_code_class": "201"},
    {"status_code_in": [200, 404]},
    {"status_code_in": "404, 200"},
    {"header_equal": {"content-type": "application/json"}},
    {"header_contains": {"X-Id": "bc-"}},
    {"header_exists": ["X-Id", "vary"]},
    {"header_exists": {"X-Id": "whatever"}},
    {"header_exists": "X-Id, Vary"},
    {"header_matches": {"X-Id": r"^[a-z]+-\d$"}},
    {"json_equal": ""},
    {"json_contains": {"id": 7}},
    {"json_contains": {"user": {"age": 36}}},
    {"json_contains": '{"user": {"ok": true}, "tags": ["a", "b"]}'},
    {"status_code": 200, "header_exists": ["X-Id"], "noise": {"body": []}},
)
FAILS: tuple[tuple[dict[str, object], str], ...] = (
    ({"status_code": 201}, "status: 201 became 200"),
    ({"status_code_class": "4xx"}, "status: '4xx' became 200"),
    ({"status_code_in": [201, 204]}, "status: '201, 204' became 200"),
    ({"header_equal": {"X-Id": "abc"}}, "header.X-Id (header_equal): 'abc' became 'abc-7'"),
    ({"header_contains": {"X-Id": "z"}}, "header.X-Id (header_contains): 'z' became 'abc-7'"),
    ({"header_exists": ["X-No"]}, "header.X-No (header_exists): missing, was 'X-No'"),
    ({"header_matches": {"X-Id": "^b"}}, "header.X-Id (header_matches): '^b' became 'abc-7'"),
    ({"header_matches": {"X-No": "b"}}, "header.X-No (header_matches): missing, was 'b'"),
    ({"json_contains": {"id": 8}}, "body.id: 8 became 7"),
    ({"json_contains": {"user": {"ok": 1}}}, "body.user.ok: 1 became true"),
    ({"json_contains": {"no": None}}, "body.no: missing, was null"),
    ({"json_contains": {"tags": ["b", "a"]}}, "body.tags: an array of 2 elements became an array"),
)
WRONG: tuple[dict[str, object], ...] = (
    {"status_code": "ok"},
    {"status_code_class": "7xx"},
    {"status_code_class": "success"},
    {"status_code_in": {"200": 1}},
    {"header_equal": ["X-Id"]},
    {"header_exists": 7},
    {"header_matches": {"X-Id": "("}},
    {"json_contains": "[1]"},
    {"json_contains": "{"},
    {"json_contains": [1]},
)


@pytest.mark.parametrize("assertions", HOLDS, ids=str)
def test_what_holds_has_no_difference(assertions: dict[str, object]) -> None:
    """In each spelling that Keploy reads; names of headers without case."""
    assert assertion_differences(assertions, 200, HEADERS, BODY, recorded=BODY) == []


@pytest.mark.parametrize(("assertions", "told"), FAILS, ids=str)
def test_what_does_not_hold_says_where(assertions: dict[str, object], told: str) -> None:
    """The path, what was asserted, and what came."""
    found = assertion_differences(assertions, 200, HEADERS, BODY, recorded=BODY)

    assert found is not None
    assert len(found) == 1
    assert str(found[0]).startswith(told)


@pytest.mark.parametrize("assertions", WRONG, ids=str)
def test_an_assertion_that_says_nothing_is_an_error(assertions: dict[str, object]) -> None:
    """It is not taken as one that always holds, or never."""
    with pytest.raises(FormatError):
        assertion_differences(assertions, 200, HEADERS, BODY)


def test_without_assertions_answers_are_compared_as_a_whole() -> None:
    """Noise is none; a name that is not known asserts nothing."""
    assert assertion_differences({}, 200, (), b"") is None
    assert assertion_differences({"noise": {"body": ["a"]}, "later": 1}, 200, (), b"") is None


def test_a_body_that_is_another_is_not_equal() -> None:
    """To the byte, as in Keploy."""
    found = assertion_differences({"json_equal": ""}, 200, (), b"[1]", recorded=b"[ 1]")

    assert [str(each) for each in found or ()] == ["body (json_equal): '[ 1]' became '[1]'"]


def test_a_body_that_is_no_json_contains_nothing() -> None:
    """It says so."""
    found = assertion_differences({"json_contains": {"a": 1}}, 200, (), b"<p>")

    assert [str(each) for each in found or ()] == ["body (json_contains): 'JSON' became '<p>'"]


def test_the_last_of_repeated_keys_counts() -> None:
    """As in Go."""
    assert assertion_differences({"json_contains": {"a": 2}}, 200, (), b'{"a": 1, "a": 2}') == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.data())
def test_a_body_contains_each_part_of_itself(body: dict[str, object], data: st.DataObject) -> None:
    """Whichever keys are asserted."""
    kept = data.draw(st.sets(st.sampled_from(sorted(body)))) if body else set[str]()
    part = {key: value for key, value in body.items() if key in kept}

    for asserted in (part, json.dumps(part)):
        found = assertion_differences(
            {"json_contains": asserted}, 200, (), json.dumps(body).encode()
        )
        assert found == []


def test_every_known_assertion_is_tested() -> None:
    """None is known and does nothing."""
    assert {name for each, _ in FAILS for name in each} | {"json_equal"} == set(ASSERTIONS)


PING: Headers = (("Content-Type", "text/plain"), ("X-Request-Id", "1aa063751102"))
PONG: Headers = (("Content-Type", "text/plain"), ("X-Request-Id", "e61200457948"))


def test_ids_of_requests_are_forgiven_when_asked() -> None:
    """A value that each answer has anew."""
    assert not keploy_verdict((200, PING, b""), (200, PONG, b"")).passed
    assert keploy_verdict((200, PING, b""), (200, PONG, b""), auto_header_noise=True).passed


@pytest.mark.parametrize("name", ["X-Candidate-Id", "X-Validate-Token", "Authorization", "ETag"])
def test_a_header_that_only_looks_like_one_is_not_forgiven(name: str) -> None:
    """Names are compared whole: `date` is in `candidate`."""
    old: Headers = (("Date", "Mon"), (name, "a"))
    new: Headers = (("Date", "Tue"), (name, "b"))

    assert not keploy_verdict((200, old, b""), (200, new, b""), auto_header_noise=True).headers


@pytest.mark.parametrize("name", sorted(VOLATILE_HEADERS))
def test_a_header_that_one_side_lacks_is_not_forgiven(name: str) -> None:
    """Only the value may be another."""
    one: Headers = ((name, "a"),)

    assert not keploy_verdict((200, one, b""), (200, (), b""), auto_header_noise=True).headers
    assert not keploy_verdict((200, (), b""), (200, one, b""), auto_header_noise=True).headers


def test_what_a_case_says_of_a_header_holds() -> None:
    """A pattern is not widened into an excuse."""
    noise = KeployNoise({"header.X-Request-Id": ["^1aa063"]})

    verdict = keploy_verdict(
        (200, PING, b""), (200, PONG, b""), noise=noise, auto_header_noise=True
    )

    assert not verdict.headers


@pytest.mark.parametrize(
    ("recorded", "came", "same"),
    [
        (b'{"a": 1}', b'{"a": 2}', True),
        (b'{"a": 1}', b'{"a": "2"}', False),
        (b'{"a": 1}', b"{}", False),
        (b'{"a": {"b": null}}', b'{"a": {"b": 1}}', False),
        (b'{"a": ["x"]}', b'{"a": ["y"]}', True),
    ],
)
def test_a_schema_is_keys_and_types(recorded: bytes, came: bytes, same: bool) -> None:  # noqa: FBT001 - a verdict
    """Values do not count."""
    assert keploy_verdict((200, (), recorded), (200, (), came), schema_match=True).body is same


@pytest.mark.parametrize(
    ("recorded", "came", "passed"),
    [
        (b'{"a": 1}', b'{"a": 1, "b": 2}', True),
        (b'{"a": [{"b": 1}]}', b'{"a": [{"c": 2, "b": 1}]}', True),
        (b'{"a": 1}', b'{"a": 2, "b": 2}', False),
        (b'{"a": 1}', b'{"b": 1}', False),
        (b'{"a": [1]}', b'{"a": [1, 2]}', False),
    ],
)
def test_a_body_that_only_gained_fields_passes_when_asked(
    recorded: bytes,
    came: bytes,
    passed: bool,  # noqa: FBT001 - a verdict
) -> None:
    """Fields, not elements; and nothing else has changed."""
    old: Headers = (("Content-Length", str(len(recorded))),)
    new: Headers = (("Content-Length", str(len(came))),)

    assert not keploy_verdict((200, old, recorded), (200, new, came)).passed
    verdict = keploy_verdict((200, old, recorded), (200, new, came), pass_additions=True)
    assert verdict.passed is passed
