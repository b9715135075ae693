"""Which recording answers a request: sequences, lifetimes, secrets, and explained misses."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keploy_framework.errors import OptionError
from keploy_framework.matching import Miss, MockIndex, Recording, RequestRules
from keploy_framework.model import Request

JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def ask(url: str, body: bytes = b"", method: str = "GET", headers: Any = ()) -> Request:
    return Request(method, url, headers, body)


def index(*requests: Request, **options: Any) -> MockIndex[int]:
    return MockIndex([Recording(f"mock-{n}", r, n) for n, r in enumerate(requests)], **options)


def name(found: Recording[int] | Miss) -> str:
    return found.name if isinstance(found, Recording) else "miss"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ask("http://H.example:80/a"), ask("http://h.example/a"), True),
        (ask("https://h:443/"), ask("https://h"), True),
        (ask("http://h:8080/"), ask("http://h/"), False),
        (ask("http://h/a?x=1&y=2"), ask("http://h/a?y=2&x=1"), True),
        (ask("http://h/a?x=1&x=2"), ask("http://h/a?x=2&x=1"), False),
        (ask("http://h/a?x=%20"), ask("http://h/a?x=+"), True),
        (ask("http://h/a#top"), ask("http://h/a"), True),
        (ask("http://h/a/"), ask("http://h/a"), False),
        (ask("http://h/A"), ask("http://h/a"), False),
        (ask("http://h/", method="post"), ask("http://h/", method="POST"), True),
        (
            ask("http://h/", b'{"a":1,"b":2}', headers=JSON),
            ask("http://h/", b'{ "b":2, "a":1 }', headers=JSON),
            True,
        ),
        (
            ask("http://h/", b'{"a":1}', headers=JSON),
            ask("http://h/", b'{"a":1.0}', headers=JSON),
            False,
        ),
        (ask("http://h/", b"[1,2]", headers=JSON), ask("http://h/", b"[2,1]", headers=JSON), False),
        (
            ask("http://h/", b"a=1&b=2", headers=FORM),
            ask("http://h/", b"b=2&a=1", headers=FORM),
            True,
        ),
        (ask("http://h/", b"\x00\xff"), ask("http://h/", b"\x00\xfe"), False),
        (
            ask("http://h/", headers=(("X-Request-Id", "1"),)),
            ask("http://h/", headers=(("X", "2"),)),
            True,
        ),
        (ask("http://u:p@h/"), ask("http://h/"), True),
    ],
)
def test_what_makes_requests_the_same(one: Request, other: Request, *, same: bool) -> None:
    """Spelling does not count, content does."""
    rules = RequestRules()

    assert (rules.key(one) == rules.key(other)) is same


def test_multipart_requests_match_whatever_their_boundary() -> None:
    """A client makes a new boundary for each request."""

    def form(boundary: str) -> Request:
        head = 'Content-Disposition: form-data; name="a"'
        body = f"--{boundary}\r\n{head}\r\n\r\n1\r\n--{boundary}--\r\n"
        media = f"multipart/form-data; boundary={boundary}"
        return ask("http://h/", body.encode(), "POST", (("Content-Type", media),))

    assert name(index(form("one")).find(form("two"))) == "mock-0"


def test_parts_that_do_not_count_can_be_named() -> None:
    """``match_on``, ignored parameters, fields and headers."""
    recorded = ask(
        "http://h/a?t=1&q=x", b'{"a": {"ts": 1}, "l": [{"ts": 2, "k": 1}]}', "POST", JSON
    )
    asked = ask("http://h/a?t=2&q=x", b'{"a": {"ts": 9}, "l": [{"ts": 8, "k": 1}]}', "POST", JSON)

    assert name(index(recorded).find(asked)) == "miss"
    rules = RequestRules(ignored_query=["t"], ignored_fields=["a.ts", "l.ts"])
    assert name(index(recorded, rules=rules).find(asked)) == "mock-0"
    assert name(index(recorded, rules=RequestRules(["method", "path"])).find(asked)) == "mock-0"
    heads = RequestRules(["headers"], ignored_headers=["x-a"])
    one, two = (
        ask("http://h", headers=(("X-A", v), ("Traceparent", v), ("X-B", "1"))) for v in "12"
    )
    assert name(index(one, rules=heads).find(two)) == "mock-0"


@pytest.mark.parametrize("match_on", [[], ["uri"], ["method", "Body"]])
def test_unknown_parts_are_refused(match_on: Any) -> None:
    """With the names that there are."""
    with pytest.raises(OptionError, match="method, url, host"):
        RequestRules(match_on)


def test_the_same_request_is_answered_in_the_recorded_order() -> None:
    """Each once; then it depends on what was asked for."""
    request = ask("http://h/a")
    found = {}
    for repeat in ("once", "last", "cycle"):
        mocks = index(request, request, repeat=repeat)
        found[repeat] = [name(mocks.find(request)) for _ in range(4)]

    assert found == {
        "once": ["mock-0", "mock-1", "miss", "miss"],
        "last": ["mock-0", "mock-1", "mock-1", "mock-1"],
        "cycle": ["mock-0", "mock-1", "mock-0", "mock-1"],
    }
    with pytest.raises(OptionError, match="once, last, cycle"):
        index(repeat="never")


def test_lifetimes() -> None:
    """A session's answer serves always, a connection's on its connection, a test's in its test."""
    a, b, c = ask("http://h/a"), ask("http://h/b"), ask("http://h/c")
    mocks = MockIndex(
        [
            Recording("config", a, 1, lifetime="session"),
            Recording("link", b, 2, lifetime="connection", connection="7"),
            Recording("one", c, 3, scope="test-1"),
            Recording("two", c, 4, scope="test-2"),
            Recording("any", c, 5),
        ]
    )

    assert [name(mocks.find(a, scope=f"test-{n}")) for n in range(3)] == ["config"] * 3
    assert [name(mocks.find(b, connection=n)) for n in ("7", "8", "7")] == ["link", "miss", "link"]
    assert name(mocks.find(c, scope="test-2")) == "two"
    assert name(mocks.find(c, scope="test-2")) == "any"
    assert name(mocks.find(c, scope="test-2")) == "miss"
    assert [each.name for each in mocks.unplayed()] == ["one"]
    assert mocks.times_played("config") == 3
    assert len(mocks) == 5


def test_secrets_may_be_others_as_long_as_they_are_the_same_ones() -> None:
    """Who had the first token when recording is who has it now, whatever it is now."""

    def with_token(number: int, path: str = "me") -> Request:
        return ask(f"http://h/{path}?t=[redacted:token:{number}]")

    mocks = index(with_token(1), with_token(2), with_token(1, "you"), with_token(2, "you"))

    assert name(mocks.find(with_token(8))) == "mock-0"
    assert name(mocks.find(with_token(9, "you"))) == "mock-3"
    assert name(mocks.find(with_token(8, "you"))) == "mock-2"
    assert name(mocks.find(with_token(7))) == "miss"
    assert name(mocks.find(with_token(9))) == "mock-1"


def test_a_miss_names_the_nearest_and_what_differs() -> None:
    """In the words of noise files, with a line to paste."""
    mocks = index(
        ask("http://h/other"),
        ask("http://h/a?x=1", b'{"n": 1, "ts": 5}', "POST", JSON),
        ask("http://h/a?x=2", b'{"n": 2, "ts": 5}', "POST", JSON),
    )

    miss = mocks.find(ask("http://h/a?x=2", b'{"n": 2, "ts": 6}', "POST", JSON))

    assert isinstance(miss, Miss)
    assert miss.nearest == "mock-2"
    assert str(miss) == (
        "POST http://h/a?x=2: no recording; the nearest is mock-2\n"
        "  body.ts: 5 became 6\n"
        "  requestbody: {ts: []}"
    )


@pytest.mark.parametrize(
    ("asked", "path", "hint"),
    [
        (ask("http://h/a?q=1", method="PUT"), "method", ""),
        (ask("http://g/a?q=1"), "url.host", ""),
        (ask("http://h/b?q=1"), "url.path", ""),
        (ask("http://h/a?q=2"), "query.q", "ignored_query=('q',)"),
        (ask("http://h/a"), "query.q", "ignored_query=('q',)"),
        (ask("http://h/a?q=1", b"x"), "body", 'match_on=("method", "url") does not look at bodies'),
    ],
)
def test_each_part_of_a_request_has_its_word(asked: Request, path: str, hint: str) -> None:
    """Method, host, path, query, body."""
    miss = index(ask("http://h/a?q=1")).find(asked)

    assert isinstance(miss, Miss)
    assert [each.path for each in miss.differences] == [path]
    assert miss.hint == hint


def test_misses_that_have_no_differences_say_why() -> None:
    """Nothing is recorded, or all of it was played."""
    request = ask("http://h/a")
    played = index(request)
    played.find(request)

    assert str(index().find(request)) == "GET http://h/a: nothing is recorded"
    assert str(played.find(request)) == (
        "GET http://h/a: each of its recordings was played already, mock-0 the last\n"
        '  repeat="last" answers again with the last one'
    )


@given(st.text(max_size=40), st.binary(max_size=40), st.text(max_size=20))
def test_no_request_is_too_strange(url: str, body: bytes, media: str) -> None:
    """Whatever is asked, there is an answer or an explanation."""
    mocks = index(ask("http://h/a", b"{}", "POST", JSON))
    strange = Request("GET", "http://h/" + url, (("Content-Type", media),), body)

    assert str(mocks.find(strange))


class Sequences(RuleBasedStateMachine):
    """An index beside a plain list that is searched from the front."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = [ask(f"http://h/{n % 3}") for n in range(12)]
        self.index = index(*self.requests)
        self.left = list(enumerate(self.requests))

    @rule(which=st.integers(0, 3))
    def find(self, which: int) -> None:
        wanted = ask(f"http://h/{which}")
        first = next((item for item in self.left if item[1] == wanted), None)
        found = self.index.find(wanted)
        if first is None:
            assert isinstance(found, Miss)
        else:
            self.left.remove(first)
            assert name(found) == f"mock-{first[0]}"

    @invariant()
    def unplayed_is_what_is_left(self) -> None:
        assert [each.answer for each in self.index.unplayed()] == [n for n, _ in self.left]


TestSequences = Sequences.TestCase


def test_finding_does_not_grow_with_the_number_of_recordings() -> None:
    """Ten thousand recordings, each with a secret of its own, are answered as fast as a hundred."""

    def cost(count: int) -> float:
        requests = [ask(f"http://h/a?t=[redacted:token:{n}]") for n in range(count)]
        mocks = index(*requests)
        best = 1e9
        for start in range(0, count, 100):
            begun = time.process_time()
            for request in requests[start : start + 100]:
                assert isinstance(mocks.find(request), Recording)
            best = min(best, time.process_time() - begun)
        return best

    assert cost(10_000) < 3 * cost(100) + 0.01
