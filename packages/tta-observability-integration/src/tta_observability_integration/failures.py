"""What is kept of an exception until its span is exported: texts and line numbers only.

An exception holds its frames, and these hold everything local to them; a queue of exceptions would
keep all of that alive. Walking the traceback costs a microsecond, formatting it a hundred, so
the walk is done where the call ends and the formatting where the span is made.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("Failure", "Line", "capture", "error_type")

Line: TypeAlias = "tuple[str, int, str]"
"""File, line number, function."""

_DEPTH = 8  # causes of causes that are followed
_LINES = 64  # innermost lines that are kept of one traceback
_MEMBERS = 16  # exceptions that are kept of one group
_LONGEST = 65_536  # characters that are kept of one message; a queue of documents fills the memory


class Failure:
    """An exception, as far as a span tells of it."""

    __slots__ = ("arose", "causes", "lines", "link", "message", "type")

    def __init__(self, kind: str, message: str) -> None:
        self.type: str = kind
        """The class, with its module unless built in."""
        self.message: str = message
        """The text of the exception and its notes."""
        self.arose: bool = False
        """Whether it was raised in this very call, so that this span shows the stack."""
        self.lines: list[Line] = []
        """The traceback, outermost call first."""
        self.causes: list[Failure] = []
        """What it was raised from, or the members of a group."""
        self.link: str = ""
        """How `causes` led to it."""

    def stack(self) -> str:
        """Return the traceback as text, causes first, in the usual form."""
        parts: list[str] = []
        if self.causes and self.link:
            parts += [self.causes[0].stack(), f"\n{self.link}\n\n"]
        if self.lines:
            rows = [(file, line, function, None) for file, line, function in self.lines]
            parts += ["Traceback (most recent call last):\n", *traceback.format_list(rows)]
        parts.append(f"{self.type}: {self.message}\n" if self.message else f"{self.type}\n")
        if not self.link:
            for number, member in enumerate(self.causes, 1):
                inside = member.stack().replace("\n", "\n  ").rstrip()
                parts.append(f"  member {number}:\n  {inside}\n")
        return "".join(parts)


def capture(error: BaseException, *, arose: bool) -> Failure:
    """Take from `error` what its span will tell.

    Args:
        error: The exception, still with its traceback.
        arose: Whether it was raised in this very call; else the stack is left to the call below.

    Returns:
        Texts only; nothing of the exception stays referenced.
    """
    failure = Failure(error_type(error), _message(error))
    failure.arose = arose
    if arose:
        _trace(failure, error, _DEPTH)
    return failure


def _trace(failure: Failure, error: BaseException, depth: int) -> None:
    failure.lines = _lines(error.__traceback__)
    if depth == 0:
        return
    below: list[BaseException] = []
    if isinstance(error, BaseExceptionGroup):
        below = list(error.exceptions[:_MEMBERS])  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - the type of a group's members is not known here
    elif error.__cause__ is not None:
        below = [error.__cause__]
        failure.link = "The above exception was the direct cause of the following exception:"
    elif error.__context__ is not None and not error.__suppress_context__:
        below = [error.__context__]
        failure.link = "During handling of the above exception, another exception occurred:"
    for cause in below:
        inner = Failure(error_type(cause), _message(cause))
        _trace(inner, cause, depth - 1)
        failure.causes.append(inner)


def error_type(error: BaseException) -> str:
    """Return the class of an exception as `error.type` names it.

    Example:
        >>> error_type(TimeoutError())
        'TimeoutError'
    """
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        message = str(error)
        notes = [str(note) for note in getattr(error, "__notes__", ())]
    except Exception:  # noqa: BLE001 - an exception of the user's may fail at anything
        return "<no text: str() of the exception failed>"
    return "\n".join([message, *notes])[:_LONGEST]


def _lines(tb: TracebackType | None) -> list[Line]:
    lines: list[Line] = []
    while tb is not None:
        code = tb.tb_frame.f_code
        lines.append((code.co_filename, tb.tb_lineno, code.co_name))
        tb = tb.tb_next
    return lines[-_LINES:]
