"""Workers and transports beside the core package, and without it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("tta_dev_primitives", reason="the core package is not installed")

from tta_agent_coordination import AgentFailed, FailureType, InMemoryMessageCoordinator
from tta_agent_coordination.testing import WRITER
from tta_agent_coordination.transport import RedisAgentTransport, RemoteStep
from tta_agent_coordination.worker import AgentWorker, classify
from tta_dev_primitives import Timeout, WorkflowContext, step
from tta_dev_primitives.observability import SpanContext

Payload = dict[str, object]


def same(payload: Payload) -> Payload:
    """Pass a payload on."""
    return payload


async def inspected(context: WorkflowContext, payload: Payload) -> Payload:
    """Tell what a step on the other side knows."""
    if payload.get("fail"):
        raise TypeError("no such thing")
    if payload.get("wait"):
        await asyncio.Event().wait()
    parent, deadline = context.parent_span_context, context.deadline
    return {
        "correlation_id": context.correlation_id,
        "trace_id": None if parent is None else parent.trace_id,
        "tenant": context.baggage.get("tenant"),
        "left": None if deadline is None else deadline - asyncio.get_running_loop().time(),
    }


async def run_remotely(
    context: WorkflowContext, workflow: Callable[[RemoteStep], Any], payload: Payload
) -> Any:
    """Run a workflow whose step is another workflow, on a worker."""
    coordinator = InMemoryMessageCoordinator()
    worker = AgentWorker(coordinator, WRITER, step(inspected))
    task = asyncio.create_task(worker.run())
    try:
        remote = RedisAgentTransport(coordinator, timeout=3000).step("writer")
        return await workflow(remote).execute(context, payload)
    finally:
        worker.stop_now()
        await task


async def test_the_run_goes_on_under_its_ids_on_the_other_machine() -> None:
    span = SpanContext(trace_id=7, span_id=9)
    context = WorkflowContext(
        correlation_id="req-1", parent_span_context=span, baggage={"tenant": "acme"}
    )

    there = await run_remotely(context, lambda remote: step(same) >> remote >> step(same), {"a": 1})

    assert (there["correlation_id"], there["trace_id"], there["tenant"]) == ("req-1", 7, "acme")
    assert 2900 < there["left"] <= 3000


async def test_an_earlier_deadline_of_the_run_goes_along() -> None:
    there = await run_remotely(
        WorkflowContext(), lambda remote: Timeout(step(same) >> remote, seconds=500), {}
    )

    assert 400 < there["left"] <= 500


async def test_a_timeout_here_ends_the_work_there() -> None:
    with pytest.raises(TimeoutError):
        await run_remotely(
            WorkflowContext(), lambda remote: Timeout(step(same) >> remote, seconds=0.1),
            {"wait": 1},
        )  # fmt: skip


async def test_a_failure_there_arrives_here() -> None:
    with pytest.raises(AgentFailed, match="TypeError"):
        await run_remotely(WorkflowContext(), lambda remote: step(same) >> remote, {"fail": 1})


def test_the_classes_of_the_core_are_followed() -> None:
    class RefusedError(Exception):
        status_code = 401

    class BusyError(Exception):
        status_code = 429

    assert classify(RefusedError()) is FailureType.PERMANENT
    assert classify(BusyError()) is FailureType.TRANSIENT


def test_without_the_core_everything_else_works() -> None:
    code = """
import asyncio, sys
sys.modules["tta_dev_primitives"] = None
from tta_agent_coordination import InMemoryMessageCoordinator
from tta_agent_coordination.testing import WRITER
from tta_agent_coordination.transport import RedisAgentTransport
from tta_agent_coordination.worker import AgentWorker, classify

async def main():
    coordinator = InMemoryMessageCoordinator()
    async def double(message):
        return {"n": message.payload["n"] * 2}
    worker = AgentWorker(coordinator, WRITER, double)
    task = asyncio.create_task(worker.run())
    print(await RedisAgentTransport(coordinator).step("writer")(None, {"n": 2}))
    worker.stop()
    await task
    print(classify(OSError()).value, classify(TypeError()).value)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert done.stdout == "{'n': 4}\ntransient permanent\n", done.stderr
