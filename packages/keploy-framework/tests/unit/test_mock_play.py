"""Which recording a mock plays when several would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import OptionError
from keploy_framework.matching import Miss, RequestRules
from keploy_framework.mock import Play
from keploy_framework.model import Direction, Exchange, Piece, Request, Response

if TYPE_CHECKING:
    from keploy_framework.matching import Repeat


def recorded(*lines: str) -> list[Exchange]:
    """Return a recording, each line a method, a URL and what was answered."""
    found: list[Exchange] = []
    for number, line in enumerate(lines):
        method, url, body = line.split(" ")
        url = url if ":" in url else f"http://api.example.com{url}"
        response = Response(200, "OK", (), (Piece(0.0, body.encode()),))
        request = Request(method, url)
        found.append(Exchange(str(number), Direction.INBOUND, request, response, number, number))
    return found


def play_of(
    exchanges: list[Exchange],
    order: Literal["sequence", "scenario"] = "sequence",
    repeat: Repeat = "last",
) -> Play:
    return Play(reversed(exchanges), order=order, repeat=repeat)


def said(play: Play, *lines: str) -> list[str]:
    """Return what is answered to requests at the mock's own address; `-` for a miss."""
    bodies: list[str] = []
    for line in lines:
        method, url = line.split(" ")
        url = url if ":" in url else f"http://127.0.0.1:4000{url}"
        found = play.answer(Request(method, url))
        response = None if isinstance(found, Miss) else found.response
        bodies.append(response.body.decode() if response is not None else "-")
    return bodies


SHOP = recorded(
    "GET /items none",
    "POST /items made",
    "GET /items one",
    "GET /items one-again",
    "DELETE /items gone",
    "GET /items none-again",
)


def test_a_sequence_plays_each_in_its_turn_and_then_the_last() -> None:
    """In the order of the recording, whatever the order in which they are given."""
    play = play_of(recorded("GET /a 1", "GET /b x", "GET /a 2"))

    assert said(play, *["GET /a"] * 4) == ["1", "2", "2", "2"]
    assert [exchange.id for exchange in play.played] == ["0", "2"]
    assert [exchange.id for exchange in play.unplayed] == ["1"]


def test_a_sequence_may_end_in_a_miss_that_says_why() -> None:
    """A client that asks more often than it did is then found out."""
    play = play_of(recorded("GET /a 1"), repeat="once")

    assert said(play, "GET /a", "GET /a") == ["1", "-"]
    miss = play.answer(Request("GET", "http://127.0.0.1/a"))
    assert isinstance(miss, Miss)
    assert miss.played
    assert miss.nearest == "0"


def test_a_scenario_answers_as_the_server_would_in_its_state() -> None:
    """A reading request can be repeated, and sees what was written before it."""
    play = play_of(SHOP, "scenario")

    assert said(play, "GET /items", "GET /items") == ["none", "none"]
    assert said(play, "POST /items", *["GET /items"] * 3) == [
        "made",
        "one",
        "one-again",
        "one-again",
    ]
    assert said(play, "DELETE /items", "GET /items", "GET /items") == [
        "gone",
        "none-again",
        "none-again",
    ]


def test_a_scenario_knows_what_was_only_read_later_or_earlier() -> None:
    """The answer nearest to the present state is given: the last before it, else the first."""
    play = play_of(recorded("GET /a 1", "POST /b x", "GET /c 3"), "scenario")

    assert said(play, "GET /c", "POST /b", "GET /a") == ["3", "x", "1"]


def test_a_write_that_is_repeated_leads_to_the_state_behind_it() -> None:
    """Also when it was recorded twice, with something else between."""
    play = play_of(recorded("POST /n 1", "GET /n one", "POST /n 2", "GET /n two"), "scenario")

    assert said(play, *["POST /n", "GET /n"] * 3) == ["1", "one", "2", "two", "2", "two"]


def test_a_reset_begins_again() -> None:
    """The state and what was played are forgotten."""
    play = play_of(SHOP, "scenario")
    said(play, "POST /items", "DELETE /items")

    play.reset()

    assert play.played == ()
    assert said(play, "GET /items") == ["none"]


def test_the_host_counts_only_if_something_was_recorded_from_it() -> None:
    """The mock's own address stands for every host; a recorded one for itself."""
    play = play_of(
        recorded("GET http://a.org/x a", "GET https://b.org/x b", "GET https://b.org/y y")
    )

    assert said(play, "GET /x", "GET /y", "GET http://b.org/x") == ["a", "y", "b"]
    named = Request("GET", "http://127.0.0.1:4000/x", (("Host", "B.org"),))
    found = play.answer(named)
    assert isinstance(found, Exchange)
    assert found.request.url == "https://b.org/x"
    assert said(play, "GET http://a.org/y") == ["-"]


def test_a_websocket_is_no_answer_to_a_request_and_the_other_way_round() -> None:
    """Their URLs tell them apart, with or without TLS."""
    play = play_of(recorded("GET wss://a.org/x socket", "GET https://a.org/x page"))

    assert said(play, "GET ws://127.0.0.1/x", "GET http://127.0.0.1/x") == ["socket", "page"]


def test_an_empty_recording_misses_everything() -> None:
    """And says that there is nothing."""
    assert str(Play([]).answer(Request("GET", "http://127.0.0.1/x"))) == (
        "GET http://127.0.0.1/x: nothing is recorded"
    )


def test_a_miss_names_the_nearest_recording_at_the_recorded_host() -> None:
    """The address of the mock is no difference."""
    miss = play_of(recorded("GET /users/1 a")).answer(Request("GET", "http://127.0.0.1:9/users/2"))

    assert isinstance(miss, Miss)
    assert [difference.path for difference in miss.differences] == ["url.path"]


def test_requests_are_told_apart_by_the_rules_and_without_their_secrets() -> None:
    """A token is another one each day; a query that does not count does not count."""
    asked = Request(
        "GET", "http://a.org/x?at=1", (("Authorization", "Bearer [redacted:bearer:1]"),)
    )
    exchanges = [Exchange("1", Direction.OUTBOUND, asked, Response(200), 0, 0)]
    play = Play(exchanges, rules=RequestRules(("method", "url", "headers"), ignored_query=["at"]))

    token = ("Authorization", "Bearer " + "s3cr3t" * 5)
    found = play.answer(Request("GET", "http://127.0.0.1/x?at=2", (token,)))

    assert found == exchanges[0]


@pytest.mark.parametrize("option", ["order", "repeat"])
def test_an_order_that_does_not_exist_is_refused(option: str) -> None:
    """The error names those that do."""
    options: dict[str, Any] = {option: "nonsense"}
    with pytest.raises(OptionError, match=rf"{option} .* one of .*, not 'nonsense'"):
        Play([], **options)


@given(st.lists(st.sampled_from(["GET /a", "GET /b", "POST /a", "DELETE /a"]), min_size=1))
def test_playing_what_was_recorded_in_its_order_gives_what_was_recorded(lines: list[str]) -> None:
    """In both orders: a faithful client sees no difference."""
    exchanges = recorded(*(f"{line} {number}" for number, line in enumerate(lines)))
    expected = [str(number) for number in range(len(lines))]

    assert said(play_of(exchanges, repeat="once"), *lines) == expected
    assert said(play_of(exchanges, "scenario", "once"), *lines) == expected
    assert play_of(exchanges).unplayed == tuple(exchanges)
