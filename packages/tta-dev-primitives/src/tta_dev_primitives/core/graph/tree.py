"""The picture for a terminal: one line per node, drawn with box characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_dev_primitives.core.graph.description import Description

__all__ = ("caption", "tree")


def tree(described: Description) -> str:
    """Return the tree of a workflow, without a line break at its end."""
    lines: list[str] = []
    # What stands before a node, and what before the nodes inside it.
    stack: list[tuple[Description, str, str]] = [(described, "", "")]
    while stack:
        node, before, below = stack.pop()
        lines.append(f"{before}{caption(node)}")
        last = len(node.children) - 1
        stack.extend(
            (child, f"{below}└── ", f"{below}    ")
            if index == last
            else (child, f"{below}├── ", f"{below}│   ")
            for index, child in reversed(tuple(enumerate(node.children)))
        )
    return "\n".join(lines)


def caption(node: Description) -> str:
    """Return the line of one node: its label, name, class and types, as far as they tell more."""
    parts = [node.name if node.label in {None, node.name} else f"{node.label}: {node.name}"]
    if node.children and node.type != node.name:
        parts.append(f"({node.type})")
    if (node.input, node.output) != ("Any", "Any"):
        parts.append(f"{node.input} → {node.output}")
    if node.passes_through:
        parts.append("or unchanged")
    # A key may hold anything; one node is one line.
    return "".join(c if c.isprintable() else "�" for c in "  ".join(parts))
