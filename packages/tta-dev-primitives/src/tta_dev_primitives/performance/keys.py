"""The key under which a result is kept: equal only where the inputs cannot be told apart.

Every level of a key carries its type, so `1`, `True`, `1.0` and `"1"` differ, also inside lists and
dicts. What has no such key (it cannot be hashed, or is compared by identity and could have changed
since) is refused with `Unkeyable`, and the call goes through uncached: no key is better than a
wrong one.
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ("Unkeyable", "key_of")


class Unkeyable(Exception):  # noqa: N818 - a signal inside this package
    """A value has no key."""


def key_of(value: object) -> Hashable:
    """Return the key of `value`.

    Args:
        value: Texts, numbers, lists, tuples, sets and dicts of any depth, enums, dates,
            dataclasses, pydantic models, and objects that define both `__eq__` and `__hash__`.

    Raises:
        Unkeyable: It has none. Whatever the value's own methods raise comes out as this, too.

    Example:
        >>> key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
        True
        >>> key_of([1]) == key_of([True])
        False
    """
    if value.__class__ is str:
        return value
    try:
        key = _key(value)
        hash(key)
    except Unkeyable:
        raise
    except Exception as error:  # a user's `__hash__` or property can raise anything
        raise Unkeyable(type(value).__qualname__) from error
    return key


def _key(value: Any) -> Hashable:  # noqa: C901, PLR0911 - one line for each kind of value
    kind: Any = value.__class__
    if kind is str:
        return cast("str", value)
    make = _BY_TYPE.get(kind)
    if make is not None:
        return kind, make(value)
    if isinstance(value, enum.Enum):
        return kind, value.name
    if kind.__module__ == "decimal" and kind.__qualname__ == "Decimal":  # not imported for this
        return kind, str(value)  # 1.0 and 1.00 are equal, but not the same
    if isinstance(value, type):
        return type, value
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return kind, *[
            (name, _key(getattr(value, name))) for name in fields if hasattr(value, name)
        ]
    if hasattr(kind, "__pydantic_fields__"):
        return (
            kind,
            _key(vars(value)),
            _key(getattr(value, "__pydantic_extra__", None)),
            _key(getattr(value, "__pydantic_private__", None)),
        )
    if hasattr(kind, "_fields") and tuple in kind.__mro__:
        return kind, _each(value)
    if hasattr(kind, "__attrs_attrs__"):
        return kind, *[(a.name, _key(getattr(value, a.name))) for a in kind.__attrs_attrs__]
    if isinstance(value, _PLAIN):  # a subclass may hold more than it compares
        raise Unkeyable(kind.__qualname__)
    if kind.__hash__ in _IDENTITY or kind.__eq__ is object.__eq__:
        raise Unkeyable(kind.__qualname__)
    return kind, value


def _each(value: Any) -> Hashable:
    return tuple([_key(item) for item in value])


def _mapping(value: dict[Any, Any]) -> Hashable:
    return frozenset([(_key(name), _key(item)) for name, item in value.items()])


def _unordered(value: Any) -> Hashable:
    return frozenset([_key(item) for item in value])


def _itself(value: Any) -> Hashable:
    return cast("Hashable", value)


def _complex(value: complex) -> Hashable:
    return value.real.hex(), value.imag.hex()


def _moment(value: Any) -> Hashable:
    zone = value.tzinfo
    return value.isoformat(), value.fold, None if zone is None else repr(zone)


_PLAIN = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)
_IDENTITY = (None, object.__hash__)
_BY_TYPE: dict[type, Callable[[Any], Hashable]] = {
    type(None): _itself,
    bool: _itself,
    int: _itself,
    float: float.hex,  # NaN equals itself here, and -0.0 is not 0.0
    complex: _complex,
    bytes: _itself,
    bytearray: bytes,
    list: _each,
    tuple: _each,
    dict: _mapping,
    set: _unordered,
    frozenset: _unordered,
    range: _itself,
    dt.date: _itself,
    dt.datetime: _moment,
    dt.time: _moment,
    dt.timedelta: _itself,
}
