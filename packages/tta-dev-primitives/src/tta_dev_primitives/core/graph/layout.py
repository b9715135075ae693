"""Where everything stands in the picture for a browser.

A workflow is properly nested, so its picture needs no general graph layout: each node is a block
that is entered at its top and left at its bottom, both on one vertical axis. A sequence puts the
blocks of its children one under the other, axis on axis; lanes (a fan-out, a choice, a step and
what stands in for it) put them side by side; a box puts a frame around what it holds. Sizes are
found from the innermost blocks outward, places from the outermost inward. Lengths are in pixels.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from tta_dev_primitives.core.graph.description import Description

__all__ = ("LABEL", "NAME", "Block", "clipped", "lay_out", "width_of")

Form: TypeAlias = Literal["step", "stack", "lanes", "box", "pass"]
"""How a block is made up. `pass`: only a line, beside the steps of a choice."""

NAME = 13.0
"""Size of the text that names a step."""
LABEL = 11.0
"""Size of any other text."""
GAP = 28.0  # between one block and the next below it: room for an arrow
LANE = 22.0  # between lanes
FORK = 48.0  # between what stands above lanes and the lanes: room for labels
MERGE = 30.0  # between lanes and where they meet
PAD = 16.0  # between a box and what it holds
TITLE = 38.0  # the same, on top, where the title stands
BACK = 26.0  # room beside the body of a loop for the way back
BAR = 6.0  # thickness of the bar where branches part and meet
PASS = 34.0  # width of a lane without a step
_LONGEST = 42
_NARROW = frozenset("iljtfrI.,:;'|![]() /")
_WIDE = frozenset("mwMW@%—…→#&")


class Block:
    """One node of a description, with its size and place."""

    __slots__ = ("axis", "blocks", "form", "head", "height", "node", "tail", "width", "x", "y")

    def __init__(self, node: Description, form: Form) -> None:
        self.node: Description = node
        self.form: Form = form
        self.blocks: list[Block] = []
        self.width: float = 0.0
        self.height: float = 0.0
        self.axis: float = 0.0
        """Where it is entered and left, from its own left edge."""
        self.head: float = 0.0
        """Height of what stands above the lanes: the diamond or the bar."""
        self.tail: float = 0.0
        """Height of what stands below the lanes."""
        self.x: float = 0.0
        self.y: float = 0.0


def lay_out(described: Description) -> Block:
    """Return the blocks of a workflow with their places; the outermost stands at 0, 0."""
    order: list[Block] = []
    root = Block(described, _form_of(described, outermost=True))
    stack = [root]
    while stack:
        block = stack.pop()
        order.append(block)
        block.blocks = [Block(node, _form_of(node)) for node in block.node.children]
        if block.node.passes_through:
            block.blocks.append(Block(block.node, "pass"))
        stack.extend(inside for inside in block.blocks if inside.form != "pass")
    for block in reversed(order):
        _measure(block)
    for block in order:
        _place(block)
    return root


def _form_of(node: Description, *, outermost: bool = False) -> Form:
    if not node.children:
        return "step"
    if node.kind in {"parallel", "choice"}:
        return "lanes"
    if node.kind == "sequence" and (outermost or node.name == node.type):
        return "stack"
    return "box"


# --- sizes, from the innermost outward ----------------------------------------------------------


def _measure(block: Block) -> None:
    if block.form == "step":
        _measure_step(block)
    elif block.form == "stack":
        _measure_stack(block)
    elif block.form == "lanes":
        _measure_lanes(block)
    else:
        _measure_box(block)


def _measure_step(block: Block) -> None:
    node = block.node
    text = max(width_of(clipped(node.name), NAME), width_of(types_of(node), LABEL))
    block.width = max(84.0, text + 28)
    block.height = 34.0 if not types_of(node) else 48.0
    block.axis = block.width / 2


def _measure_stack(block: Block) -> None:
    inside = block.blocks
    block.axis = max(b.axis for b in inside)
    block.width = block.axis + max(b.width - b.axis for b in inside)
    block.height = sum(b.height for b in inside) + GAP * (len(inside) - 1)


def _measure_lanes(block: Block) -> None:
    for lane in block.blocks:
        if lane.form == "pass":
            lane.width, lane.axis = PASS, PASS / 2
    _measure_rail(block)
    title = width_of(clipped(block.node.name), NAME)
    if block.node.kind == "choice":
        block.head, half = 44.0, title / 2 + 36
        block.tail = 0.0
    else:
        block.head, half = 26.0, title / 2 + 20
        block.tail = BAR
    _widen(block, half)
    tallest = max(lane.height for lane in block.blocks)
    block.height = block.head + FORK + tallest + MERGE + block.tail


def _measure_box(block: Block) -> None:
    inside = block.blocks
    top = TITLE + (16 if block.node.kind == "loop" else 4)
    if len(inside) == 1:
        block.axis, block.width, tall = inside[0].axis, inside[0].width, inside[0].height
    elif block.node.kind == "sequence":
        _measure_stack(block)
        tall = block.height
    else:
        _measure_rail(block)
        top += FORK - 4
        tall = max(lane.height for lane in inside) + MERGE
    block.head, block.tail = top, PAD
    block.axis += PAD
    block.width += 2 * PAD
    if block.node.kind == "loop":
        block.width += BACK
    block.height = top + tall + (PAD + 8 if block.node.kind == "loop" else PAD)
    title = width_of(title_of(block.node), LABEL) + 44
    if title > block.width:
        block.axis += (title - block.width) / 2
        block.width = title


def _measure_rail(block: Block) -> None:
    """Give lanes beside each other their width, with the axis in the middle of theirs."""
    lanes = block.blocks
    for lane in lanes:
        label = label_of(lane)
        lane_width = width_of(label, LABEL) + 16 if label else 0.0
        _widen(lane, lane_width / 2)
    block.width = sum(lane.width for lane in lanes) + LANE * (len(lanes) - 1)
    last = lanes[-1]
    if block.form == "box":  # the first lane is the way that is meant
        block.axis = lanes[0].axis
    else:
        block.axis = (lanes[0].axis + block.width - last.width + last.axis) / 2


def _widen(block: Block, half: float) -> None:
    """Make sure that a block reaches at least `half` to both sides of its axis."""
    missing = max(0.0, half - block.axis)
    if block.form in {"step", "pass"}:
        # A step grows as a whole, so that it stays centered.
        block.width = max(block.width, 2 * half)
        block.axis = block.width / 2
        return
    block.axis += missing
    block.width = max(block.width + missing, block.axis + half)


# --- places, from the outermost inward ----------------------------------------------------------


def _place(block: Block) -> None:
    inside = block.blocks
    if not inside:
        return
    axis = block.x + block.axis
    if block.form == "stack" or (block.form == "box" and block.node.kind == "sequence"):
        y = block.y + (block.head if block.form == "box" else 0.0)
        for child in inside:
            child.x, child.y = axis - child.axis, y
            y += child.height + GAP
        return
    y = block.y + block.head + (FORK if block.form == "lanes" else 0.0)
    if len(inside) == 1:
        inside[0].x, inside[0].y = axis - inside[0].axis, y
        return
    left = axis - inside[0].axis
    if block.form == "lanes":
        first, last = inside[0], inside[-1]
        total = sum(lane.width for lane in inside) + LANE * (len(inside) - 1)
        left = axis - (first.axis + total - last.width + last.axis) / 2
    for lane in inside:
        lane.x, lane.y = left, y
        left += lane.width + LANE


# --- texts --------------------------------------------------------------------------------------


def label_of(lane: Block) -> str:
    """Return what is written on the way into a lane."""
    if lane.form == "pass":
        return "false"
    label = lane.node.label
    return "" if label is None or label == lane.node.name else clipped(label)


def title_of(node: Description) -> str:
    """Return what is written on a box."""
    title = node.name if node.name == node.type else f"{node.name} · {node.type}"
    labels = [child.label for child in node.children]
    if len(labels) == 1 and labels[0]:
        title = f"{title} · {labels[0]}"
    return clipped(title, 64)


def types_of(node: Description) -> str:
    """Return the types of a step, or nothing where nothing is known."""
    if (node.input, node.output) == ("Any", "Any"):
        return ""
    return clipped(f"{node.input} → {node.output}", 48)


def clipped(text: str, longest: int = _LONGEST) -> str:
    """Return a text on one line, shortened where it is longer than a picture should show."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is; on the wide side, for the reader's font is not known."""
    total = 0.0
    for c in text:
        if c in _NARROW:
            total += 0.37
        elif c in _WIDE or unicodedata.east_asian_width(c) in "WF":
            total += 1.0
        elif unicodedata.combining(c):
            continue
        else:
            total += 0.7 if c.isupper() else 0.61
    return round(total * size, 1)
