"""Values as bytes and back with the same types; whatever is no good value is not taken."""

import copy
import datetime as dt
import enum
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.performance.codec import JsonCodec, UnsafePickleCodec
from tta_dev_primitives.performance.envelope import Opened, seal, unseal
from tta_dev_primitives.performance.keys import key_of


class Color(enum.Enum):
    RED = "r"
    ROT = "r"  # noqa: PIE796 - an alias
    GREEN = ("g", 1)


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Any = None


@dataclass(frozen=True, slots=True)
class Usage:
    tokens: int


@dataclass
class Reply:
    text: str
    usage: Usage
    tags: list[str] = field(default_factory=list[str])
    length: int = field(init=False, default=0)


class OtherReply(Reply):
    pass


class Noted(Point):
    pass


CODEC = JsonCodec(types=[Color, Access, Point, Noted, Usage, Reply])
KNOWN: list[Any] = [
    None,
    True,
    0,
    -1,
    2**64,
    -(2**70),
    10**5000,
    1.0,
    -0.0,
    1e-300,
    math.nan,
    math.inf,
    -math.inf,
    1 + 2j,
    "",
    "é\ud800\0",
    b"\x00\xff",
    bytearray(b"a"),
    [],
    (),
    (1, [2, (3,)]),
    {1, 2},
    {(1,), "a"},
    frozenset({None}),
    {"a": {"b": [1.0, 1]}},
    {1: "a", "1": "b", None: "c", (1, 2): "d"},
    {"$": "tuple", "v": [1]},
    {"": {"$": None}},
    dt.date(2026, 1, 2),
    dt.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - a naive one
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 2, fold=1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
    dt.time(1, 2, 3, 4),
    dt.timedelta(-1, 5, 7),
    Decimal("1.50"),
    Decimal("NaN"),
    UUID(int=5),
    PurePosixPath("a/b"),
    PureWindowsPath("a\\b"),
    Color.RED,
    Color.GREEN,
    Access.WRITE,
    Point(1, (2,)),
    Noted(1, None),
    [Reply("a", Usage(3), ["t"]), {"r": Usage(1)}],
]


@pytest.mark.parametrize("index", range(len(KNOWN)))
def test_a_value_comes_back_with_its_types(index: int) -> None:
    """Alone, at every level, and by way of plain JSON."""
    value = KNOWN[index]
    for written in (value, [value], {"a": (value,)}):
        data = CODEC.encode(written)
        assert key_of(CODEC.decode(data)) == key_of(written)
        assert json.loads(data) is not ...


def test_the_order_of_a_dict_comes_back() -> None:
    """With names of every kind."""
    for value in ({"b": 1, "a": 2}, {2: "a", "1": "b", None: "c", 1: "d"}):
        again: Any = CODEC.decode(CODEC.encode(value))
        assert list(again.items()) == list(value.items())


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.sampled_from([Color.RED, Access.READ, "$", "v"])
    | st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=2))])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["$", "v", "a"]) | st.integers(), inner, max_size=3)
        | st.builds(Point, st.integers(), inner)
        | st.builds(Reply, st.text(), st.builds(Usage, st.integers()), st.lists(st.text()))
    ),
    max_leaves=10,
)


@given(value=values)
def test_decoding_undoes_encoding(value: Any) -> None:
    """For whatever can be written."""
    assert key_of(CODEC.decode(CODEC.encode(value))) == key_of(value)


def cyclic() -> list[Any]:
    own: list[Any] = []
    own.append(own)
    return own


class Text(str):
    __slots__ = ()


def noted() -> Noted:
    point = Noted(1, 2)
    point.note = "secret"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - what is tested
    return point


def extended() -> Reply:
    reply = Reply("a", Usage(1))
    reply.more = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - what is tested
    return reply


REFUSED: dict[str, Any] = {
    "object": object,
    "a kind of text": lambda: Text("secret"),
    "an ordered dict": lambda: OrderedDict[str, int](secret=1),
    "a subclass": lambda: OtherReply("secret", Usage(1)),
    "several flags": lambda: Access.READ | Access.WRITE,
    "a class": lambda: int,
    "a function": lambda: len,
    "what holds itself": cyclic,
    "more than its fields": extended,
    "more than its items": noted,
    "a zone with rules": lambda: dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Oslo")),
    "a zone with a name": lambda: dt.time(1, tzinfo=dt.timezone(dt.timedelta(0), "secret")),
    "an iterator": lambda: iter(["secret"]),
    "an error": lambda: ValueError("secret"),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_would_come_back_as_something_else_is_refused(make: Any) -> None:
    """Alone and inside; the text names the type and not the value (redaction)."""
    for value in (make(), [make()], {"a": (make(),)}):
        with pytest.raises(TypeError, match="cannot be kept in a store") as caught:
            CODEC.encode(value)
        assert "secret" not in str(caught.value)


def test_pydantic_models_come_back_validated() -> None:
    """With which fields were set; an older form of the class is refused."""
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", at=(dt.date, ...))
    answer = pydantic.create_model(
        "Answer", text=(str, pydantic.Field(alias="Text")), inner=(inner, ...), sure=(bool, True)
    )
    codec = JsonCodec(types=[answer])
    value = answer(Text="a", inner=inner(at=dt.date(2026, 1, 2)))
    again: Any = codec.decode(codec.encode(value))
    assert again == value
    assert type(again.inner) is inner
    assert again.model_fields_set == {"text", "inner"}
    newer = pydantic.create_model("Answer", text=(str, ...), score=(float, ...))
    with pytest.raises(ValueError, match="score"):
        JsonCodec(types=[newer]).decode(codec.encode(value))


def test_a_dataclass_whose_fields_have_changed_is_not_made() -> None:
    """What an older release has kept is a miss."""
    old = CODEC.encode(Usage(1)).replace(b"tokens", b"amount")
    with pytest.raises(ValueError, match="other fields"):
        CODEC.decode(old)


FOREIGN: list[bytes] = [
    b"",
    b"{",
    b"\xff",
    b"NaN",
    b'{"$":"object","v":[]}',
    b'{"$":"os.system","v":"true"}',
    b'{"$":"tuple"}',
    b'{"$":"set","v":[1,1]}',
    b'{"$":"int","v":"zz"}',
    b'{"$":["tuple"],"v":[]}',
    b'{"$":"datetime","v":"yesterday"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: repr(data[:12]))
def test_bytes_of_others_raise_and_run_nothing(data: bytes) -> None:
    """An `Exception`, which whoever decodes takes for a miss (case 74)."""
    with pytest.raises((ValueError, LookupError, TypeError, RecursionError)):
        CODEC.decode(data)


@pytest.mark.parametrize("types", [[int], [object], [len], ["Reply"], [None]], ids=repr)
def test_types_are_classes_whose_parts_are_known(types: Any) -> None:
    """Anything else is refused at construction."""
    with pytest.raises(ConfigurationError, match="types of JsonCodec must be dataclasses"):
        JsonCodec(types=types)


def test_two_types_of_one_name_are_refused() -> None:
    """One would come back as the other."""

    def make() -> type[Any]:
        @dataclass
        class Same:
            x: int

        return Same

    with pytest.raises(ConfigurationError, match=r"two classes that are called '.*Same'"):
        JsonCodec(types=[make(), make()])


def test_pickle_is_there_only_by_a_name_that_warns() -> None:
    """It takes what JSON does not, and runs what the bytes say (case 74)."""
    codec = UnsafePickleCodec()
    value = OtherReply("a", Usage(1))
    again: Any = codec.decode(codec.encode({"r": value}))
    assert again["r"] == value
    assert codec.name != CODEC.name
    with pytest.raises(ValueError, match=r"Expecting value|invalid|decode"):
        CODEC.decode(codec.encode(value))


# --- the envelope --------------------------------------------------------------------------------


@given(
    key=st.text(min_size=1),
    payload=st.binary(),
    written=st.floats(0, 2e9),
    until=st.floats(0, allow_nan=False),
)
def test_an_envelope_gives_back_what_it_was_given(
    key: str, payload: bytes, written: float, until: float
) -> None:
    """Under its own key and codec, and no other."""
    sealed = seal(key, "json-1", payload, written=written, until=until)
    assert unseal(key, "json-1", sealed) == Opened(payload, written, until)
    assert unseal(key + "x", "json-1", sealed) is None
    assert unseal(key, "pickle-1", sealed) is None


def test_a_half_written_value_is_not_taken() -> None:
    """However much of it is missing, or too much (case 74)."""
    sealed = seal("k", "json-1", b'{"a": 1}', written=1.0, until=2.0)
    for length in range(len(sealed)):
        assert unseal("k", "json-1", sealed[:length]) is None
    assert unseal("k", "json-1", sealed + b"\0") is None


def test_a_damaged_value_is_not_taken() -> None:
    """Whichever bit is turned, also in the times."""
    sealed = seal("k", "json-1", b"[1]", written=1.0, until=2.0)
    for place in range(len(sealed) * 8):
        damaged = bytearray(copy.copy(sealed))
        damaged[place // 8] ^= 1 << place % 8
        assert unseal("k", "json-1", bytes(damaged)) is None
