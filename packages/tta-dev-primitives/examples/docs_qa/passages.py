"""Markdown files as passages: short, complete pieces that know their file, headings and lines.

A heading starts a new passage. Paragraphs, lists, tables and code fences are blocks; a passage
takes whole blocks up to `PASSAGE_CHARACTERS`. A code fence stays whole beyond that, up to
`FENCE_CHARACTERS`; any other block that is too long is cut between its lines.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ("Block", "Document", "Passage", "Text", "blocks_of", "find_files", "read", "split")

PASSAGE_CHARACTERS = 1_200
FENCE_CHARACTERS = 6_000
FILE_BYTES = 4_000_000  # a larger Markdown file is generated, and would bury all others

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" *(?:(?:[-*+]|\d+[.)])[ \t]+)?(`{3,}|~{3,})([^`]*)$")
_SKIPPED_FOLDERS = frozenset({"node_modules", "site-packages", "__pycache__"})
_SUFFIXES = frozenset({".md", ".markdown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document that can be read by itself."""

    file: str
    """The file, as it is shown to the reader."""
    headings: tuple[str, ...]
    """The headings above it, outermost first."""
    first_line: int
    """Number of its first line in the file, from 1."""
    last_line: int
    """Number of its last line."""
    text: str
    """Its Markdown, unchanged."""

    @property
    def place(self) -> str:
        """Where it stands, as `README.md:12-30 · Install > From source`."""
        lines = f"{self.first_line}-{self.last_line}"
        if self.first_line == self.last_line:
            lines = f"{self.first_line}"
        return " · ".join(
            part for part in (f"{self.file}:{lines}", " > ".join(self.headings)) if part
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A file as text.

    Attributes:
        file: The file, as it is shown to the reader.
        content: What it holds; empty if it could not be read.
        problem: What was wrong with it, in a sentence for the reader; None if nothing was.
    """

    file: str
    content: str
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What became of one file: its passages, and what was wrong with it, if anything was."""

    file: str
    passages: tuple[Passage, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some lines that belong together: a paragraph, a list, a table, or a code fence."""

    first_line: int
    lines: tuple[str, ...]
    is_code: bool = False

    @property
    def size(self) -> int:
        """Its length in characters."""
        return sum(map(len, self.lines)) + len(self.lines)

    @property
    def last_line(self) -> int:
        """Number of its last line."""
        return self.first_line + len(self.lines) - 1


def find_files(places: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Look for Markdown files.

    Hidden folders and those of installed packages are not entered.

    Args:
        places: Files, which are taken whatever their name is, and folders, which are searched.

    Returns:
        The files, each once, in the order of `places`, and the places that do not exist.
    """
    found: dict[Path, None] = {}
    missing: list[Path] = []
    for place in places:
        if place.is_dir():
            found.update(dict.fromkeys(_files_below(place)))
        elif place.exists():
            found[place] = None
        else:
            missing.append(place)
    return list(found), missing


def _files_below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _SKIPPED_FOLDERS
        )
        for name in sorted(files):
            if Path(name).suffix.lower() in _SUFFIXES:
                yield Path(here, name)


def read(path: Path, *, shown_as: str) -> Text:
    """Read a file. It never raises: what is wrong with the file is said in the result.

    Bytes that are no UTF-8 are replaced by U+FFFD, so that one bad byte does not cost a document.

    Args:
        path: The file.
        shown_as: How the reader of the answer is told about it.
    """
    try:
        if not path.is_file():  # a pipe or device could block for ever
            return Text(
                file=shown_as, content="", problem=f"{shown_as} is no regular file; skipped"
            )
        with path.open("rb") as stream:
            raw = stream.read(FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Text(
            file=shown_as, content="", problem=f"{shown_as} cannot be read: {reason}; skipped"
        )
    if len(raw) > FILE_BYTES:
        limit = f"{FILE_BYTES:,} bytes"
        return Text(file=shown_as, content="", problem=f"{shown_as} has more than {limit}; skipped")
    try:
        return Text(file=shown_as, content=raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"{shown_as} is not valid UTF-8 (line {line}); the bad bytes are shown as \ufffd"
        return Text(
            file=shown_as, content=raw.decode("utf-8-sig", errors="replace"), problem=problem
        )


def split(text: Text) -> Document:
    r"""Cut a Markdown text into passages.

    Example:
        >>> text = Text(file="a.md", content="# Title\n\nOne.\n\n## Part\n\nTwo.\n")
        >>> for passage in split(text).passages:
        ...     print(passage.place, "|", passage.text)
        a.md:3 · Title | One.
        a.md:7 · Title > Part | Two.
    """
    passages: list[Passage] = []
    headings: dict[int, str] = {}
    waiting: list[Block] = []

    def flush() -> None:
        above = tuple(headings.values())
        passages.extend(_passage(text.file, above, group) for group in _packed(waiting))
        waiting.clear()

    for block in blocks_of(text.content):
        heading = None if block.is_code else _heading(block)
        if heading is None:
            waiting.append(block)
            continue
        flush()
        level, title = heading
        for deeper in [known for known in headings if known >= level]:
            del headings[deeper]
        if title:
            headings[level] = title
    flush()
    return Document(file=text.file, passages=tuple(passages), problem=text.problem)


def blocks_of(markdown: str) -> Iterator[Block]:
    """Yield the blocks of a Markdown text in order; a heading is a block of its own.

    Front matter between lines of three dashes is left out. A fence that is never closed reaches
    to the end.
    """
    lines = markdown.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = _end_of_front_matter(lines)
    gathered: list[str] = []
    fence: str | None = None  # the mark that closes the code fence we are in

    def taken(until: int, *, is_code: bool = False) -> Iterator[Block]:
        if gathered:
            yield Block(
                first_line=until - len(gathered) + 1, lines=tuple(gathered), is_code=is_code
            )
            gathered.clear()

    for index, line in enumerate(lines[start:], start):
        if fence is not None:
            gathered.append(line)
            closing = line.strip()
            if closing.startswith(fence) and not closing.strip(fence[0]):
                fence = None
                yield from taken(index + 1, is_code=True)
        elif opening := _FENCE.match(line):
            yield from taken(index)
            fence = opening[1]
            gathered.append(line)
        elif not line.strip():
            yield from taken(index)
        elif _HEADING.match(line):
            yield from taken(index)
            gathered.append(line)
            yield from taken(index + 1)
        elif len(gathered) == 1 and _UNDERLINE.match(line) and _may_be_title(gathered[0]):
            gathered.append(line)
            yield from taken(index + 1)
        else:
            gathered.append(line)
    yield from taken(len(lines), is_code=fence is not None)


def _end_of_front_matter(lines: Sequence[str]) -> int:
    if lines and lines[0].rstrip() == "---":
        for index, line in enumerate(lines[1:], 1):
            if line.rstrip() == "---":
                return index + 1
    return 0


def _may_be_title(line: str) -> bool:
    """Whether a line of dashes below `line` makes a heading of it, and not a rule or a table."""
    return not line.lstrip().startswith(("|", ">", "-", "*", "+", "#"))


def _heading(block: Block) -> tuple[int, str] | None:
    if len(block.lines) == 1:
        found = _HEADING.match(block.lines[0])
        if found is None:
            return None
        return len(found[1]), _CLOSING.sub("", block.lines[0][found.end() :].strip()).strip()
    if len(block.lines) == 2 and _may_be_title(block.lines[0]):  # noqa: PLR2004 - text, underline
        underline = _UNDERLINE.match(block.lines[1])
        if underline is not None:
            return (1 if underline[1].startswith("=") else 2), block.lines[0].strip()
    return None


def _packed(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Put whole blocks together as long as they fit into one passage."""
    group: list[Block] = []
    for block in blocks:
        for piece in _pieces(block):
            if group and sum(each.size for each in group) + piece.size > PASSAGE_CHARACTERS:
                yield group
                group = []
            group.append(piece)
    if group:
        yield group


def _pieces(block: Block) -> Iterator[Block]:
    """Cut a block that is too long between its lines."""
    limit = FENCE_CHARACTERS if block.is_code else PASSAGE_CHARACTERS
    if block.size <= limit + 1:
        yield block
        return
    lines: list[str] = []
    start, size = block.first_line, 0
    for number, line in enumerate(block.lines, block.first_line):
        if lines and size + len(line) > limit:
            yield Block(first_line=start, lines=tuple(lines), is_code=block.is_code)
            lines, size = [], 0
        rest = line
        while len(rest) > limit:  # a line without an end, as in generated files
            stop = rest.rfind(" ", 1, limit) + 1 or limit
            yield Block(first_line=number, lines=(rest[:stop],), is_code=block.is_code)
            rest = rest[stop:]
        if not lines:
            start = number
        lines.append(rest)
        size += len(rest) + 1
    yield Block(first_line=start, lines=tuple(lines), is_code=block.is_code)


def _passage(file: str, headings: tuple[str, ...], blocks: Sequence[Block]) -> Passage:
    lines: list[str] = []
    at = blocks[0].first_line
    for block in blocks:
        lines.extend([""] * (block.first_line - at))  # the blank lines between two blocks
        lines.extend(block.lines)
        at = block.last_line + 1
    return Passage(
        file=file,
        headings=headings,
        first_line=blocks[0].first_line,
        last_line=blocks[-1].last_line,
        text="\n".join(lines),
    )
