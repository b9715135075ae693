from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_observability_integration.outgoing import LONGEST, MOST, WITHHELD, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tta_observability_integration.protocols import Redactor


def hide(key: str, value: str) -> str:
    """Stand for a redactor whose work can be seen."""
    return "[gone]" if key == "password" else value.replace("secret", "[gone]")


OUT = Outgoing(hide)


class OddText(str):
    """A text that does nothing a text does."""

    __slots__ = ()

    def __getitem__(self, key: object) -> str:
        raise RuntimeError

    def __contains__(self, key: object) -> bool:
        raise RuntimeError

    def isascii(self) -> bool:
        raise RuntimeError


class OddList(list[int]):
    """A list that cannot be read."""

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError


class OddInt(int):
    """A number that cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


class Level(enum.IntEnum):
    HIGH = 3


class Color(enum.StrEnum):
    RED = "red secret"


def test_a_text_of_any_class_is_read_as_what_it_holds() -> None:
    """A subclass may have overridden everything."""
    assert OUT.text("note", OddText("a secret")) == "a [gone]"
    assert type(OUT.text("note", Color.RED)) is str


def test_an_odd_value_costs_itself_alone() -> None:
    """Those beside it are kept."""
    noted = {"a": OddList([1]), "b": OddInt(1), "c": 1, 4: "x", "d": OddText("y")}

    assert OUT.attributes(noted) == {"c": 1, "d": "y"}  # pyright: ignore[reportArgumentType]


def test_a_number_under_the_name_of_a_secret_is_taken_out() -> None:
    """A pin is one; a truth value is none."""
    noted: dict[str, object] = {"password": 1234}

    assert OUT.attributes(noted) == {"password": "[gone]"}
    assert OUT.attributes({"password": [1234, 5678]}) == {"password": ["[gone]", "[gone]"]}
    assert OUT.attributes({"password": 12.5}) == {"password": "[gone]"}
    assert OUT.attributes({"password": True}) == {"password": True}


def test_a_secret_that_is_a_key_is_taken_out() -> None:
    """The name of a secret is none."""
    assert OUT.attributes({"a secret": 1, "password": "x"}) == {"a [gone]": 1, "password": "[gone]"}


def test_lists_of_one_type_are_kept() -> None:
    """OpenTelemetry carries texts, whole numbers, others and truth values, never mixed."""
    noted = {
        "texts": ["a", "secret"],
        "ints": (1, 2),
        "floats": [0.5, 1.0],
        "flags": [True, False],
        "huge": [1, 1 << 70],
        "none": [],
        "mixed": [1, "a"],
        "both": [1, True],
        "deep": [[1]],
    }

    assert OUT.attributes(noted) == {
        "texts": ["a", "[gone]"],
        "ints": [1, 2],
        "floats": [0.5, 1.0],
        "flags": [True, False],
        "huge": ["1", str(1 << 70)],
        "none": [],
    }


def test_numbers_lose_their_class_and_nothing_else() -> None:
    """One beyond 64 bits becomes a text; one beyond what Python writes, in hexadecimal."""
    noted = {"level": Level.HIGH, "edge": -(1 << 63), "big": 1 << 63, "giant": 1 << 20_000}

    kept = OUT.attributes(noted)

    assert kept == {
        "level": 3,
        "edge": -(1 << 63),
        "big": str(1 << 63),
        "giant": hex(1 << 20_000),
    }
    assert type(kept["level"]) is int


def test_what_is_exported_is_bounded() -> None:
    """In attributes, items and characters, also where the redactor makes texts longer."""
    assert len(OUT.attributes({f"k{n}": n for n in range(1000)})) == MOST
    assert OUT.attributes({"l": list(range(1000))}) == {"l": list(range(MOST))}
    assert len(OUT.text("t", "secret" * 10_000)) == LONGEST
    assert len(next(iter(OUT.attributes({"k" * 100_000: 1})))) == LONGEST


def test_the_end_is_kept_where_it_tells_more() -> None:
    """As of a stack."""
    assert OUT.text("t", "a" * 1_000_000 + "the end", end=True).endswith("aathe end")


@pytest.mark.parametrize("how", ["raises", "returns None", "takes one argument"])
def test_what_a_redactor_fails_at_is_withheld(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows whether it was a secret. One line says so, without the text."""

    def broken(key: str, value: str) -> str:
        if how == "raises":
            raise LookupError(value)
        return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def narrow(value: str) -> str:
        return value

    redact: Redactor = narrow if how == "takes one argument" else broken  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    out = Outgoing(redact)
    with caplog.at_level(logging.WARNING):
        assert out.text("note", "hunter2") == WITHHELD
        assert out.attributes({"n": 1, "t": "hunter2"})

    (record,) = caplog.records
    assert "'note'" in record.getMessage()
    assert "hunter2" not in record.getMessage()


@given(st.text(max_size=20), st.text(max_size=20))
def test_every_text_can_be_carried(key: str, value: str) -> None:
    """Lone surrogates are replaced, and doing it twice changes nothing."""
    shown = OUT.text(key, value)

    assert shown.encode().decode() == shown
    assert Outgoing(lambda _key, text: text).text(key, shown) == shown
    assert OUT.text("k", "a\ud800b") == "a?b"
