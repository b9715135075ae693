"""Secrets that are taken out, and harmless texts that are left alone."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.observability.redaction import REDACTED, is_sensitive_key, scrub, scrub_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75Zb\nq0Zb\n-----END RSA PRIVATE KEY-----"

# A sentinel that must not come out, and the value or text in which it goes in.
PLANTED: dict[str, tuple[str, object]] = {
    "a password by its key": ("hunter2", {"password": "hunter2"}),
    "a password hash by its key": ("5f4dcc3b", {"user_password_hash": "5f4dcc3b"}),
    "a token by its key": ("tok-0815", {"nested": [{"accessToken": "tok-0815"}]}),
    "an API key in a text": ("abcdefghijklmnop", "rejected: sk-proj-abcdefghijklmnop"),
    "an AWS key id in a text": ("IOSFODNN7EXAMPLE", "no such key AKIAIOSFODNN7EXAMPLE here"),
    "a password in a URL": ("s3cr3t", "connect postgres://app:s3cr3t@db.internal:5432/main"),
    "a bearer token in a header": ("mF_9.B5f-4.1JqM", "Authorization: Bearer mF_9.B5f-4.1JqM"),
    "basic credentials": ("QWxhZGRpbjpvcGVu", "sent Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    "a JSON Web Token": ("eyJzdWIi", f"session {JWT} expired"),
    "a private key": ("MIIEpAIBAAKCAQEA75Zb", PEM),
    "a cookie by its key": ("sid-4711", {"headers": {"Set-Cookie": "sid=sid-4711; HttpOnly"}}),
    "a query parameter": ("q1w2e3", "GET /search?api_key=q1w2e3&q=cats"),
    "an exception's message": ("hunter3", ValueError("login failed: password='hunter3'")),
}

MORE_TEXTS = (
    'config: {"db": {"client_secret": "PLANT3D"}}',
    "{'private_key': 'PLANT3D'}",
    "DB_PASSWORD=PLANT3D ./run",
    "password: PLANT3D",
    "Settings(host='x', api_key='PLANT3D', port=1)",
    "Cookie: session=PLANT3D",
    'headers={"x-api-key" : "PLANT3D"}',
    "AccountName=a;AccountKey=PLANT3D==;Suffix=b",
    "redis://:PLANT3D@cache:6379/0",
    "amqp://user:PLANT3D@@broker",
    "token=PLANT3D",
    "bearer PLANT3DPLANT3DPLANT3D",
    "ghp_PLANT3DPLANT3DPLANT3D",
    "xoxb-PLANT3D-PLANT3D",
    'json: {\\"password\\": \\"PLANT3D\\"}',
    "password => PLANT3D",
    "proxy-authorization: digest PLANT3D",
)

HARMLESS_KEYS = [
    "author",
    "authors",
    "authority",
    "session_count",
    "session_id",
    "max_tokens",
    "input_tokens",
    "output_tokens",
    "token_count",
    "tokens",
    "token_type",
    "next_page_token",
    "eos_token",
    "cost_per_token",
    "tokenizer",
    "key",
    "keys",
    "primary_key",
    "foreign_key",
    "cache_key",
    "sort_key",
    "keyboard",
    "monkey",
    "turkey",
    "secretary",
    "passenger",
    "passed",
    "compass",
    "bypass",
    "encompass",
    "password_length",
    "password_policy",
    "user_id",
    "request_id",
    "name",
    "path",
    "duration_ms",
    "status",
    "error_type",
    "model",
    "route",
    "attempt",
    "hit",
    "oauth_provider",
    "auth_method",
    "cookie_count",
]

HARMLESS_TEXTS = (
    "the author signed in",
    "Unexpected token: expected identifier",
    "unexpected token } in JSON at position 4",
    "max_tokens=512 temperature=0.2",
    "usage: input_tokens=12, output_tokens=5",
    "cache_key=user:17 hit=True",
    "Basic authentication is required",
    "a basic understanding of bearer bonds",
    "the bearer certificates were lost",
    "see https://example.org:8080/path@v2?x=1",
    "git clone ssh://git@github.com/a/b.git",
    "pip install scikit-learn",
    "risk-assessment-of-2024 and task-12345678",
    "password is required",
    "Authorization: required",
    "token: missing",
    "wrong password, try again",
    "12:30:45 secretary: Ada",
    "trace 0af7651916cd43dd8448eb211c80319c",
    "a=b c=d e:f",
    "sk-learn is a package",
    "password=None",
    "x := token == other",
    "C:\\keys\\public.txt",
)


@pytest.mark.parametrize("case", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_secret_does_not_come_out(case: tuple[str, object]) -> None:
    """None of the thirteen is in what would be exported; the marker stands there instead."""
    secret, value = case

    shown = json.dumps(scrub(value))

    assert secret not in shown
    assert REDACTED in shown


@pytest.mark.parametrize("text", MORE_TEXTS)
def test_a_secret_in_a_text_does_not_come_out(text: str) -> None:
    """Whatever the notation."""
    assert "PLANT3D" not in scrub_text(text)


@pytest.mark.parametrize("key", HARMLESS_KEYS)
def test_a_harmless_key_passes(key: str) -> None:
    """Whole words are compared, in each way of writing them."""
    assert scrub({key: "value"}) == {key: "value"}
    assert not is_sensitive_key(key.upper())
    assert not is_sensitive_key(key.replace("_", "-"))


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_a_harmless_text_passes(text: str) -> None:
    """Prose that speaks of secrets is none."""
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "dbPassword",
        "db.password",
        "X-Api-Key",
        "apikey",
        "APIKey",
        "Authorization",
        "proxy-authorization",
        "set-cookie",
        "client_secret",
        "privateKey",
        "aws_secret_access_key",
        "credentials",
        "auth",
        "token",
        "refreshToken",
        "id_token",
        "github_token",
        "passphrase",
        "signing-key",
        "credit_card",
        "cardNumber",
        "jwt",
    ],
)
def test_a_sensitive_key_hides_its_value(key: str) -> None:
    """In snake, camel and header case; text, number and structure alike."""
    for value in ("x", 1234, ["x"], {"a": "x"}):
        assert scrub({key: value}) == {key: REDACTED}


def test_what_says_only_that_there_is_none_stays() -> None:
    """None and booleans are no secrets."""
    assert scrub({"token": None, "password": True}) == {"token": None, "password": True}


def test_the_rest_of_a_text_stays() -> None:
    """Only the value is replaced; scheme, host and neighbors are still there."""
    assert scrub_text("GET https://u:p@h/x?api_key=k1&q=2 Bearer abc123def456") == (
        f"GET https://{REDACTED}@h/x?api_key={REDACTED}&q=2 Bearer {REDACTED}"
    )


@given(st.text(max_size=200))
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    """The marker is stable, so layers may each scrub."""
    once = scrub_text(text)
    assert scrub_text(once) == once


@given(st.text("abcdefgh0123456789_-", min_size=20, max_size=60), st.text(max_size=40))
def test_a_prefixed_key_never_comes_out(tail: str, around: str) -> None:
    """Whatever stands around it, after a blank."""
    secret = f"sk-{tail}"
    assert secret not in scrub_text(f"{around} {secret} {around}")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inside: (
        st.lists(inside) | st.dictionaries(st.text() | st.integers(), inside) | st.tuples(inside)
    ),
    max_leaves=20,
)


@given(json_like)
def test_whatever_goes_in_json_comes_out(value: object) -> None:
    """Infinities, bytes, huge numbers and odd keys included."""
    json.dumps(scrub(value), allow_nan=False)


class Color(Enum):
    RED = "red"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class HostileDict(dict[str, object]):
    def items(self) -> object:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError("no")


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_values_that_json_does_not_know_are_shown_as_text() -> None:
    """Dates by ISO 8601, enumerations by value, exceptions with their class."""
    assert scrub(datetime(2025, 1, 2, tzinfo=UTC)) == "2025-01-02T00:00:00+00:00"
    assert scrub(Color.RED) == "red"
    assert scrub(LookupError("x")) == "LookupError: x"
    assert scrub(UUID(int=1)) == "UUID('00000000-0000-0000-0000-000000000001')"
    assert scrub(frozenset({1})) == [1]
    assert scrub(float("nan")) == "nan"
    assert "x" in str(scrub(Path("x")))


@pytest.mark.parametrize("make", [Hostile, HostileDict, HostileError])
def test_a_value_whose_own_code_fails_is_shown_by_its_class(make: Callable[[], object]) -> None:
    """Logging something broken does not break the program."""
    assert scrub(make()) == f"<{make.__name__}>"  # type: ignore[attr-defined]


def test_cycles_depth_and_size_are_bounded() -> None:
    """What contains itself, or is endless, is cut off."""
    cycle: list[object] = []
    cycle.extend([cycle] * 10)
    deep: object = "bottom"
    for _ in range(100_000):
        deep = [deep]

    assert len(json.dumps(scrub(cycle))) < 100_000
    assert "bottom" not in json.dumps(scrub(deep))
    assert len(json.dumps(scrub({str(i): i for i in range(100_000)}))) < 200_000


@pytest.mark.parametrize(
    "text",
    [
        "a://" + ":" * 100_000,
        "password=" * 20_000,
        "a=" * 50_000,
        "sk-" + "a" * 100_000 + "!",
        "eyJ" + "a." * 50_000,
        "-----BEGIN PRIVATE KEY-----" * 3_000,
        "Bearer " * 15_000,
        "Basic " + "a" * 100_000,
        'token="' * 15_000,
        "A" * 100_000 + "://",
        "key " * 25_000,
        "x_" * 50_000 + "token",
    ],
    ids=lambda text: str(text)[:16],
)
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    """A tenth of a megabyte of the worst kind is done in CPU time far below a second."""
    before = time.process_time()
    scrub_text(text)
    assert time.process_time() - before < 2
