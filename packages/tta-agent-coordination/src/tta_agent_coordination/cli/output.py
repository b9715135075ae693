"""What the command shows: tables for people and for pipes, JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tta_agent_coordination.models import AgentId

__all__ = (
    "Board",
    "Listing",
    "OutputClosed",
    "ago",
    "as_json",
    "clock_time",
    "name_of",
    "preview",
    "say",
    "write",
)

PREVIEW = 200
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class OutputClosed(Exception):  # noqa: N818 - it is no error: the reader has seen enough
    """Nobody reads the standard output any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Rows under columns, in words and as facts.

    Attributes:
        columns: What the columns are called.
        rows: The cells, as people read them.
        facts: The same for machines.
        empty: What is said where there is no row.
    """

    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list[list[str]])
    facts: list[Mapping[str, object]] = field(default_factory=list["Mapping[str, object]"])
    empty: str = "nothing there"

    def add(self, cells: Sequence[object], facts: Mapping[str, object]) -> None:
        """Add a row. Whatever others wrote into messages cannot steer the terminal."""
        self.rows.append([_plain(str(cell)) for cell in cells])
        self.facts.append(facts)

    def table(self) -> Table | Text:
        """Return it for a terminal."""
        if not self.rows:
            return Text(self.empty, style="dim")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in self.columns:
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def text(self) -> str:
        """Return it for a pipe: columns between tabs, none cut."""
        lines = ["\t".join(self.columns), *("\t".join(row) for row in self.rows)]
        return "".join(f"{line}\n" for line in lines)


class Board:
    """Where a listing is shown: once, or again and again in place.

    Args:
        as_document: As JSON.
        live: Redraw in place; only a terminal can do this.
    """

    def __init__(self, *, as_document: bool, live: bool) -> None:
        self._as_document = as_document
        self.live: bool = live and not as_document and sys.stdout.isatty()
        self._screen: Live | None = None

    def show(self, listing: Listing) -> None:
        """Show a listing, in place of the one before."""
        if self._as_document:
            write(f"{as_json(listing.facts)}\n")
        elif self.live:
            if self._screen is None:
                self._screen = Live(console=Console(highlight=False), auto_refresh=False)
                self._screen.start()
            self._screen.update(listing.table(), refresh=True)
        elif sys.stdout.isatty():
            Console(highlight=False).print(listing.table())
        else:
            write(listing.text())

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._screen is not None:
            self._screen.stop()
            self._screen = None


def as_json(value: object) -> str:
    """Return something as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def name_of(agent_id: AgentId) -> str:
    """Return an agent's name as a person would write it."""
    return agent_id.type if agent_id.instance is None else f"{agent_id.type}/{agent_id.instance}"


def ago(seconds: float | None) -> str:
    """Return a duration in the unit that fits; nothing for None.

    Example:
        >>> ago(0.25), ago(90), ago(7200), ago(200_000), ago(None)
        ('0.2 s', '1.5 min', '2.0 h', '2.3 d', '')
    """
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(0.0, seconds):.1f} s"


def clock_time(seconds: float | None) -> str:
    """Return a time since 1970 as ISO 8601 in UTC; nothing for None.

    Example:
        >>> clock_time(0), clock_time(None)
        ('1970-01-01T00:00:00+00:00', '')
    """
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def preview(payload: object) -> str:
    """Return the beginning of a payload."""
    text = "(unreadable)" if payload is None else as_json(payload)
    return text if len(text) <= PREVIEW else f"{text[:PREVIEW]}…"


def _plain(text: str) -> str:
    return text.translate(_CONTROL)


def write(text: str) -> None:
    """Write to the standard output, at once.

    Raises:
        OutputClosed: Nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Without this, the interpreter complains when it flushes the closed stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosed from None


def say(text: str) -> None:
    """Write a line to the standard error stream."""
    sys.stderr.write(f"tta-agents: {_plain(' '.join(text.split()))}\n")
    sys.stderr.flush()
