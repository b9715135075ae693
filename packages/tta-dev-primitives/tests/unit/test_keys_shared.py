"""Keys of a shared store: the same bytes in every process, and nothing that only one can know."""

import datetime as dt
import enum
import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.errors import ConfigurationError, Unkeyable
from tta_dev_primitives.performance.call_keys import CallKey
from tta_dev_primitives.performance.keys import LONGEST, key_of
from tta_dev_primitives.performance.shared_keys import check_namespace, shared_key

PROGRAM = """
import datetime as dt, enum, sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID
from tta_dev_primitives.performance.keys import key_of
from tta_dev_primitives.performance.shared_keys import shared_key

class Color(enum.Enum):
    RED = 1

@dataclass
class Message:
    role: str
    parts: list

names = sys.argv[1].split(",")
request = {name: {"names": set(names), "at": frozenset([(1, name), (2.5, None)])} for name in names}
values = [
    request, set(names), {1: "a", "1": b"b", None: True}, Message("user", [Color.RED]),
    Decimal("1.50"), UUID(int=7), PurePosixPath("a/b"), dt.timedelta(1), range(3), -0.0, 2**70,
    dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), float("nan"), "\\ud800", "x" * 100_000,
]
for value in values:
    print(shared_key("ns", key_of(value)))
print(hash("a"), file=sys.stderr)
"""


def printed(seed: str, names: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, names],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


def test_another_process_with_another_hash_seed_finds_the_same_bytes() -> None:
    """Whatever the order in which dicts and sets were filled (case 71)."""
    runs = [printed("0", "a,b,c,d"), printed("1", "d,c,b,a"), printed("4242", "b,d,a,c")]
    assert len({seed for _, seed in runs}) == len(runs)  # the seeds did differ
    assert runs[0][0] == runs[1][0] == runs[2][0]
    assert len(set(runs[0][0])) == 15


class Color(enum.Enum):
    RED = 1


@dataclass
class Message:
    role: str
    content: Any


class ByValue:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByValue)

    def __hash__(self) -> int:
        return 1


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats()
    | st.text(max_size=2)
    | st.binary(max_size=2)
    | st.sampled_from([Color.RED, Decimal("1.0"), dt.timedelta(1), UUID(int=1), PurePosixPath("a")])
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


@given(one=values, two=values)
def test_shared_keys_are_equal_exactly_where_keys_are(one: Any, two: Any) -> None:
    """Writing a key out neither merges nor splits."""
    first, second = key_of(one), key_of(two)
    assert (shared_key("n", first) == shared_key("n", second)) == (first == second)


AMBIGUOUS: list[Any] = [
    ("ab", "c"),
    ("a", "bc"),
    ("abc",),
    "abc",
    b"abc",
    [["a"], "b"],
    [["a", "b"]],
    [[], ["a", "b"]],
    {"a": "b"},
    {"a": {"b": None}},
    ["dict", "a", "b"],
    1,
    "1",
    256,
    -1,
    255,
    True,
    None,
    "N",
    "builtins.int",
    int,
    "x" * (LONGEST + 1),
]


def test_no_two_values_are_written_alike() -> None:
    """Each part stands with its kind and its length."""
    assert len({shared_key("n", key_of(value)) for value in AMBIGUOUS}) == len(AMBIGUOUS)


def test_namespaces_are_apart() -> None:
    """And begin the key, so that a store can be looked through by them."""
    one, two = shared_key("answers:v1", "a"), shared_key("answers:v2", "a")
    assert one.startswith("answers:v1:")
    assert one != two


def test_nothing_of_the_input_can_be_read_from_a_key() -> None:
    """It is a digest of fixed length (redaction)."""
    key = shared_key("n", key_of({"password": "hunter2"}))
    assert "hunter2" not in key
    assert len(key) == len("n:") + 64


def test_what_has_a_meaning_in_one_process_only_is_refused() -> None:
    """Identity, and equality that only the user's own class can judge."""

    class Local(enum.Enum):
        A = 1

    class Owner:
        def method(self, x: int) -> int:
            return x

    method = Owner().method
    for key in (
        key_of(ByValue()),
        key_of([Local.A]),
        CallKey(Owner.method).key(method, (1,), {}),
        key_of(Message),
    ):
        with pytest.raises(Unkeyable):
            shared_key("n", key)


def test_a_model_class_is_known_by_its_schema() -> None:
    """One that was changed is another, also under the same name."""
    pydantic = pytest.importorskip("pydantic")
    place = {"__module__": __name__}
    one = pydantic.create_model("Answer", text=(str, ...), __module__=__name__)
    two = pydantic.create_model("Answer", text=(str, ...), sure=(bool, True), __module__=__name__)
    again = pydantic.create_model("Answer", text=(str, ...), __module__=place["__module__"])
    assert shared_key("n", key_of(one)) == shared_key("n", key_of(again))
    assert shared_key("n", key_of(one)) != shared_key("n", key_of(two))


@pytest.mark.parametrize("given", ["a", "answers:v1", "ä", "x" * 200])
def test_a_namespace_is_taken(given: str) -> None:
    """Whatever can begin a key."""
    assert check_namespace(given) == given


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "\0", "x" * 201, None, 1, b"a", ["a"]])
def test_another_namespace_is_refused(given: object) -> None:
    """Control characters split the commands of some stores."""
    with pytest.raises(ConfigurationError, match="namespace must be"):
        check_namespace(cast("Any", given))
