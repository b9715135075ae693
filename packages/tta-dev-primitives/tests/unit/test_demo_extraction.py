"""The demo answers without a model: it quotes what answers best, and says where it stands."""

import re
from contextlib import closing

import pytest
from docs_qa.extraction import FENCE_LINES, SENTENCES, extract, quotes_of, sentences_of
from docs_qa.index import STRATEGIES, Evidence, PassageIndex, fused
from docs_qa.passages import Text, blocks_of, split
from hypothesis import given
from hypothesis import strategies as st

GUIDE = """\
# Lathe

A lathe is a machine that turns wood. It was known in ancient Egypt.

It needs a sharp chisel. See [the list](tools.md).

## Safety

Wear goggles, e.g. the blue ones. Sleeves stay rolled up!

| part | what it does |
|------|--------------|
| tool rest | carries the chisel |
| tailstock | holds the far end |

## Starting

To start the lathe, press the green button:

```sh
lathe --start
```

- The red button stops it at once.
- The pedal brakes.
"""


def evidence_for(question: str, markdown: str = GUIDE) -> Evidence:
    """Return what the whole search finds in one text."""
    with closing(PassageIndex(split(Text(file="guide.md", content=markdown)).passages)) as index:
        query = index.query(question)
        found = fused([index.search(query, strategy) for strategy in STRATEGIES], limit=8)
    return Evidence(query=query, passages=tuple(index.passages[n] for n in found))


def sentences(markdown: str) -> list[str]:
    """Return the sentences of the only block of a text."""
    (block,) = blocks_of(markdown)
    return list(sentences_of(block))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is a lathe?", "A lathe is a machine that turns wood. [1]"),
        ("Which button stops it?", "The red button stops it at once. [1]"),
        ("What carries the chisel?", "tool rest: carries the chisel [1]"),
        ("Which goggles are needed?", "Wear goggles, e.g. the blue ones. [1]"),
    ],
)
def test_the_sentence_that_answers_comes_out(question: str, answer: str) -> None:
    """Sentences, items of lists and rows of tables are found by what they say."""
    quoted = extract(evidence_for(question)).text.split("\n\n")

    assert answer in [re.sub(r"\[\d\]$", "[1]", each) for each in quoted]


def test_how_is_answered_with_code() -> None:
    """A question that asks how gets the code, unchanged, and what leads to it."""
    text = extract(evidence_for("How do I start the lathe?")).text

    assert "To start the lathe, press the green button: [" in text
    assert "```sh\nlathe --start\n```\n[" in text


def test_a_sentence_that_leads_to_code_brings_it() -> None:
    """A sentence with a colon at its end is not quoted without its code."""
    text = extract(evidence_for("Which button is green?")).text

    assert "green button: [1]\n\n```sh\nlathe --start\n```" in text


def test_each_quotation_cites_its_source() -> None:
    """Numbers run from 1, each has a source, and each source is cited."""
    answer = extract(evidence_for("Tell me about the lathe, goggles and the chisel"))
    cited = {int(n) for n in re.findall(r"\[(\d+)\]", answer.text)}

    assert cited == {number for number, _ in answer.sources} == set(range(1, len(cited) + 1))
    assert answer.answered_by == "extraction"


def test_a_sentence_is_not_said_twice() -> None:
    """What two passages say in the same words is quoted once."""
    markdown = "# A\n\nThe pump runs dry in summer.\n\n# B\n\nThe pump runs dry in summer.\n"

    assert extract(evidence_for("When does the pump run dry?", markdown)).text.count("pump") == 1


def test_an_answer_is_short() -> None:
    """However many sentences fit, few are quoted."""
    markdown = "# A\n\n" + "".join(f"Pump number {n} has colour {n * 7}. " for n in range(60))

    text = extract(evidence_for("Which colour has the pump?", markdown)).text

    assert 1 <= len(text.split("\n\n")) <= SENTENCES


def test_a_passage_of_code_alone_is_shown_as_it_is() -> None:
    """Where there is no sentence to quote, the passage itself is the answer."""
    code = "```\n" + "pump = 1\n" * FENCE_LINES + "```"

    assert extract(evidence_for("pump", f"# A\n\n{code}\n")).text == f"{code} [1]"


def test_sentences_end_where_they_end() -> None:
    """Abbreviations and versions do not end a sentence; quotation marks belong to it."""
    assert sentences('Take e.g. Python 3.11. It is "new." So is `uv`! Isn\'t it? Yes.') == [
        "Take e.g. Python 3.11.",
        'It is "new."',
        "So is `uv`!",
        "Isn't it?",
    ]


def test_items_of_a_list_are_sentences_of_their_own() -> None:
    """Bullets, numbers and boxes are left out; a continued item stays one."""
    assert sentences("- one thing\n  and more\n* two things\n3. three things\n- [x] done it") == [
        "one thing and more",
        "two things",
        "three things",
        "done it",
    ]


def test_rows_of_a_table_are_read_without_bars() -> None:
    """The first cell is what a row is about; the row that names the columns is left out."""
    table = "| name | what |\n|---|:--|\n| `a\\|b` | one two | three |\n| c | |"

    assert sentences(table) == ["`a\\|b`: one two; three", "c"]


def test_badges_and_bare_links_are_not_quoted() -> None:
    """What is no prose says nothing."""
    assert sentences("[![ci](x)](y)\n<p align=center>") == []
    assert sentences("- [Guide](guide.md)\n- [Tools](tools.md)") == []


def test_pictures_in_code_fences_are_not_quoted() -> None:
    """A Mermaid drawing cannot be read as text."""
    passage = split(Text(file="a.md", content="```mermaid\nflowchart LR\n```\n")).passages[0]

    assert list(quotes_of(passage)) == []


@given(st.text(alphabet="ab. !?|-`*[]()\n#>:", max_size=300), st.text(alphabet="ab ?", min_size=1))
def test_any_text_can_be_quoted_verbatim(markdown: str, question: str) -> None:
    """Whatever the documents look like, an answer has sources and only words of theirs."""
    evidence = evidence_for(question, markdown)
    if not evidence.passages:
        return
    answer = extract(evidence)
    own = "".join(re.findall(r"\w+", "".join(p.text for p in evidence.passages)))

    assert answer.sources
    for word in re.findall(r"[a-z]+", answer.text):
        assert word in own
