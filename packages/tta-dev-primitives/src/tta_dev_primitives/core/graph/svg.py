"""The picture for a browser: SVG that stands alone, without scripts, fonts or links.

It is seen on pages of any color, so every text has a background of its own and every line a gray
that stands out from white and from black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_dev_primitives.core.graph.layout import (
    BAR,
    LABEL,
    NAME,
    clipped,
    label_of,
    lay_out,
    title_of,
    types_of,
    width_of,
)

if TYPE_CHECKING:
    from tta_dev_primitives.core.graph.description import Description
    from tta_dev_primitives.core.graph.layout import Block

__all__ = ("svg",)

_MARGIN = 20.0
_PORT = 24.0  # height of the pill that shows what goes in or comes out
# Each rule begins with the class of the picture, for a picture may be put into a page as it is.
_STYLE = """\
.tta text{font-family:ui-sans-serif,system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;\
text-anchor:middle}
.tta .name{font-size:13px;font-weight:600}
.tta .type,.tta .label{font-size:11px}
.tta .edge{fill:none;stroke:#8590a2;stroke-width:1.6}
.tta .dashed{stroke-dasharray:5 4}
.tta .head{fill:#8590a2}
.tta .step rect{fill:#f5f6ff;stroke:#6b74e6}
.tta .step text{fill:#23265c}
.tta .step .type{fill:#565a8c}
.tta .stream rect{fill:#ecfbff;stroke:#0e93b0}
.tta .stream text{fill:#0a3d4a}
.tta .choice path{fill:#fff4e6;stroke:#e07b12}
.tta .choice text{fill:#5c2e00}
.tta .parallel rect{fill:#e4f8ef;stroke:#129968}
.tta .parallel text{fill:#07402b}
.tta .bar{fill:#129968}
.tta .box{fill-opacity:.07;stroke-width:1.3;stroke-dasharray:6 4}
.tta .wrapper{fill:#8b5cf6;stroke:#8b5cf6}
.tta .loop{fill:#db4a92;stroke:#db4a92}
.tta .batch{fill:#0e93b0;stroke:#0e93b0}
.tta .other{fill:#8590a2;stroke:#8590a2}
.tta .pill{fill:#fff;stroke:#b9c1cd}
.tta .on{fill:#39414d}
.tta .port rect{fill:#39414d}
.tta .port text{fill:#fff}"""


def svg(described: Description) -> str:
    """Return the picture of a workflow as one SVG document."""
    return _Picture(described).text()


class _Picture:
    """The shapes of one picture, in the order in which they cover each other."""

    def __init__(self, described: Description) -> None:
        self.boxes: list[str] = []
        self.edges: list[str] = []
        self.shapes: list[str] = []
        self.labels: list[str] = []
        self.described = described
        self.root = lay_out(described)
        self.arrow_into(self.root, -28)
        stack = [self.root]
        while stack:
            block = stack.pop()
            self.draw(block)
            stack.extend(reversed(block.blocks))
        self.ports()

    def text(self) -> str:
        root = self.root
        half = max(
            width_of(clipped(t), LABEL) / 2 + 10
            for t in (self.described.input, self.described.output)
        )
        left = min(0.0, root.axis - half)
        right = max(root.width, root.axis + half)
        top = -28 - _PORT
        width = right - left + 2 * _MARGIN
        height = root.height + 2 * (28 + _PORT) + 2 * _MARGIN
        name = _escaped(clipped(self.described.name, 200))
        count = sum(1 for node in self.described.walk() if not node.children)
        box = f"{_n(left - _MARGIN)} {_n(top - _MARGIN)} {_n(width)} {_n(height)}"
        start = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="tta" '
            f'width="{_n(width)}" height="{_n(height)}" viewBox="{box}">'
        )
        about = (
            f"Takes {_escaped(self.described.input)}, gives {_escaped(self.described.output)}; "
            f"{count} step{'' if count == 1 else 's'}, read from top to bottom."
        )
        return "\n".join(
            (
                start,
                f"<title>Workflow {name}</title>",
                f"<desc>{about}</desc>",
                f"<style>{_STYLE}</style>",
                *self.boxes,
                *self.edges,
                *self.shapes,
                *self.labels,
                "</svg>",
            )
        )

    # --- blocks -----------------------------------------------------------------------------

    def draw(self, block: Block) -> None:
        if block.form == "step":
            self.step(block)
        elif block.form == "stack":
            self.stack(block)
        elif block.form == "lanes":
            self.lanes(block)
        elif block.form == "box":
            self.box(block)

    def step(self, block: Block) -> None:
        node = block.node
        kind = "stream" if node.kind == "stream" else "step"
        types = types_of(node)
        axis = block.x + block.axis
        middle = block.y + block.height / 2
        lines = [_text(axis, middle - (8 if types else 0), clipped(node.name), "name", NAME)]
        if types:
            lines.append(_text(axis, middle + 10, types, "type", LABEL))
        about = node.path if node.doc is None else f"{node.path}: {node.doc}"
        self.shapes.append(
            f'<g class="{kind}"><title>{_escaped(about)}</title>'
            f"{_rect(block.x, block.y, block.width, block.height, 7)}{''.join(lines)}</g>"
        )

    def stack(self, block: Block) -> None:
        for above, below in zip(block.blocks, block.blocks[1:], strict=False):
            self.arrow_into(below, above.y + above.height)

    def lanes(self, block: Block) -> None:
        node, axis = block.node, block.x + block.axis
        name = clipped(node.name)
        half = width_of(name, NAME) / 2
        if node.kind == "choice":
            half += 32
            middle, foot = block.y + block.head / 2, block.y + block.head
            shape = (
                f'<path d="M{_n(axis)} {_n(block.y)}L{_n(axis + half)} {_n(middle)}'
                f'L{_n(axis)} {_n(foot)}L{_n(axis - half)} {_n(middle)}Z"/>'
            )
        else:
            half += 16
            middle = block.y + block.head / 2
            shape = _rect(axis - half, block.y, 2 * half, block.head, 13)
        text = _text(axis, middle, name, "name", NAME)
        self.shapes.append(
            f'<g class="{node.kind}"><title>{_escaped(node.path)}</title>{shape}{text}</g>'
        )
        foot = block.y + block.head
        end = block.y + block.height
        rail = foot + 16
        meet = end - block.tail - 14
        self.edge(f"M{_n(axis)} {_n(foot)}V{_n(rail)}")
        for lane in block.blocks:
            self.lane(block, lane, rail, meet)
        if node.kind == "parallel":
            first, last = block.blocks[0], block.blocks[-1]
            begin, stop = first.x + first.axis - 10, last.x + last.axis + 10
            for y in (rail - BAR / 2, meet - BAR / 2):
                width = _n(stop - begin)
                self.shapes.append(
                    f'<rect class="bar" x="{_n(begin)}" y="{_n(y)}" width="{width}" '
                    f'height="{_n(BAR)}" rx="3"/>'
                )
        self.edge(f"M{_n(axis)} {_n(meet)}V{_n(end)}")

    def lane(
        self, block: Block, lane: Block, rail: float, meet: float, *, dashed: bool = False
    ) -> None:
        """Draw the ways into a lane and out of it."""
        axis, x = block.x + block.axis, lane.x + lane.axis
        if lane.form == "pass":
            self.edge(f"M{_n(axis)} {_n(rail)}H{_n(x)}V{_n(meet)}H{_n(axis)}")
        else:
            self.edge(f"M{_n(axis)} {_n(rail)}H{_n(x)}V{_n(lane.y - 7)}", dashed=dashed)
            self.head(x, lane.y)
            self.edge(f"M{_n(x)} {_n(lane.y + lane.height)}V{_n(meet)}H{_n(axis)}", dashed=dashed)
        label = label_of(lane)
        if label:
            self.pill(x, rail + 13, label)

    def box(self, block: Block) -> None:
        node = block.node
        style = node.kind if node.kind in {"wrapper", "loop", "batch"} else "other"
        self.boxes.append(
            f'<g><title>{_escaped(node.path)}</title><rect class="box {style}" '
            f"{_frame(block.x, block.y, block.width, block.height, 10)}/></g>"
        )
        axis = block.x + block.axis
        inside, foot = block.blocks, block.y + block.height
        title = title_of(node)
        width = width_of(title, LABEL) + 16
        self.pill(block.x + 10 + width / 2, block.y + 15, title)
        if len(inside) > 1 and node.kind != "sequence":
            rail, meet = block.y + block.head - 34, foot - 22
            self.edge(f"M{_n(axis)} {_n(block.y)}V{_n(rail)}")
            for index, lane in enumerate(inside):
                self.lane(block, lane, rail, meet, dashed=index > 0)
            self.edge(f"M{_n(axis)} {_n(meet)}V{_n(foot)}")
            return
        self.arrow_into(inside[0], block.y)
        self.stack(block)
        last = inside[-1]
        below = last.y + last.height
        self.edge(f"M{_n(axis)} {_n(below)}V{_n(foot)}")
        if node.kind == "loop":
            side = max(child.x + child.width for child in inside) + 18
            turn = inside[0].y - 17
            self.edge(
                f"M{_n(axis)} {_n(below + 12)}H{_n(side)}V{_n(turn)}H{_n(axis + 7)}", dashed=True
            )
            self.edges.append(f'<path class="head" d="M{_n(axis + 1)} {_n(turn)}l8 -4v8z"/>')

    def ports(self) -> None:
        """Show what goes into the workflow and what comes out."""
        root = self.root
        for text, y in (
            (self.described.input, -28 - _PORT / 2),
            (self.described.output, root.height + 28 + _PORT / 2),
        ):
            shown = clipped(text)
            half = width_of(shown, LABEL) / 2 + 10
            self.shapes.append(
                f'<g class="port">{_rect(root.axis - half, y - _PORT / 2, 2 * half, _PORT, 12)}'
                f"{_text(root.axis, y, shown, 'label', LABEL)}</g>"
            )
        self.edge(f"M{_n(root.axis)} {_n(root.height)}V{_n(root.height + 21)}")
        self.head(root.axis, root.height + 28)

    # --- marks ------------------------------------------------------------------------------

    def arrow_into(self, block: Block, start: float) -> None:
        x = block.x + block.axis
        self.edge(f"M{_n(x)} {_n(start)}V{_n(block.y - 7)}")
        self.head(x, block.y)

    def edge(self, path: str, *, dashed: bool = False) -> None:
        style = "edge dashed" if dashed else "edge"
        self.edges.append(f'<path class="{style}" d="{path}"/>')

    def head(self, x: float, y: float) -> None:
        self.edges.append(f'<path class="head" d="M{_n(x)} {_n(y - 1)}l-4.5 -8h9z"/>')

    def pill(self, x: float, y: float, text: str) -> None:
        half = width_of(text, LABEL) / 2 + 7
        rect = f'<rect class="pill" {_frame(x - half, y - 9, 2 * half, 18, 9)}/>'
        self.labels.append(f"<g>{rect}{_text(x, y, text, 'label on', LABEL)}</g>")


def _rect(x: float, y: float, width: float, height: float, radius: float) -> str:
    return f"<rect {_frame(x, y, width, height, radius)}/>"


def _frame(x: float, y: float, width: float, height: float, radius: float) -> str:
    return f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"'


def _text(x: float, y: float, text: str, style: str, size: float) -> str:
    # A third of the size below the middle; `dominant-baseline` is not known to every viewer.
    return f'<text class="{style}" x="{_n(x)}" y="{_n(y + size * 0.35)}">{_escaped(text)}</text>'


def _n(value: float) -> str:
    """Write a length with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    """Write a text so that it is safe in XML; what XML cannot hold becomes a replacement mark."""
    shown = "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else "�" for c in text)
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        shown = shown.replace(plain, entity)
    return shown
