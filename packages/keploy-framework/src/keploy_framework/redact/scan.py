"""Finding credentials that are in files already: recordings of any tool, journals, reports.

Files are read as text, whatever they are; what stands in them as Base64 is looked at too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.finder import Finder
from keploy_framework.redact.kinds import Looks
from keploy_framework.redact.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


__all__ = ("Finding", "scan_path", "scan_text")

_SHOWN: Final = 4
_LONG_ENOUGH: Final = 16
_CHUNK: Final = 4 << 20
_OVERLAP: Final = 64 << 10
_SKIPPED: Final = frozenset({".git", "__pycache__", ".venv", "node_modules"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A credential that stands in a file.

    Attributes:
        file: The file, as it was named.
        line: Its line, from 1.
        column: Its column in bytes, from 1.
        kind: What it is, as in a placeholder.
        excerpt: How it begins; the rest is masked.
    """

    file: str
    line: int
    column: int
    kind: str
    excerpt: str

    def __str__(self) -> str:
        """Return it as compilers do: ``file:line:column: kind excerpt``."""
        return f"{self.file}:{self.line}:{self.column}: {self.kind} {self.excerpt}"


def _masked(value: str) -> str:
    shown = value[:_SHOWN] if len(value) >= _LONG_ENOUGH else ""
    return f"{shown}… ({len(value)} characters)"


def scan_text(text: str, file: str = "<text>", *, allow: Iterable[str] = ()) -> Iterator[Finding]:
    r"""Yield the credentials of a text, in order.

    Args:
        text: What is searched.
        file: What the findings name as their file.
        allow: Names of headers, fields and cookies that may stand there, and values that may.

    Example:
        >>> for finding in scan_text("a: 1\nkey: AKIAQWERTYUIOPASDFGH\n", "mocks.yaml"):
        ...     print(finding)
        mocks.yaml:2:6: aws-access-key AKIA… (20 characters)
    """
    finder = _finder(allow)
    bare = text.encode("utf-8", "surrogatepass").decode("latin-1")
    yield from _located(bare, file, finder, 0, 0, len(bare))


def scan_path(path: Path | str, *, allow: Iterable[str] = ()) -> Iterator[Finding]:
    """Yield the credentials of a file, or of all files under a folder, sorted by name.

    Files are read in parts, so that their size does not matter; links are not followed.

    Raises:
        OSError: The path does not exist, or a file cannot be read.
    """
    finder = _finder(allow)
    root = Path(path)
    if root.is_dir():
        for child in sorted(root.rglob("*")):
            inside = child.relative_to(root).parts
            if child.is_file() and not child.is_symlink() and _SKIPPED.isdisjoint(inside):
                yield from _scan_file(child, finder)
    else:
        yield from _scan_file(root, finder)


def _finder(allow: Iterable[str]) -> Finder:
    allowed = frozenset(allow)
    return Finder(Names(allow=allowed), Looks(), allowed)


def _scan_file(path: Path, finder: Finder) -> Iterator[Finding]:
    lines = 0
    context = ""
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            text = context + data.decode("latin-1")
            ended = len(data) < _CHUNK
            limit = len(text) if ended else max(len(text) - _OVERLAP, len(context))
            newline = text.rfind("\n", 0, limit) + 1
            limit = limit if ended or not newline else newline
            yield from _located(text, str(path), finder, lines, 0, limit)
            lines += text.count("\n", 0, limit)
            context = text[limit:]


def _located(
    text: str, file: str, finder: Finder, lines: int, start: int, limit: int
) -> Iterator[Finding]:
    found = {(span.start, span.kind): span for span in finder.looks(text)}
    for span in finder.opened(text):
        found.setdefault((span.start, span.kind), span)
    at = start
    for (place, _), span in sorted(found.items()):
        if place >= limit:
            break
        lines += text.count("\n", at, place)
        at = place
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        yield Finding(file, lines + 1, column, span.kind, _masked(span.value))
