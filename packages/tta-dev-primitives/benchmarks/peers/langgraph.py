"""LangGraph: a state graph, without a checkpointer."""

from __future__ import annotations

import importlib
import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from . import Peer

__all__ = ("SUBJECT", "LangGraph")

# By name, since it need not be there when types are checked.
graph: Any = importlib.import_module("langgraph.graph")
_SPARE_TURNS = 5  # the limit on turns counts more than the nodes


class _One(TypedDict):
    value: int


class _Many(TypedDict):
    value: int
    results: Annotated[list[tuple[int, int]], operator.add]


class LangGraph:
    """One node per step; the value travels in the state."""

    statement = "from langgraph.graph import StateGraph"
    concurrent = True

    def chain(
        self, steps: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[int]]:
        """Connect the nodes in a row."""
        builder = graph.StateGraph(_One)
        before = graph.START
        for index, step in enumerate(steps):
            builder.add_node(f"s{index}", _in_state(step))
            builder.add_edge(before, f"s{index}")
            before = f"s{index}"
        builder.add_edge(before, graph.END)
        compiled = builder.compile()
        config = {"recursion_limit": len(steps) + _SPARE_TURNS}

        async def run(value: int) -> int:
            result: int = (await compiled.ainvoke({"value": value}, config))["value"]
            return result

        return run

    def fan_out(
        self, branches: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[Sequence[int]]]:
        """Connect each node with start and end; a reducer collects the results."""
        builder = graph.StateGraph(_Many)
        for index, branch in enumerate(branches):
            builder.add_node(f"s{index}", _to_results(branch, index))
            builder.add_edge(graph.START, f"s{index}")
            builder.add_edge(f"s{index}", graph.END)
        compiled = builder.compile()

        async def run(value: int) -> Sequence[int]:
            state = await compiled.ainvoke({"value": value, "results": []})
            return [result for _, result in sorted(state["results"])]

        return run


def _in_state(step: Callable[[int], Awaitable[int]]) -> Any:
    async def node(state: _One) -> _One:
        return {"value": await step(state["value"])}

    return node


def _to_results(branch: Callable[[int], Awaitable[int]], index: int) -> Any:
    async def node(state: _Many) -> dict[str, list[tuple[int, int]]]:
        return {"results": [(index, await branch(state["value"]))]}

    return node


SUBJECT: Peer = LangGraph()
