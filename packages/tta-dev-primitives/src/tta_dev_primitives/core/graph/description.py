"""`Description`: the structure of a workflow as plain data."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tta_dev_primitives.core.annotations import shown
from tta_dev_primitives.core.base import as_primitive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_dev_primitives.core.base import AnyStep, WorkflowPrimitive

__all__ = ("Description", "describe")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Description:
    """One node of a workflow, with the nodes inside it.

    Example:
        >>> from tta_dev_primitives import Conditional
        >>> about = Conditional(lambda text: len(text) < 5, str.upper, str.lower).describe()
        >>> about.kind, [(child.label, child.name) for child in about.children]
        ('choice', [('true', 'upper'), ('false', 'lower')])
    """

    name: str
    """The primitive's own name."""
    path: str
    """Where it stands, as in records, error notes and `find`."""
    type: str
    """Its class in snake case without `Primitive`."""
    kind: str
    """What a picture shows it as: `leaf`, `sequence`, `parallel`, `choice`, `loop`, `batch`,
    `wrapper` or `stream`."""
    label: str | None = None
    """What its parent says about it: a key, a route, `true`; None where there is nothing to say."""
    input: str = "Any"
    """The annotated input type, as text."""
    output: str = "Any"
    """The annotated output type, as text."""
    doc: str | None = None
    """The first line of the docstring of the function or the class."""
    passes_through: bool = False
    """Whether the input can leave unchanged beside the children, as in a Conditional with one."""
    children: tuple[Description, ...] = ()
    """The nodes directly inside, in order."""

    def walk(self) -> Iterator[Description]:
        """Yield this node and all inside it, parents before children."""
        stack: list[Description] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of this node alone, by field, without its children."""
        return {
            "name": self.name,
            "path": self.path,
            "type": self.type,
            "kind": self.kind,
            "label": self.label,
            "input": self.input,
            "output": self.output,
            "doc": self.doc,
            "passes_through": self.passes_through,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the description as dicts and lists that `json.dumps` takes."""
        top: dict[str, Any] = {**self.facts, "children": []}
        stack: list[tuple[Description, dict[str, Any]]] = [(self, top)]
        while stack:
            node, made = stack.pop()
            for child in node.children:
                inside: dict[str, Any] = {**child.facts, "children": []}
                made["children"].append(inside)
                stack.append((child, inside))
        return top

    # Equality, hash and repr are written by hand: those of a dataclass recurse.

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Description):
            return NotImplemented
        return self is other or self._flat() == other._flat()

    def __hash__(self) -> int:
        return hash((self.path, self.type, self.label, len(self.children)))

    def _flat(self) -> list[tuple[dict[str, Any], int]]:
        """List all nodes in order with their number of children, which tells the shape."""
        return [(node.facts, len(node.children)) for node in self.walk()]

    def __repr__(self) -> str:
        inside = f", {len(self.children)} children" if self.children else ""
        return f"<Description {self.path!r}: {self.kind}, {self.input} -> {self.output}{inside}>"


def describe(primitive: AnyStep) -> Description:
    """Return the structure of a workflow as data.

    Args:
        primitive: A primitive, or whatever is accepted as a step.

    Raises:
        CompositionError: It is no primitive and cannot be made one.

    Example:
        >>> from tta_dev_primitives import step
        >>> [node.path for node in describe(step(str.strip) >> len).walk()]
        ['sequential', 'sequential/strip', 'sequential/len']
    """
    root = as_primitive(primitive, role="what is described")
    # Nodes in pre-order with the number of their children; then built from the last to the first,
    # so that children exist before their parents.
    found: list[tuple[WorkflowPrimitive[Any, Any], str, str | None]] = []
    stack: list[tuple[WorkflowPrimitive[Any, Any], str, str | None]] = [(root, root.name, None)]
    while stack:
        entry = stack.pop()
        found.append(entry)
        node, path, _ = entry
        labels = _labels_of(node)
        inside = [
            (child, f"{path}/{segment}", label)
            for child, segment, label in zip(node.nodes, node.segments, labels, strict=True)
        ]
        stack.extend(reversed(inside))
    built: list[Description] = []
    for node, path, label in reversed(found):
        children = tuple(built.pop() for _ in node.nodes)
        taken, given = _signature_of(node)
        built.append(
            Description(
                name=node.name,
                path=path,
                type=node.type_name,
                kind=node.kind,
                label=label,
                input=taken,
                output=given,
                doc=_first_line(node),
                passes_through=bool(getattr(node, "passes_through", False)),
                children=children,
            )
        )
    return built[0]


def _labels_of(node: WorkflowPrimitive[Any, Any]) -> tuple[str | None, ...]:
    """Return what a composite says of each child; padded, for a subclass may say less."""
    given = cast("tuple[str | None, ...]", tuple(getattr(node, "edge_labels", None) or ()))
    count = len(node.nodes)
    return (*given[:count], *(None,) * (count - len(given)))


def _signature_of(node: WorkflowPrimitive[Any, Any]) -> tuple[str, str]:
    try:
        taken, given = node.signature
    except RecursionError:  # a wrapper asks what it wraps, so hundreds of them ask one another
        return "Any", "Any"
    return _text_of(taken), _text_of(given)


def _text_of(hint: Any) -> str:
    # A type variable that nothing fills says no more than Any.
    return "Any" if isinstance(hint, TypeVar) else shown(hint)


def _first_line(node: WorkflowPrimitive[Any, Any]) -> str | None:
    """Return the first line of what the user wrote about the step."""
    target: Any = getattr(node, "function", None)
    if target is None:
        text = type(node).__doc__
    else:
        while isinstance(target, partial):
            target = target.func
        text = getattr(inspect.unwrap(target), "__doc__", None)
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[0].strip() if lines else None
