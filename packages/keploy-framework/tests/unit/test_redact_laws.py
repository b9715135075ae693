"""Laws of redaction: what holds for every text, wherever it is cut, and however often."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keploy_framework.redact import PLACEHOLDER, Placeholders, Redaction, SlidingWindow
from keploy_framework.redact.echoes import echoed, note
from keploy_framework.redact.embedded import base64_texts, percent_decoded_spans
from keploy_framework.redact.hints import runs
from keploy_framework.redact.names import Names
from keploy_framework.redact.spans import Edit, Span, cut
from keploy_framework.redact.tables import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("password", "api_key", "access_token", "clientSecret", "X-Api-Key", "secret")
SECRET = st.from_regex(r"\A[A-Za-z0-9]{4}[0-9][A-Za-z0-9_.-]{6,20}\Z")
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="[]"), max_size=12)
HARMLESS = st.sampled_from(["id", "name", "note", "items", "größe"])
FIELD = st.tuples(st.sampled_from(NAMES), SECRET) | st.tuples(HARMLESS, PLAIN)
BODIES = st.recursive(
    st.lists(FIELD, max_size=4).map(dict),
    lambda inner: st.lists(FIELD, max_size=3).flatmap(
        lambda fields: st.tuples(HARMLESS, inner).map(lambda more: dict([*fields, more]))
    ),
    max_leaves=4,
)
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/event-stream",
    "text/html",
    "text/csv",
    "application/yaml",
    "text/plain",
    "",
)
PIECES = st.sampled_from(
    [
        *('{"', '"', ":", "password", "token", "=", "&", "<", ">", "</", "\n", "data: ", "\\", "'"),
        *("Authorization: Bearer ", "eyJ", "sk-ant-", "hunter22", "://a:b@", "%22", "&quot;", ","),
        *(
            '{"name": "password", "value": "',
            "--key ",
            "-----BEGIN PRIVATE KEY-----",
            " ",
            "é",
            "1",
        ),
        *("cGFzc3dvcmQ9aHVudGVyMjI=", "[redacted:token:1]", "[", "]", "{", "}", "cookie: a=b; "),
    ]
)
TEXTS = st.lists(PIECES | PLAIN, max_size=14).map("".join)


@example("--key ://a:b@", "text/html")
@example("Authorization: Bearer à", "application/json")
@example('{"Authorization: Bearer \\{"', "application/json")
@example('cGFzc3dvcmQ9aHVudGVyMjI=\n{"', "text/csv")
@example("token::1-----BEGIN PRIVATE KEY-----password", "application/json")
@example("token://a:b@Authorization: Bearer ", "application/json")
@example('{"name": "password", "value": "{":"{"', "application/json")
@example('[["X-Api-Key", "x1y2z3w4v5u6t7s8"], {"COOKIE": "q1w2e3r4t5y6"}]', "application/json")
@given(TEXTS, st.sampled_from(TYPES))
@settings(max_examples=4 * settings().max_examples)
def test_redacting_twice_is_redacting_once(text: str, content_type: str) -> None:
    """A second pass, by a redaction that has not seen the first, leaves everything alone."""
    once = Redaction.default().text(text, content_type)

    assert Redaction.default().text(once, content_type) == once


@example("Authorization: Bearer à".encode(), "application/json")
@given(TEXTS.map(str.encode), st.sampled_from(TYPES))
def test_what_was_utf_8_stays_utf_8(body: bytes, content_type: str) -> None:
    """No character is cut in two: not by what some take for space either."""
    Redaction.default().body(body, (("Content-Type", content_type),)).decode()


@given(TEXTS, st.sampled_from(TYPES))
def test_what_is_no_secret_stays_byte_for_byte(text: str, content_type: str) -> None:
    """Without the placeholders, what is left are parts of the text, in its order."""
    clean = Redaction.default().text(text, content_type)
    at = 0
    for part in PLACEHOLDER.split(clean)[::3]:
        found = text.find(part, at)
        assert found >= 0 or "[redacted:" in text
        at = max(at, found + len(part))


@given(BODIES, st.integers(0, 3), st.booleans())
def test_redacted_json_differs_in_its_secrets_alone(
    body: dict[str, Any],
    indent: int,
    ascii_only: bool,  # noqa: FBT001 - drawn
) -> None:
    """Same keys, same other values, same spelling; nothing of a secret."""
    text = json.dumps(body, indent=indent or None, ensure_ascii=ascii_only)

    clean = Redaction.default().text(text, "application/json")

    def check(before: Any, after: Any) -> None:
        assert list(before) == list(after)
        for key, value in before.items():
            if key in NAMES:
                assert PLACEHOLDER.fullmatch(after[key])
            elif isinstance(value, dict):
                check(value, after[key])

    check(body, json.loads(clean))
    for secret in (value for key, value in body.items() if key in NAMES):
        assert f'"{secret}"' not in clean


@given(st.lists(SECRET, min_size=1, max_size=8))
def test_placeholders_are_one_to_one(secrets: list[str]) -> None:
    """Equal values have equal placeholders, different ones have different ones."""
    text = json.dumps([{"password": secret} for secret in secrets])

    made = [each["password"] for each in json.loads(Redaction.default().text(text))]

    assert len(set(made)) == len(set(secrets))
    assert len(set(zip(secrets, made, strict=True))) == len(set(secrets))


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), SECRET)), st.integers(0, 5))
def test_no_two_values_share_a_placeholder(pairs: list[tuple[str, str]], floor: int) -> None:
    """Whatever kinds they are found under, and however many others have given."""
    placeholders = Placeholders()
    placeholders.start_at(floor)
    given_: dict[str, str] = {}
    for kind, value in pairs:
        given_[value] = placeholders.of(kind, value)

    assert len(set(given_.values())) == len(given_)


@given(st.lists(st.binary(max_size=6), max_size=20), st.data())
def test_no_piece_that_had_a_byte_is_left_without(pieces: list[bytes], data: st.DataObject) -> None:
    """Wherever a secret stood: an empty piece would end a body; if bytes are few, the last are."""
    length = len(b"".join(pieces))
    places = sorted(data.draw(st.lists(st.integers(0, length), max_size=6).map(set)))
    edits = [
        Edit(start, end, data.draw(st.sampled_from(["", "x", "[redacted:token:1]"])))
        for start, end in list(pairwise(places))[::2]
    ]

    after, _ = cut(pieces, lambda _: edits)

    assert len(after) == len(pieces)
    full = [bool(old) for old in pieces]
    kept = [bool(new) for new, old in zip(after, pieces, strict=True) if old]
    assert kept == [True] * min(sum(full), len(b"".join(after))) + [False] * (
        len(kept) - min(sum(full), len(b"".join(after)))
    )


@given(st.lists(st.integers(0, 600_000), max_size=12), st.integers(0, 500_000))
@settings(max_examples=settings().max_examples // 6)
@pytest.mark.slow
def test_a_window_is_the_whole_body_wherever_it_is_cut(cuts: list[int], at: int) -> None:
    """What comes out does not depend on the pieces that go in."""
    filler = "a line of some words, 12 of them\n" * 20_000
    secret = "password=hunter22-and-more; Authorization: Bearer abcdef1234567890\n"  # noqa: S105 - made up
    body = (filler[:at] + secret + filler[at:] + secret).encode()
    places = sorted({min(each, len(body)) for each in cuts} | {0, len(body)})
    redaction = Redaction.default()
    window = redaction.window((("Content-Type", "text/plain"),))
    assert isinstance(window, SlidingWindow)

    out = b"".join(window.feed(body[a:b]) for a, b in pairwise(places)) + window.finish()

    whole = redaction.window(())
    assert whole is not None
    assert out == whole.feed(body) + whole.finish()
    assert b"hunter22" not in out
    assert out.count(b"[redacted:") == 4
    assert len(out) == len(body) - 2 * len(secret) + 2 * len(
        "password=[redacted:password:1]; Authorization: Bearer [redacted:bearer:1]\n"
    )


# A last line of two characters.
@example(text="00" + "\x80" * 7 + "\U00010000" * 6, urlsafe=False, wrapped=True)
@given(text=st.text(min_size=1, max_size=80), urlsafe=st.booleans(), wrapped=st.booleans())
@settings(max_examples=4 * settings().max_examples)
def test_base64_is_opened_in_either_alphabet_wrapped_or_not(
    text: str,
    urlsafe: bool,  # noqa: FBT001 - drawn
    wrapped: bool,  # noqa: FBT001 - drawn
) -> None:
    """What it says is what was put in."""
    said = f"{'x' * 60} {text} and some more".encode()
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    packed = encode(said).decode()
    if wrapped:
        packed = "\\n".join(packed[n : n + 76] for n in range(0, len(packed), 76))
    line = f'{{"d": "{packed}"}}'

    found = list(base64_texts(line, runs(line), binary=True))

    assert [each.text.encode("latin-1") for each in found] == [said]
    assert line[found[0].start : found[0].end] == packed


@given(PLAIN, SECRET, PLAIN)
def test_a_span_of_a_decoded_value_stands_where_it_was_read(
    before: str, secret: str, after: str
) -> None:
    """Whatever is written with percent signs around it."""
    raw = quote(before) + secret + quote(after)
    at = len(before.encode())
    inner = Span(at, at + len(secret), "token", secret)

    (span,) = percent_decoded_spans(raw, 0, [inner])

    assert raw[span.start : span.end] == secret


@given(st.text(st.characters(codec="latin-1"), min_size=8, max_size=30))
def test_each_spelling_of_a_secret_leads_to_the_secret(secret: str) -> None:
    """Percent-encoded, escaped for JSON and HTML, as Base64: one value, one placeholder."""
    seen: dict[str, str] = {}
    note([Span(0, len(secret), "token", secret)], seen)

    for spelled in seen:
        found = list(echoed(f" {spelled} ", seen))
        assert secret in {span.value for span in found}


CELL = st.text(st.characters(codec="ascii", exclude_characters="\r\n\x00"), max_size=6)


@given(st.lists(st.tuples(CELL, SECRET, CELL), max_size=5))
def test_every_cell_below_a_telling_name_is_found(rows: Sequence[tuple[str, str, str]]) -> None:
    """Quoted or not, with commas and quotes in the other cells."""
    lines = ["id,password,note"]
    lines += [
        ",".join(
            '"' + cell.replace('"', '""') + '"' if set(cell) & {'"', ","} else cell for cell in row
        )
        for row in rows
    ]

    found = [span.value for span in columns("\r\n".join(lines), Names())]

    assert found == [secret for _, secret, _ in rows]
