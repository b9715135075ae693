"""What has no key is refused at once, with its place and its type and nothing of its content."""

import asyncio
import datetime as dt
import pickle
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tta_dev_primitives.errors import TTAError, Unkeyable
from tta_dev_primitives.performance.keys import DEEPEST, MOST, key_of

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for


class Plain:
    def __repr__(self) -> str:
        return SECRET


class HashFails:
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        raise ZeroDivisionError(SECRET)


class Liar:
    """Says that it is a text."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] - what is tested
        return str


class Slotted(str):
    __slots__ = ("hidden",)


class SlottedDate(dt.date):
    __slots__ = ("hidden",)


@dataclass
class Base:
    x: int


class Hidden(Base):
    __slots__ = ("more",)


@dataclass
class Holder:
    inner: object


class Zone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None, /) -> dt.timedelta:
        return dt.timedelta(0)

    def dst(self, when: dt.datetime | None, /) -> dt.timedelta:
        return dt.timedelta(0)

    def tzname(self, when: dt.datetime | None, /) -> str:
        return "ours"


def cyclic(kind: str) -> Any:
    own: Any = {} if kind == "dict" else []
    if kind == "dict":
        own["self"] = own
    elif kind == "object":
        own = Holder(None)
        own.inner = [own]
    else:
        own.extend([own, own])
    return own


def tower(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


REFUSED: dict[str, Any] = {
    "object": object,
    "compared by identity": Plain,
    "a hash that raises": HashFails,
    "a false class": Liar,
    "slots that cannot be seen": lambda: Slotted("x"),
    "slots of a kind of date": lambda: SlottedDate(2026, 1, 1),
    "slots of a subclass": lambda: Hidden(1),
    "an iterator": lambda: iter([1]),
    "a generator": lambda: (n for n in [1]),
    "a function": lambda: cyclic,
    "a method": lambda: list[int]().append,
    "a bound method": lambda: Plain().__repr__,
    "a partial": lambda: partial(cyclic, "a"),
    "a lock": threading.Lock,
    "a deque": lambda: deque([1]),
    "an ordered dict": lambda: OrderedDict[str, int](a=1),
    "a dict with a factory": lambda: defaultdict[str, int](int),
    "a zone of the user's": lambda: dt.datetime(2026, 1, 1, tzinfo=Zone()),
    "an exception": lambda: ValueError("x"),
    "a module": lambda: asyncio,
}


WRAPS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda v: v,
    "in a list": lambda v: [v],
    "in a dict": lambda v: {"a": [v]},
    "in a field": Holder,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_could_have_changed_unseen_is_refused(make: Any, wrap: Any) -> None:
    """No key is better than a wrong one (cases 13 and 71)."""
    with pytest.raises(Unkeyable):
        key_of(wrap(make()))


@pytest.mark.parametrize("kind", ["list", "dict", "object"])
def test_what_holds_itself_is_refused_and_does_not_hang(kind: str) -> None:
    """Also twice, where each level would double the work."""
    with pytest.raises(Unkeyable, match=f"holds itself, or is nested deeper than {DEEPEST} levels"):
        key_of(cyclic(kind))


def test_nesting_has_a_bound() -> None:
    """Up to it there is a key."""
    assert key_of(tower(DEEPEST)) == key_of(tower(DEEPEST))
    with pytest.raises(Unkeyable, match="deeper"):
        key_of(tower(DEEPEST + 1))
    with pytest.raises(Unkeyable, match="deeper"):
        key_of(tower(100_000))


def test_a_small_value_that_unfolds_into_billions_is_refused() -> None:
    """What is held ten times counts ten times."""
    laughs: Any = "ha"
    for _ in range(9):
        laughs = [laughs] * 10
    with pytest.raises(Unkeyable, match=f"holds more than {MOST} values"):
        key_of(laughs)


def test_dicts_of_several_types_of_names_do_not_double_the_work() -> None:
    """Each is walked once, however deep it lies."""
    nested: Any = object()
    for _ in range(DEEPEST - 1):
        nested = {"a": nested, 1: 1, "b": 1}
    with pytest.raises(Unkeyable):
        key_of(nested)


def test_the_error_names_the_place() -> None:
    """The way through dicts, lists and fields (case 71)."""
    value = {"messages": [{"role": "user"}, Holder({"content": (1, Plain())})]}
    with pytest.raises(TypeError) as caught:
        key_of(value)
    assert str(caught.value) == (
        "value['messages'][1].inner['content'][1] has no key: Plain is compared by identity"
    )
    assert isinstance(caught.value, TTAError)


def test_the_error_shows_no_content() -> None:
    """Names that do not read as a field's are left out, and values always (redaction)."""
    with pytest.raises(Unkeyable) as caught:
        key_of({f"mail to {SECRET}@example.org": [HashFails()], "secret": SECRET})
    shown = str(caught.value)
    assert shown == "value[…][0] has no key: HashFails raised while its key was made"
    with pytest.raises(Unkeyable) as other:
        key_of([Plain(), SECRET])
    assert SECRET not in str(other.value)


def test_the_error_survives_pickling() -> None:
    """With all it says."""
    with pytest.raises(Unkeyable) as caught:
        key_of([object()])
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (again.where, again.kind, again.reason) == ("value[0]", "object", caught.value.reason)
    assert str(again) == str(caught.value)


def test_a_property_that_raises_is_no_crash() -> None:
    """Whatever a value does while it is looked at comes out as `Unkeyable`."""

    @dataclass
    class Rude:
        x: object

        def __getattribute__(self, name: str) -> object:
            if name == "x":
                raise RuntimeError(SECRET)
            return super().__getattribute__(name)

    assert key_of([Rude]) == key_of([Rude])  # a class is harmless
    with pytest.raises(Unkeyable) as caught:
        key_of([Rude(1)])
    assert SECRET not in str(caught.value)
