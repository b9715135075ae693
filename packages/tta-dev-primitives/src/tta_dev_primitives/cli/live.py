"""The tree of a run in a terminal, redrawn as the run goes on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tta_dev_primitives.core import clock

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import RenderableType

    from tta_dev_primitives.cli.watch import Place, Watch
    from tta_dev_primitives.core.graph import Description

__all__ = ("LiveTree",)

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {
    "ok": ("✓", "green"),
    "error": ("✗", "bold red"),
    "cancelled": ("⊘", "yellow"),
    "filtered": ("▽", "cyan"),
}
_PER_SECOND = 10

_Row: TypeAlias = "tuple[int, str, str]"  # depth, path, what it is called


class LiveTree:
    """The steps of a workflow with state, time and attempts, on the standard error stream.

    Args:
        described: The workflow.
        watch: What is known of its run.
        capture_stdout: Let what steps print to the standard output appear above the tree; only
            right where that is the same terminal.
    """

    def __init__(self, described: Description, watch: Watch, *, capture_stdout: bool) -> None:
        self.console: Console = Console(stderr=True, highlight=False)
        self._watch = watch
        self._rows: list[_Row] = _rows_of(described)
        self._known = {path for _, path, _ in self._rows}
        self._frozen = False
        self._live = Live(
            console=self.console,
            get_renderable=self._draw,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=capture_stdout,
            redirect_stderr=True,
        )

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show the tree in between; its last state stays on the screen."""
        with self._live:
            yield

    def stop(self) -> None:
        """Leave the tree as it is, for output that needs the terminal."""
        self._frozen = True
        self._live.stop()

    def _draw(self) -> RenderableType:
        watch = self._watch
        with watch.lock:
            self._add_dynamic(watch.places)
            rows, left_out = self._visible(watch.places)
            lines = [_line(row, watch.places.get(row[1]), frozen=self._frozen) for row in rows]
        if left_out:
            lines.append(Text(f"  … {left_out} more steps", style="dim"))
        return Text("\n").join(lines)

    def _add_dynamic(self, places: dict[str, Place]) -> None:
        """Give workflows that a step runs by itself a row below that step."""
        for path in [path for path in places if path not in self._known]:
            self._known.add(path)
            parent, _, name = path.rpartition("/")
            at = next((i for i, row in enumerate(self._rows) if row[1] == parent), None)
            if at is None:
                self._rows.append((0, path, name))
                continue
            depth = self._rows[at][0] + 1
            end = at + 1
            while end < len(self._rows) and self._rows[end][0] >= depth:
                end += 1
            self._rows.insert(end, (depth, path, name))

    def _visible(self, places: dict[str, Place]) -> tuple[list[_Row], int]:
        """Return the rows that fit: all, or what runs or failed, then the rest from the top."""
        room = max(4, self.console.size.height - 3)
        rows = self._rows
        if len(rows) <= room:
            return rows, 0
        chosen: set[int] = set()
        line: list[int] = []  # the row at each depth above the current one
        for index, (depth, path, _) in enumerate(rows):
            del line[depth:]
            line.append(index)
            place = places.get(path)
            if place is not None and (place.running or place.status == "error"):
                chosen.update(line[-room:])
            if len(chosen) >= room:
                break
        for index in range(len(rows)):
            if len(chosen) >= room:
                break
            chosen.add(index)
        kept = sorted(chosen)[:room]
        return [rows[index] for index in kept], len(rows) - len(kept)


def _rows_of(described: Description) -> list[_Row]:
    rows: list[_Row] = []
    stack = [(0, described)]
    while stack:
        depth, node = stack.pop()
        named = node.name if node.label in {None, node.name} else f"{node.label}: {node.name}"
        rows.append((depth, node.path, named))
        stack.extend((depth + 1, child) for child in reversed(node.children))
    return rows


def _line(row: _Row, place: Place | None, *, frozen: bool) -> Text:
    depth, _, name = row
    # A cap on the indentation, so that deep nesting stays on the screen.
    text = Text("  " * min(depth, 12), no_wrap=True, overflow="ellipsis")
    shown = "".join(c if c.isprintable() else "�" for c in name)
    if place is None:
        return text.append(f"· {shown}", style="dim")
    if place.running:
        now = clock.now()
        spinner = "▸" if frozen else _SPINNER[int(now * _PER_SECOND) % len(_SPINNER)]
        text.append(f"{spinner} ", style="cyan")
        text.append(shown, style="bold")
        text.append(f"  {duration(now - place.since)}", style="cyan")
        if place.running > 1:
            text.append(f"  {place.running} at once", style="cyan")
    else:
        mark, style = _MARKS[place.status or "ok"]
        text.append(f"{mark} ", style=style)
        text.append(shown)
        text.append(f"  {duration(place.seconds)}", style="dim")
    if place.attempt > 1:
        text.append(f"  attempt {place.attempt}", style="yellow")
    elif place.calls > 1:
        text.append(f"  {place.calls} calls", style="dim")
    if place.failed and place.status != "error":
        text.append(f"  {place.failed} failed", style="yellow")
    return text


def duration(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    if seconds < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - a minute
