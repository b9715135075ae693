"""Coordinators: who keeps the mailboxes. One contract, over Redis or in this process."""

from __future__ import annotations

from tta_agent_coordination.coordinators.memory import InMemoryMessageCoordinator
from tta_agent_coordination.coordinators.redis_coordinator import RedisMessageCoordinator

__all__ = ("InMemoryMessageCoordinator", "RedisMessageCoordinator")
