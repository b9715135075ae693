"""Whole exchanges without their secrets: heads, bodies, streams, compressed bodies, messages."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keploy_framework.errors import OptionError
from keploy_framework.model import Direction, Exchange, Failure, Message, Piece, Request, Response
from keploy_framework.redact import PLACEHOLDER, Placeholders, Redaction, is_placeholder
from keploy_framework.redact.spans import Edit, Span, cut, disjoint, edited, moved

SECRET = "hunter2-and-more"  # noqa: S105 - made for these tests
KEY = "sk-" + "ant-api03-abcdefghij0123456789"
JSON = (("Content-Type", "application/json"),)


def exchange(request: Request, response: Response | None = None, **rest: Any) -> Exchange:
    return Exchange("1", Direction.INBOUND, request, response, 1, 2, **rest)


def found(text: str) -> str:
    match = PLACEHOLDER.search(text)
    return match[0] if match else ""


def every_byte(recorded: Exchange) -> str:
    return repr(recorded)


def test_nothing_of_a_login_stays() -> None:
    """User info, query, headers, cookies, form, token, echo, failure, messages: all of it goes."""
    basic = base64.b64encode(f"joe:{SECRET}".encode()).decode()
    dirty = exchange(
        Request(
            "POST",
            f"https://joe:{SECRET}@h.example/login?api_key=zzz987654&next=/#access_token=abc1234",
            (
                ("Authorization", f"Basic {basic}"),
                ("Cookie", "session=s3ss10n-value; theme=dark-cookie"),
                ("X-Api-Key", "k3y-k3y-k3y"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Referer", "https://h.example/?token=refer123456789"),
            ),
            f"user=joe&password={SECRET}".encode(),
        ),
        Response(
            200,
            headers=(
                ("Set-Cookie", "session=n3w-s3ss10n; Path=/; HttpOnly"),
                ("Set-Cookie", "gone=; Max-Age=0"),
                ("Location", "/home?access_token=l0cation-token"),
                ("Content-Type", "application/json"),
            ),
            pieces=(
                Piece(
                    0.1, b'{"access_token": "t0ken-t0ken-t0ken", "you": "' + basic.encode() + b'"}'
                ),
            ),
        ),
        failure=Failure("builtins.OSError", f"cannot reach https://joe:{SECRET}@h.example"),
        messages=(
            Message(0.1, "client", f'{{"password": "{SECRET}"}}'),
            Message(0.2, "server", KEY.encode()),
        ),
    )

    clean = Redaction.default().exchange(dirty)

    text = every_byte(clean)
    for secret in (
        SECRET,
        basic,
        "zzz987654",
        "abc1234",
        "s3ss10n-value",
        "dark-cookie",
        "k3y-k3y-k3y",
        "refer123456789",
        "n3w-s3ss10n",
        "l0cation-token",
        "t0ken-t0ken",
        KEY,
    ):
        assert secret not in text, secret
    for kept in (
        "user=joe",
        "next=/",
        "Path=/; HttpOnly",
        "gone=; Max-Age=0",
        "session=",
        "theme=",
    ):
        assert kept in text, kept
    assert clean.response is not None
    assert clean.response.pieces[0].at == 0.1


def test_a_clean_exchange_is_left_as_it_is() -> None:
    """Without a secret nothing changes, not even the spacing of JSON."""
    body = b'{ "id":1.10 , "a" : [1,2 ,3],"id": 2, "u":"\\u00e9\xc3\xa9" }\n'
    clean = exchange(
        Request("GET", "http://h.example/a?b=%20c&d", (("Accept", "*/*"), ("a", "1"), ("A", "2"))),
        Response(200, headers=JSON, pieces=(Piece(0, body[:7]), Piece(1, b""), Piece(2, body[7:]))),
    )

    assert Redaction.default().exchange(clean) == clean


def test_redacting_twice_changes_nothing() -> None:
    """A placeholder is no secret: a second pass, by another redaction, leaves it alone."""
    body = json.dumps({"password": SECRET, "nested": json.dumps({"api_key": "abc"}), "k": KEY})
    first = Redaction.default().exchange(
        exchange(
            Request(
                "GET",
                f"http://joe:{SECRET}@h/?token={KEY}",
                (("Authorization", "Bearer " + KEY), ("Cookie", "a=b; c=d"), *JSON),
                body.encode(),
            )
        )
    )

    assert Redaction.default().exchange(first) == first


def test_equal_values_have_equal_placeholders_and_others_have_others() -> None:
    """A token handed out in a body is the one that comes back in a header."""
    redaction = Redaction.default()
    handed_out = redaction.text('{"access_token": "abcdef1234567890"}', "application/json")
    came_back = redaction.headers((("Authorization", "Bearer abcdef1234567890"),))[0][1]
    another = redaction.headers((("Authorization", "Bearer zzzzzz1234567890"),))[0][1]

    assert found(handed_out) == came_back.removeprefix("Bearer ")
    assert another != came_back
    assert redaction.found == 2


def test_json_keeps_every_byte_around_a_secret() -> None:
    """A value is spliced out: spacing, number text, repeated keys and escapes stay."""
    text = '{\n\t"n": 1.000e5,"n":2,  "password" :"a\\"b" ,"x":"\\ud83d\\ude00\\/" , "otp": 12 }'

    clean = Redaction.default().text(text, "application/json")

    assert clean == (
        '{\n\t"n": 1.000e5,"n":2,  "password" :"[redacted:password:1]" ,"x":"\\ud83d\\ude00\\/" '
        ', "otp": "[redacted:secret:1]" }'
    )
    json.loads(clean)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/html"])
def test_a_number_that_was_a_secret_is_repeated_as_json_wants_it(kind: str) -> None:
    """A value becomes a string; a longer number is another one; strings have their quotes."""
    answer = {"code": 12345678, "of": [12345678, 123456789, 1.12345678, "no 12345678"]}

    clean = Redaction.default().exchange(
        exchange(
            Request("POST", "http://h/", JSON, b'{"password": 12345678}'),
            Response(
                200, "OK", (("Content-Type", kind),), (Piece(0, json.dumps(answer).encode()),)
            ),
        )
    )

    assert clean.request.body == b'{"password": "[redacted:password:1]"}'
    assert clean.response is not None
    hidden = "[redacted:password:1]"
    assert json.loads(clean.response.body) == {
        "code": hidden,
        "of": [hidden, 123456789, 1.12345678, f"no {hidden}"],
    }


@example([-1000000, {"id": None, "password": -1000000}])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["id", "name", "password", "items"]), inner, max_size=4
            )
        ),
        max_leaves=20,
    )
)
def test_redacted_json_is_json_of_the_same_shape(value: object) -> None:
    """Whatever goes in: the text stays valid, and all but the secrets keeps its value."""
    after = json.loads(Redaction.default().text(json.dumps(value), "application/json"))

    def check(old: object, new: object, *, secret: bool) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            old, new = cast("dict[str, object]", old), cast("dict[str, object]", new)
            assert old.keys() == new.keys()
            for key in old:
                check(old[key], new[key], secret=secret or key == "password")
        elif isinstance(old, list) and isinstance(new, list):
            old, new = cast("list[object]", old), cast("list[object]", new)
            for mine, theirs in zip(old, new, strict=True):
                check(mine, theirs, secret=secret)
        else:
            assert old == new or (secret and is_placeholder(str(new)))

    check(value, after, secret=False)


def test_multipart_hides_fields_and_looks_into_files() -> None:
    """A field by its name, a JSON file by its fields, an ordinary file not at all."""
    body = (
        '--B\r\nContent-Disposition: form-data; name="password"\r\n\r\nhun\r\nter\r\n'
        '--B\r\nContent-Disposition: form-data; name="f"; filename="a.json"\r\n'
        'Content-Type: application/json\r\n\r\n{"api_key": "abc"}\r\n'
        '--B\r\nContent-Disposition: form-data; name="g"; filename="g.bin"\r\n\r\n\x00\xff\r\n'
        "--B--\r\n"
    )

    clean = Redaction.default().text(body, 'multipart/form-data; boundary="B"')

    assert "hun" not in clean
    assert '{"api_key": "[redacted:api-key:1]"}' in clean
    assert clean.endswith("\x00\xff\r\n--B--\r\n")


def test_more_names_and_patterns_can_be_given_and_some_be_left() -> None:
    """Own headers, fields and patterns; names and values that are none."""
    redaction = Redaction(
        headers=["X-Pet"],
        fields=["pet_name"],
        patterns={"order-number": r"ORD-([0-9]{6})"},
        allow=["X-Api-Key", "theme"],
        allow_values=["public-password"],
    )

    assert redaction.headers((("x-pet", "rex"), ("x-api-key", "abc"))) == (
        ("x-pet", "[redacted:token:1]"),
        ("x-api-key", "abc"),
    )
    assert redaction.headers((("Cookie", "theme=dark; sid=1"),))[0][1] == (
        "theme=dark; sid=[redacted:cookie:1]"
    )
    assert redaction.text(
        '{"petName": "rex2", "password": "public-password"}', "application/json"
    ) == ('{"petName": "[redacted:secret:1]", "password": "public-password"}')
    assert redaction.text("see ORD-123456") == "see ORD-[redacted:order-number:1]"


@pytest.mark.parametrize(
    "options",
    [
        {"headers": "X-One"},
        {"fields": [""]},
        {"fields": [7]},
        {"patterns": {"Bad Kind": "x"}},
        {"patterns": {"a": "("}},
        {"patterns": {"a": "x*"}},
        {"patterns": {"a": 7}},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    """A text for a list, an empty name, a pattern that is none or finds nothing."""
    with pytest.raises(OptionError):
        Redaction(**options)


def test_the_head_of_a_scheme_stays() -> None:
    """Schemes say how a request is authorized; only what follows is secret."""
    values = [
        "Bearer abc",
        "Digest username=a, response=b",
        "AWS4-HMAC-SHA256 Credential=x/y",
        "raw",
    ]
    clean = [Redaction.default().headers((("Authorization", v),))[0][1] for v in values]

    assert clean == [
        "Bearer [redacted:bearer:1]",
        "Digest [redacted:digest:1]",
        "AWS4-HMAC-SHA256 [redacted:aws-signature:1]",
        "[redacted:authorization:1]",
    ]


@given(
    st.text("ab", max_size=30),
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 6), st.text("xy", max_size=5)), max_size=5
    ),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_edits_and_moved_offsets_agree(
    text: str, raw: list[tuple[int, int, str]], offsets: list[int]
) -> None:
    """Cutting the edited text at the moved offsets gives pieces that join to it again."""
    spans = disjoint(
        [Span(a, min(a + n, len(text)), "k", t) for a, n, t in raw if a < len(text)], text
    )
    edits = [Edit(span.start, span.end, span.value) for span in spans]
    places = sorted(min(offset, len(text)) for offset in offsets)
    after = edited(text, edits)

    new = moved(places, edits)

    assert new == sorted(new)
    assert all(0 <= at <= len(after) for at in new)
    assert moved([len(text)], edits) == [len(after)]
    pieces = [text[a:b].encode() for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    result, changed = cut(pieces, lambda _: edits)
    assert b"".join(result) == after.encode()
    assert len(result) == len(pieces)
    assert changed is bool(edits)


def test_placeholders_are_numbered_by_kind() -> None:
    """Each kind counts by itself; a value keeps its first kind; a placeholder is its own."""
    placeholders = Placeholders()

    assert [placeholders.of("a", "1"), placeholders.of("b", "2"), placeholders.of("a", "3")] == [
        "[redacted:a:1]",
        "[redacted:b:1]",
        "[redacted:a:2]",
    ]
    assert placeholders.of("b", "1") == "[redacted:a:1]"
    assert placeholders.of("b", "[redacted:z:9]") == "[redacted:z:9]"


def test_a_header_that_comes_again_is_redacted_as_the_first_time() -> None:
    """Also where it is repeated: what is remembered of it is all that was found in it."""
    redaction = Redaction.default()
    lines = (("Cookie", f"session={SECRET}"), ("Authorization", f"Bearer {SECRET}"))
    dirty = exchange(
        Request("GET", f"https://h.example/{SECRET}", lines),
        Response(200, headers=JSON, pieces=(Piece(0.0, json.dumps({"said": SECRET}).encode()),)),
    )

    first, second = redaction.exchange(dirty), redaction.exchange(dirty)

    assert SECRET not in every_byte(first)
    assert first == second
    assert redaction.headers(lines) == first.request.headers


def test_a_header_that_only_an_echo_gives_away_is_not_remembered() -> None:
    """Whether it holds a secret depends on the exchange that it stands in."""
    redaction = Redaction.default()
    echo = ("X-Request-Note", f"for {SECRET}")
    dirty = redaction.exchange(
        exchange(Request("GET", "https://h.example/", (("X-Api-Key", SECRET), echo)))
    )

    assert SECRET not in every_byte(dirty)
    assert redaction.headers((echo,)) == (echo,)
