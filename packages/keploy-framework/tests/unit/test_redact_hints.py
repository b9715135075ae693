"""Hints err to one side only: what they let pass unread holds nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keploy_framework.redact import Redaction, json_text
from keploy_framework.redact.hints import (
    HINTS,
    RUN,
    json_has_names,
    name_starts,
    runs,
    unescaped_roughly,
)
from keploy_framework.redact.kinds import KINDS, Looks
from keploy_framework.redact.names import STRONG, WEAK, Names, normal
from keploy_framework.redact.texts import _ASSIGNMENT  # pyright: ignore[reportPrivateUsage] - what the hints are a short cut to

if TYPE_CHECKING:
    from keploy_framework.redact.kinds import Kind

latin = st.text(st.characters(max_codepoint=255), max_size=60)
spellings = st.sampled_from(
    ["password", "Api-Key", "ACCESS_TOKEN", "client.secret", "code", "sid", "monkey", "author",
     "x", "jwt", "Cookie", "note", "$auth", "pass", "Überpass", "9key", "-key", "a" * 70 + "key"]
)  # fmt: skip
between = st.sampled_from(["=", ": ", ":", " := ", " => ", '": "', "'] = '", " ", ", ", "\n", "::"])
prose = st.lists(st.one_of(spellings, between, st.sampled_from("é\xff;[]\\")), max_size=12).map(
    "".join
)


def _called(kind: Kind) -> str:
    return f"{kind.name} {kind.literals[0]}"


@pytest.mark.parametrize("kind", KINDS, ids=_called)
@settings(max_examples=settings().max_examples // 12)
@given(data=st.data())
def test_no_kind_is_missed(kind: Kind, data: st.DataObject) -> None:
    """Whatever the pattern of a kind finds, the short cut finds: in any surroundings."""
    made = data.draw(st.from_regex(re.compile(kind.pattern.pattern, re.ASCII)))
    text = data.draw(latin) + made + data.draw(latin)
    group = 1 if kind.pattern.groups else 0
    wanted = [
        match.span(group)
        for match in kind.pattern.finditer(text)
        if match[group] and (kind.confirm is None or kind.confirm(match[group]))
    ]
    looks = Looks()
    found = {(span.start, span.end) for span in looks.spans(text)}
    assert found.issuperset(wanted)
    assert looks.possible(text) or not wanted


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.in_run],
    ids=lambda kind: f"{kind.name} {kind.literals[0]}",
)
@settings(max_examples=settings().max_examples // 12)
@given(data=st.data())
def test_what_is_said_to_lie_in_a_run_does(kind: Kind, data: st.DataObject) -> None:
    """The run holds the literal, and the sign that its kind is looked for by."""
    text = data.draw(st.from_regex(re.compile(kind.pattern.pattern, re.ASCII)))
    match = kind.pattern.search(text)
    assert match is not None
    inside = [
        text[start:end]
        for start, end in runs(text)
        if start <= match.start(match.lastindex or 0) < end
    ]
    assert any(literal in part for part in inside for literal in kind.literals)
    assert all(kind.gate in part for part in inside)
    assert not kind.starts or any(match[0].startswith(literal) for literal in kind.literals)


@given(st.text(st.characters(max_codepoint=300)))
def test_runs_are_all_runs(text: str) -> None:
    """None is missed, each is whole."""
    wanted = [match.span() for match in re.finditer(rf"[A-Za-z0-9_.=/+%~-]{{{RUN},}}", text)]
    assert runs(text) == wanted


@pytest.mark.parametrize("name", sorted(STRONG | WEAK))
def test_each_telling_name_has_a_hint(name: str) -> None:
    """A name without one would never be looked at."""
    assert any(hint in name for hint in HINTS)
    assert Names().kind(name) is not None


@settings(max_examples=3 * settings().max_examples)
@given(st.text(st.sampled_from("abcdeiknoprstuvwy_-. 012"), max_size=30))
def test_a_telling_name_of_any_spelling_has_a_hint(name: str) -> None:
    """Also those that are known by how they end."""
    if Names().kind(name) is not None:
        assert any(hint in normal(name) for hint in HINTS)


@settings(max_examples=4 * settings().max_examples)
@given(prose)
@example("password=")
@example("x=1" * 40 + "token: abc")
@example("say password: x" + " " * 200)
@example("pass-word=x")
def test_the_start_of_each_telling_assignment_is_found(text: str) -> None:
    """By going from sign to sign as by looking for hints; but a hint has to be in one piece."""
    names = Names()
    wanted = [
        match.start()
        for match in _ASSIGNMENT.finditer(text)
        if names.kind(match[1]) is not None and any(hint in match[1].lower() for hint in HINTS)
    ]
    assert set(name_starts(text)).issuperset(wanted)
    spread = text + "\n" + "lorem ipsum " * 100  # few signs for its length: the other way
    assert set(name_starts(spread)).issuperset(wanted)


@given(prose)
def test_starts_come_in_order_and_once(text: str) -> None:
    """Their reader goes on from each."""
    starts = list(name_starts(text))
    assert starts == sorted(set(starts))


def test_letters_beyond_latin_1_are_no_obstacle() -> None:
    """As escapes in JSON may make them."""
    assert [start for start in name_starts("→ password=x") if start == 2] == [2]
    redaction = Redaction.default()
    assert "hunter22" not in redaction.text(
        '{"note": "\\u2192 password=hunter22"}', "application/json"
    )


json_texts = st.recursive(
    st.one_of(st.integers(), st.booleans(), spellings.map(lambda text: f'"{text}"')).map(str),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.one_of(spellings, st.just(":password"), st.just("a\\tb")), inner),
                 max_size=3).map(
            lambda pairs: "{" + ", ".join(f'"{key}" : {value}' for key, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=3 * settings().max_examples)
@given(json_texts)
@example('{"a":"b",":password":"x1234567"}')
@example('{"pass\\u0077ord": "x"}')
def test_json_without_a_hint_has_no_telling_field(text: str) -> None:
    """The short cut is right, for keys of every kind."""
    names = Names()
    for _ in range(2):  # the second time from memory
        if not json_has_names(text, names):
            assert list(json_text.fields(text, names)) == []


def test_own_names_are_hints_too() -> None:
    """Of fields that only this application has."""
    redaction = Redaction(fields=["pet"])
    assert redaction.text('{"p-e-t": "rex"}', "application/json") == (
        '{"p-e-t": "[redacted:secret:1]"}'
    )
    assert redaction.text("pet=rexx") == "pet=[redacted:secret:2]"


def test_escapes_do_not_hide_a_secret() -> None:
    """JSON may write a slash in two ways."""
    text = '{"db": "postgres:\\/\\/ada:hunter22@db\\/x"}'
    assert unescaped_roughly(text) == '{"db": "postgres://ada:hunter22@db/x"}'
    assert "hunter22" not in Redaction.default().text(text, "application/json")


def test_kinds_of_ones_own_are_always_looked_for() -> None:
    """They have no literal that could be missing."""
    redaction = Redaction(patterns={"pet": "r[e]x"})
    assert redaction.text("my rex") == "my [redacted:pet:1]"
    assert (
        redaction.headers((("x", "rex"),)) == (("x", "[redacted:pet:2]"),) or redaction.found == 1
    )


def test_header_lines_that_are_clean_stay_the_same_object() -> None:
    """Also the second time, and when a line is remembered as clean."""
    redaction = Redaction.default()
    headers = (("accept", "*/*"), ("x-note", "abcdefgh1"))
    assert redaction.headers(headers) is headers
    assert redaction.headers(headers) is headers
    for number in range(5000):  # more than are remembered
        redaction.headers((("x", str(number)),))
    assert redaction.headers(headers) is headers


def test_a_line_that_was_clean_is_looked_at_when_a_secret_came_before_it() -> None:
    """What is remembered is that it holds none of its own."""
    redaction = Redaction.default()
    echo = ("x-echo", "abcdefgh12345678")
    assert redaction.headers((echo,)) == (echo,)
    found = redaction.headers((("authorization", "Bearer abcdefgh12345678"), echo))
    assert all("abcdefgh12345678" not in value for _, value in found)
