r"""Changing values in a YAML text, line by line: comments, order and unknown keys stay.

>>> text = "port: 1 # ours\ntest:\n  # slow\n  delay: 5\n"
>>> text = set_value(text, ("port",), 2)
>>> set_value(text, ("test", "mocking"), True).splitlines()
['port: 2 # ours', 'test:', '  # slow', '  mocking: true', '  delay: 5']
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from keploy_framework.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("parse", "set_value")

_BARE = re.compile(r"[A-Za-z][\w-]*")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_WORDS = frozenset(
    {"false", "n", "no", "null", "off", "on", "true", "y", "yes"},
)
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def parse(text: str, path: str) -> dict[str, Any]:
    """Return what a file of settings says: all scalars are text, as they are written.

    Raises:
        FormatError: It is no YAML, or no mapping.
    """
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a loader that makes nothing but text
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        line = None if mark is None else cast("int", mark.line) + 1
        raise FormatError(f"is not YAML: {problem}", path=path, line=line) from error
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise FormatError("has to be a mapping of settings", path=path, line=1)
    return cast("dict[str, Any]", value)


def set_value(text: str, keys: Sequence[str], value: object) -> str:
    """Return the text with one value set.

    Args:
        text: A YAML document that is a mapping, or empty.
        keys: The keys that lead to the value; those that are missing are added.
        value: Text, a number, a truth value, or a list or mapping, which is written in one line.
    """
    node = yaml.compose(text, Loader=_Loader)
    if not isinstance(node, yaml.MappingNode):
        end = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{end}{_block(keys, value, 0)}"
    at = 0
    while True:
        found = next((item for key, item in node.value if key.value == keys[at]), None)
        if found is None:
            return _insert(text, node, keys[at:], value)
        at += 1
        if at == len(keys) or not isinstance(found, yaml.MappingNode):
            return _replace(text, found, keys[at:], value)
        if found.flow_style or not found.value:
            return _replace_flow(text, found, keys[at:], value)
        node = found


def _insert(text: str, node: yaml.MappingNode, keys: Sequence[str], value: object) -> str:
    """Add an entry to a block mapping, as its first."""
    if node.flow_style or not node.value:
        return _replace_flow(text, node, keys, value)
    start, column = node.start_mark.index, node.start_mark.column
    before = start - column
    return f"{text[:before]}{_block(keys, value, column)}{text[before:]}"


def _replace(text: str, node: yaml.Node, keys: Sequence[str], value: object) -> str:
    """Put a value in the place of another; `keys` leads on from there."""
    for key in reversed(keys):
        value = {key: value}
    start, end = node.start_mark.index, _end_of(node)
    space = "" if start == 0 or text[start - 1] in " \n" else " "
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    if block or (isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}):
        # A value in one line goes to the line of its key, which a block does not share.
        colon = text.rindex(":", 0, start)
        ending = "" if block else "\n"
        return f"{text[: colon + 1]} {_inline(value)}{ending}{text[end:]}"
    return f"{text[:start]}{space}{_inline(value)}{text[end:]}"


def _end_of(node: yaml.Node) -> int:
    """Return where a value ends: of a block the last scalar, for comments may follow it."""
    last: Any = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        child: Any = last.value[-1]
        last = child[1] if isinstance(last, yaml.MappingNode) else child
    return cast("int", last.end_mark.index)


def _replace_flow(text: str, node: yaml.MappingNode, keys: Sequence[str], value: object) -> str:
    """Add to or change a mapping in braces: it is written again, in one line."""
    whole = cast("dict[str, Any]", _plain(node))
    inner = whole
    for key in keys[:-1]:
        deeper = inner.get(key)
        if not isinstance(deeper, dict):
            deeper = inner[key] = cast("dict[str, Any]", {})
        inner = cast("dict[str, Any]", deeper)
    inner[keys[-1]] = value
    start, end = node.start_mark.index, node.end_mark.index
    return f"{text[:start]}{_inline(whole)}{text[end:]}"


class _Verbatim(str):
    """A plain scalar of the file: written back as it stands."""

    __slots__ = ()


def _plain(node: yaml.Node) -> object:
    """Return a node's value; plain scalars stay what they are."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(item) for key, item in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    scalar = cast("yaml.ScalarNode", node)
    return scalar.value if scalar.style else _Verbatim(scalar.value)


def _block(keys: Sequence[str], value: object, column: int) -> str:
    """Return the lines of a new entry, one for each key."""
    lines: list[str] = []
    for depth, key in enumerate(keys):
        margin = " " * (column + 2 * depth)
        end = f" {_inline(value)}" if depth == len(keys) - 1 else ""
        lines.append(f"{margin}{_key(key)}:{end}\n")
    return "".join(lines)


def _inline(value: object) -> str:
    """Return a value in one line."""
    if isinstance(value, _Verbatim):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{_key(key)}: {_inline(item)}" for key, item in pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(item) for item in cast("list[object]", value)) + "]"
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _key(text: str) -> str:
    return _inline(str(text))
