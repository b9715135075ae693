"""What is made of recordings describes them truly: OpenAPI documents, schemas, smaller sets."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from keploy_framework.errors import FormatError
from keploy_framework.generate import find_duplicates, openapi_document, path_template, read_lines
from keploy_framework.generate.schema import Seen
from keploy_framework.generate.shapes import request_shape, shape_of
from keploy_framework.model import Direction, Exchange, Piece, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

    from keploy_framework.model import Headers

JSON: Headers = (("Content-Type", "application/json; charset=utf-8"),)
jsonschema: Any = import_module("jsonschema")  # it has no types
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def exchange(
    method: str = "GET",
    url: str = "http://shop.test/users/7",
    answer: object = None,
    *,
    status: int = 200,
    sent: object = None,
    headers: Headers = (),
) -> Exchange:
    body = b"" if sent is None else json.dumps(sent).encode()
    asked = Request(method, url, (*headers, *(JSON if body else ())), body)
    data = b"" if answer is None else json.dumps(answer).encode()
    pieces = (Piece(0, data),) if data else ()
    return Exchange(url, Direction.INBOUND, asked, Response(status, "", JSON, pieces), 0, 0)


def valid(document: dict[str, Any]) -> dict[str, Any]:
    errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []
    return document


# --- OpenAPI -------------------------------------------------------------------------------------


def test_ids_become_parameters_and_answers_are_told_by_status() -> None:
    """Two users and a miss are one operation with a parameter and two answers."""
    document = valid(
        openapi_document(
            [
                exchange(answer={"id": 7, "name": "ada", "mail": None}),
                exchange(url="http://shop.test/users/8", answer={"id": 8, "name": "bob"}),
                exchange(url="http://shop.test/users/9", answer={"error": "none"}, status=404),
            ],
            title="Shop",
        )
    )
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "http://shop.test"}]
    operation = document["paths"]["/users/{id}"]["get"]
    assert operation["operationId"] == "get-users-by-id"
    assert operation["parameters"][0] == {
        "name": "id", "in": "path", "required": True, "schema": {"type": "string"},
    }  # fmt: skip
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["id", "name"]
    assert schema["properties"]["id"] == {"type": "integer"}
    assert schema["properties"]["mail"] == {"type": "null"}
    assert operation["responses"]["404"]["description"] == "Not Found"


def test_parameters_bodies_and_security_are_told() -> None:
    """Always there is required, sometimes is not; repeated parameters are arrays."""
    bearer: Headers = (("Authorization", "Bearer [redacted:bearer:1]"),)
    document = valid(
        openapi_document(
            [
                exchange("POST", "http://h/a?page=1&tag=x&tag=y", sent={"n": 1}, headers=bearer),
                exchange("POST", "http://h/a?page=2", sent={"n": 1.5, "m": "2026-01-02"}),
                exchange("PUT", "http://h/a", headers=(("X-API-Key", "[redacted:api-key:1]"),)),
            ]
        )
    )
    post = document["paths"]["/a"]["post"]
    page, tag = post["parameters"]
    assert (page["required"], page["schema"]) == (True, {"type": "integer"})
    assert tag["required"] is False
    assert tag["schema"] == {"type": "array", "items": {"type": "string"}}
    body = post["requestBody"]
    assert body["required"] is True
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert fields["n"] == {"type": "number"}
    assert fields["m"]["format"] == "date"
    assert post["security"] == [{"bearer": []}, {}]
    assert document["paths"]["/a"]["put"]["security"] == [{"x-api-key": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "x-api-key"}


def test_forms_bytes_and_odd_methods_are_described_or_left_out() -> None:
    form = Request(
        "POST", "http://h/f", (("content-type", "application/x-www-form-urlencoded"),), b"a=1&b="
    )
    image = Response(200, "", (("content-type", "image/png"),), (Piece(0, b"\x89PNG"),))
    broken = Response(200, "", JSON, (Piece(0, b"{"),))
    document = valid(
        openapi_document(
            [
                Exchange("1", Direction.INBOUND, form, image, 0, 0),
                Exchange("2", Direction.INBOUND, Request("GET", "http://h/f"), broken, 0, 0),
                Exchange("3", Direction.INBOUND, Request("PURGE", "http://h/f"), image, 0, 0),
                Exchange("4", Direction.INBOUND, Request("GET", "http://h/g"), None, 0, 0),
                Exchange("5", Direction.INBOUND, Request("GET", "http://h/g"), Response(999), 0, 0),
            ]
        )
    )
    assert list(document["paths"]) == ["/f"]
    post = document["paths"]["/f"]["post"]
    fields = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert fields["required"] == ["a", "b"]
    assert post["responses"]["200"]["content"] == {"image/png": {}}
    got = document["paths"]["/f"]["get"]["responses"]["200"]["content"]
    assert got == {"application/json": {}}


def test_a_recording_of_nothing_is_a_valid_document() -> None:
    assert valid(openapi_document([]))["paths"] == {}


@settings(max_examples=settings().max_examples // 4)  # the validator takes its time
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "DELETE"]),
            st.text("ab/{}%1-?&=", max_size=12),
            VALUES,
            st.sampled_from([200, 201, 404]),
        ),
        max_size=6,
    )
)
def test_every_document_is_valid(found: list[tuple[str, str, Any, int]]) -> None:
    """Whatever paths, bodies and statuses were recorded."""
    valid(
        openapi_document(
            exchange(method, f"http://h/{path}", value, status=status)
            for method, path, value, status in found
        )
    )


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_schema_allows_each_value_that_it_was_made_of(values: list[Any]) -> None:
    seen = Seen()
    for value in values:
        seen.add(value)
    validator = jsonschema.Draft202012Validator(seen.schema())

    assert all(validator.is_valid(value) for value in values)


def test_a_schema_refuses_what_was_never_seen() -> None:
    """It says something: another type, a missing field and a wrong element are refused."""
    seen = Seen()
    seen.add({"id": 1, "tags": ["a"]})
    seen.add({"id": 2, "tags": []})
    validator = jsonschema.Draft202012Validator(seen.schema())

    bad_values: list[Any] = [{"id": "1", "tags": []}, {"tags": []}, {"id": 1, "tags": [1]}, []]
    for bad in bad_values:
        assert not validator.is_valid(bad)


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h", "/"),
        ("http://h/a//b/", "/a//b/"),
        ("http://h/a/17?x", "/a/{id}"),
        ("http://h/0123456789abcdef0/1", "/{id}/{id2}"),
        ("http://h/u/[redacted:token:1]?k=[redacted:api-key:2]", "/u/{id}"),
        ("http://[redacted:user:1]@h/a/{b}", "/a/%7Bb%7D"),
    ],
)
def test_ids_leave_a_path(url: str, path: str) -> None:
    assert path_template(url) == path


def test_shapes_are_the_same_for_other_values_only() -> None:
    one = exchange("POST", "http://h/a/1?x=1&y=2", sent={"a": [1, 2]}).request
    other = exchange("POST", "http://h/a/2?y=9&x=7", sent={"a": [3]}).request
    third = exchange("POST", "http://h/a/2?y=9&x=7", sent={"a": ["3"]}).request

    assert request_shape(one) == request_shape(other) != request_shape(third)
    assert shape_of({"a": True, "b": [None, {}]}) == "{a:boolean,b:[null|{}]}"


# --- duplicates ----------------------------------------------------------------------------------


def cases() -> list[tuple[str, Exchange]]:
    return [
        ("s/a", exchange(answer={"id": 1})),
        ("s/b", exchange(url="http://shop.test/users/8", answer={"id": 2})),
        ("s/c", exchange(url="http://shop.test/users/9", answer={"id": 2, "more": 1})),
        ("s/d", exchange(url="http://shop.test/users/9", answer={"id": 1}, status=404)),
        ("s/e", exchange(url="http://shop.test/users/5", answer={"id": 5})),
    ]


def test_cases_of_one_shape_stand_for_each_other() -> None:
    """Another shape of the answer, or another status, is another case."""
    found = find_duplicates(cases())

    assert found.kept == ("s/a", "s/c", "s/d")
    assert found.dropped == {"s/b": "s/a", "s/e": "s/a"}
    assert found.proof is None


def test_a_duplicate_that_alone_runs_a_line_is_kept() -> None:
    """Coverage cannot fall: it is counted, and what would be lost brings its case back."""
    lines = {
        "s/a": frozenset({("app.py", 1), ("app.py", 2)}),
        "s/b": frozenset({("app.py", 1), ("app.py", 9)}),
        "s/c": frozenset({("app.py", 1)}),
        "s/d": frozenset({("app.py", 3)}),
        "s/e": frozenset({("app.py", 2)}),
    }
    found = find_duplicates(cases(), lines)

    assert found.dropped == {"s/e": "s/a"}
    assert found.proof is not None
    assert (found.proof.before, found.proof.after, found.proof.returned) == (4, 4, ("s/b",))


def test_a_case_without_coverage_is_never_dropped() -> None:
    found = find_duplicates(cases(), {"s/a": frozenset({("app.py", 1)})})

    assert found.dropped == {}


@given(
    st.dictionaries(
        st.sampled_from(["s/a", "s/b", "s/c", "s/d", "s/e"]),
        st.frozensets(st.tuples(st.just("f"), st.integers(0, 6))),
    )
)
def test_what_is_kept_runs_all_lines(lines: dict[str, frozenset[tuple[str, int]]]) -> None:
    found = find_duplicates(cases(), lines)

    whole = set[tuple[str, int]]().union(*lines.values())
    kept = set[tuple[str, int]]().union(*(lines.get(name, frozenset()) for name in found.kept))
    assert kept == whole
    assert found.proof is not None
    assert found.proof.before == found.proof.after == len(whole)
    assert not set(found.kept) & set(found.dropped)
    assert len(found.kept) + len(found.dropped) == 5


def test_keploys_file_of_lines_is_read(tmp_path: Path) -> None:
    """As the SDK writes it: a list, or one document after the other."""
    path = tmp_path / "dedupData.yaml"
    path.write_text(
        "- id: test-set-0/test-1\n  executedLinesByFile:\n    /app/main.py: [1, 2]\n"
        "- id: test-set-0/test-2\n  executedLinesByFile: {}\n"
    )
    assert read_lines(path) == {
        "test-set-0/test-1": frozenset({("/app/main.py", 1), ("/app/main.py", 2)}),
        "test-set-0/test-2": frozenset(),
    }
    path.write_text("id: a\nexecutedLinesByFile: {f: [x]}\n")
    with pytest.raises(FormatError, match="is no line"):
        read_lines(path)
