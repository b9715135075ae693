"""Registries: who is there, and who is alive. One contract, over Redis or in this process."""

from __future__ import annotations

from tta_agent_coordination.registries.memory import InMemoryAgentRegistry
from tta_agent_coordination.registries.redis_registry import RedisAgentRegistry

__all__ = ("InMemoryAgentRegistry", "RedisAgentRegistry")
