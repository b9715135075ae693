"""Burr: a state machine of actions, without tracking or persistence."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from . import Peer

__all__ = ("SUBJECT", "Burr")

# By name, since it need not be there when types are checked.
core: Any = importlib.import_module("burr.core")
# It logs a banner for every action that fails; one fails here on purpose.
logging.getLogger("burr").setLevel(logging.CRITICAL)


class Burr:
    """One action per step; the value travels in the application's state."""

    statement = "from burr.core import ApplicationBuilder"
    concurrent = False  # an application holds one state, so it runs one execution at a time

    def chain(
        self, steps: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[int]]:
        """Connect the actions in a ring, so that the application can be run again."""
        names = [f"s{index}" for index in range(len(steps))]
        ring = zip(names, [*names[1:], names[0]], strict=True)
        application = (
            core.ApplicationBuilder()
            .with_actions(**dict(zip(names, map(_in_state, steps), strict=True)))
            .with_transitions(*ring)
            .with_state(value=0)
            .with_entrypoint(names[0])
            .build()
        )
        last = [names[-1]]

        async def run(value: int) -> int:
            application.update_state(application.state.update(value=value))
            _, _, state = await application.arun(halt_after=last)
            result: int = state["value"]
            return result

        return run

    def fan_out(self, branches: Sequence[Callable[[int], Awaitable[int]]]) -> None:
        """Its parallelism runs a sub-application per branch: another kind of thing."""
        del branches


def _in_state(step: Callable[[int], Awaitable[int]]) -> Any:
    async def node(state: Any) -> Any:
        return state.update(value=await step(state["value"]))

    return core.action(reads=["value"], writes=["value"])(node)


SUBJECT: Peer = Burr()
