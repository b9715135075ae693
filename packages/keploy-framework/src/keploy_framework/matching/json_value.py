"""JSON as it has to be compared: numbers keep their text, repeated keys stay, depth is no limit.

A number is a `Number`, so that equal values are equal texts: 1 is not 1.0, and neither is true.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from keploy_framework.matching.difference import Plain

__all__ = (
    "JSON",
    "NotJSONError",
    "Number",
    "Repeated",
    "canonical",
    "parsed",
    "plain",
    "type_name",
)


class Number(NamedTuple):
    """A number, by its text; a tuple, because those are compared without running any Python."""

    text: str


class Repeated(NamedTuple):
    """The values of a key that stands more than once in an object."""

    values: tuple[JSON, ...]


JSON: TypeAlias = "bool | str | Number | Repeated | list[JSON] | dict[str, JSON] | None"


class NotJSONError(ValueError):
    """A text is no JSON."""


_TOKEN: Final = re.compile(
    r'[ \t\r\n]*+(?:("(?:[^"\\\x00-\x1f]++|\\.)*+")|(-?[0-9][0-9.eE+-]*+)'
    r"|(true|false|null|NaN|-?Infinity)|([\[\]{},:]))"
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORDS: Final = {"true": True, "false": False, "null": None}
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result = dict(pairs)
    if len(result) != len(pairs):
        every: dict[str, list[JSON]] = {}
        for key, value in pairs:
            every.setdefault(key, []).append(value)
        for key, values in every.items():
            if len(values) > 1:
                result[key] = Repeated(tuple(values))
    return result


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number
)


def parsed(text: str | bytes) -> JSON:
    """Return what JSON text says.

    Raises:
        NotJSONError: It is no JSON, or no UTF-8.

    Example:
        >>> parsed('{"a": 1.10, "b": [true]}')
        {'a': Number(text='1.10'), 'b': [True]}
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise NotJSONError("it is no UTF-8") from None
    try:
        return cast("JSON", _DECODER.decode(text))
    except RecursionError:
        return _parsed_deep(text)
    except ValueError as error:
        raise NotJSONError(str(error)) from None


def _parsed_deep(text: str) -> JSON:  # noqa: C901, PLR0912 - one branch for each sign
    """Parse without recursion: each open array or object is an entry of a list."""
    root: list[JSON] = []
    # What is open: the values so far, and for an object also the keys of the values.
    opened: list[tuple[list[JSON], list[str] | None]] = [(root, None)]
    at, wants_value, may_close = 0, True, False
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            break
        at = match.end()
        string, number, word, sign = match.groups()
        values, keys = opened[-1]
        if wants_value and keys is not None and len(keys) == len(values) and sign != "}":
            if string is None:
                raise NotJSONError(f"a key was expected at {at}")
            keys.append(_string(string))
            colon = _TOKEN.match(text, at)
            if colon is None or colon[4] != ":":
                raise NotJSONError(f"a colon was expected at {at}")
            at, may_close = colon.end(), False
        elif sign in {"[", "{"} and wants_value:
            opened.append(([], [] if sign == "{" else None))
            may_close = True
        elif sign in {"]", "}"} and (may_close or not wants_value) and len(opened) > 1:
            if (keys is None) != (sign == "]"):
                raise NotJSONError(f"{sign} closes what it did not open at {at}")
            opened.pop()
            done = values if keys is None else _object(list(zip(keys, values, strict=True)))
            opened[-1][0].append(done)
            wants_value = may_close = False
        elif sign == "," and not wants_value and len(opened) > 1:
            wants_value, may_close = True, False
        elif wants_value and sign is None:
            if string is not None:
                values.append(_string(string))
            elif number is not None:
                if _NUMBER.fullmatch(number) is None:
                    raise NotJSONError(f"{number:.40} is no number")
                values.append(Number(number))
            else:
                values.append(_WORDS[word] if word in _WORDS else Number(word))
            wants_value = may_close = False
        else:
            raise NotJSONError(f"{match[0].strip():.40} was not expected at {at}")
        if len(opened) == 1 and not wants_value:
            break
    if len(root) != 1 or len(opened) != 1 or text[at:].strip(" \t\r\n"):
        raise NotJSONError(f"it ends or goes on at {at}")
    return root[0]


def _string(text: str) -> str:
    try:
        return cast("str", json.loads(text))
    except ValueError as error:
        raise NotJSONError(str(error)) from None


def type_name(value: JSON) -> str:
    """Return the name of a value's type in JSON."""
    if value is None:
        return "null"
    for type_, name in (
        (bool, "boolean"),
        (str, "string"),
        (Number, "number"),
        (dict, "object"),
        (list, "array"),
    ):
        if isinstance(value, type_):
            return name
    return "repeated key"


def plain(value: JSON) -> Plain:
    """Return a value as it is shown; without recursion, since what is shown may be deep."""
    root: list[Plain] = []
    waiting: list[tuple[JSON, list[Plain] | dict[str, Plain], str]] = [(value, root, "")]
    while waiting:
        item, into, key = waiting.pop()
        made: Plain
        if isinstance(item, Number):
            made = _number(item.text)
        elif isinstance(item, Repeated):
            made = []
            waiting += [(child, made, "") for child in reversed(item.values)]
        elif isinstance(item, list):
            made = []
            waiting += [(child, made, "") for child in reversed(item)]
        elif isinstance(item, dict):
            made = {}
            waiting += [(child, made, name) for name, child in reversed(item.items())]
        else:
            made = item
        if isinstance(into, list):
            into.append(made)
        else:
            into[key] = made
    return root[0]


def _number(text: str) -> int | float | Decimal:
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if text[-1].isdigit() else float(text)


def canonical(value: JSON) -> str | None:
    """Return a text that is the same for values that differ in the order of keys only.

    None if the value is too deep for that.
    """
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError):
        return None
