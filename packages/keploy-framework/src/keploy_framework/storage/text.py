r"""Plain values out as YAML: text that Keploy's library and PyYAML read back alike.

A small emitter of our own: the same value always gives the same bytes, and every string that any
reader might take for something else, or cut, is quoted.

    >>> print(dump({"name": "no", "at": "12:30", "body": "a\nb\n", "nel": "\x85"}), end="")
    name: "no"
    at: "12:30"
    body: |
      a
      b
    nel: "\x85"
"""

from __future__ import annotations

import base64
import re
from typing import cast

from keploy_framework.storage.tree import Plain, Repeated, is_text_in_yaml

__all__ = ("dump",)

_PLAIN = re.compile(
    r"(?:[A-Za-z_/^$\\();.+=<~0-9]|[:?-](?=[^\s]))"
    r"(?:[\w./@%+=,;()?&~$^|*\"'<>{}\[\]!#\\:`-]| (?=[^#\s]))*",
    re.ASCII,
)
_UNSAFE_PLAIN = re.compile(r":\s|:$|\s#|\s$")
# What begins like a number or a time may be one to some reader, unless one of these is in it.
_NUMBERLIKE = re.compile(r"[-+.0-9~=<:?]")
_TIMELIKE = re.compile(r"[-+.0-9~=<:?][-+.0-9~=<:?_a-fA-FxXoOtTzZnN ]*")
_NO_NUMBER = re.compile(r"[g-mp-su-wyG-MP-SU-WY/@()%^$]")
_TAKEN = frozenset(
    "y n yes no on off true false null nan inf".split(),  # noqa: SIM905 - one word as another
)
_LINES = re.compile(
    r"[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)
_SINGLE = re.compile(
    r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)
_LONGEST_KEY = 120
_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
    "\x07": "\\a",
    "\x08": "\\b",
    "\x0b": "\\v",
    "\x0c": "\\f",
    "\x1b": "\\e",
}
_ESCAPED = re.compile(
    r"[^\x20\x21\x23-\x5b\x5d-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
    r"\U00010000-\U0010ffff]"
)


def dump(value: object, *, indent: int = 2) -> str:
    """Return one document, with a line break at its end.

    Args:
        value: Mappings, lists, strings, bytes (as `!!binary`), whole numbers, truth values, None.
        indent: Spaces for each level.
    """
    lines: list[str] = []
    if pairs := _pairs(value):
        _mapping(pairs, 0, indent, lines)
    elif items := _items(value):
        _sequence(items, 0, indent, lines)
    else:
        lines.append(_scalar(value, indent))
    return "\n".join(lines) + "\n"


def _pairs(value: object) -> tuple[tuple[object, object], ...]:
    """Return the entries of a mapping; none for anything else."""
    if isinstance(value, Repeated):
        return value.pairs
    if isinstance(value, dict):
        return tuple(cast("dict[object, object]", value).items())
    return ()


def _items(value: object) -> list[object]:
    """Return the items of a list; none for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def _mapping(
    pairs: tuple[tuple[object, object], ...],
    depth: int,
    indent: int,
    lines: list[str],
    first: str = "",
) -> None:
    """Add the lines of a mapping; `first` stands before its first key, in place of spaces."""
    margin = " " * depth
    for key, item in pairs:
        name = str(key) if isinstance(key, Plain) else _inline(str(key))
        start = f"{first or margin}{name}:"
        if len(name) > _LONGEST_KEY:
            start = f"{first or margin}? {name}\n{margin}:"
        first = ""
        inside = indent * (depth // indent + 1)
        if inner := _pairs(item):
            lines.append(start)
            _mapping(inner, inside, indent, lines)
        elif items := _items(item):
            lines.append(start)
            _sequence(items, inside, indent, lines)
        else:
            lines.append(f"{start} {_scalar(item, inside)}")


def _sequence(value: list[object], depth: int, indent: int, lines: list[str]) -> None:
    """Add the lines of a list; what is in it aligns behind the dash, whatever the indent."""
    dash = " " * depth + "- "
    inside = depth + 2
    for item in value:
        if pairs := _pairs(item):
            _mapping(pairs, inside, indent, lines, dash)
        elif items := _items(item):
            inner: list[str] = []
            _sequence(items, inside, indent, inner)
            inner[0] = dash + inner[0][inside:]
            lines += inner
        else:
            lines.append(dash + _scalar(item, inside))


def _scalar(value: object, depth: int) -> str:  # noqa: PLR0911 - one for each type
    """Return a value that stands behind its key or dash."""
    if isinstance(value, Plain):
        return str(value)
    if isinstance(value, str):
        return _text(value, depth)
    if isinstance(value, bytes):
        return f"!!binary {base64.b64encode(value).decode('ascii') or chr(34) * 2}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    raise TypeError(f"{type(value).__name__} has no place in a YAML file of Keploy's")


def _text(text: str, depth: int) -> str:
    """Return a string: as a block where it has lines, else in one line."""
    if "\n" not in text or not _fits_block(text):
        return _inline(text)
    margin = " " * depth
    body = text.removesuffix("\n")
    chomp = "|" if text.endswith("\n") else "|-"
    return f"{chomp}\n" + "\n".join(margin + line if line else "" for line in body.split("\n"))


def _fits_block(text: str) -> bool:
    """Say whether every reader gets this string back from a block.

    Blocks that begin with a blank or an empty line need an indicator that readers take in different
    ways, several line ends at the end too; and NEL, LS and PS end lines for some.
    """
    if text[0] in " \t\n" or text.endswith("\n\n") or _LINES.fullmatch(text) is None:
        return False
    last = text.rstrip("\n").rpartition("\n")[2]
    return bool(last.strip(" \t"))


def _inline(text: str) -> str:
    """Return a string in one line: plain where that is safe, else quoted as Keploy's library does.

    That is: in double quotes what would be no string, or cannot be seen, else in single ones.
    """
    ambiguous = text.lower() in _TAKEN or not is_text_in_yaml(text)
    if _NUMBERLIKE.match(text) and not _NO_NUMBER.search(text):
        ambiguous = ambiguous or _TIMELIKE.fullmatch(text) is not None
    if not ambiguous and _PLAIN.fullmatch(text) and not _UNSAFE_PLAIN.search(text):
        return text
    if not ambiguous and _SINGLE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - two digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}"
