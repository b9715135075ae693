"""An answer without a model: the sentences of the passages that answer best, quoted verbatim.

A sentence scores by the words of the question that stand in it, each counted by how rare it is, by
the headings above it, by the rank of its passage and by its place in it. Sentences are then taken
one by one; what repeats a sentence already taken loses most of its score, and
words that none has count more. Where the question asks how something is
done, code fences are quoted as sentences are; elsewhere only below a sentence that leads to one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docs_qa.index import words_in, words_of
from docs_qa.passages import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docs_qa.index import Evidence
    from docs_qa.passages import Block, Passage

__all__ = ("Answer", "Quote", "extract", "quotes_of", "sentences_of")

SENTENCES = 5
FENCES = 2
FENCE_LINES = 24  # a longer listing is for its file, not for an answer
_ENOUGH = 0.3  # share of the best score below which a sentence says too little

_AROUND = 0.4  # a word in the headings above, against 1 in the sentence
_CODE = 0.8  # a word in code, against 1 in a sentence
_SHOWN = 0.2  # code answers "how" better than words do
_ANSWERED = 0.5  # a word that a sentence already taken has, against 1
_RANK = 0.3
_PLACE = 0.1
_DEFINITION = 0.3
_REPEATED = 0.7

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_`]*[A-Z0-9`])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|resp)|\b[A-Z])\.$")
_MARKER = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
_NOT_PROSE = re.compile(r"^\s*(?:\[!\[|!\[|<|\[[^\]]+\]:)")
_TABLE_RULE = re.compile(r"^[\s:|-]+$")
_CELL_END = re.compile(r"(?<!\\)\|")
_PICTURE = re.compile(r"\s*(?:`+|~+)\s*mermaid\b")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_HOW = re.compile(r"\b(?:how|command|code|example|install|show|write)\b", re.IGNORECASE)
_WHAT = re.compile(r"^\W*(?:so\W+)?(?:what(?:'s| is| are)|define|explain)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and where it comes from."""

    question: str
    """The question as it was asked."""
    text: str
    """The answer; `[n]` names a source."""
    sources: tuple[tuple[int, Passage], ...]
    """The passages that the answer rests on, by the number that stands for them in the text."""
    answered_by: str
    """`extraction`, or the model's name."""
    remark: str = ""
    """What the reader should know about how the answer was made; empty if there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Something that can be quoted: a sentence, an item of a list, a row of a table, a code fence.

    Attributes:
        text: It, unchanged but for line breaks; of a code fence, without any change.
        passage: The place of its passage in the ranking, from 0.
        position: Its place in the passage, from 0.
        is_code: Whether it is a code fence.
    """

    text: str
    passage: int
    position: int
    is_code: bool = False


def extract(evidence: Evidence) -> Answer:
    """Answer a question with quotations from the passages.

    Args:
        evidence: The question, and the passages in the order of their rank; at least one.
    """
    numbers: dict[int, int] = {}
    parts: list[str] = []
    for quote in _choose(evidence):
        number = numbers.setdefault(quote.passage, len(numbers) + 1)
        parts.append(f"{quote.text}{chr(10) if quote.is_code else ' '}[{number}]")
    return Answer(
        question=evidence.query.text,
        text="\n\n".join(parts),
        sources=tuple((number, evidence.passages[passage]) for passage, number in numbers.items()),
        answered_by="extraction",
    )


def _choose(evidence: Evidence) -> list[Quote]:
    """Return the quotations to show, grouped by passage, in the order of their text."""
    quotes = [
        quote
        for rank, passage in enumerate(evidence.passages)
        for quote in quotes_of(passage, rank=rank)
    ]
    if not quotes:  # passages of nothing but code or links are shown as they are
        return [Quote(text=evidence.passages[0].text, passage=0, position=0)]
    scores = _Scores(evidence, quotes)
    taken: list[int] = []
    best = 0.0
    while len(taken) < SENTENCES:
        worth = {
            index: _worth(index, [i for i in taken if quotes[i].is_code == quote.is_code], scores)
            for index, quote in enumerate(quotes)
            if index not in taken
        }
        winner = max(worth, key=lambda index: (worth[index], -index), default=None)
        if winner is None or (taken and worth[winner] <= _ENOUGH * best):
            break
        best = best or worth[winner]
        taken.append(winner)
    taken = _with_code(taken, quotes)
    passages = list(dict.fromkeys(quotes[index].passage for index in taken))
    return sorted(
        (quotes[index] for index in taken),
        key=lambda quote: (passages.index(quote.passage), quote.position),
    )


def _worth(index: int, beside: Sequence[int], scores: _Scores) -> float:
    """Return what a quotation adds to those of its kind, sentence or code, that are taken."""
    if scores.is_code[index] and len(beside) >= FENCES:
        return 0.0
    answered = frozenset[str]().union(*(scores.inside[taken] for taken in beside))
    repeated = max(
        (_overlap(scores.all[index], scores.all[taken]) for taken in beside), default=0.0
    )
    return scores.of(index, answered=answered) * (1 - _REPEATED * repeated)


def _with_code(taken: Sequence[int], quotes: Sequence[Quote]) -> list[int]:
    """Add the code that a sentence leads to with a colon at its end."""
    found = dict.fromkeys(taken)
    for index in taken:
        below = index + 1
        if quotes[index].text.endswith(":") and below < len(quotes) and quotes[below].is_code:
            found[below] = None
    return list(found)


class _Scores:
    """How well each quotation answers a question: about 0 for not at all, above 1 for very well.

    Attributes:
        inside: The words of the question that stand in each quotation.
        all: All words of each quotation.
        is_code: Whether each quotation is a code fence.
    """

    def __init__(self, evidence: Evidence, quotes: Sequence[Quote]) -> None:
        query = evidence.query
        total = sum(query.weights) or 1.0
        self._weights = {
            word: weight / total for word, weight in zip(query.words, query.weights, strict=True)
        }
        self.inside = words_in([quote.text for quote in quotes], query.words)
        self.all = [frozenset(words_of(quote.text)) for quote in quotes]
        headings = words_in([" ".join(each.headings) for each in evidence.passages], query.words)
        self._around = [
            headings[quote.passage] - own for quote, own in zip(quotes, self.inside, strict=True)
        ]
        subject = _Subject(query.text)
        self._own = [
            _RANK / (1 + quote.passage)
            + _PLACE / (1 + quote.position)
            + _DEFINITION * subject.is_defined(quote, evidence.passages[quote.passage])
            for quote in quotes
        ]
        self.is_code = [quote.is_code for quote in quotes]
        code = _CODE if _HOW.search(query.text) else 0.0
        self._fits = [code if each.is_code else _fit_of_length(each.text) for each in quotes]

    def of(self, index: int, *, answered: frozenset[str]) -> float:
        """Return the score of a quotation beside others that have `answered` some words."""

        def weight(words: frozenset[str]) -> float:
            return sum(self._weights[w] * (_ANSWERED if w in answered else 1.0) for w in words)

        around = _AROUND if self.inside[index] else _AROUND / 2
        said = weight(self.inside[index]) + around * weight(self._around[index])
        score = said * self._fits[index]
        if not score:  # standing near the question's words is not enough
            return 0.0
        return score + self._own[index] + (_SHOWN if self.is_code[index] else 0.0)


class _Subject:
    """The thing that a question wants to have explained, as in "What is a workflow?"."""

    def __init__(self, question: str) -> None:
        asked = _WHAT.search(question)
        rest = "" if asked is None else question[asked.end() :]
        self._words = words_of(rest.split(",", maxsplit=1)[0])
        thing = re.escape(next(iter(self._words), ""))
        self._definition = re.compile(
            rf"^\W*(?:(?:the|a|an)\s+)?{thing}\b.{{0,40}}\b(?:is|are)\b", re.IGNORECASE
        )

    def is_defined(self, quote: Quote, passage: Passage) -> bool:
        """Whether a quotation begins "The thing is", or stands first below its heading."""
        if not self._words:
            return False
        heading = words_of(passage.headings[-1]) if passage.headings else ()
        below_heading = not quote.position and set(self._words) <= set(heading)
        return below_heading or self._definition.search(quote.text) is not None


def _fit_of_length(text: str) -> float:
    """Scraps say little; a very long sentence holds any word by chance."""
    words = len(text.split())
    if words < 5:  # noqa: PLR2004 - the table of this function
        return 0.6
    return 1.0 if words <= 45 else 0.75  # noqa: PLR2004 - as above


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return which share of the shorter sentence's words the other one has, too."""
    return len(one & other) / (min(len(one), len(other)) or 1)


def quotes_of(passage: Passage, *, rank: int = 0) -> Iterator[Quote]:
    """Yield what can be quoted from a passage, in order."""
    position = 0
    for block in blocks_of(passage.text):
        if not block.is_code:
            texts = tuple(sentences_of(block))
        elif len(block.lines) <= FENCE_LINES and not _PICTURE.match(block.lines[0]):
            texts = ("\n".join(block.lines),)
        else:
            continue
        for text in texts:
            yield Quote(text=text, passage=rank, position=position, is_code=block.is_code)
            position += 1


def sentences_of(block: Block) -> Iterator[str]:
    """Yield the sentences of a paragraph, the items of a list, the rows of a table.

    Example:
        >>> from docs_qa.passages import Block
        >>> list(sentences_of(Block(first_line=1, lines=("It is, e.g. fast. It", "is safe."))))
        ['It is, e.g. fast.', 'It is safe.']
    """
    gathered: list[str] = []
    for line in block.lines:
        text = line.strip().removeprefix(">").strip()
        if text.startswith("|"):
            yield from _sentences(gathered)
            if not _TABLE_RULE.match(text) and line != block.lines[0]:  # the first names columns
                yield _row(text)
            continue
        if _MARKER.match(line):
            yield from _sentences(gathered)
            text = _MARKER.sub("", line).strip()
        if text and not _NOT_PROSE.match(text):
            gathered.append(text)
    yield from _sentences(gathered)


def _row(line: str) -> str:
    """Return a row of a table as `first: second; third`."""
    cells = [cell.strip() for cell in _CELL_END.split(line.strip("| "))]
    return ": ".join(part for part in (cells[0], "; ".join(filter(None, cells[1:]))) if part)


def _sentences(lines: list[str]) -> Iterator[str]:
    """Cut gathered lines into sentences, and empty the list."""
    text = " ".join(lines)
    lines.clear()
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[: end.start()]):
            continue
        yield from _worth_quoting(text[start : end.end()].strip())
        start = end.end()
    yield from _worth_quoting(text[start:].strip())


def _worth_quoting(sentence: str) -> Iterator[str]:
    """Yield the sentence, unless it is only a link or has no words."""
    if len(_LINK.sub("", sentence).split()) > 1 and words_of(sentence):
        yield sentence
