"""Keys of calls: arguments count by parameter, however they are written.

`f(1, b=2)`, `f(a=1, b=2)`, `f(b=2, a=1)` and `f(1, 2)` have one key, and so have a default that is
left out and one that is spelt out.
"""

from __future__ import annotations

import inspect
import weakref
from types import MethodType
from typing import TYPE_CHECKING, Any

from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Unkeyable
from tta_dev_primitives.performance.keys import LONGEST, key_of
from tta_dev_primitives.performance.model_keys import check_ignored, chosen_data

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

__all__ = ("CallKey",)

_REQUIRED = inspect.Parameter.empty


class CallKey:
    """Makes keys from the arguments of one function.

    Of an argument that is a `WorkflowContext`, its `data` counts. A method's calls are told apart
    by object, and the object is not kept alive. An argument without a key does not matter where
    it is the parameter's own default: a function's default belongs to the function.

    Args:
        function: The function; of a method, the function in its class.
        ignore: Names of parameters that do not count.
        allow_reserved: Whether they may be such that shape a model's answer.

    Raises:
        CompositionError: The parameters cannot be read.
        ConfigurationError: `ignore` names what is no parameter, or a reserved one.

    Example:
        >>> def ask(prompt: str, *, temperature: float | None = None) -> str: ...
        >>> key = CallKey(ask)
        >>> key.key(ask, ("hi",), {}) == key.key(ask, (), {"temperature": None, "prompt": "hi"})
        True
        >>> key.key(ask, ("hi",), {"temperature": 0.0}) == key.key(ask, ("hi",), {})
        False
    """

    __slots__ = ("_counted", "_defaults", "_exact", "_index", "_positional", "_signature", "names")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        ignore: Collection[str] = (),
        allow_reserved: bool = False,
    ) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            message = f"cached: the parameters of {function!r:.80} cannot be read"
            raise CompositionError(message) from None
        parameters = list(signature.parameters.values())
        kinds = {p.kind for p in parameters}
        ignored = check_ignored(ignore, allow_reserved=allow_reserved)
        open_ended = inspect.Parameter.VAR_KEYWORD in kinds
        unknown = sorted(ignored - set(signature.parameters))
        if unknown:
            hint = "; what **keywords take counts as a whole" if open_ended else ""
            listed = ", ".join(map(repr, unknown))
            message = f"ignore names {listed}, but {function!r:.80} has no such parameter{hint}"
            raise ConfigurationError(message)
        self._signature = signature
        self._defaults: list[Any] = [p.default for p in parameters]
        self.names: tuple[str, ...] = tuple(signature.parameters)
        """The parameters in their order; part of a shared key, so that a reorder is noticed."""
        self._counted: list[int] | None = (
            [i for i, name in enumerate(self.names) if name not in ignored] if ignored else None
        )
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        simple = not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        self._positional = sum([p.kind in plain for p in parameters]) if simple else -1
        self._exact = self._positional if self._positional == len(parameters) else -1
        self._index = {
            p.name: index
            for index, p in enumerate(parameters)
            if simple and p.kind is not inspect.Parameter.POSITIONAL_ONLY
        }

    def key(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        fields: tuple[str, ...] | None = None,
    ) -> Hashable:
        """Return the key of a call.

        Args:
            function: The function as it is called; a bound method names its object.
            args: The positional arguments.
            kwargs: The keyword arguments.
            fields: What counts of a context among the arguments; see `chosen_data`.

        Raises:
            Unkeyable: An argument has no key; the text names it.
            TypeError: The function does not take these arguments.
        """
        if function.__class__ is MethodType:
            values = self._arranged((function.__self__, *args), kwargs)
            return _Owner.of(function.__self__), self._keys(values, fields, 1)
        if kwargs or len(args) != self._exact:
            return self._keys(self._arranged(args, kwargs), fields, 0)
        return self._keys(args, fields, 0)

    def _keys(
        self, values: list[Any] | tuple[Any, ...], fields: tuple[str, ...] | None, first: int
    ) -> Hashable:
        if self._counted is None and not first:
            try:
                return tuple(
                    [
                        v if type(v) is str and len(v) <= LONGEST else _argument(v, fields)
                        for v in values
                    ]
                )
            except Unkeyable:
                pass  # once more, with an eye on each
        counted = range(len(values)) if self._counted is None else self._counted
        keys: list[Hashable] = []
        for index in counted:
            if index < first:
                continue
            value = values[index]
            try:
                keys.append(_argument(value, fields))
            except Unkeyable as error:
                if value is not self._defaults[index]:
                    place = f"argument {self.names[index]!r}"
                    raise error.at(place) from error.__cause__
                keys.append((CallKey, None))
        return tuple(keys)

    def _arranged(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return one value for each parameter, in their order."""
        count = len(args)
        if count <= self._positional:
            values = [*args, *self._defaults[count:]]
            for name, value in kwargs.items():
                index = self._index.get(name, -1)
                if index < count:  # unknown, or given twice: let `bind` say so
                    break
                values[index] = value
            else:
                if not any([value is _REQUIRED for value in values]):  # noqa: C419 - a third of the cost
                    return values
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return list(bound.arguments.values())


def _argument(value: Any, fields: tuple[str, ...] | None) -> Hashable:
    if not isinstance(value, WorkflowContext):
        return key_of(value)
    try:
        return WorkflowContext, key_of(chosen_data(value.data, fields))
    except Unkeyable as error:
        raise error.at("value.data") from error.__cause__


class _Owner:
    """The identity of the object that a method belongs to; does not keep it alive."""

    __slots__ = ("_hash", "_reference")

    def __init__(self, owner: object) -> None:
        try:
            self._reference = weakref.ref(owner)
        except TypeError:
            raise Unkeyable.of("self", type(owner).__qualname__, _NO_REFERENCE) from None
        self._hash = id(owner)

    @classmethod
    def of(cls, owner: object) -> Hashable:
        """Return what tells `owner` from all others while it lives."""
        return (type, owner) if isinstance(owner, type) else cls(owner)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Owner):
            return False
        mine = self._reference()
        return mine is not None and mine is other._reference()


_NO_REFERENCE = "allows no weak reference: give its class a slot named '__weakref__'"
