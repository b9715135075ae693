"""A full-text index over passages: SQLite FTS5 in memory, ranked by BM25.

Each question is searched in several ways (`STRATEGIES`): every one finds what another misses. The
rankings are merged by reciprocal rank fusion, which needs no scores that can be compared.

The words of a question are data. They are cut out by `words_of`, which leaves letters and digits
only, and each is quoted, so nothing that a user types is ever read as query syntax.
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docs_qa.passages import Passage

__all__ = (
    "STRATEGIES",
    "Evidence",
    "PassageIndex",
    "Query",
    "Ranking",
    "SearchUnavailableError",
    "fused",
    "words_of",
)

QUERY_WORDS = 32  # the rarest are taken; more make a question no clearer, only slower
_ENGINE = "fts5"
_TOKENIZER = "porter unicode61 remove_diacritics 2"
_RRF = 60  # the constant of Cormack, Clarke and Büttcher (SIGIR 2009)

_WORD = re.compile(r"[^\W_]+")
_IDENTIFIER = re.compile(r"\b[A-Za-z][a-z0-9]*(?:[A-Z][a-z0-9]*)+\b")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

# Words that say how something is asked, not what about.
_COMMON = frozenset(
    _WORD.findall(
        """
        a about an and any are as at be been but by can could did do does for from give had has
        have how i if in into is it its let like made make may me mean means might must my need of
        on or our please s shall should show so some t tell than that the their them then there
        these they this those to us use used using want was we were what when where which who whom
        whose why will with work works would you your
        """
    )
)


class SearchUnavailableError(RuntimeError):
    """This Python's SQLite has no FTS5."""

    def __init__(self) -> None:
        super().__init__(
            f"the SQLite of this Python ({sqlite3.sqlite_version}) was built without the FTS5 "
            f"search engine; use another Python, for example the one that "
            f"`uv python install 3.13` brings, or your system's"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question, and what is searched for it."""

    text: str
    """The question as it was asked."""
    words: tuple[str, ...]
    """The words to search for, in the order of the question; lower case."""
    weights: tuple[float, ...]
    """How telling each word is: its inverse document frequency."""
    unknown: tuple[str, ...] = ()
    """Words of the question that stand in no passage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What one way of searching found for a query, best first."""

    query: Query
    strategy: str
    found: tuple[int, ...]
    """Numbers of passages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A query and the passages that may answer it, best first."""

    query: Query
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to search.

    Attributes:
        operator: What joins the words: `AND`, `OR`, or `NEAR` for neighbouring pairs.
        columns: Where to look; all columns if empty.
        headings: The weight of a hit in a heading, against 1 in the text.
    """

    operator: str
    columns: str = ""
    headings: float = 4.0


STRATEGIES: Mapping[str, Strategy] = {
    "all_words": Strategy(operator="AND"),
    "any_word": Strategy(operator="OR"),
    "headings": Strategy(operator="OR", columns="{headings} : ", headings=10.0),
    "near_words": Strategy(operator="NEAR"),
}
"""The ways to search, by name."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text that say what it is about, lower case, each once.

    Common words are left out, unless there are no others.

    Example:
        >>> words_of('How do I use "Retry" with NEAR(a, b)?')
        ('retry', 'near', 'b')
    """
    words = tuple(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return tuple(word for word in words if word not in _COMMON) or words


def fused(rankings: Sequence[Ranking], *, limit: int) -> tuple[int, ...]:
    """Merge rankings by reciprocal rank fusion: best is what stands high in many of them.

    Args:
        rankings: Each best first.
        limit: How many to return at most.

    Example:
        >>> query = Query(text="", words=(), weights=())
        >>> one = Ranking(query=query, strategy="one", found=(7, 8))
        >>> two = Ranking(query=query, strategy="two", found=(8, 9))
        >>> fused([one, two], limit=2)
        (8, 7)
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, number in enumerate(ranking.found, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (_RRF + place)
    return tuple(sorted(scores, key=lambda number: (-scores[number], number))[:limit])


class PassageIndex:
    r"""Passages that can be searched, from any thread.

    Args:
        passages: What to search; a passage's number is its place here.

    Raises:
        SearchUnavailableError: SQLite has no FTS5.

    Example:
        >>> from docs_qa.passages import Text, split
        >>> text = Text(file="a.md", content="# Retry\n\nRetries wait longer each time.\n")
        >>> index = PassageIndex(split(text).passages)
        >>> index.search(index.query("How long does a retry wait?"), "any_word").found
        (0,)
        >>> index.close()
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = tuple(passages)
        self._lock = threading.Lock()  # one connection, used from the threads of the workflow
        self._database = _database("headings, text, names")
        self._database.executemany(
            "INSERT INTO texts(rowid, headings, text, names) VALUES (?, ?, ?, ?)",
            (
                (number, " ".join(passage.headings), passage.text, _names(passage.text))
                for number, passage in enumerate(self.passages)
            ),
        )

    def query(self, question: str) -> Query:
        """Return what to search for a question: its words, and how telling each of them is."""
        total = len(self.passages)
        weights: dict[str, float] = {}
        unknown: list[str] = []
        for word in words_of(question):
            with self._lock:
                count = _count(self._database, word)
            if count:
                weights[word] = math.log(1 + (total - count + 0.5) / (count + 0.5))
            else:
                unknown.append(word)
        if len(weights) > QUERY_WORDS:
            rarest = sorted(weights.values(), reverse=True)[QUERY_WORDS - 1]
            kept = [word for word in weights if weights[word] >= rarest][:QUERY_WORDS]
            weights = {word: weights[word] for word in kept}
        return Query(
            text=question,
            words=tuple(weights),
            weights=tuple(weights.values()),
            unknown=tuple(unknown),
        )

    def search(self, query: Query, strategy: str, *, limit: int = 20) -> Ranking:
        """Search in one of the ways of `STRATEGIES`.

        Args:
            query: From `query`.
            strategy: The name of the way.
            limit: How many passages to find at most.
        """
        how = STRATEGIES[strategy]
        expression = _expression(query.words, how)
        if not expression:
            return Ranking(query=query, strategy=strategy, found=())
        with self._lock:
            rows = self._database.execute(
                "SELECT rowid FROM texts WHERE texts MATCH ?"
                " ORDER BY bm25(texts, ?, 1.0, 1.0), rowid LIMIT ?",
                (how.columns + expression, how.headings, limit),
            ).fetchall()
        return Ranking(query=query, strategy=strategy, found=tuple(row[0] for row in rows))

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()


def words_in(texts: Sequence[str], words: Sequence[str]) -> list[frozenset[str]]:
    """Tell which of `words` stand in each of `texts`, by the rules of the index.

    "retries" stands in a text with "retry", and "mocks" in one with "MockPrimitive".
    """
    database = _database("text, names")
    try:
        database.executemany(
            "INSERT INTO texts(rowid, text, names) VALUES (?, ?, ?)",
            ((number, text, _names(text)) for number, text in enumerate(texts)),
        )
        found: list[set[str]] = [set[str]() for _ in texts]
        for word in words:
            rows = database.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (_quoted(word),))
            for row in rows:
                found[int(row[0])].add(word)
    finally:
        database.close()
    return [frozenset(each) for each in found]


def _database(columns: str) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    try:
        database.execute(
            f"CREATE VIRTUAL TABLE texts USING {_ENGINE}({columns}, tokenize='{_TOKENIZER}')"
        )
    except sqlite3.OperationalError as error:
        database.close()
        if "no such module" in str(error):
            raise SearchUnavailableError from error
        raise
    return database


def _count(database: sqlite3.Connection, word: str) -> int:
    row = database.execute("SELECT count(*) FROM texts WHERE texts MATCH ?", (_quoted(word),))
    return int(row.fetchone()[0])


def _quoted(word: str) -> str:
    """Return a word as an FTS5 string, in which nothing has a meaning."""
    return '"' + word.replace('"', '""') + '"'


def _expression(words: Sequence[str], how: Strategy) -> str:
    quoted = [_quoted(word) for word in words]
    if how.operator == "NEAR":
        return " OR ".join(f"NEAR({first} {second}, 6)" for first, second in pairwise(quoted))
    joined = f" {how.operator} ".join(quoted)
    return f"({joined})" if joined else ""


def _names(text: str) -> str:
    """Return the parts of names such as `RetryPrimitive`, so that "retry" finds them."""
    names = dict.fromkeys(_IDENTIFIER.findall(text))
    return " ".join(piece for name in names for piece in _PIECE.findall(name))
