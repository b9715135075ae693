"""`Frozen`: immutable records whose classes cost next to nothing to import.

`dataclasses` writes the methods of a class as source and compiles them, 0.5 to 1 ms each: with five
such classes among its names, importing this package took a sixth longer. These records behave as
frozen, slotted, keyword-only dataclasses do, and type checkers take them for such (PEP 681).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Never, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Frozen",)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Frozen:
    """Base of records: a subclass annotates its fields and lists them in `__slots__`.

    Instances compare and hash by class and fields, and can be copied and pickled.

    Example:
        >>> class Point(Frozen):
        ...     __slots__ = ("x", "y")
        ...     x: int
        ...     y: int
        >>> Point(x=1, y=2), Point(x=1, y=2) == Point(y=2, x=1)
        (Point(x=1, y=2), True)
        >>> Point(x=1)
        Traceback (most recent call last):
            ...
        TypeError: Point() needs y as well
    """

    __slots__ = ()

    record_fields: ClassVar[tuple[str, ...]] = ()
    """The names of the fields, those of base classes first."""

    def __init_subclass__(cls) -> None:
        """Collect the fields."""
        cls.record_fields = (*cls.record_fields, *cls.__annotations__)

    def _fill(self, **values: object) -> None:
        """Take a value for each field."""
        put = object.__setattr__
        try:
            for name in self.record_fields:
                put(self, name, values.pop(name))
        except KeyError as missing:
            message = f"{type(self).__name__}() needs {missing.args[0]} as well"
            raise TypeError(message) from None
        if values:
            known = ", ".join(self.record_fields)
            message = f"{type(self).__name__}() has {known}, but no {', '.join(values)}"
            raise TypeError(message)

    if not TYPE_CHECKING:  # each subclass has its own signature for type checkers
        __init__ = _fill

    def __setattr__(self, name: str, value: object) -> Never:
        """Refuse: a record is what was seen."""
        from dataclasses import FrozenInstanceError  # noqa: PLC0415 - what this module saves

        message = f"cannot assign to field {name!r}"
        raise FrozenInstanceError(message)

    def __delattr__(self, name: str) -> Never:
        """Refuse."""
        from dataclasses import FrozenInstanceError  # noqa: PLC0415 - what this module saves

        message = f"cannot delete field {name!r}"
        raise FrozenInstanceError(message)

    def _values(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.record_fields])

    def __eq__(self, other: object) -> bool:
        """Compare with a record of the same class, field by field."""
        if not isinstance(other, Frozen) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Hash the fields."""
        return hash(self._values())

    def __replace__(self, **changes: Any) -> Any:
        """Return a copy with other values (`copy.replace` of Python 3.13)."""
        return type(self)(**dict(zip(self.record_fields, self._values(), strict=True)) | changes)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Copy and pickle by fields."""
        return _rebuilt, (type(self), self._values())

    def __repr__(self) -> str:
        """Show the class and the fields."""
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.record_fields])
        return f"{type(self).__qualname__}({shown})"


def _rebuilt(kind: type[Frozen], values: tuple[object, ...]) -> Frozen:
    record = object.__new__(kind)
    for name, value in zip(kind.record_fields, values, strict=True):
        object.__setattr__(record, name, value)
    return record
