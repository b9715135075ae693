"""The demo reads Markdown and cuts it into passages."""

import doctest
import os
from pathlib import Path

import pytest
from docs_qa import extraction, index, passages
from docs_qa.passages import (
    FENCE_CHARACTERS,
    FILE_BYTES,
    PASSAGE_CHARACTERS,
    Passage,
    Text,
    blocks_of,
    find_files,
    read,
    split,
)
from hypothesis import given
from hypothesis import strategies as st


def cut(markdown: str) -> tuple[Passage, ...]:
    """Return the passages of a Markdown text."""
    return split(Text(file="a.md", content=markdown)).passages


@pytest.mark.parametrize("module", [passages, index, extraction])
def test_the_examples_in_docstrings_are_true(module: object) -> None:
    """Every docstring example of the demo's parts gives what it shows."""
    outcome = doctest.testmod(module)  # pyright: ignore[reportArgumentType]

    assert outcome.attempted
    assert not outcome.failed


def test_a_passage_knows_the_headings_above_it() -> None:
    """The path of headings is that of the outline, not of all headings passed."""
    found = cut("# A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n## D\n\nfour\n")

    assert [(p.text, p.headings) for p in found] == [
        ("one", ("A",)),
        ("two", ("A", "B")),
        ("three", ("A", "B", "C")),
        ("four", ("A", "D")),
    ]


def test_underlined_headings_count() -> None:
    """`===` and `---` below a line make it a heading of level 1 and 2."""
    found = cut("Title\n=====\n\none\n\nPart\n---\n\ntwo\n")

    assert [p.headings for p in found] == [("Title",), ("Title", "Part")]


def test_closing_marks_are_no_part_of_a_heading() -> None:
    """`## Part ##` is called Part; `# C#` keeps its sharp."""
    assert cut("## Part ##\n\none\n")[0].headings == ("Part",)
    assert cut("# C#\n\none\n")[0].headings == ("C#",)


@pytest.mark.parametrize("mark", ["```", "~~~", "````"])
def test_a_heading_in_a_code_fence_is_code(mark: str) -> None:
    """A comment in a shell listing starts no passage."""
    text = f"# A\n\n{mark}sh\n# install\n\nuv sync\n{mark}\n"
    (found,) = cut(text)

    assert found.headings == ("A",)
    assert found.text == f"{mark}sh\n# install\n\nuv sync\n{mark}"


def test_a_shorter_mark_does_not_close_a_fence() -> None:
    """A fence of four shows a fence of three."""
    (found,) = cut("````\n```\n# no heading\n```\n````\n")

    assert found.text.endswith("\n````")


def test_a_fence_that_is_never_closed_reaches_to_the_end() -> None:
    """An open fence is code, and nothing is lost."""
    (found,) = cut("```\ncode\n\n# still code")

    assert found.text == "```\ncode\n\n# still code"


def test_a_long_fence_stays_whole() -> None:
    """A listing longer than a passage is not cut."""
    fence = "```\n" + "x = 1\n" * 400 + "```"
    assert PASSAGE_CHARACTERS < len(fence) < FENCE_CHARACTERS

    assert fence in [p.text for p in cut(f"before\n\n{fence}\n\nafter\n")]


def test_front_matter_is_left_out() -> None:
    """Settings between dashes at the top are no text."""
    (found,) = cut("---\ntitle: x\n---\nbody\n")

    assert (found.text, found.first_line) == ("body", 4)


def test_an_empty_text_has_no_passages() -> None:
    """Neither blank lines nor headings alone make a passage."""
    assert cut("") == ()
    assert cut("\n \n# A\n\n## B\n") == ()


lines = st.lists(
    st.one_of(
        st.text(alphabet="ab |-`#.", max_size=30),
        st.sampled_from(["", "# T", "## U #", "```", "~~~~", "- item", "---", "| a | b |"]),
        st.integers(1, 3000).map(lambda n: "word " * n),
    ),
    max_size=25,
)


@given(lines)
def test_each_passage_is_what_stands_at_its_lines(written: list[str]) -> None:
    """A passage is the file's own text between its first and last line, or a part of one line."""
    for passage in cut("\n".join(written)):
        shown = written[passage.first_line - 1 : passage.last_line]
        own = passage.text.split("\n")

        assert len(own) == len(shown)
        assert [line.strip() and line for line in own[1:]] == [
            line.strip() and line for line in shown[1:]
        ]
        assert own[0] in shown[0]


@given(lines)
def test_passages_are_bounded(written: list[str]) -> None:
    """No passage is longer than its bound, whatever the text is."""
    for passage in cut("\n".join(written)):
        assert len(passage.text) <= FENCE_CHARACTERS + 2


@given(lines)
def test_no_line_of_text_is_lost(written: list[str]) -> None:
    """Every line that is not blank stands in some block."""
    kept = {
        number
        for block in blocks_of("\n".join(["first", *written]))
        for number in range(block.first_line, block.last_line + 1)
    }

    assert kept >= {n for n, line in enumerate(["first", *written], 1) if line.strip()}


def test_a_very_long_line_of_blanks_takes_no_time() -> None:
    """The patterns are linear: a line of a million blanks is read at once."""
    assert cut("# " + " " * 1_000_000 + "x\n\ntext\n")[0].headings == ("x",)


def test_windows_line_ends_count_as_one() -> None:
    """Line numbers are those that an editor shows."""
    assert cut("# A\r\n\r\none\r\n")[0].first_line == 3


def test_a_place_is_shown_with_its_lines_and_headings() -> None:
    """One line has one number, several have a range; no headings leave no trace."""
    assert cut("# A\n\n## B\n\none\ntwo\n")[0].place == "a.md:5-6 · A > B"
    assert cut("one\n")[0].place == "a.md:1"


def test_bad_bytes_cost_only_themselves(tmp_path: Path) -> None:
    """A file that is not UTF-8 is read, and the first bad line is named."""
    path = tmp_path / "a.md"
    path.write_bytes(b"# A\n\nna\xefve\n")

    found = read(path, shown_as="a.md")

    assert found.content == "# A\n\nna\ufffdve\n"
    assert found.problem == "a.md is not valid UTF-8 (line 3); the bad bytes are shown as \ufffd"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """A heading on the first line is found behind a byte order mark."""
    path = tmp_path / "a.md"
    path.write_bytes(b"\xef\xbb\xbf# A\n\none\n")

    assert split(read(path, shown_as="a.md")).passages[0].headings == ("A",)


def test_a_file_that_is_too_large_is_skipped(tmp_path: Path) -> None:
    """The bound is named."""
    path = tmp_path / "a.md"
    path.write_bytes(b"x" * (FILE_BYTES + 1))

    assert read(path, shown_as="a.md").problem == "a.md has more than 4,000,000 bytes; skipped"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no regular file is skipped, for it could block for ever."""
    os.mkfifo(tmp_path / "a.md")

    assert read(tmp_path / "a.md", shown_as="a.md").problem == "a.md is no regular file; skipped"


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    """What the system cannot open is skipped; a name that is too long is so for root, too."""
    found = read(tmp_path / ("a" * 300), shown_as="a.md")

    assert found.problem is not None
    assert found.problem.startswith("a.md ")
    assert found.problem.endswith("; skipped")


def test_folders_are_searched_but_for_hidden_ones(tmp_path: Path) -> None:
    """Markdown is found at any depth; hidden folders and installed packages are not entered."""
    for name in ("b.md", "a/c.MD", "a/d.txt", ".hidden/e.md", "node_modules/f.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    missing = tmp_path / "gone"

    found, gone = find_files([tmp_path, tmp_path / "a/d.txt", tmp_path / "b.md", missing])

    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.md", "a/c.MD", "a/d.txt"]
    assert gone == [missing]
