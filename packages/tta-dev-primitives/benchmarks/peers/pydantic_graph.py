"""pydantic-graph: the graph builder, without instrumentation."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from . import Peer

__all__ = ("SUBJECT", "PydanticGraph")

# By name, since it need not be there when types are checked.
api: Any = importlib.import_module("pydantic_graph")


class PydanticGraph:
    """One step node per step; values travel along the edges."""

    statement = "from pydantic_graph import GraphBuilder"
    concurrent = True

    def chain(
        self, steps: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[int]]:
        """Connect the nodes in a row."""
        builder = api.GraphBuilder(input_type=int, output_type=int, auto_instrument=False)
        nodes = [builder.start_node, *_nodes(builder, steps), builder.end_node]
        builder.add(
            *(builder.edge_from(left).to(right) for left, right in itertools.pairwise(nodes))
        )
        built = builder.build()

        async def run(value: int) -> int:
            result: int = await built.run(inputs=value)
            return result

        return run

    def fan_out(
        self, branches: Sequence[Callable[[int], Awaitable[int]]]
    ) -> Callable[[int], Awaitable[Sequence[int]]]:
        """Broadcast to all nodes; a join collects the results, in the order in which they come."""
        builder = api.GraphBuilder(input_type=int, output_type=list[int], auto_instrument=False)
        nodes = _nodes(builder, branches)
        join = builder.join(api.reduce_list_append, initial_factory=list)
        builder.add(
            builder.edge_from(builder.start_node).to(*nodes),
            builder.edge_from(*nodes).to(join),
            builder.edge_from(join).to(builder.end_node),
        )
        built = builder.build()

        async def run(value: int) -> Sequence[int]:
            results: list[int] = await built.run(inputs=value)
            return results

        return run


def _nodes(builder: Any, steps: Sequence[Callable[[int], Awaitable[int]]]) -> list[Any]:
    return [builder.step(_in_context(step), node_id=f"s{i}") for i, step in enumerate(steps)]


def _in_context(step: Callable[[int], Awaitable[int]]) -> Any:
    async def node(context: Any) -> int:
        return await step(context.inputs)

    return node


SUBJECT: Peer = PydanticGraph()
