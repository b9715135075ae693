"""What only the client knows is given to the replay, and written as the request needs it."""

from __future__ import annotations

import json
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import OptionError
from keploy_framework.model import Direction, Exchange, Request
from keploy_framework.replay.chain import Chain, chained
from keploy_framework.replay.known_secrets import known_secrets, variable_of

MARK = "[redacted:password:1]"


def sent(secret: str, content_type: str, body: str, url: str = "http://h/") -> Request:
    """Return the request as it is sent with a secret in the place of its placeholder."""
    headers = (("Content-Type", content_type), ("Content-Length", str(len(body))))
    asked = Request("POST", url, headers, body.encode())
    (links,) = chained([Exchange("1", Direction.INBOUND, asked, None, 0, 0)])
    made = Chain({MARK: secret}).request(links, asked)
    length = dict(made.headers)["Content-Length"]
    assert int(length) == len(made.body)
    return made


_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(_TEXT)
def test_a_secret_is_written_as_the_body_wants_it(secret: str) -> None:
    """Quotes in JSON, ampersands in forms and XML: the application reads the secret itself."""
    made = sent(secret, "application/json", f'{{"password": "{MARK}"}}')
    assert json.loads(made.body) == {"password": secret}
    made = sent(secret, "application/x-www-form-urlencoded", f"user=ada&password={MARK}")
    assert parse_qs(made.body.decode(), strict_parsing=True)["password"] == [secret]
    made = sent(secret, "application/xml", f"<login><password>{MARK}</password></login>")
    assert ET.fromstring(made.body.decode()).findtext("password") == secret  # noqa: S314 - our own
    made = sent(secret, "text/plain", "x", url=f"http://h/?password={MARK}")
    assert parse_qs(made.url.partition("?")[2])["password"] == [secret]


@given(st.from_regex(r"\[redacted:[a-z][a-z-]{0,20}[a-z]:[1-9][0-9]{0,6}\]", fullmatch=True))
def test_each_placeholder_has_a_variable_of_its_own(placeholder: str) -> None:
    """The environment gives its value."""
    assert known_secrets(None, {variable_of(placeholder): "x"}) == {placeholder: "x"}


def test_what_is_given_wins_and_other_variables_are_none() -> None:
    environ = {"KEPLOY_SECRET_PASSWORD_1": "a", "KEPLOY_SECRET_": "b", "KEPLOY_SECRET_X": "c"}
    assert known_secrets(None, environ) == {MARK: "a"}
    assert known_secrets({MARK: "d"}, environ) == {MARK: "d"}


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"password": "x"}, "by placeholder"),
        ({MARK: 7}, "must be a text"),
        ({"": "x"}, "not by ''"),
    ],
)
def test_what_is_no_secret_is_refused(given_: dict[str, str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        known_secrets(given_, {})
