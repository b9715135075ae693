"""Values as bytes, for a store that other processes use, and back with the same types.

`JsonCodec` writes plain JSON where JSON says it all and tags the rest, so that a tuple comes back
as a tuple and 1.0 as a float. It makes only types that it knows or was told of: bytes from a store
are data, never a program.
"""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("Codec", "JsonCodec", "UnsafePickleCodec")


class Codec(Protocol):
    """Turns values into bytes and back; `decode(encode(x))` equals `x` and has its types."""

    @property
    def name(self) -> str:
        """What tells its bytes from those of another codec; changes when the form does."""
        ...

    def encode(self, value: object) -> bytes:
        """Return the bytes.

        Raises:
            TypeError: The value cannot be given back as it is.
        """
        ...

    def decode(self, data: bytes) -> object:
        """Return the value; raises any `Exception` where the bytes are not its own."""
        ...


_TAG = "$"
_DEEPEST = 200
_LARGE = 1 << 64  # beyond it, other readers of JSON lose digits, and Python limits their number


class JsonCodec:
    """JSON with tags where JSON knows too few types.

    Knows None, booleans, numbers, texts, bytes, lists, tuples, sets, dicts with any keys, dates,
    times, durations, decimals, UUIDs and paths, each by its exact type. Dataclasses, enums,
    named tuples and pydantic models come back only if they are given as `types`; models are
    validated again, so a value of an older form of the class is refused.

    Args:
        types: Classes of the user's own that may be written and made.

    Raises:
        ConfigurationError: One of `types` is none of these, or two have the same name.

    Example:
        >>> codec = JsonCodec()
        >>> codec.encode({"answer": (1, 2.0)})
        b'{"answer":{"$":"tuple","v":[1,2.0]}}'
        >>> codec.decode(codec.encode({"answer": (1, 2.0)}))
        {'answer': (1, 2.0)}
        >>> codec.encode(object())
        Traceback (most recent call last):
          ...
        TypeError: object cannot be kept in a store: its type is not known to JsonCodec; ...
    """

    __slots__ = ("_by_name", "_names")

    name = "json-1"
    """The form of the bytes."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._by_name: dict[str, tuple[type, _Maker]] = {}
        self._names: dict[type, tuple[str, _Taker]] = {}
        for kind in types:
            take, make = _ways(kind)
            name = f"{kind.__module__}.{kind.__qualname__}"
            if self._by_name.get(name, (kind,))[0] is not kind:
                message = f"types of JsonCodec holds two classes that are called {name!r}"
                raise ConfigurationError(message)
            self._by_name[name] = kind, make
            self._names[kind] = name, take

    def encode(self, value: object) -> bytes:
        """Return the JSON text of `value` in ASCII.

        Raises:
            TypeError: A part of it has no form from which it comes back as it is.
        """
        packed = self._pack(value, 0)
        return json.dumps(packed, separators=(",", ":"), allow_nan=False).encode("ascii")

    def decode(self, data: bytes) -> object:
        """Return the value.

        Raises:
            ValueError: The bytes are no JSON, or name a type that is not known here.
        """
        return self._unpack(json.loads(data, parse_constant=_no_constant))

    def _pack(self, value: Any, deep: int) -> Any:  # noqa: PLR0911 - one line for each kind of value
        kind = cast("Any", type(value))
        if kind is str or value is None or kind is bool:
            return value
        if kind is int:
            return value if -_LARGE < value < _LARGE else {_TAG: "int", "v": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {_TAG: "float", "v": repr(value)}
        if deep > _DEEPEST:
            message = f"{kind.__qualname__} cannot be kept in a store: it is nested too deep"
            raise TypeError(message)
        deep += 1
        if kind is list:
            return [self._pack(item, deep) for item in value]
        if kind is dict:
            if all([type(name) is str for name in value]) and _TAG not in value:  # noqa: C419 - a third of the cost
                return {name: self._pack(item, deep) for name, item in value.items()}
            pairs = [[self._pack(k, deep), self._pack(v, deep)] for k, v in value.items()]
            return {_TAG: "dict", "v": pairs}
        own = self._names.get(kind)
        if own is not None:
            return {_TAG: own[0], "v": self._pack(own[1](value), deep)}
        known = _KNOWN.get(_late_name(kind) or kind.__name__)
        if known is None or not _is(kind, known[0]):
            message = (
                f"{kind.__qualname__} cannot be kept in a store: its type is not known to "
                "JsonCodec; name it in JsonCodec(types=[...]) if it is a dataclass, an enum, a "
                "named tuple or a pydantic model"
            )
            raise TypeError(message)
        return {_TAG: kind.__name__, "v": self._pack(known[1](value), deep)}

    def _unpack(self, data: Any) -> Any:
        kind = cast("Any", type(data))
        if kind is list:
            return [self._unpack(item) for item in data]
        if kind is not dict:
            return data
        if _TAG not in data:
            return {name: self._unpack(item) for name, item in data.items()}
        tag, inner = data[_TAG], self._unpack(data["v"])
        own = self._by_name.get(tag)
        if own is not None:
            return own[1](inner)
        known = _KNOWN.get(tag)
        if known is None:
            message = f"the type {tag!r:.80} is not known to this JsonCodec"
            raise ValueError(message)
        return known[2](inner)


class UnsafePickleCodec:
    """Values by pickle: **whoever can write to the store runs code of theirs in this process**.

    For values that `JsonCodec` cannot take, in a store that nobody else can write to.
    """

    __slots__ = ()

    name = "pickle-1"
    """The form of the bytes."""

    def encode(self, value: object) -> bytes:
        """Return the pickled value; raises whatever pickling it raises."""
        import pickle  # noqa: PLC0415 - asked for by a name that says so

        return pickle.dumps(value, protocol=5)

    def decode(self, data: bytes) -> object:
        """Return the value; runs whatever the bytes say."""
        import pickle  # noqa: PLC0415 - asked for by a name that says so

        return cast("object", pickle.loads(data))  # noqa: S301 - as above


# --- the types that are known ---------------------------------------------------------------------

if TYPE_CHECKING:
    from typing import TypeAlias

    _Taker: TypeAlias = Callable[[Any], object]
    _Maker: TypeAlias = Callable[[Any], object]


def _late_name(kind: type) -> str | None:
    place = kind.__module__.split(".")[0]
    return kind.__name__ if place in {"datetime", "decimal", "uuid", "pathlib"} else None


def _is(kind: object, find: Callable[[Any], object]) -> bool:
    return find(kind) is kind


def _no_constant(text: str) -> object:
    message = f"{text} is not JSON"
    raise ValueError(message)


def _here(kind: type) -> Callable[[type], type]:
    return lambda _: kind


def _elsewhere(place: str, name: str) -> Callable[[type], type | None]:
    # Who has such a value has loaded its module.
    return lambda _: getattr(sys.modules.get(place), name, None)


def _made(place: str, name: str, how: Callable[[Any, Any], object]) -> _Maker:
    def make(data: Any) -> object:
        from importlib import import_module  # noqa: PLC0415 - only where such a value comes back

        return how(getattr(import_module(place), name), data)

    return make


def _zoned(value: Any) -> str:
    """Return a moment as text; a zone with a name or with rules would come back without them."""
    zone: Any = value.tzinfo
    if zone is not None and (
        type(zone).__module__ != "datetime" or repr(type(zone)(zone.utcoffset(None))) != repr(zone)
    ):
        message = (
            f"a {type(value).__name__} in a zone of the kind {type(zone).__qualname__} cannot be "
            f"kept in a store, if that zone has a name or rules; bring it to UTC"
        )
        raise TypeError(message)
    return str(value.isoformat()) + ("*" if value.fold else "")


def _moment(kind: Any, text: str) -> object:
    made = kind.fromisoformat(text.removesuffix("*"))
    return made.replace(fold=1) if text.endswith("*") else made


def _whole_dict(pairs: list[tuple[Any, Any]]) -> object:
    return dict(pairs)


def _set(kind: Callable[[Any], Any]) -> _Maker:
    def make(items: list[Any]) -> object:
        made = kind(items)
        if len(made) != len(items):
            message = "a set with an item twice"
            raise ValueError(message)
        return made

    return make


def _paths(name: str) -> tuple[Callable[[type], type | None], _Taker, _Maker]:
    return _elsewhere("pathlib", name), str, _made("pathlib", name, lambda kind, text: kind(text))


_KNOWN: dict[str, tuple[Callable[[type], type | None], _Taker, _Maker]] = {
    "int": (_here(int), hex, lambda text: int(text, 16)),
    "float": (_here(float), repr, float),
    "complex": (_here(complex), lambda v: [v.real, v.imag], lambda v: complex(*v)),
    "bytes": (_here(bytes), bytes.hex, bytes.fromhex),
    "bytearray": (_here(bytearray), bytearray.hex, bytearray.fromhex),
    "tuple": (_here(tuple), list, tuple),
    "set": (_here(set), list, _set(set)),
    "frozenset": (_here(frozenset), list, _set(frozenset)),
    "dict": (_here(dict), list, _whole_dict),
    "date": (
        _elsewhere("datetime", "date"),
        lambda v: v.isoformat(),
        _made("datetime", "date", lambda kind, text: kind.fromisoformat(text)),
    ),
    "datetime": (
        _elsewhere("datetime", "datetime"),
        _zoned,
        _made("datetime", "datetime", _moment),
    ),
    "time": (_elsewhere("datetime", "time"), _zoned, _made("datetime", "time", _moment)),
    "timedelta": (
        _elsewhere("datetime", "timedelta"),
        lambda v: [v.days, v.seconds, v.microseconds],
        _made("datetime", "timedelta", lambda kind, parts: kind(*parts)),
    ),
    "Decimal": (
        _elsewhere("decimal", "Decimal"),
        str,
        _made("decimal", "Decimal", lambda kind, text: kind(text)),
    ),
    "UUID": (_elsewhere("uuid", "UUID"), str, _made("uuid", "UUID", lambda kind, text: kind(text))),
    "PosixPath": _paths("PosixPath"),
    "WindowsPath": _paths("WindowsPath"),
    "PurePosixPath": _paths("PurePosixPath"),
    "PureWindowsPath": _paths("PureWindowsPath"),
}


def _ways(kind: Any) -> tuple[_Taker, _Maker]:
    """Return how a class of the user's is taken apart and put together."""
    if isinstance(kind, type):
        if hasattr(kind, "__members__"):
            return _members_of(kind)
        if hasattr(kind, "__pydantic_fields__"):
            return _model_of(kind)
        if hasattr(kind, "__dataclass_fields__"):
            return _fields_of(kind)
        if hasattr(kind, "_fields") and tuple in kind.__mro__:
            return _items_of(kind)
    message = (
        f"types of JsonCodec must be dataclasses, enums, named tuples or pydantic models, "
        f"not {kind!r:.80}"
    )
    raise ConfigurationError(message)


def _more(kind: type) -> TypeError:
    return TypeError(
        f"{kind.__qualname__} cannot be kept in a store: it holds more than its fields"
    )


def _members_of(kind: Any) -> tuple[_Taker, _Maker]:
    def take(value: Any) -> object:
        if value.name not in kind.__members__:  # several flags in one
            raise _more(kind)
        return value.name

    return take, kind.__getitem__


def _items_of(kind: Any) -> tuple[_Taker, _Maker]:
    def take(value: Any) -> object:
        if getattr(value, "__dict__", None):
            raise _more(kind)
        return list(value)

    return take, kind._make


def _model_of(kind: Any) -> tuple[_Taker, _Maker]:
    def make(held: object) -> Any:
        return kind.model_validate(held, by_name=True, by_alias=False)

    def take(value: Any) -> object:
        held = value.model_dump(exclude_unset=True, by_alias=False)
        if make(held) != value:  # a field that is not written out, or a subclass in a field
            raise _more(kind)
        return held

    return take, make


def _fields_of(kind: Any) -> tuple[_Taker, _Maker]:
    names = [f.name for f in kind.__dataclass_fields__.values() if f._field_type.name == "_FIELD"]  # noqa: SLF001

    def take(value: Any) -> object:
        if not set(getattr(value, "__dict__", ())) <= set(names):
            raise _more(kind)
        return {name: getattr(value, name) for name in names}

    def make(held: dict[str, Any]) -> object:
        if list(held) != names:
            message = f"{kind.__qualname__} has other fields than when it was kept"
            raise ValueError(message)
        made = object.__new__(kind)
        for name, item in held.items():
            object.__setattr__(made, name, item)
        return made

    return take, make
