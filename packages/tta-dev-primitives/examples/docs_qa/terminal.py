"""What the demo shows in a terminal: warnings, progress, and texts that others wrote."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = ("complain", "listed", "printable", "progress", "shortened", "waiting")

_CLEAR = "\r\x1b[K"


@contextmanager
def waiting(what: str) -> Generator[None]:
    """Show what is going on while the block runs; silent where there is no terminal."""
    shown = sys.stderr.isatty()
    if shown:
        print(f"{what} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def progress(what: str) -> Callable[[int, int | None], None]:
    """Return a function that shows progress in one line of a terminal; elsewhere it is silent."""

    def show(done: int, total: int | None) -> None:
        if sys.stderr.isatty():
            end = _CLEAR if done == total else ""
            print(f"\r{what}: {done} of {total}{end}", end="", file=sys.stderr, flush=True)

    return show


def complain(text: str) -> None:
    """Print a line for whoever runs the command, beside the answer."""
    print(printable(text), file=sys.stderr)


def listed(words: Sequence[str], *, most: int = 8) -> str:
    """Return words in a row, the first of them if there are many."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def shortened(text: str, *, limit: int = 300) -> str:
    """Return a text in one line of bounded length, for a reader who knows it."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[:limit]}… ({len(text):,} characters)"


def printable(text: str) -> str:
    """Return a text without what could command a terminal, whoever wrote it."""
    return "".join(
        character if character in "\n\t" or character.isprintable() else "\ufffd"
        for character in text
    )
