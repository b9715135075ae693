"""What is recorded, written, read and played again is what came, however it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = ("middleware", "proxy", "httpx", "httpx async", "httpx2", "requests", "urllib3", "aiohttp")


@pytest.fixture
def quick(harness: Callable[[str], Any]) -> Any:
    """The model API and its 28 requests, with hardly any pause between the pieces of streams."""
    fidelity, model = harness("fidelity"), harness("model_api")

    def serve(sink: Any = None) -> Any:
        app = model.ModelAPI(pause=0.001)
        wrapped = app if sink is None else fidelity.ASGIRecording(app, sink)
        return harness("servers").asgi_server(wrapped)

    return fidelity.Corpus("model API", harness("corpus").MODEL, serve)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_corpus_comes_back_to_the_byte(
    harness: Callable[[str], Any], quick: Any, way: str
) -> None:
    """28 of 28 bodies and heads, 5 of 5 streams in their pieces; clients see no recorder (D)."""
    score = harness("fidelity").score(quick, way, speed=0)

    assert score.notes == [note for note in score.notes if note.endswith(" s")]
    assert score.perfect
    assert (score.requests, score.of_streams) == (28, 5)


def test_the_corpus_is_that_of_the_reference(harness: Callable[[str], Any]) -> None:
    """28 requests to a model API, 49 to httpbin; 8 streams, 6 of them with times of their own."""
    corpus = harness("corpus")
    asks = corpus.MODEL + corpus.HTTPBIN

    assert (len(corpus.MODEL), len(corpus.HTTPBIN)) == (28, 49)
    assert sum(ask.stream for ask in asks) == 8
    assert sum(ask.timed for ask in asks) == 6


def test_the_count_of_what_came_again_sees_what_did_not(harness: Callable[[str], Any]) -> None:
    """A lost cookie, another byte, merged pieces, a stream that came too fast."""
    fidelity, asking, corpus = harness("fidelity"), harness("asking"), harness("corpus")
    cookies = (("set-cookie", "a=1"), ("set-cookie", "b=2"))
    told = asking.Got(200, cookies, ((0.1, b"a"), (0.9, b"b")))
    ask = corpus.Ask("/", stream=True, timed=True)
    others = {
        "bodies": asking.Got(200, cookies, ((0.1, b"a"), (0.9, b"x"))),
        "headers": asking.Got(200, cookies[:1], told.pieces),
        "streams": asking.Got(200, cookies, ((0.1, b""), (0.9, b"ab"))),
        "spreads": asking.Got(200, cookies, ((0.1, b"a"), (0.2, b"b"))),
    }

    for lost, again in others.items():
        score = fidelity.Score(way="x")
        fidelity.compare(score, ask, told, again)
        assert score.requests == 1
        assert getattr(score, lost) == 0
        assert score.notes

    same = fidelity.Score(way="x")
    fidelity.compare(same, ask, told, told)
    assert (same.bodies, same.headers, same.streams, same.spreads) == (1, 1, 1, 1)
