"""The picture for Markdown: a Mermaid flowchart.

Every part of a workflow is entered at one node and left from one or more, so an edge is drawn from
each way out to the one way in, and the number of edges grows with the number of nodes only. Nodes
are declared inside the subgraph they belong to; edges stand at the end, for an edge inside a
subgraph would draw both its ends into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_dev_primitives.core.graph.description import Description

__all__ = ("mermaid",)

_KEPT = frozenset(" ._-,()[]/…")
_CLASSES = (
    "classDef leaf fill:#eef2ff,stroke:#6366f1,color:#1e1b4b",
    "classDef choice fill:#fff7ed,stroke:#ea580c,color:#431407",
    "classDef parallel fill:#ecfdf5,stroke:#059669,color:#022c22",
    "classDef stream fill:#ecfeff,stroke:#0891b2,color:#083344",
)


def mermaid(described: Description) -> str:
    """Return the flowchart of a workflow, without a line break at its end."""
    return _Flowchart(described).text()


class _Flowchart:
    """Nodes and edges of one flowchart.

    A node of the description is handled three times: when it is entered, after each child, and
    when it is left. `ways` holds, for the node being handled, the first node of its picture and
    the last ones with the label of what leads on.
    """

    def __init__(self, described: Description) -> None:
        self.root = described
        self.lines: list[str] = []
        self.edges: list[str] = []
        self.styles: set[str] = set()
        self.indent = 1
        self.count = 0
        self._build()

    def text(self) -> str:
        styles = [f"    {line}" for line in _CLASSES if line.split()[1] in self.styles]
        return "\n".join(("flowchart TD", *self.lines, *self.edges, *styles))

    def _build(self) -> None:
        stack = [_Part(self.root)]
        self._open(stack[-1])
        while True:
            part = stack[-1]
            if part.next_child < len(part.node.children):
                child = _Part(part.node.children[part.next_child])
                part.next_child += 1
                stack.append(child)
                self._open(child)
                continue
            self._close(part)
            stack.pop()
            if not stack:
                return
            self._joined(stack[-1], part)

    def _open(self, part: _Part) -> None:
        """Declare what stands before the children."""
        node = part.node
        if not node.children:
            shape = ("[/", "/]") if node.kind == "stream" else ("[", "]")
            style = "stream" if node.kind == "stream" else "leaf"
            part.first = self._declare(node.name, *shape, style)
            part.last = [(part.first, None)]
        elif node.kind == "choice":
            part.first = self._declare(node.name, "{", "}", "choice")
        elif node.kind == "parallel":
            part.first = self._declare(node.name, "{{", "}}", "parallel")
        elif node.kind != "sequence" or (node is not self.root and node.name != node.type):
            title = node.name if node.type == node.name else f"{node.name} ({node.type})"
            if node.kind != "loop" and len(node.children) == 1 and node.children[0].label:
                title += f", {node.children[0].label}"
            self._line(f'subgraph g{self.count}["{_escaped(title)}"]')
            self.count += 1
            self.indent += 1
            part.boxed = True

    def _joined(self, part: _Part, child: _Part) -> None:
        """Join a child that is complete to its parent."""
        node, label = part.node, child.node.label
        first, last = child.first, child.last
        if node.kind in {"choice", "parallel"}:
            self._edge(part.first, first, label)
            part.last = _extended(part.last, last)
        elif not part.first:
            part.first, part.last = first, last
        elif node.kind == "sequence":
            for way, said in part.last:
                self._edge(way, first, said)
            part.last = last
        else:  # what a wrapper turns to when the step before it does not do
            for way, _ in part.newest or part.last:
                self._edge(way, first, label, "-.->")
            part.last = _extended(part.last, list(last))
        part.newest = last

    def _close(self, part: _Part) -> None:
        """Declare what stands after the children."""
        node = part.node
        if not node.children:
            return
        if node.kind == "parallel":
            joined = self._declare("join", "((", "))", "parallel")
            for way, said in part.last:
                self._edge(way, joined, said)
            part.last = [(joined, None)]
        elif node.passes_through:
            part.last = [*part.last, (part.first, "false")]
        if node.kind == "loop":
            for way, _ in part.last:
                self._edge(way, part.first, node.children[0].label, "-.->")
        if part.boxed:
            self.indent -= 1
            self._line("end")

    def _declare(self, name: str, left: str, right: str, style: str) -> str:
        made = f"n{self.count}"
        self.count += 1
        self.styles.add(style)
        self._line(f'{made}{left}"{_escaped(name)}"{right}:::{style}')
        return made

    def _edge(self, source: str, target: str, label: str | None, arrow: str = "-->") -> None:
        said = "" if label is None else f'|"{_escaped(label)}"|'
        self.edges.append(f"    {source} {arrow}{said} {target}")

    def _line(self, text: str) -> None:
        # A cap on the indentation, or deep nesting would make mostly blanks.
        self.lines.append("    " * min(self.indent, 8) + text)


class _Part:
    """One node of the description while its picture is made."""

    __slots__ = ("boxed", "first", "last", "newest", "next_child", "node")

    def __init__(self, node: Description) -> None:
        self.node = node
        self.next_child = 0
        self.boxed = False
        self.first = ""
        self.last: list[tuple[str, str | None]] = []
        self.newest: list[tuple[str, str | None]] = []


def _extended(
    ways: list[tuple[str, str | None]], more: list[tuple[str, str | None]]
) -> list[tuple[str, str | None]]:
    """Put two lists of ways out together, in place in the longer: linear over a deep nesting."""
    if len(more) > len(ways):
        more[:0] = ways
        return more
    ways += more
    return ways


def _escaped(text: str) -> str:
    """Write a text so that it is safe between quotes: Mermaid's own entities for all but letters.

    Quotes would end the text; `%%`, `$$`, backticks, `:` and markup mean something to Mermaid even
    between quotes.
    """
    safe = "".join(c if c.isalnum() or c in _KEPT else f"#{ord(c)};" for c in text)
    return safe if safe.strip() else "#160;"
