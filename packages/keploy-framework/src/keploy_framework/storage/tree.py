"""YAML as Keploy's library reads it: text in, plain values out, nothing guessed.

PyYAML's parser does the parsing, in C where it is built so; what a plain scalar means is decided
here, since PyYAML follows YAML 1.1 (`no` is false, `12:30` is 750, nanoseconds are cut) and the
library that Keploy uses does not. A plain scalar that is no string there becomes `Plain`, which
keeps the text of the file, so that what is not ours to read is written back as it was.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from keploy_framework.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = (
    "PARSER",
    "Plain",
    "Repeated",
    "Tree",
    "as_bool",
    "as_int",
    "is_text_in_yaml",
    "load_all",
    "load_one",
    "load_placed",
)

_MOST_NODES = 2_000_000  # a file of aliases to aliases would else unfold without end
_DEEPEST = 200
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"|[ ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?)?"
)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_STARTS = frozenset("-+.0123456789tTfFnN~")
_SPECIAL = _STARTS | {"<"}
"""How a plain scalar begins that may mean something else than its text."""


class Plain(str):
    """The text of a plain scalar that is no string: a number, a truth value, a timestamp."""

    __slots__ = ()


class Repeated:
    """A mapping in which a key stands more than once; an error wherever only one has a meaning."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs: tuple[tuple[str, Any], ...] = tuple(pairs)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Repeated) and other.pairs == self.pairs

    def __hash__(self) -> int:
        return hash(tuple(name for name, _ in self.pairs))

    def __repr__(self) -> str:
        return f"Repeated({self.pairs!r})"


Tree: TypeAlias = "dict[str, Tree] | list[Tree] | Repeated | str | bytes | None"
"""What a YAML document is made of."""


def is_text_in_yaml(text: str) -> bool:
    """Say whether this text, written plain, would be read as a string by Keploy's library.

    >>> [is_text_in_yaml(text) for text in ("no", "12:30", "0o17", "1e3", "2026-01-02", "~")]
    [True, True, False, False, False, False]
    """
    if text in _NULLS or text in _BOOLS:
        return False
    if text[0] not in _STARTS:
        return True
    return not (_INT.fullmatch(text) or _FLOAT.fullmatch(text) or _TIMESTAMP.fullmatch(text))


def load_one(data: bytes, path: str) -> Tree:
    """Read the only document of a file.

    Args:
        data: The bytes of the file.
        path: Its name, for errors.

    Raises:
        FormatError: It is no YAML, no UTF-8, or holds more than one document.
    """
    documents = load_all(data, path)
    first = next(documents, None)
    for _ in documents:
        raise FormatError("holds more than one YAML document where one is expected", path=path)
    return first


def load_all(data: bytes, path: str) -> Iterator[Tree]:
    """Yield the documents of a file, each when it is asked for; empty ones are left out.

    Raises:
        FormatError: It is no YAML, or no UTF-8.
    """
    for _, value in load_placed(data, path):
        yield value


def load_placed(data: bytes, path: str) -> Iterator[tuple[int, Tree]]:
    """Yield the documents of a file with the lines (from 1) on which they begin.

    Raises:
        FormatError: It is no YAML, or no UTF-8.
    """
    text = _decoded(data, path)
    parser: Any = PARSER(text)
    next_event = parser.get_event
    build = _Builder(path)
    line = 1
    try:
        while True:
            event: Any = next_event()
            kind = cast("type[object]", type(event))
            if kind is ScalarEvent and event.tag is None and event.anchor is None:
                build.scalar(event.value, event.implicit[0])  # three events of four
            elif kind is DocumentStartEvent:
                line = event.start_mark.line + 1
            elif kind is DocumentEndEvent:
                value = build.finish()
                if value is not None:
                    yield line, value
            elif kind is StreamEndEvent:
                return
            elif kind is not StreamStartEvent:
                build.take(kind, event)
    except yaml.YAMLError as error:
        raise _broken(error, text, path) from error
    finally:
        parser.dispose()


def as_int(value: object) -> int | None:
    """Return a whole number as Keploy's library takes it; None if it is none.

    >>> as_int(Plain("0o17")), as_int(Plain("200.0")), as_int("200")
    (15, 200, None)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, Plain):
        return None
    text = value.replace("_", "")
    try:
        if _INT.fullmatch(text):
            digits = text.lstrip("+-")
            octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
            number = int(digits, 8 if octal else 0)
            return -number if text[0] == "-" else number
        real = float(text)
        return int(real) if real.is_integer() else None
    except (ValueError, OverflowError):
        return None


def as_bool(value: object) -> bool | None:
    """Return a truth value; None if it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Plain) and value in _BOOLS:
        return value[0] in "tT"
    return None


class _PureParser(Reader, Scanner, Parser):
    """PyYAML's own parser, for where the C library was not built in."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


PARSER: Any = getattr(getattr(yaml, "cyaml", None), "CParser", _PureParser)
"""The parser of YAML: the one in C where it was built in."""


class _Builder:
    """Makes a document's value from parser events, without recursion: files may nest at will."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._anchors: dict[str, tuple[Any, int]] = {}
        # For each open container: whether it is a mapping, its parts, its line, its anchor, and
        # how many nodes were counted when it began.
        self._open: list[tuple[bool, list[Any], int, str | None, int]] = []
        self._count = 0
        self._value: Any = None

    def finish(self) -> Tree:
        """Return the value of the document that has ended."""
        value = self._value
        self._value = None
        self._anchors = {}
        self._count = 0
        return cast("Tree", value)

    def scalar(self, text: str, plain: bool) -> None:  # noqa: FBT001 - as the parser says it
        """Take a scalar without tag and anchor."""
        self._count += 1
        value = self._meant(text) if plain and (not text or text[0] in _SPECIAL) else text
        if self._open:
            self._open[-1][1].append(value)
        else:
            self._value = value

    def take(self, kind: type[object], event: Any) -> None:  # noqa: C901 - one branch for each kind
        """Take the next event."""
        self._count += 1
        if kind is ScalarEvent:
            value: Any = event.value
            if event.tag is not None and event.tag != "!":
                value = self._tagged(event)
            elif event.implicit[0]:
                value = self._meant(value)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
            self._put(value)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if len(self._open) == _DEEPEST:
                raise self._error(f"nests deeper than {_DEEPEST} levels", event)
            if event.anchor:
                self._anchors[event.anchor] = (_OPEN, 0)
            is_map = kind is MappingStartEvent
            line = event.start_mark.line + 1
            self._open.append((is_map, [], line, event.anchor, self._count))
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            is_map, parts, line, anchor, before = self._open.pop()
            value = self._mapping(parts, line) if is_map else parts
            if anchor:
                self._anchors[anchor] = (value, self._count - before)
            self._put(value)
        else:
            value, size = self._anchors.get(event.anchor, (_MISSING, 0))
            if value is _MISSING or value is _OPEN:
                what = "is not defined" if value is _MISSING else "contains itself"
                raise self._error(f"the anchor {event.anchor!r:.60} {what}", event)
            self._count += size
            if self._count > _MOST_NODES:
                raise self._error("its aliases unfold without bound", event)
            self._put(value)

    def _meant(self, text: str) -> Any:
        """Return what a plain scalar means."""
        if text in _NULLS:
            return None
        if text[0] in _STARTS and not is_text_in_yaml(text):
            return Plain(text)
        return _MERGE if text == "<<" and self._expects_key() else text

    def _expects_key(self) -> bool:
        return bool(self._open) and self._open[-1][0] and len(self._open[-1][1]) % 2 == 0

    def _put(self, value: Any) -> None:
        if self._open:
            self._open[-1][1].append(value)
        else:
            self._value = value

    def _mapping(self, parts: list[Any], line: int) -> Any:
        """Make a mapping of keys and values that follow each other."""
        keys = parts[::2]
        try:
            result = dict(zip(keys, parts[1::2], strict=True))
        except TypeError:
            raise FormatError(
                "a key is a list or a mapping; keys have to be text", path=self._path, line=line
            ) from None
        if _MERGE in result:
            return self._merged(parts, line)
        if None in result:
            result = {"null" if key is None else key: value for key, value in result.items()}
        if len(result) < len(keys):
            return Repeated(zip(keys, parts[1::2], strict=True))
        return result

    def _merged(self, parts: list[Any], line: int) -> dict[str, Any]:
        """Apply the merge keys of a mapping: what it says itself comes first."""
        result: dict[Any, Any] = {}
        sources: list[Any] = []
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if key is _MERGE:
                sources += value if isinstance(value, list) else [value]
            else:
                result[key] = value
        for source in sources:
            if not isinstance(source, dict):
                raise FormatError("<< needs a mapping", path=self._path, line=line)
            for key, value in cast("dict[str, Any]", source).items():
                result.setdefault(key, value)
        return result

    def _tagged(self, event: Any) -> str | bytes | None:
        """Return the value of a scalar that says itself what it is."""
        kind = event.tag.rpartition(":")[2].lstrip("!")
        if kind == "binary":
            try:
                return base64.b64decode("".join(event.value.split()), validate=True)
            except (binascii.Error, ValueError):
                raise self._error("!!binary is followed by what is no base64", event) from None
        if kind == "null":
            return None
        return Plain(event.value) if kind in {"int", "float", "bool", "timestamp"} else event.value

    def _error(self, message: str, event: Any) -> FormatError:
        return FormatError(message, path=self._path, line=event.start_mark.line + 1)


_MERGE = object()
_OPEN = object()
_MISSING = object()


def _decoded(data: bytes, path: str) -> str:
    """Decode a file, or say where it is no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"is not UTF-8: byte 0x{data[error.start]:02x}; the file is damaged, or was written "
            "with another encoding",
            path=path,
            line=line,
        ) from None


def _broken(error: yaml.YAMLError, text: str, path: str) -> FormatError:
    """Say in our words what the parser complains of, and where."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        line = cast("int", mark.line) + 1
    else:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    end = " (the file ends too early)" if line > text.count("\n") else ""
    return FormatError(f"is not YAML: {problem}{end}", path=path, line=line)
