"""Look at a workflow without running it: its structure as data, and pictures made from that.

`describe` gives the data; `draw` gives text: a tree for a terminal, Mermaid for Markdown, SVG for a
browser. All of it is iterative, so that neither long chains nor deep nesting reach a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tta_dev_primitives.core.graph.description import Description, describe
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from tta_dev_primitives.core.base import AnyStep

__all__ = ("Description", "Style", "describe", "draw")

Style: TypeAlias = Literal["tree", "mermaid", "svg"]
"""A kind of picture."""


def draw(primitive: AnyStep | Description, style: Style = "tree") -> str:
    r"""Return a picture of a workflow as text; the same workflow always gives the same text.

    Args:
        primitive: A primitive, whatever is accepted as a step, or a description.
        style: `tree` for a terminal (default), `mermaid` for Markdown, `svg` for a browser.

    Raises:
        ConfigurationError: There is no such style.
        CompositionError: It is no primitive and cannot be made one.

    Example:
        >>> from tta_dev_primitives import step
        >>> print(draw(step(str.strip) >> (step(str.upper) | len)))
        sequential  Any → list
        ├── strip
        └── parallel  Any → list
            ├── upper
            └── len
    """
    described: Any = primitive if isinstance(primitive, Description) else describe(primitive)
    if style == "tree":
        from tta_dev_primitives.core.graph.tree import tree  # noqa: PLC0415 - one of three

        return tree(described)
    if style == "mermaid":
        from tta_dev_primitives.core.graph.mermaid import mermaid  # noqa: PLC0415 - one of three

        return mermaid(described)
    if style == "svg":
        from tta_dev_primitives.core.graph.svg import svg  # noqa: PLC0415 - one of three

        return svg(described)
    message = f"there is no style {style!r} of picture; the styles are 'tree', 'mermaid' and 'svg'"  # type: ignore[unreachable]  # callers without a checker
    raise ConfigurationError(message)
