"""A Fallback whose next step starts before the one before it has failed (`start_after`)."""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from tta_dev_primitives.core import engine, frames, notes
from tta_dev_primitives.core.base import MISSING, nested_awaitable
from tta_dev_primitives.core.crew import Crew
from tta_dev_primitives.recovery.classification.classify import asked_to_stop, is_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tta_dev_primitives.core.base import Composite
    from tta_dev_primitives.core.run import Run
    from tta_dev_primitives.recovery.fallbacks.alternatives import Alternatives

    class Teller(Protocol):
        """Tells the hook of a Fallback."""

        async def __call__(self, error: Exception | None, index: int | None) -> None:
            """Tell that step `index` takes over (None: there is none left)."""
            ...


__all__ = ("Race",)


class Race:
    """One run: the steps that were started, side by side, until one has a result.

    Args:
        run: The run of the Fallback.
        order: Says which step comes next.
        start_after: Seconds after which the next step starts beside the one that was started last.
        tell: Called before a step takes over.
    """

    __slots__ = (
        "_began",
        "_crew",
        "_data",
        "_loop",
        "_order",
        "_pause",
        "_run",
        "_running",
        "_tell",
        "failures",
        "result",
        "verdict",
        "winner",
    )

    def __init__(self, run: Run, order: Alternatives, start_after: float, tell: Teller) -> None:
        self._run = run
        self._order = order
        self._pause = start_after
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._crew = Crew()
        self._running = 0
        self._began = 0.0
        self._data: object = None
        self.failures: dict[int, Exception] = {}
        """What failed, by step."""
        self.winner: int | None = None
        """The step that has a result."""
        self.result: Any = MISSING
        """That result."""
        self.verdict: Exception | None = None
        """What ends the race and is no failure."""

    async def finish(self, input_data: object) -> None:
        """Run the race; when this returns, or raises, none of its tasks is left."""
        self._data = input_data
        crew = self._crew
        try:
            self._start(0)
            if not crew.stopping:
                crew.start(self._pace())
        except BaseException as error:  # noqa: BLE001 - a task that could not be started
            crew.escape(error)
        try:
            await crew.drain()
        except BaseException:
            if self.result.__class__ is engine.stream_type:
                await self.result.aclose()
            raise

    def causes(self) -> list[Exception]:
        """Hand over what failed, in the order in which the steps were started."""
        causes = [self.failures[index] for index in self._order.started if index in self.failures]
        self.failures = {}
        return causes

    def _start(self, index: int) -> None:
        if not self._crew.stopping:
            self._running += 1
            self._began = self._loop.time()
            self._crew.start(self._branch(index))

    async def _pace(self) -> None:
        """Start a further step whenever none has been started for the pause."""
        while True:
            wait = self._began + self._pause - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            index = self._order.next()
            if index is None:
                return
            await self._over_to(index, None)
            if not self._pause:
                await asyncio.sleep(0)

    def _call(self, index: int) -> Awaitable[Any]:
        """Start step `index` for whoever listens."""
        run = self._run
        owner: Composite[Any, Any] = run.owner
        if run.frame is not None:
            frame = run.frame.branch(index)
            engine.current.set(frame)  # in this task's own variables: nothing to reset
            return frames.observe(frame, index, owner.calls[index], run.context, self._data)
        if run.site is not None:
            place = run.site.open(owner)[index]
            call = owner.calls_at(run.site)[index]
            return engine.count(place, call, run.context, self._data)
        return owner.calls[index](run.context, self._data)

    async def _branch(self, index: int) -> None:
        try:
            result = await self._call(index)
            if result.__class__ is CoroutineType:
                raise nested_awaitable(self._run.owner.nodes[index].name, result)  # noqa: TRY301 - a failure of the step
            if result.__class__ is engine.stream_type:
                await result.prime()
        except Exception as error:  # noqa: BLE001 - decided below
            failure = error
        except BaseException as error:  # noqa: BLE001 - raised by `drain`
            self._crew.escape(error)
            return
        else:
            await self._succeeded(index, result)
            return
        try:
            await self._failed(index, failure)
        finally:
            del failure  # it refers to this frame

    async def _succeeded(self, index: int, result: Any) -> None:
        self._running -= 1
        if not self._crew.stopping:
            self.winner, self.result = index, result
            self._crew.stop()
        elif result.__class__ is engine.stream_type:
            await result.aclose()

    async def _failed(self, index: int, error: Exception) -> None:
        self._running -= 1
        crew = self._crew
        if crew.stopping:
            return  # as it was asked to
        engine.hide_frame(error)  # that of the branch
        notes.locate(error, self._run.owner, index, self._run.context)
        if not is_failure(error) or asked_to_stop():
            self.verdict = error
            crew.stop()
            return
        self.failures[index] = error
        following = self._order.after(error)
        if following is not None:
            await self._over_to(following, error)
        elif not self._running:
            crew.stop()

    async def _over_to(self, index: int, error: Exception | None) -> None:
        """Tell that a step takes over, and start it."""
        # Counted at once, so that nobody takes the race for lost while the hook is told.
        self._running += 1
        try:
            await self._tell(error, index)
        finally:
            self._running -= 1
        self._start(index)
