"""LangChain: runnables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from . import Peer

__all__ = ("SUBJECT", "LangChain")

# By name, since it need not be there when types are checked.
runnables: Any = importlib.import_module("langchain_core.runnables")


class LangChain:
    """`RunnableSequence` and `RunnableParallel` over `RunnableLambda`s."""

    statement = "from langchain_core.runnables import RunnableLambda, RunnableParallel"
    concurrent = True

    def chain(
        self, steps: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[int]]:
        """Pipe the steps."""
        lifted = [runnables.RunnableLambda(step) for step in steps]
        run: Callable[[int], Awaitable[int]] = runnables.RunnableSequence(*lifted).ainvoke
        return run

    def fan_out(
        self, branches: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[Sequence[int]]]:
        """Run the branches by key."""
        run = runnables.RunnableParallel(
            {f"b{index}": runnables.RunnableLambda(one) for index, one in enumerate(branches)}
        ).ainvoke

        async def in_order(value: int) -> Sequence[int]:
            return list((await run(value)).values())

        return in_order


SUBJECT: Peer = LangChain()
