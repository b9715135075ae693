"""What is a secret by its looks or its name, and what is none."""

from __future__ import annotations

import json
import math
import random
import string
import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.redact import PLACEHOLDER, Redaction
from keploy_framework.redact.hints import has_names
from keploy_framework.redact.kinds import KINDS, Looks
from keploy_framework.redact.names import STRONG as _STRONG
from keploy_framework.redact.names import WEAK as _WEAK
from keploy_framework.redact.names import Names

_LETTERS: Final = string.ascii_letters + string.digits


def _chance(count: int, letters: str = _LETTERS) -> str:
    picked = random.Random(count).choices(letters, k=count - 2)
    return "".join(picked) + letters[1] + letters[-1]


def _hex(count: int) -> str:
    return _chance(count, "0123456789abcdef")


# Put together here, so that no scanner takes this file for a leak.
PLANTED: Final = {
    "anthropic": "sk-" + "ant-api03-" + _chance(40),
    "openai": "sk-" + _chance(40),
    "openai project": "sk-" + "proj-" + _chance(60),
    "google": "AI" + "za" + _chance(35),
    "google token": "ya" + "29." + _chance(40),
    "hugging face": "hf" + "_" + _chance(34),
    "groq": "gsk" + "_" + _chance(40),
    "replicate": "r8" + "_" + _chance(37),
    "aws": "AK" + "IA" + _chance(16, string.ascii_uppercase + "234567"),
    "aws session": "AS" + "IA" + _chance(16, string.ascii_uppercase + "234567"),
    "azure": "AccountKey=" + _chance(86) + "==",
    "azure secret": "ab1" + "8Q~" + _chance(34),
    "digitalocean": "dop" + "_v1_" + _hex(64),
    "vault": "hv" + "s." + _chance(30),
    "databricks": "da" + "pi" + _hex(32),
    "github": "gh" + "p_" + _chance(36),
    "github oauth": "gh" + "o_" + _chance(36),
    "github fine": "github" + "_pat_" + _chance(40),
    "gitlab": "gl" + "pat-" + _chance(20),
    "slack": "xo" + "xb-123456789012-" + _chance(24),
    "slack webhook": "https://hooks.slack" + ".com/services/T0000/B0000/" + _chance(24),
    "telegram": "123456789" + ":AA" + _chance(33),
    "npm": "np" + "m_" + _chance(36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + _chance(60),
    "docker": "dckr" + "_pat_" + _chance(27),
    "linear": "lin" + "_api_" + _chance(40),
    "stripe": "sk" + "_live_" + _chance(24),
    "stripe restricted": "rk" + "_test_" + _chance(24),
    "stripe webhook": "wh" + "sec_" + _chance(32),
    "sendgrid": "S" + "G." + _chance(22) + "." + _chance(43),
    "twilio": "S" + "K" + _hex(32),
    "mailgun": "key" + "-" + _hex(32),
    "mailchimp": _hex(32) + "-us12",
    "shopify": "shp" + "at_" + _hex(32),
    "square": "sq0" + "atp-" + _chance(22),
    "jwt": "ey" + "J" + _chance(30) + ".ey" + "J" + _chance(40) + "." + _chance(43),
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{_chance(64)}\n-----END RSA PRIVATE KEY-----",
    "bearer": "Bearer " + _chance(30),
    "url": "postgres://joe:" + _chance(12) + "@db.example/x",
}
HARMLESS: Final = (
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "d41d8cd98f00b204e9800998ecf8427e",
    'W/"33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "chatcmpl-AbC123dEf456GhI789jKl012MnO34",
    "task-1234567890abcdef1234567890",
    "risk-assessment-2024-with-a-long-name-99",
    "2024-05-06T07:08:09.123456Z",
    "1700000000123456789",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
    "https://example.com:8080/a/b?page=2&sort=name",
    "mailto:someone@example.com",
    "http://user@example.com/",
    "arn:aws:s3:::bucket/key-with-dashes",
    "Basic usage of the tool",
    "a bearer of good news about nothing at all",
    "npm_config_registry",
    "SKILLS",
)


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize(
    "frame",
    ["{}", '{{"note": "{}"}}', "data: {}\n\n", "see <b>{}</b> there", "a=1&b=2&c={}", "x\n{}\ny"],
)
def test_a_known_key_does_not_stay_wherever_it_stands(name: str, frame: str) -> None:
    """A secret with known looks is found in bare text, JSON, a stream, HTML, a form, a line."""
    secret = PLANTED[name]
    core = secret.rpartition("/")[2] if "slack.com" in secret else secret[12:-6]
    text = frame.format(secret if "{{" not in frame else json.dumps(secret)[1:-1])

    clean = Redaction.default().text(text)

    assert PLACEHOLDER.search(clean), clean
    assert core not in clean


@pytest.mark.parametrize("value", HARMLESS)
@pytest.mark.parametrize("frame", ["{}", '{{"id": {}}}', '{{"etag": {}, "n": 1}}'])
def test_ids_hashes_and_dates_stay(value: str, frame: str) -> None:
    """What is stable and no credential is asserted: it is left as it is."""
    text = frame.format(json.dumps(value) if "{{" in frame else value)

    assert Redaction.default().text(text, "application/json" if "id" in frame else "") == text


@pytest.mark.parametrize(
    "body",
    [
        '{"usage": {"prompt_tokens": 12, "total_tokens": 99, "max_tokens": 4096}}',
        '{"logprobs": [{"token": "Hello", "logprob": -0.5}, {"token": " world", "logprob": -1}]}',
        '{"next_page_token": "CAUQAA1234567890abcdef"}',
        '{"session_id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}',
        '{"key": "folder/file-000123456789.json", "code": "E1234567890123"}',
        '{"properties": {"password": {"type": "string", "title": "Password"}}}',
        '{"password": null, "secret": true, "token": "", "has_password": false}',
        '{"author": "abc123def456ghi789", "secretary": "Ms. Jones", "compass": "north 12 34 56"}',
        '{"token_type": "bearer", "expires_in": 3600}',
    ],
)
def test_names_that_only_resemble_stay(body: str) -> None:
    """Counts, cursors, schemas and words that contain a telling name hold no secret."""
    assert Redaction.default().text(body, "application/json") == body


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "passwd",
        "pwd",
        "db_password",
        "new-password",
        "password2",
        "client_secret",
        "clientSecret",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "access_token",
        "refreshToken",
        "id_token",
        "private_key",
        "csrf_token",
        "otp",
        "AWS_SECRET_ACCESS_KEY",
        "connectionString",
        "pass\\u0077ord",
    ],
)
def test_a_telling_name_gives_its_value_away(name: str) -> None:
    """A field, a parameter, an element or an assignment with a telling name is redacted."""
    plain = json.loads(f'"{name}"')
    redaction = Redaction.default()
    texts = [
        redaction.text(f'{{"{name}": "qwe rty!"}}', "application/json"),
        redaction.text(f"a=1&{plain}=qwe+rty!", "application/x-www-form-urlencoded"),
        redaction.text(f"<r><{plain}>qwe rty!</{plain}></r>", "application/xml"),
        redaction.text(f"set {plain}='qwe rty!' now"),
        redaction.url(f"https://h.example/p?a=1&{plain}=qwe%20rty!&b=2"),
    ]

    assert not [text for text in texts if "qwe" in text]
    # The same value, however it is spelled, is the same secret.
    assert len({match[0] for text in texts for match in PLACEHOLDER.finditer(text)}) == 1


def test_each_kind_has_a_name_that_a_placeholder_can_carry() -> None:
    """Kinds are lower-case words joined by dashes."""
    for kind in KINDS:
        assert PLACEHOLDER.fullmatch(f"[redacted:{kind.name}:1]"), kind.name
        assert kind.pattern.groups <= 1


ADVERSARIAL: Final = {
    "escapes": '"' + '\\"',
    "quotes": '"',
    "nested secrets": '{"secret":',
    "open arrays": "[",
    "sk": "sk-",
    "bearer": "Bearer ",
    "jwt": "eyJ",
    "jwt parts": "eyJaaaaaa.",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "header lines": "authorization:",
    "open quotes": 'password="',
    "assignments": "password=",
    "urls": "http://",
    "user info": "://a:",
    "tags": "<input ",
    "elements": "<password>",
    "blanks": " ",
    "letters": "a",
    "capitals": "A",
    "dots": "A.",
    "pairs": "a=b&",
    "events": 'data: {"c":"s"}\n',
    "cookies": "cookie: a=b; ",
    "keys": "AccountKey=",
    "hex": "0123456789abcdef",
    "telegram": "123456789:AA",
    "curl": " -u a:",
    "parts": "--B\r\n\r\n",
}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/html",
        "text/event-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=B",
    ],
)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_no_text_makes_a_pattern_run_away(name: str, content_type: str) -> None:
    """Twice the text takes at most a few times as long: nothing is quadratic."""
    part = ADVERSARIAL[name]

    def cost(length: int) -> float:
        text = part * (length // len(part))
        start = time.process_time()
        Redaction.default().text(text, content_type)
        return time.process_time() - start

    small = large = math.inf
    for _ in range(20):  # what takes long by its nature does so each time
        small, large = min(small, cost(15_000)), min(large, cost(120_000))
        if large < 0.05 or large < 32 * small:
            return
    pytest.fail(f"{small} s became {large} s")


@given(st.text('abpwdtokenSECRET_-:\\" {}', max_size=60), st.sampled_from(sorted(_STRONG | _WEAK)))
def test_a_text_that_cannot_hold_a_telling_name_holds_none(text: str, name: str) -> None:
    """The short cut never passes over a name."""
    names = Names()

    assert has_names(f'{text}"{name}": 1', names)
    if not has_names(text, names):
        assert not any(names.kind(word) for word in text.replace('"', ":").split(":"))


def test_what_may_be_there_is_said_before_it_is_looked_for() -> None:
    """A text without any literal of a kind has none of them."""
    looks = Looks()

    assert not looks.possible("application/json text/html gzip")
    for secret in PLANTED.values():
        assert looks.possible(secret)
