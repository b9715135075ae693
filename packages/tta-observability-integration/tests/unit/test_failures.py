import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from tta_observability_integration.failures import capture, error_type

if TYPE_CHECKING:
    from tta_observability_integration.failures import Failure


class OddError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


def raised(error: Exception) -> Exception:
    """Return the exception with a traceback."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - any
        return caught


@pytest.mark.parametrize(
    ("error", "name"),
    [(ValueError(), "ValueError"), (OddError(), f"{OddError.__module__}.OddError")],
)
def test_an_error_type_has_its_module_unless_built_in(error: Exception, name: str) -> None:
    """Two libraries may both have a `TimeoutError`."""
    assert error_type(error) == name


def test_nothing_of_the_exception_stays_alive() -> None:
    """A queue of failures holds no frames, and so no data of the workflow."""

    class Held:
        pass

    def fail() -> None:
        held = Held()
        seen.append(weakref.ref(held))
        raise ValueError("x")

    seen: list[weakref.ref[Held]] = []
    kept: list[Failure] = []
    try:
        fail()
    except ValueError as error:
        kept.append(capture(error, arose=True))
    gc.collect()

    assert seen[0]() is None
    assert kept[0].message == "x"


def test_the_stack_is_shown_where_it_arose_only() -> None:
    """The call above would tell the same again."""
    error = raised(ValueError("x"))

    assert capture(error, arose=True).stack().startswith("Traceback (most recent call last):\n")
    assert "raise error" in capture(error, arose=True).stack()
    assert not capture(error, arose=False).lines


def test_causes_stand_before_what_they_caused() -> None:
    """As Python prints them."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        text = capture(error, arose=True).stack()

    assert text.index("KeyError: 'inner'") < text.index("direct cause") < text.index("outer")


def test_an_error_while_handling_another_shows_both() -> None:
    """Unless the user said `from None`."""
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer")  # noqa: B904 - as above
    except ValueError as error:
        shown = capture(error, arose=True).stack()
        error.__suppress_context__ = True
        hidden = capture(error, arose=True).stack()

    assert "KeyError" in shown
    assert "KeyError" not in hidden


def test_a_group_shows_its_members() -> None:
    """They are what went wrong."""
    group = ExceptionGroup("two", [raised(ValueError("one")), raised(KeyError("other"))])

    text = capture(raised(group), arose=True).stack()

    assert "member 1" in text
    assert "ValueError: one" in text
    assert "KeyError: 'other'" in text


def test_notes_belong_to_the_message() -> None:
    """They say where in the workflow it happened."""
    error = raised(ValueError("x"))
    error.add_note("in chain/step")

    assert capture(error, arose=True).message == "x\nin chain/step"


def test_an_exception_that_cannot_be_shown_is_named_all_the_same() -> None:
    """What a user's `__str__` raises stays here."""
    failure = capture(raised(OddError()), arose=True)

    assert "failed" in failure.message


def test_a_deep_recursion_is_cut() -> None:
    """The innermost lines remain."""

    def dive(depth: int) -> None:
        if depth == 0:
            raise ValueError("bottom")
        dive(depth - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        dive(500)

    assert len(capture(caught.value, arose=True).lines) == 64


def test_a_cycle_of_causes_ends() -> None:
    """`__cause__` can be set by hand."""
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first

    assert capture(first, arose=True).stack().count("direct cause") == 8


def test_a_message_that_is_a_document_is_cut() -> None:
    """It waits in a queue with thousands of others."""
    assert len(capture(ValueError("x" * 1_000_000), arose=False).message) == 65_536
