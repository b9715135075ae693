"""Keys of values: equal where nothing tells the values apart, and only there."""

import copy
import datetime as dt
import enum
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.performance.keys import LONGEST, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Role(enum.StrEnum):
    USER = "user"


class Level(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    """A text of a kind of its own."""

    __slots__ = ()


class Tags(list[str]):
    note: str = ""


class Moment(dt.datetime):
    """A date and time of a kind of its own."""


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Message:
    role: str
    content: Any


@dataclass
class Other:
    role: str
    content: Any


@dataclass(frozen=True, slots=True)
class Frozen:
    x: float
    parts: tuple[int, ...] = ()


@dataclass
class WithMemory:
    text: str
    hidden: int = field(default=0, compare=False)

    @cached_property
    def length(self) -> int:
        return len(self.text)


class ByValue:
    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByValue) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "ByValue(...)"


UTC_NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
APART: dict[str, list[Any]] = {
    "numbers": [1, 1.0, True, "1", b"1", Decimal(1), Fraction(1), 1 + 0j, Level.ONE],
    "nothings": [None, 0, 0.0, -0.0, False, "", b"", [], (), {}, set[int](), frozenset[int](), ...],
    "texts": ["user", Name("user"), Role.USER, b"user", bytearray(b"user"), memoryview(b"user")],
    "sequences": [
        [1, 2],
        (1, 2),
        {1, 2},
        frozenset({1, 2}),
        [2, 1],
        [[1, 2]],
        [1, [2]],
        Point(1, 2),
    ],
    "dicts": [
        {"a": 1},
        {"a": True},
        {"a": 1.0},
        {1: "a"},
        {"1": "a"},
        {True: "a"},
        {"a": {"a": 1}},
    ],
    "dicts and pairs": [{"a": "b"}, ["a", "b"], ("a", "b"), [("a", "b")], {("a", "b")}],
    "names and values": [{"a": "b", "c": "d"}, {"a": "d", "c": "b"}, {"a": "b"}, {"ab": "cd"}],
    "mappings": [{"a": 1}, MappingProxyType({"a": 1}), Counter(a=1)],
    "missing and None": [{"a": 1}, {"a": 1, "temperature": None}, {"a": 1, "temperature": 0}],
    "classes": [
        Message("u", "x"),
        Other("u", "x"),
        {"role": "u", "content": "x"},
        Message("u", "y"),
    ],
    "fields that do not compare": [WithMemory("a"), WithMemory("a", 1), WithMemory("b")],
    "frozen": [Frozen(1), Frozen(1.0), Frozen(1, (1,)), Frozen(1, (True,))],
    "enums": [Color.RED, Color.GREEN, 1, "RED", Color, Access.READ, Access.READ | Access.WRITE],
    "decimals": [Decimal("1.0"), Decimal("1.00"), Decimal("NaN"), Decimal("sNaN"), Decimal("-0")],
    "not a number": [NAN, math.inf, -math.inf, "nan", {NAN}, {NAN, float("nan")}],
    "moments": [
        UTC_NOON,
        UTC_NOON.replace(tzinfo=None),
        UTC_NOON.replace(fold=1),
        UTC_NOON.astimezone(dt.timezone(dt.timedelta(hours=1))),
        UTC_NOON.astimezone(ZoneInfo("Europe/London")),
        UTC_NOON.date(),
        UTC_NOON.time(),
        UTC_NOON.timetz(),
        UTC_NOON.isoformat(),
        Moment(2026, 1, 1, 12, tzinfo=dt.UTC),
        Moment(2026, 1, 1, 12, tzinfo=dt.UTC).astimezone(dt.timezone(dt.timedelta(hours=1))),
        Moment(2026, 1, 1, 12, tzinfo=dt.UTC, fold=1),
    ],
    "durations": [dt.timedelta(1), dt.timedelta(seconds=1), dt.timedelta(hours=25), 86400],
    "ids": [UUID(int=1), UUID(int=2), str(UUID(int=1)), 1],
    "paths": [PurePosixPath("a"), PureWindowsPath("a"), PurePosixPath("A"), "a"],
    "ranges": [range(0), range(1, 1), range(3), [0, 1, 2], slice(3), slice(0, 3)],
    "by value": [ByValue(1), ByValue(2), 1],
    "patterns": [re.compile("a"), re.compile("a", re.IGNORECASE), "a"],
    "types": [int, str, "int", Message],
    "long texts": ["x" * (LONGEST + 1), "x" * (LONGEST + 2), b"x" * (LONGEST + 1)],
}


@pytest.mark.parametrize("values", APART.values(), ids=APART)
def test_what_can_be_told_apart_has_its_own_key(values: list[Any]) -> None:
    """Also what Python calls equal, and also deep inside (case 9)."""
    assert len({key_of(value) for value in values}) == len(values)
    assert len({key_of([{"deep": (value,)}]) for value in values}) == len(values)


def test_types_are_part_of_the_key() -> None:
    """1, 1.0 and True are three entries, at every level (case 9)."""
    wraps: list[Callable[[Any], Any]] = [
        lambda v: v,
        lambda v: [v],
        lambda v: {"a": (v,)},
        lambda v: {v: 1},
    ]
    for wrap in wraps:
        assert len({key_of(wrap(value)) for value in (1, 1.0, True)}) == 3


@pytest.mark.parametrize("nothing", APART["nothings"], ids=repr)
def test_every_nothing_has_a_key_that_is_found_again(nothing: object) -> None:
    """None, 0, an empty text and their like are values."""
    kept = {key_of(nothing): "kept"}
    assert kept[key_of(copy.deepcopy(nothing))] == "kept"


TOGETHER: dict[str, tuple[Any, Any]] = {
    "order of a dict": ({"a": 1, "b": [2, {"c": 3, "d": 4}]}, {"b": [2, {"d": 4, "c": 3}], "a": 1}),
    "order of mixed names": ({1: "a", "1": "b"}, {"1": "b", 1: "a"}),
    "order of a set": ({3, 1, 2}, {2, 3, 1}),
    "not a number": (float("nan"), -float("nan")),
    "dataclasses": (Message("u", [1]), Message("u", [1])),
    "a cached property": (WithMemory("a"), WithMemory("a")),
    "by value": (ByValue(7), ByValue(7)),
    "a subclass": (Tags(["a"]), Tags(["a"])),
    "long texts": ("é" * LONGEST * 2, "é" * LONGEST * 2),
    "a half character": ("\ud800", "\ud800"),
}


@pytest.mark.parametrize(("one", "two"), TOGETHER.values(), ids=TOGETHER)
def test_what_cannot_be_told_apart_has_one_key(one: object, two: object) -> None:
    """Order of names and identity do not count."""
    assert key_of(one) == key_of(two)
    assert hash(key_of(one)) == hash(key_of(two))


def test_messages_need_no_key_of_the_users() -> None:
    """A list of dicts has a key, and the order of their names does not count (case 5)."""
    one = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text"}]}]
    two = [{"content": "hi", "role": "user"}, {"content": [{"type": "text"}], "role": "assistant"}]
    assert key_of(one) == key_of(two) == key_of(json.loads(json.dumps(one)))
    assert key_of(one) != key_of(one[::-1])


def test_a_repr_is_no_key() -> None:
    """Unequal objects with one repr have two keys, equal ones have one (case 13)."""
    assert repr(ByValue(1)) == repr(ByValue(2))
    assert key_of(ByValue(1)) != key_of(ByValue(2))
    assert key_of([ByValue(1)]) == key_of([ByValue(1)])


def test_a_cached_property_that_was_read_changes_no_key() -> None:
    """It is worked out from the fields."""
    one = WithMemory("abc")
    before = key_of(one)
    assert one.length == 3
    assert key_of(one) == before


def test_attributes_beside_the_fields_count() -> None:
    """A result can depend on them."""
    plain, more = Message("u", "x"), Message("u", "x")
    more.extra = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - what is tested
    assert key_of(plain) != key_of(more)
    tags, noted = Tags(["a"]), Tags(["a"])
    noted.note = "n"
    assert key_of(tags) != key_of(noted)


def test_a_class_is_not_known_by_its_name() -> None:
    """Two classes that are called alike are two."""
    one = make_dataclass("Same", [("x", int)])
    two = make_dataclass("Same", [("x", int)])
    assert key_of(one(1)) != key_of(two(1))


def test_a_key_does_not_change_with_what_it_was_made_of() -> None:
    """It is a snapshot."""
    message = {"role": "user", "content": ["a"]}
    before = key_of([message])
    cast("list[str]", message["content"]).append("b")
    assert key_of([message]) != before


def test_a_long_text_is_not_kept_alive_by_its_key() -> None:
    """A digest stands for it, alone or inside."""
    text = "x" * 1_000_000
    for value in (text, [text], {"a": text}, text.encode(), Name(text)):
        assert len(repr(key_of(value))) < 500


def test_pydantic_models_are_keyed_by_class_and_fields() -> None:
    """And by which fields were set: a client leaves out those that were not (case 69)."""
    pydantic = pytest.importorskip("pydantic")
    a = pydantic.create_model("A", x=(int, ...), temperature=(float | None, None))
    b = pydantic.create_model("B", x=(int, ...), temperature=(float | None, None))
    assert key_of(a(x=1)) == key_of(a(x=1))
    models = [a(x=1), a(x=2), a(x=1, temperature=None), a(x=1, temperature=0), b(x=1)]
    assert len({key_of(model) for model in models}) == len(models)


# --- laws ----------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.text(max_size=2)
    | st.binary(max_size=2)
    | st.sampled_from([Color.RED, Role.USER, Name("a"), Decimal("1.0"), UTC_NOON, UUID(int=1)])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
        | st.builds(Message, st.text(max_size=2), inner)
    ),
    max_leaves=8,
)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return type(value) is dict


def is_list(value: object) -> TypeGuard[list[Any]]:
    return type(value) is list


def is_row(value: object) -> TypeGuard[list[Any]]:
    return type(value) in {list, tuple}


def told(value: Any) -> str:
    """Return all that tells `value` from others, by means of its own."""
    kind = type(value).__qualname__
    if is_dict(value):
        return f"{kind}{sorted((told(name), told(item)) for name, item in value.items())}"
    if is_row(value):
        return f"{kind}{[told(item) for item in value]}"
    if isinstance(value, Message):
        return f"{kind}{told(value.role)}{told(value.content)}"
    if isinstance(value, float):
        return f"{kind}{value.hex()}"
    return f"{kind}{value!r}"


def reordered(value: Any) -> Any:
    """Return an equal value that shares nothing with it, its dicts in another order."""
    if is_dict(value):
        return {name: reordered(item) for name, item in reversed(value.items())}
    if is_list(value):
        return [reordered(item) for item in value]
    return copy.deepcopy(value)


@given(one=values, two=values)
def test_keys_are_equal_exactly_where_nothing_tells_the_values_apart(one: Any, two: Any) -> None:
    """No value takes another's place, and none is split."""
    assert (key_of(one) == key_of(two)) == (told(one) == told(two))


@given(value=values)
def test_a_copy_in_another_order_has_the_same_key(value: Any) -> None:
    """Nothing of identity or order is in it."""
    assert key_of(value) == key_of(reordered(value))


@given(value=values)
def test_a_value_inside_another_is_another(value: Any) -> None:
    """Wrapping changes the key."""
    wrapped = [value, [value], (value,), {"a": value}, {"b": value}, Message("a", value)]
    assert len({key_of(each) for each in wrapped}) == len(wrapped)
