"""One trace over several agents, by the propagation of the core: messages carry it as headers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tta_dev_primitives", reason="tta-dev-primitives is not installed")
pytest.importorskip("tta_agent_coordination", reason="tta-agent-coordination is not installed")

from tta_agent_coordination import (
    AgentWorker,
    InMemoryMessageCoordinator,
    RedisAgentTransport,
    current_message,
)
from tta_agent_coordination.testing import WRITER, sample
from tta_dev_primitives import WorkflowContext, step
from tta_dev_primitives.observability import extract, inject

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from tta_agent_coordination import AgentMessage

Payload = dict[str, object]


def same(payload: Payload) -> Payload:
    """Pass a payload on."""
    return payload


def callers(spans: list[ReadableSpan]) -> dict[str, str | None]:
    """Return the name of each span's parent; all are of one trace."""
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    names = {span.context.span_id: span.name for span in spans if span.context}
    return {
        span.name: None if span.parent is None else names[span.parent.span_id] for span in spans
    }


async def test_a_remote_step_runs_in_the_trace_of_its_caller(
    traced: Callable[[], list[ReadableSpan]],
) -> None:
    """The other machine's workflow is below the step that asked for it."""
    coordinator = InMemoryMessageCoordinator()
    there = (step(same, name="read") >> step(same, name="write")).named("there")
    worker = AgentWorker(coordinator, WRITER, there)
    working = asyncio.create_task(worker.run())
    remote = RedisAgentTransport(coordinator, timeout=30).step("writer")
    here = (step(same, name="prepare") >> remote).named("here")

    await here.execute(WorkflowContext(), {})
    worker.stop()
    await working

    assert callers(await asyncio.to_thread(traced)) == {
        "here.execute": None,
        "prepare.execute": "here.execute",
        "remote_writer.execute": "here.execute",
        "there.execute": "remote_writer.execute",
        "read.execute": "there.execute",
        "write.execute": "there.execute",
    }


async def test_a_message_carries_the_trace_that_is_injected_into_its_headers(
    traced: Callable[[], list[ReadableSpan]],
) -> None:
    """A workflow that handles it joins; a function does with `extract`."""
    coordinator = InMemoryMessageCoordinator()
    inner = step(same, name="inner")

    async def post(payload: Payload) -> Payload:
        headers: dict[str, str] = {}
        inject(headers)
        await coordinator.send_many([sample("m-1")], headers=headers)
        return payload

    async def handle(message: AgentMessage) -> None:
        await inner.execute(extract(current_message().headers), message.payload)
        worker.stop()  # when this one is done

    await step(post).execute(WorkflowContext(), {})
    worker = AgentWorker(coordinator, WRITER, handle)
    await worker.run()

    assert callers(await asyncio.to_thread(traced)) == {
        "post.execute": None,
        "inner.execute": "post.execute",
    }


async def test_a_message_without_headers_begins_a_trace(
    traced: Callable[[], list[ReadableSpan]],
) -> None:
    """An event that is sent from within a step is no part of that step unless it says so."""
    coordinator = InMemoryMessageCoordinator()

    async def post(payload: Payload) -> Payload:
        await coordinator.send_many([sample("m-1")])
        return payload

    def handle(payload: Payload) -> Payload:
        worker.stop()  # when this one is done
        return payload

    await step(post).execute(WorkflowContext(), {})
    worker = AgentWorker(coordinator, WRITER, step(handle))
    await worker.run()

    spans = {span.name: span for span in await asyncio.to_thread(traced)}
    assert set(spans) == {"post.execute", "handle.execute"}
    assert all(span.parent is None for span in spans.values())
