"""`FallbackPrimitive`: another step in the place of one that failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import CoroutineType
from typing import Any, TypeAlias, TypeVar, cast, overload

from tta_dev_primitives.core import engine, notes
from tta_dev_primitives.core.base import Run, WorkflowPrimitive, check_name, nested_awaitable
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.wrapper import Wrapper, whole_step
from tta_dev_primitives.errors import CompositionError, ConfigurationError
from tta_dev_primitives.recovery.classify import asked_to_stop, is_failure

__all__ = ("Fallback", "FallbackPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
A = TypeVar("A")
B = TypeVar("B")

_Async: TypeAlias = (
    WorkflowPrimitive[I, A]
    | Callable[[I], Awaitable[A]]
    | Callable[[WorkflowContext, I], Awaitable[A]]
)
_Plain: TypeAlias = Callable[[I], A] | Callable[[WorkflowContext, I], A]


class FallbackPrimitive(Wrapper[TIn, TOut]):
    """Runs a step and, when it fails, the fallbacks in order until one succeeds.

    All get the same input. Cancellation and `Filtered` are no failures and pass at once. When all
    fail, the primary's exception comes out: a note lists why each fallback failed, and its
    attribute `fallback_errors` holds their exceptions in order (a tuple; the primary's own is not
    in it, for it would refer to itself).

    Args:
        primary: The step to run first: a primitive or a callable.
        fallbacks: The steps in its place, at least one, in order; either this or `fallback` is
            required.
        fallback: A single fallback.
        name: Default: `fallback`.

    Raises:
        CompositionError: Something is no step, or a generator function.
        ConfigurationError: No fallback is given, or both options are.

    Example:
        >>> def broken(question: str) -> str:
        ...     raise OSError("no route to host")
        >>> Fallback(primary=broken, fallback=str.upper).run("hello")
        'HELLO'
    """

    _opens_frame = True
    passes_context = True

    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Async[I, A],
        fallbacks: Sequence[_Async[I, B]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Async[I, A],
        fallbacks: Sequence[_Plain[I, B]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Plain[I, A],
        fallbacks: Sequence[_Async[I, B]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Plain[I, A],
        fallbacks: Sequence[_Plain[I, B]],
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Async[I, A],
        *,
        fallback: _Async[I, B],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Async[I, A],
        *,
        fallback: _Plain[I, B],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Plain[I, A],
        *,
        fallback: _Async[I, B],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackPrimitive[I, A | B],
        primary: _Plain[I, A],
        *,
        fallback: _Plain[I, B],
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primary: Any,
        fallbacks: Sequence[Any] | None = None,
        *,
        fallback: Any = None,
        name: str | None = None,
    ) -> None:
        if fallbacks is not None and fallback is not None:
            message = "fallback and fallbacks of Fallback say the same; give one of them"
            raise ConfigurationError(message)
        if fallbacks is None:
            if fallback is None:
                message = "Fallback needs a fallback: Fallback(primary, fallback=step)"
                raise ConfigurationError(message)
            fallbacks = (fallback,)
        if not isinstance(cast("object", fallbacks), Sequence) or isinstance(fallbacks, str):
            message = f"fallbacks of Fallback is a list of steps, not {fallbacks!r:.60}"
            raise CompositionError(message)
        if not fallbacks:
            message = "fallbacks of Fallback is empty; give at least one step"
            raise ConfigurationError(message)
        self._steps = (
            whole_step(primary, role="primary of Fallback", streams=True),
            *(
                whole_step(candidate, role=f"fallback {number} of Fallback", streams=True)
                for number, candidate in enumerate(fallbacks, 1)
            ),
        )
        self._name = check_name(name) if name is not None else None

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The part of each step."""
        return ("primary", *(f"fallback {n}" for n in range(1, len(self._steps))))

    @property
    def signature(self) -> tuple[Any, Any]:
        """The primary's input; the output where all steps agree on it."""
        signatures = [node.signature for node in self._steps]
        out = signatures[0][1]
        same = all(signature[1] == out for signature in signatures)
        return signatures[0][0], out if same else Any

    async def _execute_impl(  # noqa: C901, PLR0912 - written out for speed
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        if engine.listening is not None:
            return await self._observed(context, input_data, site)
        try:
            result = await self.start(context, input_data)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self._steps[0].name, result)  # noqa: TRY301 - a failure of the step
            if result.__class__ is engine.stream_type:
                await result.prime()
        except Exception as error:
            notes.locate(error, self, 0, context)
            if not _replaceable(error):
                raise
            failures = [error]
        else:
            return result
        try:
            for index, call in enumerate(self.calls[1:], 1):
                try:
                    result = await call(context, input_data)
                    if result.__class__ is CoroutineType:
                        raise nested_awaitable(self._steps[index].name, result)  # noqa: TRY301
                    if result.__class__ is engine.stream_type:
                        await result.prime()
                except Exception as error:
                    notes.locate(error, self, index, context)
                    if not _replaceable(error):
                        raise
                    failures.append(error)
                else:
                    _dismiss(failures)
                    return result
            raise self._summed_up(failures)
        finally:
            del failures  # they refer to this frame

    async def _observed(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None
    ) -> Any:
        """Run where somebody listens."""
        failures: list[Exception] = []
        with Run(self, context, site) as run:
            try:
                for index in range(len(self._steps)):
                    try:
                        result = run.checked(await run.call(index, input_data))
                        if result.__class__ is engine.stream_type:
                            await result.prime()
                    except Exception as error:
                        if not _replaceable(error):
                            raise
                        notes.locate(error, self, index, context)
                        failures.append(error)
                    else:
                        run.note(used=self.segments[index])
                        _dismiss(failures)
                        return result
                run.index = 0
                raise self._summed_up(failures)
            finally:
                del failures  # they refer to this frame

    def _summed_up(self, failures: list[Exception]) -> Exception:
        """Return the primary's error, with what became of the fallbacks."""
        first = failures[0]
        others = tuple(error for error in failures[1:] if error is not first)
        attributes = vars(first)
        found = [n for n in getattr(first, "__notes__", ()) if isinstance(n, _FallbackNote)]
        if found:  # from a Fallback inside the primary, or from an earlier run of this one
            if any(node is found[0].owner for _, node in self._steps[0].walk()):
                others = (*attributes.get("fallback_errors", ()), *others)
            first.__notes__.remove(found[0])
        lines = [f"  {notes.path_of(e) or 'a fallback'}: {_brief(e)}" for e in others]
        note = _FallbackNote("\n".join(("all fallbacks failed too:", *lines)))
        note.owner = self
        # Past the `__setattr__` of a frozen exception.
        attributes.setdefault("__notes__", []).append(note)
        attributes["fallback_errors"] = others
        traceback = first.__traceback__
        # It is raised anew from here, so its first entry, which is this place, would stand twice.
        return first.with_traceback(None if traceback is None else traceback.tb_next)


class _FallbackNote(str):
    """The note on a primary's error; pickled as plain text."""

    __slots__ = ("owner",)

    owner: FallbackPrimitive[Any, Any]

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _replaceable(error: Exception) -> bool:
    return is_failure(error) and not asked_to_stop()


def _dismiss(failures: list[Exception]) -> None:
    """Take our notes off errors that were made good."""
    for error in failures:
        notes.forget(error)


def _brief(error: Exception) -> str:
    """Return an error in one line, of bounded length."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text:.200}" if text else type(error).__name__


Fallback = FallbackPrimitive
