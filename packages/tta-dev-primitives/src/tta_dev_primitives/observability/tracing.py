"""Traces without a collector: spans from functions, records in a list, a tree in the terminal.

Everything here is made from the engine's records. Identity in headers stands in `propagation` and
can be imported from here as well; export to other systems is the observability distribution's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability.operations import trace_operation
from tta_dev_primitives.observability.propagation import (
    SpanContext,
    current_span_context,
    extract,
    format_baggage,
    format_traceparent,
    inject,
    parse_baggage,
    parse_traceparent,
)
from tta_dev_primitives.observability.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from tta_dev_primitives.core.record import Record, Status

__all__ = (
    "SpanContext",
    "SpanNode",
    "SpanTree",
    "TreeObserver",
    "collect_records",
    "current_span_context",
    "extract",
    "format_baggage",
    "format_traceparent",
    "inject",
    "parse_baggage",
    "parse_traceparent",
    "render_tree",
    "trace_operation",
)

# --- records in a list --------------------------------------------------------------------------


class _Collectors:
    """The one observer behind all `collect_records` that are open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists: tuple[list[Record], ...] = ()

    def ended(self, record: Record, /) -> None:
        for collected in self._lists:
            collected.append(record)

    def open(self, collected: list[Record]) -> None:
        with self._lock:
            self._lists = (*self._lists, collected)
            if len(self._lists) == 1:
                engine.add_observer(self)

    def close(self, collected: list[Record]) -> None:
        with self._lock:
            self._lists = tuple(one for one in self._lists if one is not collected)
            if not self._lists:
                engine.remove_observer(self)


_collectors = _Collectors()


@contextmanager
def collect_records() -> Generator[list[Record]]:
    """Collect the records of all calls that end while the block runs; for tests and notebooks.

    The whole process is observed, so runs that other tasks or threads start meanwhile are in the
    list as well. A call stands behind the calls inside it.

    Example:
        >>> from tta_dev_primitives import step
        >>> with collect_records() as records:
        ...     _ = (step(str.strip) >> len).run(" four ")
        >>> [record.path for record in records]
        ['sequential/strip', 'sequential/len', 'sequential']
    """
    collected: list[Record] = []
    _collectors.open(collected)
    try:
        yield collected
    finally:
        _collectors.close(collected)


# --- trees --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanNode:
    """One call in a tree."""

    record: Record
    """The call."""
    children: tuple[SpanNode, ...]
    """The calls inside it, by their start."""


class SpanTree:
    """Records as trees: each call below the one that made it.

    Args:
        records: In any order. A record whose parent is not among them is a root.
    """

    __slots__ = ("roots",)

    roots: tuple[SpanNode, ...]
    """The outermost calls, by their start."""

    def __init__(self, records: Iterable[Record]) -> None:
        by_start = sorted(records, key=lambda record: record.start)
        known = {record.span_id for record in by_start}
        inside: dict[int, list[Record]] = {}
        outermost: list[Record] = []
        for record in by_start:
            parent = record.parent_span_id
            if parent in known and parent != record.span_id:  # one below itself would be lost
                inside.setdefault(parent, []).append(record)
            else:
                outermost.append(record)
        self.roots = tuple(_node(record, inside) for record in outermost)

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())

    def walk(self) -> Iterator[tuple[int, SpanNode]]:
        """Yield every call with its depth, parents before children."""
        stack = [(0, root) for root in reversed(self.roots)]
        while stack:
            depth, node = stack.pop()
            yield depth, node
            stack.extend((depth + 1, child) for child in reversed(node.children))

    def render(self, *, ascii_only: bool = False) -> str:
        """Return the trees as text for a terminal.

        Args:
            ascii_only: Draw without line-drawing characters.
        """
        tee, corner, bar = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")
        lines: list[str] = []
        stack = [("", "", root) for root in reversed(self.roots)]
        while stack:
            lead, below, node = stack.pop()
            shown = node.record.path if not lead else node.record.path.rpartition("/")[2]
            lines.append(f"{lead}{_line(node.record, shown, ascii_only=ascii_only)}")
            last = len(node.children) - 1
            stack.extend(
                (
                    below + (corner if index == last else tee),
                    below + ("   " if index == last else bar),
                    child,
                )
                for index, child in reversed(tuple(enumerate(node.children)))
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def _node(record: Record, inside: dict[int, list[Record]]) -> SpanNode:
    """Build a node and all below it, without recursion."""
    made: dict[int, SpanNode] = {}
    stack = [(record, False)]
    while stack:
        current, ready = stack.pop()
        children = inside.get(current.span_id, ())
        if ready or not children:
            made[id(current)] = SpanNode(
                record=current, children=tuple(made.pop(id(child)) for child in children)
            )
        else:
            stack.append((current, True))
            stack.extend((child, False) for child in children)
    return made[id(record)]


_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "ok"),
    "error": ("✗", "FAILED"),
    "cancelled": ("⊘", "cancelled"),
    "filtered": ("∅", "filtered"),
}


def _line(record: Record, shown: str, *, ascii_only: bool) -> str:
    mark, word = _MARKS[record.status]
    parts = [f"{word if ascii_only else mark} {shown}", _duration(record.duration)]
    if record.attempt > 1:
        parts.append(f"attempt {record.attempt}")
    if record.status != "ok":
        kind = "" if record.error is None else type(record.error).__name__
        parts.append(kind if record.status == "error" else record.status)
    for name, value in record.attributes.items():
        plain = scrub(value, key=name)
        if isinstance(plain, str) and not (plain.isascii() if ascii_only else plain.isprintable()):
            plain = ascii(plain)
        parts.append(f"{name}={plain}")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 0.001:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1_000_000:.0f} µs"


def render_tree(records: Iterable[Record], *, ascii_only: bool = False) -> str:
    """Return records as a span tree for the terminal.

    Args:
        records: As `collect_records` gives them.
        ascii_only: Draw without line-drawing characters.
    """
    return SpanTree(records).render(ascii_only=ascii_only)


class TreeObserver:
    """Keeps the last runs as trees: add it with `add_observer`, and print `render()`.

    Args:
        max_runs: How many runs are kept.
        max_records: How many records of one run, and of all runs under way together, are kept.

    Raises:
        ConfigurationError: A bound is less than one.
    """

    def __init__(self, *, max_runs: int = 20, max_records: int = 10_000) -> None:
        if max_runs < 1 or max_records < 1:
            raise ConfigurationError(
                f"max_runs and max_records must be at least 1, not {max_runs!r}, {max_records!r}"
            )
        self._lock = threading.Lock()
        self._done: deque[SpanTree] = deque(maxlen=max_runs)
        # Ended calls whose callers have not ended, by caller; callers end after them.
        self._waiting: OrderedDict[int, list[Record]] = OrderedDict()
        self._held = 0
        self._max_records = max_records
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many records found no room."""
        return self._dropped

    @property
    def runs(self) -> tuple[SpanTree, ...]:
        """The last runs, oldest first."""
        with self._lock:
            return tuple(self._done)

    def ended(self, record: Record, /) -> None:
        """Keep the record; with an outermost call, its run is complete."""
        with self._lock:
            if "/" not in record.path:
                self._done.append(SpanTree(self._family(record)))
                return
            self._waiting.setdefault(record.parent_span_id, []).append(record)
            self._held += 1
            while self._held > self._max_records:
                _, oldest = self._waiting.popitem(last=False)
                self._held -= len(oldest)
                self._dropped += len(oldest)

    def _family(self, root: Record) -> list[Record]:
        family = [root]
        for record in family:
            inside = self._waiting.pop(record.span_id, ())
            self._held -= len(inside)
            family.extend(inside)
        return family

    def render(self, *, ascii_only: bool = False) -> str:
        """Return the last runs as text, oldest first, an empty line between them."""
        return "\n\n".join(tree.render(ascii_only=ascii_only) for tree in self.runs)

    def clear(self) -> None:
        """Forget all runs, also those under way."""
        with self._lock:
            self._done.clear()
            self._waiting.clear()
            self._held = 0
