"""A token that was handed out is found where it is handed in, under any name."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.redact import Redaction
from keploy_framework.redact.echoes import returned
from keploy_framework.redact.placeholders import Placeholders

if TYPE_CHECKING:
    from keploy_framework.model import Headers

JSON: Headers = (("content-type", "application/json"),)
TOKEN = "9f86d081884c7d659a2feaa0c55ad015"  # noqa: S105 - a digest of nothing


def knowing(*values: str) -> Placeholders:
    """Return placeholders that have stood for these."""
    made = Placeholders()
    for value in values:
        made.of("token", value)
    return made


def exchange(
    request: Request, body: str = "{}", direction: Direction = Direction.INBOUND
) -> Exchange:
    return Exchange(
        "1", direction, request, Response(200, "", JSON, (Piece(0, body.encode()),)), 0, 0
    )


def handed_out(redaction: Redaction, token: str = TOKEN) -> str:
    """Let an answer hand out a token; return what stands in its place."""
    made = redaction.exchange(
        exchange(Request("POST", "http://h/login"), f'{{"access_token": "{token}"}}')
    )
    assert made.response is not None
    text = made.response.body.decode()
    assert token not in text
    return text.removeprefix('{"access_token": "').removesuffix('"}')


PLACES = (
    Request("GET", f"http://h/tickets/{TOKEN}/print"),
    Request("GET", f"http://h/x?t={TOKEN}&y=1"),
    Request("GET", "http://h/x", (("X-Ticket", TOKEN),)),
    Request("GET", "http://h/x", (("X-Ticket", f"id={TOKEN}; v=1"),)),
    Request("POST", "http://h/x", JSON, f'{{"t": ["{TOKEN}"]}}'.encode()),
    Request("POST", "http://h/x", (), f"t={TOKEN}".encode()),
)


@pytest.mark.parametrize("request_", PLACES, ids=lambda one: f"{one.url} {one.headers} {one.body}")
def test_what_was_handed_out_is_found_where_it_is_handed_in(request_: Request) -> None:
    """The same placeholder stands there, and in what the answer repeats of it."""
    redaction = Redaction.default()
    placeholder = handed_out(redaction)
    made = redaction.exchange(exchange(request_, f'{{"you sent": "{TOKEN}"}}'))
    assert TOKEN not in repr(made)
    assert placeholder in made.request.url + repr(made.request.headers) + made.request.body.decode()
    assert made.response is not None
    assert placeholder in made.response.body.decode()


def test_a_header_line_that_was_harmless_before_is_looked_at_again() -> None:
    """What is remembered of a line is that it held nothing then."""
    redaction = Redaction.default()
    asked = Request("GET", "http://h/x", (("X-Ticket", TOKEN),))
    assert redaction.exchange(exchange(asked)).request == asked
    handed_out(redaction)
    assert redaction.exchange(exchange(asked)).request != asked


def test_calls_of_the_application_are_looked_up_as_they_were_recorded() -> None:
    """Their secrets are found by name and looks alone, whatever came before them."""
    redaction = Redaction.default()
    handed_out(redaction)
    asked = Request("GET", "http://h/x", (("X-Ticket", TOKEN),))
    assert redaction.exchange(exchange(asked, direction=Direction.OUTBOUND)).request == asked


@pytest.mark.parametrize("known", ["admin", "application/json", "hunter2hunter2", "a" * 20])
def test_words_that_were_secrets_once_stay_where_they_are(known: str) -> None:
    """A password may be any word; only what is as long as a key, and made by chance, is found."""
    asked = Request("GET", f"http://h/{known}", (("X-A", known),), known.encode())
    assert list(returned(asked, knowing(known))) == []


@given(
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.uuids().map(lambda one: one.hex),
    st.sampled_from(["", "=", "/", "x=", "/a/", '"', " ", ";"]),
    st.sampled_from(["", "/", "&", "/z", '"', " ", ";"]),
)
def test_a_token_is_found_between_all_that_may_stand_around_one(
    text: str, token: str, before: str, after: str
) -> None:
    """Whatever else the request holds."""
    asked = Request(
        "POST", "http://h/x", (), f"{text} {before}{token}{after} {text}".encode("latin-1")
    )
    assert token in [span.value for span in returned(asked, knowing(token))]


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_request_can_be_looked_through(body: bytes, text: str) -> None:
    """Whatever it holds, and whatever is known."""
    asked = Request("POST", f"http://h/{text}", (("a", text),), body)
    assert not list(returned(asked, knowing()))


def test_a_long_request_costs_no_more_than_its_length() -> None:
    """A run of signs that separate is no trap."""
    body = b"/=" * 500_000 + b"/" + TOKEN.encode()
    assert list(returned(Request("POST", "http://h/", (), body), knowing(TOKEN))) == []
    asked = Request("POST", "http://h/", (), b"/=" * 1_900 + b"/" + TOKEN.encode())
    assert [span.value for span in returned(asked, knowing(TOKEN))] == [TOKEN]


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("DZzKxYmOegCWbsquyrgZDKUv-XFB-WqE", True),
        ("aBcDeFgH_iJkLmNoP_qRsTuVwXyZ", True),
        ("Content-Security-Policy-Report-Only", False),
        ("a-lower-case-word-that-is-long", False),
        ("SOME_CONSTANT_IN_CAPITAL_LETTERS", False),
    ],
)
def test_letters_by_chance_are_told_from_words(value: str, secret: bool) -> None:  # noqa: FBT001
    """Also where chance has drawn no digit."""
    clean = Redaction.default().url(f"http://h/callback?code={value}")
    assert (value not in clean) is secret


# --- links and locks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f'{{"link": "/password-reset/{TOKEN}"}}',
        f"Click http://shop.test/verify_email/{TOKEN}?x=1 to go on",
        f'<a href="/invitations/{TOKEN}">join</a>',
        f'{{"url": "https://h/magic-link/{TOKEN}/go"}}',
    ],
)
def test_a_link_that_lets_in_whoever_has_it_is_a_secret(text: str) -> None:
    """Where it is handed out as where it is followed: with one placeholder."""
    redaction = Redaction.default()
    clean = redaction.text(text, "application/json" if text[0] == "{" else "text/html")
    assert TOKEN not in clean
    assert "[redacted:" in clean
    followed = redaction.url(f"http://h/reset/{TOKEN}")
    assert followed.removeprefix("http://h/reset/") in clean


@pytest.mark.parametrize(
    "text",
    [
        f'{{"link": "/orders/{TOKEN}"}}',
        f'{{"link": "/reset/{uuid.UUID(TOKEN)}"}}',
        '{"link": "/simple/tokenizers/tokenizers-0.13.3-cp311-cp311-linux_x86_64.whl"}',
        '{"link": "/verification/of-documents-and-forms"}',
    ],
)
def test_other_links_are_none(text: str) -> None:
    """Ids and the names of files stay."""
    assert Redaction.default().text(text, "application/json") == text


@pytest.mark.parametrize(
    "token", [f"opaquelocktoken:{uuid.UUID(TOKEN)}", f"urn:uuid:{uuid.UUID(TOKEN)}"]
)
def test_locks_of_webdav_are_no_secrets(token: str) -> None:
    """Anyone may ask for them (RFC 4918, section 6.4); requests name them in several ways."""
    headers = (("Lock-Token", f"<{token}>"), ("If", f"(<{token}>)"))
    body = f"<D:locktoken><D:href>{token}</D:href></D:locktoken>"
    redaction = Redaction.default()
    assert redaction.headers(headers) == headers
    assert redaction.text(body, "application/xml") == body
