"""The key under which a result is kept: equal only where the inputs cannot be told apart.

Every level of a key carries its type, so `1`, `True`, `1.0` and `"1"` differ, also inside lists and
dicts; the order of a dict's keys and of a set's items does not count. What has no such key (it is
compared by identity and could have changed since, it holds itself, it is a subclass with parts that
cannot be seen) is refused with `Unkeyable`, and the call goes through uncached: no key is better
than a wrong one.

A key is a tree: a text stands for itself, everything else is a tuple that begins with its type.
`shared_keys.py` turns such a tree into bytes that are the same in every process; `call_keys.py`
makes one of a function's arguments, `model_keys.py` of a request to a model.
"""

from __future__ import annotations

import enum
from types import BuiltinFunctionType, MappingProxyType, MethodType, MethodWrapperType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tta_dev_primitives.core.frozen import Frozen
from tta_dev_primitives.errors import Unkeyable
from tta_dev_primitives.performance.key_scalars import BY_IDENTITY, SCALARS, late_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

__all__ = ("DEEPEST", "LONGEST", "MOST", "Unkeyable", "key_of")

DEEPEST = 64
"""Levels of nesting; what is deeper, or holds itself, has no key."""
MOST = 100_000
"""Values in all levels together, each counted as often as it is held."""
LONGEST = 65_536
"""Characters or bytes; of a longer text the key holds a SHA-256 digest, so that it stays small."""

_Room: TypeAlias = "list[int]"
"""One number: how many more values there may be."""


def key_of(value: object) -> Hashable:
    """Return the key of `value`.

    Args:
        value: Texts, bytes, numbers, None, lists, tuples, sets and dicts, enums, dates, UUIDs,
            paths, named tuples, dataclasses, attrs classes, pydantic models, plain subclasses of
            all these, classes, and objects that define both `__eq__` and `__hash__`. NaN equals
            itself here, and 0.0 and -0.0 differ.

    Raises:
        Unkeyable: It has none. Whatever the value's own methods raise comes out as this, too.

    Example:
        >>> key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
        True
        >>> key_of([1]) == key_of([True])
        False
        >>> key_of({"messages": [{"role": "user", "content": object()}]})
        Traceback (most recent call last):
          ...
        tta_dev_primitives.errors.Unkeyable: value['messages'][0]['content'] has no key: \
object is compared by identity
    """
    kind = type(value)
    if kind is str and len(cast("str", value)) <= LONGEST:
        return value
    if kind in _AS_IS:
        return kind, value
    try:
        return _key(value, [MOST], 0)
    except Unkeyable as error:
        raise _located(value, error) from None
    except RecursionError:
        raise Unkeyable.of("value", kind.__qualname__, _TOO_DEEP) from None
    except Exception as error:  # a user's `__hash__` or property can raise anything
        raise _located(value, _failed(kind)) from error


_TOO_DEEP = f"holds itself, or is nested deeper than {DEEPEST} levels"
_TOO_MANY = f"holds more than {MOST} values"
_UNHASHABLE = "cannot be hashed"
_HIDDEN = "may hold more than can be seen"


def _failed(kind: type) -> Unkeyable:
    return Unkeyable.of("value", kind.__qualname__, "raised while its key was made")


def _key(value: object, room: _Room, deep: int) -> Hashable:
    kind = type(value)
    if kind is str:
        text = cast("str", value)
        return text if len(text) <= LONGEST else _long(str, text)
    walk = _CONTAINERS.get(kind)
    if walk is None:
        if kind in _AS_IS:
            return kind, value
        scalar = SCALARS.get(kind)
        if scalar is not None:
            return kind, scalar(value)
        walk = _other
    if deep > DEEPEST:
        raise Unkeyable.of("value", kind.__qualname__, _TOO_DEEP)
    return walk(kind, value, room, deep)


def _take(room: _Room, count: int, kind: type) -> None:
    room[0] -= count
    if room[0] < 0:
        raise Unkeyable.of("value", kind.__qualname__, _TOO_MANY)


def _ordered(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    _take(room, len(value), kind)
    deep += 1
    return (
        kind,
        *[v if type(v) is str and len(v) <= LONGEST else _key(v, room, deep) for v in value],
    )


def _mapping(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    _take(room, len(value), kind)
    deep += 1
    try:
        names = sorted(value)
    except TypeError:  # names of several types have no order
        names = [None]
    for name in names:
        if type(name) is not str:
            break
    else:
        parts: list[Hashable] = [kind]
        for name in names:
            item = value[name]
            parts.append(name)
            parts.append(
                item if type(item) is str and len(item) <= LONGEST else _key(item, room, deep)
            )
        return tuple(parts)
    _take(room, len(value), kind)
    pairs = [(_key(name, room, deep), _key(item, room, deep)) for name, item in value.items()]
    return kind, len(pairs), frozenset(pairs)


def _unordered(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    _take(room, len(value), kind)
    # The count matters: two NaN in a set are two items with one key.
    return kind, len(value), frozenset([_key(item, room, deep + 1) for item in value])


def _bytes(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    del room, deep
    data = bytes(value)
    return (kind, data) if len(data) <= LONGEST else _long(kind, data)


def _view(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    del room, deep
    return kind, value.format, value.shape, _bytes(bytes, value.tobytes(), [0], 0)


def _slice(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    return kind, *[_key(part, room, deep + 1) for part in (value.start, value.stop, value.step)]


def _long(kind: type, value: Any) -> Hashable:
    """Return the key of a long text: its digest, and nothing that would keep it alive."""
    import hashlib  # noqa: PLC0415 - rarely needed

    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return kind, len(data), hashlib.sha256(data).digest()


def _other(kind: Any, value: Any, room: _Room, deep: int) -> Hashable:  # noqa: C901, PLR0911 - one line for each kind of value
    if isinstance(value, enum.Enum):
        plain = value.value if type(value.value) in {str, int, float, bool} else None
        return kind, value.name, _key(plain, room, deep + 1)
    known = late_scalar(kind)
    if known is not None:
        return kind, known(value)
    if isinstance(value, type):
        return type, value
    if hasattr(kind, "__pydantic_fields__"):
        return (
            kind,
            _state(kind, value, room, deep),
            _key(getattr(value, "__pydantic_extra__", None), room, deep + 1),
            _key(getattr(value, "__pydantic_private__", None), room, deep + 1),
            _key(getattr(value, "__pydantic_fields_set__", None), room, deep + 1),
        )
    for base, walk in _BASES:
        if isinstance(value, base):
            _check_visible(kind, base)
            content = walk(base, _CONTENT[base](value), room, deep)
            return kind, content, _state(kind, value, room, deep)
    for base in kind.__mro__[1:]:  # the `==` of such a one calls moments of two zones the same
        known = late_scalar(base)
        if known is not None:
            _check_visible(kind, base)
            return kind, known(value), _state(kind, value, room, deep)
    names = _fields(kind)
    if names is not None:
        if not {slot for layer in kind.__mro__ for slot in _slots(layer)} <= {*names, *_USUAL}:
            raise Unkeyable.of("value", kind.__qualname__, _HIDDEN)
        held = [name for name in names if hasattr(value, name)]
        _take(room, len(held), kind)
        seen = {name: getattr(value, name) for name in held}
        return kind, _key(seen, room, deep + 1), _state(kind, value, room, deep, set(held))
    if kind.__hash__ is None:
        raise Unkeyable.of("value", kind.__qualname__, _UNHASHABLE)
    if (
        isinstance(value, _METHODS)
        or kind.__hash__ is object.__hash__
        or kind.__eq__ is object.__eq__
    ):
        raise Unkeyable.of("value", kind.__qualname__, BY_IDENTITY)
    hash(value)
    return kind, value


def _fields(kind: Any) -> list[str] | None:
    """Return the names of the fields of a dataclass, a record or an attrs class, or None."""
    named = getattr(kind, "__dataclass_fields__", None)
    if named is not None:
        return list(named)
    if issubclass(kind, Frozen):
        return list(kind.record_fields)
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [a.name for a in attributes]


def _slots(layer: type) -> tuple[str, ...]:
    """Return the names of the attributes that one class keeps in slots."""
    named: Any = layer.__dict__.get("__slots__", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _state(
    kind: Any, value: Any, room: _Room, deep: int, without: set[str] | None = None
) -> Hashable:
    """Return the key of an object's own attributes; a cached property is no state."""
    held: dict[str, Any] = getattr(value, "__dict__", None) or {}
    seen = {
        name: item
        for name, item in held.items()
        if (without is None or name not in without)
        and type(getattr(kind, name, None)).__name__ != "cached_property"
    }
    return _key(seen, room, deep + 1) if seen else ()


def _check_visible(kind: Any, base: type) -> None:
    """Refuse what is more than a list, a text, a date, … and does not show all that it holds."""
    for layer in kind.__mro__[: kind.__mro__.index(base)]:
        # Attributes in slots, and whatever a class written in C adds, cannot be listed.
        if _slots(layer) or layer.__flags__ & _IMMUTABLE:
            raise Unkeyable.of("value", kind.__qualname__, _HIDDEN)


def _leaf(kind: type, value: Any, room: _Room, deep: int) -> Hashable:
    del kind
    return _key(value, room, deep)


_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_METHODS = (MethodType, BuiltinFunctionType, MethodWrapperType)
_USUAL = ("__dict__", "__weakref__")
_AS_IS = frozenset({int, bool, type(None)})


# --- values that hold others ---------------------------------------------------------------------

_Walk: TypeAlias = "Callable[[type, Any, _Room, int], Hashable]"

_CONTAINERS: dict[type, _Walk] = {
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _view,
    list: _ordered,
    tuple: _ordered,
    dict: _mapping,
    MappingProxyType: _mapping,
    set: _unordered,
    frozenset: _unordered,
    slice: _slice,
}

_BASES: tuple[tuple[type, _Walk], ...] = (
    (str, _leaf),
    (bytes, _bytes),
    (bytearray, _bytes),
    (int, _leaf),
    (float, _leaf),
    (complex, _leaf),
    (tuple, _ordered),
    (list, _ordered),
    (dict, _mapping),
    (set, _unordered),
    (frozenset, _unordered),
)


def _items(base: Any) -> Callable[[Any], Any]:
    return lambda value: [*base.__iter__(value)]


def _pairs(base: Any) -> Callable[[Any], Any]:
    return lambda value: base(base.items(value))


_CONTENT: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex.__mul__(value, 1),
    tuple: _items(tuple),
    list: _items(list),
    dict: _pairs(dict),
    set: _items(set),
    frozenset: _items(frozenset),
}
"""The content by the builtin's own methods, whatever the subclass makes of them."""


# --- where it failed -----------------------------------------------------------------------------


def _located(value: object, error: Unkeyable) -> Unkeyable:
    """Return the error with the place of what has no key: found by asking again, part by part."""
    if error.reason in {_TOO_DEEP, _TOO_MANY}:
        return Unkeyable.of("value", type(value).__qualname__, error.reason)
    where = ""
    while True:
        for step, part in _parts(value):
            try:
                _key(part, [MOST], 0)
            except Unkeyable as found:
                error = found
            except Exception:  # noqa: BLE001 - as in `key_of`
                error = _failed(type(part))
            else:
                continue
            value, where = part, where + step
            break
        else:
            return Unkeyable.of("value" + where, error.kind, error.reason)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a value holds, each with the text that stands for the way there."""
    kind = type(value)
    if kind in {list, tuple}:
        for index, item in enumerate(cast("list[object]", value)):
            yield f"[{index}]", item
    elif kind is dict:
        for name, item in cast("dict[object, object]", value).items():
            yield _shown(name), item
    elif hasattr(kind, "__pydantic_fields__") or _fields(kind) is not None:
        for name in _fields(kind) or list(vars(value)):
            try:
                yield f".{name}", getattr(value, name)
            except Exception:  # noqa: BLE001, S112 - a property of the user's can raise anything
                continue


def _shown(name: object) -> str:
    """Return a dict's key for an error's text: only if it reads as a field's name, not as data."""
    return f"[{name!r}]" if type(name) is str and name.isidentifier() and len(name) <= 40 else "[…]"  # noqa: PLR2004 - longer than any field's name
