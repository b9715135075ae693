"""`Run`: one run of a composite that calls its steps one at a time."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, Self

from tta_dev_primitives.core import clock, engine, frames, notes
from tta_dev_primitives.core.base import nested_awaitable

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextvars import Token

    from tta_dev_primitives.core.base import Bound, Composite
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Run",)


class Run:
    """One run of a composite that calls its steps one at a time; used as a context manager.

    It sees to whoever listens, and notes on an exception which step it came out of. It adds no
    traceback entry.

    Args:
        owner: The composite.
        context: The run's context.
        site: The composite's place, where a composite above handed it down.
    """

    __slots__ = (
        "attempt",
        "context",
        "frame",
        "index",
        "outermost",
        "owner",
        "result",
        "site",
        "started",
        "token",
    )

    def __init__(
        self, owner: Composite[Any, Any], context: WorkflowContext, site: engine.Site | None
    ) -> None:
        self.owner: Composite[Any, Any] = owner
        self.context: WorkflowContext = context
        self.site: engine.Site | None = site
        self.frame: frames.Frame | None = None
        self.index: int | None = None
        self.attempt: int = 0
        self.outermost: bool = False
        self.result: Any = None

    def __enter__(self) -> Self:
        state = engine.listening
        if state is None or self.site is not None:
            return self
        state = engine.state_for_run(state)
        if state is None:
            return self
        if state.framed():
            self.frame = frame = frames.enter(self.owner, self.context, state)
            self.token: Token[frames.Frame | None] = engine.current.set(frame)
            frames.begin(frame)
        else:
            self.site = site = self.owner.site(state, self.owner.name)
            self.owner.stand_at(site)
            self.outermost = True
            self.started: float = clock.now()
        return self

    def call(self, index: int, input_data: object, *, attempt: int = 0) -> Awaitable[Any]:
        """Start step `index`; the result is to be awaited at once.

        Args:
            index: Which step.
            input_data: Its input.
            attempt: The number of the attempt, from 1, where a step may be called again.
        """
        self.index = index
        self.attempt = attempt
        frame, site = self.frame, self.site
        if frame is not None:
            frame.turn += 1
            return frames.observe(
                frame, index, self.owner.calls[index], self.context, input_data, attempt or 1
            )
        if site is not None:
            return engine.count(
                site.open(self.owner)[index],
                self.owner.calls_at(site)[index],
                self.context,
                input_data,
            )
        return self.owner.calls[index](self.context, input_data)

    def take_over(self, began: float, error: BaseException) -> None:
        """Say that the run began earlier, and that its first call has failed, not yet counted.

        Args:
            began: When, by the engine's clock.
            error: How that call ended.
        """
        self.index = 0
        site = self.site
        if site is not None:
            site.open(self.owner)[0].failed(clock.now() - began, error)
            if self.outermost:
                self.started = began

    @property
    def calls(self) -> tuple[Bound, ...]:
        """The steps, bound for where the composite stands; for those that run side by side."""
        return self.owner.calls if self.site is None else self.owner.calls_at(self.site)

    def checked(self, result: Any) -> Any:
        """Return a step's result, unless the step forgot an `await`."""
        if result.__class__ is CoroutineType:
            raise nested_awaitable(self.owner.nodes[self.index or 0].name, result)
        self.result = result
        return result

    def own(self) -> None:
        """Say that what happens next is the composite's own doing, not a step's."""
        self.index = None

    def note(self, **attributes: object) -> None:
        """Note facts about this run on its record, such as the route that was chosen."""
        if self.frame is not None:
            self.frame.note(attributes)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        frame = self.frame
        if frame is not None:
            frames.leave(self.token)
        if isinstance(error, Exception):
            notes.locate(error, self.owner, self.index, self.context, attempt=self.attempt)
        if frame is not None:
            if error is None:
                frames.close_with(frame, self.result)
            else:
                frames.close(frame, error)
        elif self.site is not None:
            if self.outermost and error is None:
                self.site.took(clock.now() - self.started)
            elif self.outermost and error is not None:
                self.site.failed(clock.now() - self.started, error)
