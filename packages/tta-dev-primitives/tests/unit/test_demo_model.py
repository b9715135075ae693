"""The demo's settings of the model, and what it makes of them."""

import json
import math

import pytest
from docs_qa import model
from docs_qa.model import DEFAULT_BASE_URL, DEFAULT_MODEL, Settings, SettingsError
from hypothesis import given
from hypothesis import strategies as st


def test_without_an_address_and_a_key_there_is_no_model() -> None:
    """Blank values count as none, and a model's name alone asks nobody."""
    assert Settings.from_environment({}) is None
    assert Settings.from_environment({"OPENAI_API_KEY": " ", "OPENAI_MODEL": "m"}) is None


def test_a_key_alone_means_the_public_server() -> None:
    """The address and the model have defaults."""
    settings = Settings.from_environment({"OPENAI_API_KEY": " sk-1\n"})

    assert settings == Settings(base_url=DEFAULT_BASE_URL, key="sk-1", model=DEFAULT_MODEL)


def test_an_address_needs_no_key() -> None:
    """Local servers want none; a slash at the end makes no difference."""
    settings = Settings.from_environment(
        {"OPENAI_BASE_URL": "http://localhost:11434/v1/", "OPENAI_MODEL": "llama3.2"}
    )

    assert settings == Settings(base_url="http://localhost:11434/v1", key="", model="llama3.2")


@pytest.mark.parametrize(
    "address",
    [
        "me:secret@localhost:11434",
        "ftp://secret/v1",
        "http://",
        "http://secret:port/v1",
        "http://[::1/secret",
        "//secret",
        "http://secret:0/v1",
        "http://secret b/v1",
        "http://secret/\x1b[2J",
        f"http://{'secret' * 12}.org",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """The message shows how one is written, and does not repeat what may hold a password."""
    with pytest.raises(SettingsError, match=r"^OPENAI_BASE_URL is no address .*11434") as caught:
        Settings.from_environment({"OPENAI_BASE_URL": address})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-ü", "sk-\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    """A broken key never reaches a header or a message."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"OPENAI_API_KEY": key})

    assert "sk-" not in str(caught.value)


def test_settings_do_not_show_secrets() -> None:
    """Neither the key nor a password in the address is in what is shown."""
    settings = Settings(base_url="http://user:secret@host:1/v1", key="sk-secret")

    assert "sk-secret" not in repr(settings)
    assert settings.server == "host:1"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("So it is [1].", {1}),
        ("So [1][2] and [3, 12].", {1, 2, 3, 12}),
        ("No citation at all", set[int]()),
        ("`values[0]` and items[1] are code", set[int]()),
        ("```python\nx = [7]\n```\nfrom [2]", {2}),
        ("[x] [] [1a] [2024]", set[int]()),
    ],
)
def test_citations_are_told_from_code(text: str, numbers: set[int]) -> None:
    """Only numbers in brackets outside code cite."""
    assert model._cited(text) == numbers  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    "reply",
    [
        "null",
        "[]",
        '"x"',
        "{}",
        '{"choices": []}',
        '{"choices": {"0": 1}}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {}}]}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"choices": [{"message": {"content": ["x"]}}]}',
        '{"choices": [{"message": {"content": " "}}]}',
        '{"choices": [{"message": {"content": "<think>hm</think> "}}]}',
    ],
)
def test_a_reply_without_text_is_no_answer(reply: str) -> None:
    """Whatever JSON a server sends, it is read without an accident."""
    assert model._content(json.loads(reply)) is None  # pyright: ignore[reportPrivateUsage]


def test_a_models_thoughts_are_left_out() -> None:
    """Reasoning models think aloud first."""
    reply = {"choices": [{"message": {"content": "<think>\n[9]\n</think>\nYes [1]."}}]}

    assert model._content(reply) == "Yes [1]."  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_a_pause_is_read_where_it_makes_sense(header: str, seconds: float) -> None:
    """Garbage, the past and the infinite ask for no pause."""
    assert model._retry_after(header) == seconds  # pyright: ignore[reportPrivateUsage]


@given(st.text(max_size=40))
def test_any_header_gives_a_finite_pause(header: str) -> None:
    """No header makes the demo fail or wait for ever."""
    assert 0 <= model._retry_after(header) < math.inf  # pyright: ignore[reportPrivateUsage]


def test_a_date_asks_to_wait_until_then() -> None:
    """The other form of the header; this date is far away."""
    far = model._retry_after("Fri, 01 Jan 2100 00:00:00 GMT")  # pyright: ignore[reportPrivateUsage]

    assert far > 1_000_000


def test_the_proxy_of_the_environment_is_used_but_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy gets the whole address, with its own login; servers on this machine are direct."""
    monkeypatch.setenv("http_proxy", "http://me:pa%20ss@proxy.example:3128")
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    connect = model._connect  # pyright: ignore[reportPrivateUsage]

    through, target = connect("http://far.example/v1/models", 1.0)
    tunnel, inside = connect("https://far.example/v1/models", 1.0)
    own, path = connect("http://localhost:11434/v1/models", 1.0)
    near, _ = connect("http://intern.example/v1/models", 1.0)

    assert (through.host, through.port, target) == (
        "proxy.example",
        3128,
        "http://far.example/v1/models",
    )
    assert (tunnel.host, tunnel.port, inside) == ("proxy.example", 3128, "/v1/models")
    assert (own.host, own.port, path) == ("localhost", 11434, "/v1/models")
    assert near.host == "intern.example"
