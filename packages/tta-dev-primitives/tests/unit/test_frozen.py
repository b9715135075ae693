"""`Frozen`: records that behave as frozen dataclasses and cost nothing to import."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest

from tta_dev_primitives import Outcome
from tta_dev_primitives.core.frozen import Frozen


class Point(Frozen):
    """A record of two fields."""

    __slots__ = ("x", "y")

    y: int
    x: int


class Place(Point):
    """A record that adds a field."""

    __slots__ = ("name",)

    name: str


def test_fields_come_in_the_order_of_their_annotations_those_of_the_base_first() -> None:
    """Not in the order of the slots, which are sorted."""
    assert Place.record_fields == ("y", "x", "name")
    assert repr(Place(name="home", x=1, y=2)) == "Place(y=2, x=1, name='home')"


def test_a_record_takes_exactly_its_fields() -> None:
    """What is missing or unknown is named, with what there is."""
    with pytest.raises(TypeError, match=r"Point\(\) needs y as well"):
        cast("Any", Point)(x=1)
    with pytest.raises(TypeError, match=r"Point\(\) has y, x, but no z"):
        cast("Any", Point)(x=1, y=2, z=3)
    with pytest.raises(TypeError, match="positional"):
        cast("Any", Point)(1, 2)


def test_a_record_cannot_be_changed() -> None:
    """As with a frozen dataclass, and with its exception; there is no room for other names."""
    point = Point(x=1, y=2)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        cast("Any", point).x = 3
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del cast("Any", point).x
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'z'"):
        cast("Any", point).z = 3
    assert not hasattr(point, "__dict__")


def test_records_compare_and_hash_by_class_and_fields() -> None:
    """A subclass with the same values is another thing."""
    point = Point(x=1, y=2)
    assert point == Point(y=2, x=1)
    assert hash(point) == hash(Point(y=2, x=1))
    assert point != Point(x=2, y=1)
    assert point != Place(x=1, y=2, name="")
    assert point != (2, 1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_records_can_be_copied_and_pickled(protocol: int) -> None:
    """By fields; a subclass may have a constructor of its own."""
    outcome = Outcome(value={"a": [1]})
    for twin in (
        copy.copy(outcome),
        copy.deepcopy(outcome),
        pickle.loads(pickle.dumps(outcome, protocol)),  # noqa: S301 - what was just written
    ):
        assert twin == outcome
        assert type(twin) is Outcome
    assert copy.copy(outcome).value is outcome.value
    assert copy.deepcopy(outcome).value is not outcome.value


def test_a_record_with_other_values_is_made_by_replace() -> None:
    """As `copy.replace` of Python 3.13 does it."""
    replaced = Point(x=1, y=2).__replace__(x=5)
    assert replaced == Point(x=5, y=2)
    with pytest.raises(TypeError, match="but no z"):
        Point(x=1, y=2).__replace__(z=5)


def test_every_exported_name_is_had_without_dataclasses() -> None:
    """Writing the methods of classes at import is what records here save."""
    seen = "print(sorted({'dataclasses', 'copy', 'random', 'json'} & set(sys.modules)))"
    code = f"import sys, tta_dev_primitives as t; [getattr(t, n) for n in t.__all__]; {seen}"
    bare = f"import sys, asyncio; {seen}"
    ours, floor = (
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True)
        for each in (code, bare)
    )
    assert ours.stdout == floor.stdout
