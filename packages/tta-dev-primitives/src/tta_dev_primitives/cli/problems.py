"""What the command says when something is wrong: the user's error, never ours.

A failure is shown with its own type and message, where in the workflow it arose, and those lines
of the traceback that lie in the user's code.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import linecache
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tta_dev_primitives
from tta_dev_primitives.core.notes import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("UsageProblem", "failure_as_data", "failure_as_text", "one_line", "user_frames")

_MACHINERY = tuple(
    f"{Path(str(module.__file__)).parent}{os.sep}"
    for module in (tta_dev_primitives, asyncio, concurrent.futures, importlib)
)
_DEEPEST = 5  # causes of causes that are shown


class UsageProblem(Exception):  # noqa: N818 - it is no failure of a workflow
    """The command was called in a way that cannot work; its text is all that is shown."""


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the lines of a traceback that lie in the user's code, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if not f.filename.startswith((*_MACHINERY, "<frozen "))]


def one_line(error: BaseException) -> str:
    """Return `Type: message` on one line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception whose text fails must still be shown
        text = "<its text cannot be shown>"
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of(error: BaseException) -> str:
    """Return `file:line, in function` of the user's innermost line, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown_path(error.filename)}:{error.lineno}"
    frames = user_frames(error)
    if not frames:
        return ""
    last = frames[-1]
    return f"{shown_path(last.filename)}:{last.lineno}, in {last.name}"


def shown_path(filename: str) -> str:
    """Return a file's path as the user would type it here."""
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return filename


def failure_as_text(error: BaseException, *, full: bool = False) -> str:
    """Return what is shown of a workflow's failure.

    Args:
        error: What the workflow raised.
        full: Show the whole traceback, with the frames of this package and of asyncio.
    """
    if full:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(_lines(error, "", 0, set()))


def _lines(error: BaseException, indent: str, depth: int, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    yield f"{indent}{one_line(error)}"
    for note in getattr(error, "__notes__", ()):
        yield from (f"{indent}  {line}" for line in str(note).splitlines())
    for frame in user_frames(error):
        yield f"{indent}  at {shown_path(frame.filename)}:{frame.lineno}, in {frame.name}"
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if line:
            yield f"{indent}      {line}"
    if depth == _DEEPEST:
        return
    group: object = error
    if isinstance(group, BaseExceptionGroup):
        inside: tuple[BaseException, ...] = group.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - isinstance leaves the type open
        for number, one in enumerate(inside, 1):
            if id(one) not in seen:
                yield f"{indent}  {number} of {len(inside)}:"
                yield from _lines(one, f"{indent}    ", depth + 1, seen)
    cause = _cause_of(error)
    if cause is not None and id(cause) not in seen:
        yield f"{indent}caused by:"
        yield from _lines(cause, f"{indent}  ", depth + 1, seen)


def _cause_of(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def failure_as_data(error: BaseException) -> dict[str, Any]:
    """Return what a machine is told of a workflow's failure."""
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": one_line(error).partition(": ")[2],
        "path": path_of(error),
        "notes": [str(note) for note in getattr(error, "__notes__", ())],
        "frames": [
            {"file": frame.filename, "line": frame.lineno, "function": frame.name}
            for frame in user_frames(error)
        ],
    }


def say(text: str) -> None:
    """Write to the standard error stream."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
