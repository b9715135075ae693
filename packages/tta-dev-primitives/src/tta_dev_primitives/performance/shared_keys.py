"""Keys for a store that other processes use: the same bytes everywhere, whatever the hash seed.

A key of `keys.py` is a tree of texts, bytes, whole numbers, tuples, frozensets and classes. It is
written out without a gap for ambiguity (each part with its kind and its length), and hashed.
Classes stand by module and name; what has a meaning in one process only is refused.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.errors import ConfigurationError, Unkeyable

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("check_namespace", "shared_key")

_VERSION = b"tta-key-1"
_LONGEST_NAMESPACE = 200


def shared_key(namespace: str, key: Hashable) -> str:
    """Return the name under which a result stands in a shared store.

    Args:
        namespace: What the results belong to, and of which version of the code they are: a result
            of one namespace is never served in another.
        key: What `key_of`, `CallKey.key` or `request_key` returned.

    Returns:
        The namespace, a colon, and 64 hexadecimal digits: nothing of the input can be read from it.

    Raises:
        Unkeyable: The key holds what other processes cannot know: an object that is compared by
            its own `__eq__`, the owner of a method, a class made inside a function.

    Example:
        >>> from tta_dev_primitives.performance.keys import key_of
        >>> shared_key("answers:v1", key_of({"b": 2, "a": 1}))[:27]
        'answers:v1:140296d28be5fcf1'
        >>> shared_key("n", key_of([1])) == shared_key("n", key_of([True]))
        False
    """
    written: list[bytes] = [_VERSION]
    _write(key, written)
    return f"{namespace}:{hashlib.sha256(b''.join(written)).hexdigest()}"


def check_namespace(namespace: object) -> str:
    """Return `namespace` if it can begin the keys of any store.

    Raises:
        ConfigurationError: It is no text, empty, longer than 200 characters, or holds a space or a
            control character.
    """
    if (
        isinstance(namespace, str)
        and 0 < len(namespace) <= _LONGEST_NAMESPACE
        and namespace.isprintable()
        and " " not in namespace
    ):
        return namespace
    message = (
        f"namespace must be a text of 1 to {_LONGEST_NAMESPACE} printable characters "
        f"without spaces, not {namespace!r:.60}"
    )
    raise ConfigurationError(message)


def _write(part: object, out: list[bytes]) -> None:
    kind = type(part)
    if kind is str:
        _put(b"s", cast("str", part).encode("utf-8", "surrogatepass"), out)
    elif kind is tuple:
        _write_tuple(cast("tuple[Any, ...]", part), out)
    elif kind is bool or part is None:
        out.append(b"T" if part else b"N" if part is None else b"F")
    elif kind is int:
        number = cast("int", part)
        _put(b"i", number.to_bytes(number.bit_length() // 8 + 1, signed=True), out)
    elif kind is bytes:
        _put(b"b", cast("bytes", part), out)
    elif isinstance(part, type):
        _put(b"t", _class_name(part).encode(), out)
    elif kind is frozenset:
        items: list[bytes] = []
        for item in cast("frozenset[Any]", part):
            inner: list[bytes] = []
            _write(item, inner)
            items.append(b"".join(inner))
        out.append(b"{" + len(items).to_bytes(8))
        out.extend(sorted(items))
    else:
        raise Unkeyable.of("value", kind.__qualname__, "has a meaning in this process only")


def _write_tuple(part: tuple[Any, ...], out: list[bytes]) -> None:
    if len(part) == 2 and part[0] is type:  # noqa: PLR2004 - a class that is itself the value
        part = (type, _class_value(part[1]))
    out.append(b"(" + len(part).to_bytes(8))
    for item in part:
        _write(item, out)


def _put(tag: bytes, data: bytes, out: list[bytes]) -> None:
    out.append(tag + len(data).to_bytes(8))
    out.append(data)


def _class_name(kind: type) -> str:
    """Return the name by which other processes know a class."""
    name = kind.__qualname__
    if "<locals>" in name:
        raise Unkeyable.of("value", name, "is a class that is made inside a function")
    # Where these live has changed between releases of Python.
    module = "pathlib" if kind.__module__.startswith("pathlib.") else kind.__module__
    return f"{module}.{name}"


def _class_value(kind: type) -> Hashable:
    """Return what stands for a class as a value: its name alone would hide that it has changed."""
    if kind.__module__ == "builtins":
        return kind
    schema = getattr(kind, "model_json_schema", None)
    if schema is None:
        raise Unkeyable.of("value", kind.__qualname__, "is a class, which may differ elsewhere")
    import json  # noqa: PLC0415 - for models that are passed as classes

    return _class_name(kind), json.dumps(schema(), sort_keys=True)
