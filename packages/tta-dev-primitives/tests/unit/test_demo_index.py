"""The demo searches passages in several ways, and no question can break the search."""

import threading
from collections.abc import Iterator

import pytest
from docs_qa import index as index_module
from docs_qa.index import (
    QUERY_WORDS,
    STRATEGIES,
    PassageIndex,
    Query,
    Ranking,
    SearchUnavailableError,
    fused,
    words_in,
    words_of,
)
from docs_qa.passages import Text, split
from hypothesis import given
from hypothesis import strategies as st

MARKDOWN = """\
# Guide

## Retry

A retry waits longer each time.

## Cache

Results are kept, so that nothing is computed twice. After a failure nothing is kept.

## Testing

`MockPrimitive` stands in for a step.

## Timeouts

A step that takes too long is cancelled; a retry may follow a failure.
"""
INDEX = PassageIndex(split(Text(file="guide.md", content=MARKDOWN)).passages)


@pytest.fixture(scope="module", autouse=True)
def index_closed() -> Iterator[None]:
    """Close the index after the last test."""
    yield
    INDEX.close()


def searched(question: str, strategy: str) -> list[str]:
    """Return the headings of what one strategy finds."""
    ranking = INDEX.search(INDEX.query(question), strategy)
    return [INDEX.passages[number].headings[-1] for number in ranking.found]


def test_all_words_must_stand_in_the_passage() -> None:
    """`all_words` finds passages that have every word."""
    assert searched("retry failure", "all_words") == ["Timeouts"]


def test_any_word_is_enough() -> None:
    """`any_word` finds passages that have one of the words."""
    assert set(searched("retry failure", "any_word")) == {"Retry", "Cache", "Timeouts"}


def test_headings_are_searched_alone() -> None:
    """`headings` finds nothing that only stands in the text."""
    assert searched("retry failure", "headings") == ["Retry"]


def test_neighbouring_words_are_found_together() -> None:
    """`near_words` finds words that stand close to each other, and needs two."""
    assert searched("waits longer", "near_words") == ["Retry"]
    assert searched("retry", "near_words") == []


def test_other_forms_of_a_word_are_found() -> None:
    """Words are compared by their stem."""
    assert searched("retries", "headings") == ["Retry"]


def test_the_parts_of_a_name_are_found() -> None:
    """`MockPrimitive` is found by "mocks"."""
    assert searched("mocks", "any_word") == ["Testing"]


def test_words_that_stand_nowhere_are_told_apart() -> None:
    """The query knows which words the documents do not have."""
    query = INDEX.query("Does a retry need kubernetes?")

    assert query.words == ("retry",)
    assert query.unknown == ("kubernetes",)


def test_rare_words_weigh_more() -> None:
    """A word in one passage says more than a word in two."""
    query = INDEX.query("retry cancelled")

    assert query.weights[1] > query.weights[0] > 0


def test_common_words_count_only_where_there_are_no_others() -> None:
    """A question of nothing but common words is still a question."""
    assert words_of("How do I use it?") == ("how", "do", "i", "use", "it")
    assert words_of("How do I retry?") == ("retry",)
    assert words_of("?!") == ()


def test_a_long_question_is_searched_by_its_rarest_words() -> None:
    """Beyond the bound, the words that say least are dropped."""
    rare = [f"rare{n}" for n in range(QUERY_WORDS)]
    text = "# A\n\n" + " ".join(rare) + "\n\n" + "".join(f"# B{n}\n\noften\n\n" for n in range(9))
    index = PassageIndex(split(Text(file="a.md", content=text)).passages)

    query = index.query(" ".join(["often", *rare]))
    index.close()

    assert query.words == tuple(rare)


@pytest.mark.parametrize(
    "question",
    [
        'retry" OR "1"="1',
        "retry AND (",
        "NEAR(retry",
        "headings : retry",
        "retry*",
        "^retry",
        "-retry",
        "{retry}",
        "retry \x00 \x1b[2J",
        "'; DROP TABLE texts; -- retry",
        "retry + waits NOT longer",
        "\ud800 retry",
    ],
)
def test_search_syntax_in_a_question_has_no_meaning(question: str) -> None:
    """A question in the language of the search engine is words like any other."""
    for strategy in STRATEGIES:
        searched(question, strategy)

    assert "Retry" in searched(question, "any_word")


@given(st.text(max_size=200))
def test_any_text_is_a_safe_question(question: str) -> None:
    """No text whatsoever makes a search fail."""
    for strategy in STRATEGIES:
        searched(question, strategy)


@given(st.lists(st.text(max_size=40), max_size=5), st.text(max_size=40))
def test_a_word_is_found_in_the_text_it_was_taken_from(texts: list[str], extra: str) -> None:
    """`words_in` answers for each text, whatever stands in it."""
    found = words_in([*texts, extra], words_of(extra))

    assert len(found) == len(texts) + 1
    assert all(each <= set(words_of(extra)) for each in found)


def test_an_index_of_nothing_finds_nothing() -> None:
    """An empty library can be asked."""
    index = PassageIndex([])

    found = index.search(index.query("retry"), "any_word").found
    index.close()

    assert found == ()


def test_threads_may_search_at_once() -> None:
    """One index serves all threads of a workflow."""
    query = INDEX.query("retry")
    found: list[tuple[int, ...]] = []

    def search() -> None:
        found.extend(INDEX.search(query, "any_word").found for _ in range(50))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 200
    assert len(set(found)) == 1


def test_without_fts5_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite without the search engine is named, with a way out."""
    monkeypatch.setattr(index_module, "_ENGINE", "fts_that_is_not_built_in")

    with pytest.raises(SearchUnavailableError, match=r"without the FTS5 .*`uv python install"):
        PassageIndex([])


numbers = st.lists(st.integers(0, 20), unique=True, max_size=10)


def ranking(found: list[int]) -> Ranking:
    """Return a ranking of these numbers."""
    return Ranking(query=Query(text="", words=(), weights=()), strategy="any", found=tuple(found))


@given(numbers, st.integers(1, 5))
def test_equal_rankings_merge_into_themselves(found: list[int], times: int) -> None:
    """Agreement changes nothing."""
    assert fused([ranking(found)] * times, limit=99) == tuple(found)


@given(st.lists(numbers, max_size=4), st.integers(0, 30))
def test_merging_keeps_everything_once_up_to_the_limit(found: list[list[int]], limit: int) -> None:
    """What any ranking has is in the result once, best first, and no more than asked for."""
    everything = {number for each in found for number in each}

    merged = fused([ranking(each) for each in found], limit=limit)

    assert len(merged) == len(set(merged)) == min(limit, len(everything))
    assert set(merged) <= everything


@given(numbers.filter(lambda found: len(found) > 1), numbers)
def test_what_wins_everywhere_wins(one: list[int], other: list[int]) -> None:
    """A passage that is first in every ranking is first in the merged one."""
    best = one[0]

    merged = fused([ranking(one), ranking([best, *(n for n in other if n != best)])], limit=1)

    assert merged == (best,)
