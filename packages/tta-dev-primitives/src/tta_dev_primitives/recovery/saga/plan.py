"""`SagaPlan`: what a saga does next, told by what has happened so far.

A plain object without time and without a loop: events go in, a decision comes out. The running saga
asks it, a journal that was read back is replayed through it, and a test can try every order.

For whoever edits this file: a step that acted and has a compensation stands in `_registered` from
the event that put it there until its compensation begins; it is taken from there once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Decision", "SagaEvent", "SagaPlan", "StepState")

StepState: TypeAlias = Literal[
    "waiting", "running", "done", "failed", "undoing", "undone", "undo_failed"
]
"""How far a step is. `failed` says that it did not return: whether it acted is not known."""
SagaEvent: TypeAlias = Literal[
    "began", "done", "failed", "turned", "undoing", "undone", "undo_failed"
]
"""What happens: to a step, or (`turned`) to the saga as a whole."""
Decision: TypeAlias = (
    tuple[Literal["act"], tuple[int, ...]]
    | tuple[Literal["wait"], None]
    | tuple[Literal["undo"], int]
    | tuple[Literal["end"], Literal["completed", "undone", "stuck"]]
)
"""Begin these steps; wait for what runs; undo this step; or how the saga has ended. `stuck`: at
least one compensation failed."""

_FROM: dict[SagaEvent, tuple[StepState, ...]] = {
    "began": ("waiting",),
    "done": ("running",),
    "failed": ("running",),
    "undoing": ("done", "failed"),
    "undone": ("undoing",),
    "undo_failed": ("undoing", "done", "failed"),  # the latter: there was no time left to begin
}
_TO: dict[SagaEvent, StepState] = {
    "began": "running",
    "done": "done",
    "failed": "failed",
    "undoing": "undoing",
    "undone": "undone",
    "undo_failed": "undo_failed",
}


class SagaPlan:
    """The state of one run of a saga.

    Args:
        stages: The number of the stage that each step belongs to, from 0, never falling. Steps of
            one stage run side by side.
        undoable: Whether each step has a compensation.
        before: Whether each step registers before it acts, so that it is undone also when it
            failed.

    Example:
        >>> plan = SagaPlan(stages=(0, 1), undoable=(True, True), before=(False, False))
        >>> plan.decision
        ('act', (0,))
        >>> plan.on("began", 0), plan.on("done", 0)
        (('wait', None), ('act', (1,)))
        >>> plan.on("began", 1), plan.on("failed", 1)
        (('wait', None), ('undo', 0))
        >>> plan.on("undoing", 0), plan.on("undone", 0)
        (('wait', None), ('end', 'undone'))
    """

    __slots__ = (
        "_before",
        "_busy",
        "_left",
        "_registered",
        "_stage",
        "_stages",
        "_undoable",
        "states",
        "turned",
    )

    def __init__(
        self, *, stages: Sequence[int], undoable: Sequence[bool], before: Sequence[bool]
    ) -> None:
        self._undoable = tuple(undoable)
        self._before = tuple(before)
        self._stages: list[list[int]] = []
        for step, stage in enumerate(stages):
            if stage == len(self._stages):
                self._stages.append([])
            self._stages[stage].append(step)
        self._stage = 0
        self._left = len(self._stages[0]) if self._stages else 0
        self._busy = 0
        self._registered: list[int] = []
        self.states: list[StepState] = ["waiting"] * len(self._undoable)
        self.turned: bool = False

    def on(self, event: SagaEvent, step: int = -1) -> Decision:  # noqa: C901 - one transition each
        """Take note of an event and tell what to do next.

        Args:
            event: What has happened.
            step: To which step, by its position; not needed for `turned`.

        Raises:
            ValueError: It cannot happen in this state, such as a second end of one step.
        """
        if event == "turned":
            self.turned = True
            return self.decision
        if not 0 <= step < len(self.states):
            message = f"there is no step {step} for {event!r}; there are {len(self.states)}"
            raise ValueError(message)
        state = self.states[step]
        backwards = event in {"undoing", "undone", "undo_failed"}
        allowed = state in _FROM[event]
        if event == "began":
            allowed = allowed and not self.turned and step in self._stages[self._stage]
        elif backwards and event != "undone" and state != "undoing":
            allowed = allowed and step in self._registered and not self._busy
        if not allowed:
            message = f"{event!r} cannot happen to step {step}, which is {state!r} now"
            raise ValueError(message)
        self.states[step] = _TO[event]
        if event == "began":
            self._busy += 1
            if self._before[step] and self._undoable[step]:
                self._registered.append(step)
        elif event == "undoing":
            self._busy += 1
            self._registered.remove(step)
        elif state in {"done", "failed"}:  # it failed before it began
            self._registered.remove(step)
        else:
            self._busy -= 1
            if event == "done":
                self._done(step)
        self.turned = self.turned or backwards or event == "failed"
        return self.decision

    def _done(self, step: int) -> None:
        if self._undoable[step] and not self._before[step]:
            self._registered.append(step)
        self._left -= 1
        if not self._left and self._stage + 1 < len(self._stages):
            self._stage += 1
            self._left = len(self._stages[self._stage])

    @property
    def decision(self) -> Decision:
        """What to do now."""
        if not self.turned:
            if not self._left:
                return "end", "completed"
            waiting = tuple(s for s in self._stages[self._stage] if self.states[s] == "waiting")
            return ("act", waiting) if waiting else ("wait", None)
        if self._busy:
            return "wait", None
        if self._registered:
            return "undo", self._registered[-1]
        return "end", "stuck" if "undo_failed" in self.states else "undone"

    def with_state(self, *states: StepState) -> tuple[int, ...]:
        """Return the steps that are in one of these states, in their order."""
        return tuple(step for step, state in enumerate(self.states) if state in states)

    def reopen(self) -> Decision:
        """Turn a run that was read back, so that what is left of it is undone.

        Steps that were under way have an unknown outcome and count as failed; compensations that
        were under way, or failed, will begin again.
        """
        if self.decision != ("end", "completed"):
            self.turned = True
        for step in self.with_state("running"):
            self.on("failed", step)
        again = self.with_state("undoing", "undo_failed")
        for step in again:
            if self.states[step] == "undoing":
                self._busy -= 1
            self.states[step] = "done"
        self._registered += again  # these came first in the last round
        return self.decision
