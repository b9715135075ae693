"""Decorated functions: called as before, composed like primitives, seen alike by both checkers."""

from tta_dev_primitives import WorkflowContext, step
from tta_dev_primitives.observability import trace_operation, track_metrics

from ..steps import *


@trace_operation
async def traced(text: str, *, limit: int = 3) -> int:
    return len(text) + limit


@trace_operation(span_name="named")
def plain(text: str) -> int:
    return len(text)


@track_metrics(name="both")
async def both(context: WorkflowContext, text: str) -> int:
    return len(text)


class Service:
    @track_metrics
    async def method(self, text: str) -> int:
        return len(text)


reveal_type(plain("a"))  # int
reveal_type(traced >> show)  # SequentialPrimitive[str, str]
reveal_type(traced >> async_show)  # SequentialPrimitive[str, str]
reveal_type(traced >> sync_show)  # SequentialPrimitive[str, str]
reveal_type(both >> sync_show)  # SequentialPrimitive[str, str]
reveal_type(both >> show)  # SequentialPrimitive[str, str]
reveal_type(plain >> sync_show_in)  # SequentialPrimitive[str, str]
reveal_type(shout >> traced)  # SequentialPrimitive[str, int]
reveal_type(shout >> both)  # SequentialPrimitive[str, int]
reveal_type(sync_shout >> traced)  # SequentialPrimitive[str, int]
reveal_type(sync_shout >> both)  # SequentialPrimitive[str, int]
reveal_type(traced | shout)  # FanOut[str, int | str]
reveal_type(both | plain)  # FanOut[str, int]
reveal_type(traced.then(show))  # SequentialPrimitive[str, str]
reveal_type(traced.run("a"))  # int
reveal_type(both.run("a"))  # int
reveal_type(plain.run(WorkflowContext(), "a"))  # int
reveal_type(step(traced))  # FunctionPrimitive[str, int]
reveal_type(Service().method >> show)  # SequentialPrimitive[str, str]
