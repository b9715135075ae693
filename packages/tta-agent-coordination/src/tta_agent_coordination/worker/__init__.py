"""Runs a handler as an agent: receives its messages, works on them, settles them."""

from __future__ import annotations

from tta_agent_coordination.worker.handlers import Handler, classify, current_message
from tta_agent_coordination.worker.health import WorkerHealth, WorkerState
from tta_agent_coordination.worker.running import AgentWorker

__all__ = (
    "AgentWorker",
    "Handler",
    "WorkerHealth",
    "WorkerState",
    "classify",
    "current_message",
)
