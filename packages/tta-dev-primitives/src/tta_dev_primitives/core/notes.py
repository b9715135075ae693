"""The one note that says where in a workflow an exception arose.

The exception itself is left alone: its type, arguments and traceback are the user's. As it rises,
each composite replaces the note by one whose path is a level longer; nothing is appended, so an
exception that passed fifty levels has one line. With nobody listening this is the only place where
a path is worked out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.core import clock

if TYPE_CHECKING:
    from typing import Protocol

    from tta_dev_primitives.core.context import FreshContext, WorkflowContext

    class _Place(Protocol):
        @property
        def name(self) -> str: ...

        @property
        def segments(self) -> tuple[str, ...]: ...

        @property
        def nodes(self) -> tuple[_Place, ...]: ...


__all__ = (
    "defer",
    "forget",
    "locate",
    "locate_among",
    "path_of",
    "remark",
    "shown_error",
    "shown_value",
)


class _Note(str):
    """The text of the note, with what is needed to replace it; pickled as plain text."""

    __slots__ = ("attempt", "below", "history", "run", "top")

    top: _Place
    below: tuple[str, ...]
    run: str
    attempt: int
    history: str

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def locate(
    error: BaseException,
    owner: _Place,
    index: int | None,
    context: WorkflowContext,
    *,
    attempt: int = 0,
    history: str = "",
    now: float | None = None,
) -> None:
    """Note on `error` that it came out of child `index` of `owner` (None: of `owner` itself).

    Args:
        error: The exception that is about to leave `owner`.
        owner: The composite, or a leaf that was executed by itself.
        index: Which child raised it.
        context: The run's context: for the correlation id and the elapsed time.
        attempt: The number of the attempt, where a retry made more than one.
        history: What else belongs into the note, as whole lines, each with a line feed before it.
        now: When it arose, by the engine's clock, if not in this moment.
    """
    run = context.correlation_id
    below: tuple[str, ...] = () if index is None else (owner.segments[index],)
    found = _find(error)
    if found is not None:
        old = found[1]
        if index is None and old.top is owner and old.run == run:
            return  # a branch has noted it already, and knows better
        if old.run == run and old.top is not owner:
            if index is not None and old.top is owner.nodes[index]:
                below = (*below, *old.below)
            else:  # it rose from a workflow that the child executed by itself
                below = (*below, old.top.name, *old.below)
            attempt = attempt or old.attempt
            history = history or old.history
    path = "/".join((owner.name, *below))
    started = context.started
    # Less than nothing: the call was made by the real clock and awaited by a virtual one.
    seconds = -1.0 if started is None else (now or clock.now()) - started
    elapsed = "" if seconds < 0 else f", after {seconds:.6f} s"
    attempts = f", attempt {attempt}" if attempt else ""
    note = _Note(f"in workflow step {path}{attempts}{elapsed}, correlation id {run}{history}")
    note.top = owner
    note.below = below
    note.run = run
    note.attempt = attempt
    note.history = history
    if found is None:
        remark(error, note)  # `add_note` would ask the `__setattr__` of a frozen exception
    else:
        error.__notes__[found[0]] = note


def defer(error: BaseException, owner: _Place, context: FreshContext) -> None:
    """Note on a refusal of ours, once somebody reads it, that it came out of `owner`.

    Args:
        error: A `RejectedError` that is about to leave `owner`.
        owner: The composite.
        context: The run's context; one of the engine's, whose start stays what it is.
    """
    cast("Any", error)._arose = _locate_late, owner, context, clock.now()


def _locate_late(error: BaseException, owner: _Place, context: FreshContext, now: float) -> None:
    locate(error, owner, None, context, now=now)


def locate_among(error: BaseException, owner: _Place, context: WorkflowContext) -> None:
    """Note on `error` that it came out of whichever child of `owner` it was noted for last."""
    found = _find(error)
    index = None
    if found is not None:
        index = next((i for i, node in enumerate(owner.nodes) if node is found[1].top), None)
    locate(error, owner, index, context)


def forget(error: BaseException) -> None:
    """Take our note off an exception that was handled, so that a later raise starts afresh."""
    found = _find(error)
    if found is not None:
        del error.__notes__[found[0]]


def path_of(error: BaseException) -> str | None:
    """Return the path of the step that raised `error`, or None if no workflow noted one."""
    found = _find(error)
    if found is None:
        return None
    note = found[1]
    return "/".join((note.top.name, *note.below))


def _find(error: BaseException) -> tuple[int, _Note] | None:
    # Past a `__getattr__` of the exception's own, which may do or raise anything.
    facts = vars(error)
    kept: object = error.__notes__ if "_arose" in facts else facts.get("__notes__")
    if isinstance(kept, list):
        for index, note in enumerate(cast("list[object]", kept)):
            if isinstance(note, _Note):
                return index, note
    return None


def remark(error: BaseException, text: str) -> None:
    """Add a note as `add_note` does, unless the user keeps something else in its place."""
    kept: object = vars(error).setdefault("__notes__", [])
    if isinstance(kept, list):
        cast("list[str]", kept).append(text)


def shown_error(error: BaseException) -> str:
    """Return the type and the text of an exception, also where that has no text to give."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error that cannot be told must not hide another
        return type(error).__name__


def shown_value(value: object, limit: int = 60) -> str:
    """Return what a value looks like, cut to `limit` characters, also where its repr fails."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value whose repr fails must not hide the real error
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}…"
