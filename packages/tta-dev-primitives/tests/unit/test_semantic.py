"""Likeness proposes an answer, a second check decides, and false hits are reported as a number."""

import asyncio
import logging
import math
import random
import zlib
from collections.abc import Sequence
from typing import Any

import pytest

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.performance.semantic import Candidate, SemanticStats, SemanticTier
from tta_dev_primitives.testing import run_virtual

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for
SIZE = 512


def embedded(text: str) -> list[float]:
    """Return a vector of hashed words and letter triples: alike where the letters are alike."""
    vector = [0.0] * SIZE
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    grams = [*words, *(w[i : i + 3] for w in (f" {w} " for w in words) for i in range(len(w) - 2))]
    for gram in grams:
        vector[zlib.crc32(gram.encode()) % SIZE] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


class Index:
    """Compares with every text that it holds."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str, str, list[float]]] = []

    async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
        asked = embedded(text)
        found = [
            Candidate(held, key, math.fsum(a * b for a, b in zip(asked, vector, strict=True)))
            for held, place, key, vector in self.held
            if place == scope
        ]
        return sorted(found, key=lambda c: -c.score)[:limit]

    async def add(self, text: str, scope: str, key: str) -> None:
        self.held.append((text, scope, key, embedded(text)))


NEGATIONS = frozenset({"not", "no", "never", "without", "cannot"})
OPPOSITES = [
    {"before", "after"},
    {"increase", "decrease"},
    {"enable", "disable"},
    {"buy", "sell"},
    {"maximum", "minimum"},
]


def same_question(asked: str, kept: str) -> bool:
    """Judge as a small rule set does: negations, opposites, numbers and the order of names."""
    one, two = (
        "".join(c for c in text.casefold() if c.isalnum() or c.isspace()).split()
        for text in (asked, kept)
    )
    if len(NEGATIONS & set(one)) != len(NEGATIONS & set(two)):
        return False
    if any(pair & set(one) != pair & set(two) for pair in OPPOSITES):
        return False
    if [w for w in one if w.isdigit()] != [w for w in two if w.isdigit()]:
        return False
    both = set(one) & set(two)
    return [w for w in one if w in both] == [w for w in two if w in both]


OTHER_QUESTIONS = [
    (
        "Is it safe to take ibuprofen with alcohol?",
        "Is it not safe to take ibuprofen with alcohol?",
    ),
    ("Does Anna owe money to Bernd?", "Does Bernd owe money to Anna?"),
    ("How do I enable two factor login?", "How do I disable two factor login?"),
    ("Should I buy the shares today?", "Should I sell the shares today?"),
    ("What was the rate before 2020?", "What was the rate after 2020?"),
    ("What is 15 percent of 300?", "What is 15 percent of 800?"),
    ("Which plants never need water?", "Which plants need water?"),
    ("Convert dollars to euros, please", "Convert euros to dollars, please"),
]
SAME_QUESTIONS = [
    ("How do I reset my password?", "how do I reset my password"),
    ("What is the capital of Norway?", "What is the capital city of Norway?"),
    ("Please tell me the opening hours", "Tell me the opening hours"),
]


@pytest.mark.parametrize(("kept", "asked"), OTHER_QUESTIONS, ids=lambda text: text[:20])
async def test_an_opposite_is_like_enough_and_is_not_served(kept: str, asked: str) -> None:
    """Likeness alone would have served it; the second check does not (case 75)."""
    alone = SemanticTier(Index(), verify=lambda asked, kept: True)
    checked = SemanticTier(Index(), verify=same_question)
    for tier in (alone, checked):
        await tier.learn(kept, "m", key="k")
    assert await alone.find(asked, "m") is not None
    assert await checked.find(asked, "m") is None
    assert checked.stats().refused == 1


@pytest.mark.parametrize(("kept", "asked"), SAME_QUESTIONS, ids=lambda text: text[:20])
async def test_another_wording_of_a_question_is_served(kept: str, asked: str) -> None:
    """With the key of its answer."""
    tier = SemanticTier(Index(), verify=same_question)
    await tier.learn("Something else entirely", "m", key="other")
    await tier.learn(kept, "m", key="k")
    hit = await tier.find(asked, "m")
    assert hit is not None
    assert (hit.key, hit.text) == ("k", kept)
    assert 0.8 <= hit.score <= 1.000001


async def test_the_false_hit_rate_is_measured_and_reported_as_a_number() -> None:
    """On the sampled hits, against fresh answers (case 75)."""
    trusting = SemanticTier(Index(), verify=lambda asked, kept: True, check_rate=1.0)
    careful = SemanticTier(Index(), verify=same_question, check_rate=1.0)
    pairs = OTHER_QUESTIONS + SAME_QUESTIONS
    fresh = {kept: kept for kept, _ in pairs}
    fresh |= {asked: asked for _, asked in OTHER_QUESTIONS}
    fresh |= {asked: kept for kept, asked in SAME_QUESTIONS}
    for tier in (trusting, careful):
        assert tier.stats().false_hit_rate is None
        for number, (kept, asked) in enumerate(pairs):
            await tier.learn(kept, str(number), key=kept)
            hit = await tier.find(asked, str(number))
            if hit is not None:
                assert hit.sampled
                tier.checked(same=fresh[hit.key] == fresh[asked])
    assert trusting.stats().false_hit_rate == len(OTHER_QUESTIONS) / len(pairs)
    assert careful.stats().false_hit_rate == 0.0
    assert careful.stats().checked == len(SAME_QUESTIONS)


async def test_the_sampled_share_is_as_asked_for() -> None:
    """Repeatable by its seed; none and all are exact."""
    shares: list[float] = []
    for rate, seed in ((0.0, 1), (1.0, 1), (0.2, 1), (0.2, 1)):
        tier = SemanticTier(Index(), verify=same_question, check_rate=rate, rng=random.Random(seed))
        await tier.learn("a question", "m", key="k")
        hits = [await tier.find("a question", "m") for _ in range(300)]
        shares.append(sum([hit is not None and hit.sampled for hit in hits]) / len(hits))
    assert shares[:2] == [0.0, 1.0]
    assert shares[2] == shares[3]
    assert 0.1 < shares[2] < 0.3


async def test_scopes_do_not_share() -> None:
    """Another model, temperature or tenant is another scope (case 68)."""
    tier = SemanticTier(Index(), verify=same_question)
    await tier.learn("a question", "tenant a", key="k")
    assert await tier.find("a question", "tenant b") is None
    assert await tier.find("a question", "tenant a") is not None


async def test_what_is_not_like_enough_is_not_even_verified() -> None:
    """Verifying can cost a call to a model."""
    asked: list[str] = []

    def verify(text: str, kept: str) -> bool:
        asked.append(text)
        return True

    tier = SemanticTier(Index(), verify=verify, threshold=0.9)
    await tier.learn("How tall is the tower?", "m", key="k")
    assert await tier.find("Which fish live in rivers?", "m") is None
    assert asked == []
    assert tier.stats().proposed == 0


async def test_at_most_so_many_candidates_are_verified() -> None:
    """Also where an index returns more than it was asked for."""

    class Generous(Index):
        async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
            return [Candidate(str(n), str(n), 0.99) for n in range(100)]

    tier = SemanticTier(Generous(), verify=lambda a, b: False, limit=2)
    assert await tier.find("a", "m") is None
    assert tier.stats().refused == 2


@pytest.mark.parametrize(
    "verdict",
    [None, 1, "yes", "no", [True], 0.99, object()],
    ids=["none", "one", "yes", "no", "list", "likely", "object"],
)
async def test_only_true_itself_is_a_yes(verdict: Any) -> None:
    """A model's answer "no" is a true text."""
    tier = SemanticTier(Index(), verify=lambda a, b: verdict)
    await tier.learn("a question", "m", key="k")
    assert await tier.find("a question", "m") is None


async def test_a_check_may_be_asynchronous() -> None:
    """As one that asks a model is."""

    async def verify(asked: str, kept: str) -> bool:
        await asyncio.sleep(0)
        return asked == kept

    tier = SemanticTier(Index(), verify=verify, threshold=0.5)
    await tier.learn("a question", "m", key="k")
    assert await tier.find("a question", "m") is not None
    assert await tier.find("a question!", "m") is None


def test_an_index_or_a_check_that_fails_or_hangs_is_a_miss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Counted, logged once, and without any text (case 74, redaction)."""

    class Down(Index):
        async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
            raise ConnectionError(text)

        async def add(self, text: str, scope: str, key: str) -> None:
            await asyncio.get_running_loop().create_future()

    def crash(asked: str, kept: str) -> bool:
        raise RuntimeError(asked)

    async def main() -> None:
        tier = SemanticTier(Down(), verify=same_question, timeout=0.5)
        assert not await tier.learn(SECRET, "m", key="k")
        assert await tier.find(SECRET, "m") is None
        assert tier.stats().errors == 2
        crashing = SemanticTier(Index(), verify=crash)
        await crashing.learn(SECRET, "m", key="k")
        assert await crashing.find(SECRET, "m") is None
        assert crashing.stats().errors == 1
        assert asyncio.get_running_loop().time() <= 1

    with caplog.at_level(logging.DEBUG, logger="tta_dev_primitives"):
        run_virtual(main())
    assert len(caplog.records) == 2
    assert SECRET not in caplog.text


def test_a_cancelled_caller_is_cancelled() -> None:
    """A cancellation is no failure of the index."""

    class Hanging(Index):
        async def nearest(self, text: str, scope: str, limit: int) -> Sequence[Candidate]:
            never: asyncio.Future[Sequence[Candidate]] = asyncio.get_running_loop().create_future()
            return await never

    async def main() -> None:
        tier = SemanticTier(Hanging(), verify=same_question)
        task = asyncio.ensure_future(tier.find("a", "m"))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert tier.stats().errors == 0

    run_virtual(main())


BAD_OPTIONS: list[dict[str, Any]] = [
    {"threshold": 0},
    {"threshold": 1.1},
    {"threshold": math.nan},
    {"threshold": True},
    {"check_rate": -0.1},
    {"check_rate": "0.1"},
    {"limit": 0},
    {"timeout": 0},
    {"verify": None},
    {"verify": True},
    {"index": object()},
]


@pytest.mark.parametrize(
    "options", BAD_OPTIONS, ids=[f"{n} {next(iter(given))}" for n, given in enumerate(BAD_OPTIONS)]
)
def test_bad_options_are_refused_at_construction(options: dict[str, Any]) -> None:
    """A tier without a second check cannot be built (case 75)."""
    given: dict[str, Any] = {"index": Index(), "verify": same_question}
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        SemanticTier(**(given | options))


def test_the_second_check_cannot_be_left_out() -> None:
    """It has no default (case 75)."""
    with pytest.raises(TypeError, match="verify"):
        SemanticTier(Index())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - what is tested


def test_figures_can_be_printed() -> None:
    """With the rate first."""
    shown = repr(SemanticStats(checked=4, false_hits=1))
    assert shown.startswith("SemanticStats(false_hit_rate=0.25, checked=4")
