"""Names of sets, cases and mocks, and times, as Keploy gives and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import OptionError
from keploy_framework.model import Direction
from keploy_framework.recording.selection import Selection
from keploy_framework.storage.bodies import compress, decompress, form_decoded, form_encoded
from keploy_framework.storage.names import (
    CaseNames,
    check_case_name,
    descriptive_base,
    next_set_name,
)
from keploy_framework.storage.times import from_rfc3339, to_rfc3339


@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("GET", "http://h/", "get-root"),
        ("GET", "http://h", "get-root"),
        ("POST", "http://h/Users/17/Orders", "post-users-by-id-orders"),
        ("GET", "http://h/a/0123456789abcdef", "get-a-by-id"),
        ("GET", "http://h/a/550e8400-e29b-41d4-a716-446655440000/b", "get-a-by-id-b"),
        ("GET", "http://h/a%20b/%FF", "get-a-b"),
        ("GET", f"http://h/{'one/' * 20}", "get" + "-one" * 9),
        ("GET", "http://h/" + "x" * 60, "get"),
    ],
)  # fmt: skip
def test_a_case_is_named_after_what_was_asked(method: str, url: str, name: str) -> None:
    """Ids are taken out, and the name is cut at a dash."""
    assert descriptive_base(method, url) == name


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=60), st.text(max_size=8))))
def test_names_are_unique_and_fit_for_files(requests: list[tuple[str, str, str]]) -> None:
    """Whatever was asked, and whatever name was wanted."""
    names = CaseNames(["get-root-1"])
    given_ = [
        names.give(method, f"http://h/{path}", wanted=want) for method, path, want in requests
    ]
    assert len({name.casefold() for name in given_} | {"get-root-1"}) == len(given_) + 1
    for name in given_:
        assert "/" not in name
        assert not name.startswith(".")


def test_sets_are_numbered_after_the_highest() -> None:
    """From 0; other names do not count."""
    assert next_set_name([]) == "test-set-0"
    assert next_set_name(["test-set-2", "test-set-10", "x-y-99"]) == "test-set-11"


def test_a_name_is_a_plain_file_name() -> None:
    """On every system."""
    assert check_case_name("get-a-1") == "get-a-1"
    for name in ("a/b", "..", "nul", "a\nb", " a", "a."):
        with pytest.raises(OptionError):
            check_case_name(name)


@given(st.integers(0, 4_102_444_800_000_000_000))
def test_times_keep_their_nanoseconds(nanoseconds: int) -> None:
    """There and back."""
    assert from_rfc3339(to_rfc3339(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:60Z"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    """Never an exception."""
    assert from_rfc3339(text) is None


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_a_form_without_separators_in_it_comes_back(pairs: list[tuple[str, str]]) -> None:
    """What Keploy stores loses which `&` and `=` were escaped, and nothing else."""
    plain = [[part.replace("&", "").replace("=", "") for part in pair] for pair in pairs]
    decoded = "&".join("=".join(pair) for pair in plain)
    again = form_decoded(form_encoded(decoded, None))
    assert again == decoded


@given(st.binary(), st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip, br", "identity"]))
def test_bodies_are_unpacked_as_they_were_packed(data: bytes, coding: str) -> None:
    """Each coding, and several."""
    packed = compress(data, coding)
    assert packed is not None
    assert decompress(packed, coding) == data


@given(st.binary(), st.sampled_from(["gzip", "deflate", "br", "zstd", "compress"]))
def test_what_cannot_be_unpacked_is_none(data: bytes, coding: str) -> None:
    """Damaged or unknown: never an exception."""
    assert decompress(b"\x00\x01" + data, coding) is None


def test_patterns_of_urls_speak_of_both_directions() -> None:
    """Paths only of what comes in."""
    chosen = Selection(include=["/a*"], exclude=["https://secret.example.com/*", "*/x"])
    assert chosen.takes(Direction.INBOUND, "GET", "http://t/ab?q=/x")
    assert not chosen.takes(Direction.INBOUND, "GET", "http://t/ab/x")
    assert not chosen.takes(Direction.INBOUND, "GET", "http://t/b")
    assert chosen.takes(Direction.OUTBOUND, "GET", "https://api.example.com/b")
    assert not chosen.takes(Direction.OUTBOUND, "GET", "https://secret.example.com/b")
