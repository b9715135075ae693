"""State that agents share: values with versions. One contract, over Redis or in this process."""

from __future__ import annotations

from tta_agent_coordination.sharing.base import SharedState, StateEntry
from tta_agent_coordination.sharing.memory import InMemorySharedState
from tta_agent_coordination.sharing.redis_state import RedisSharedState

__all__ = ("InMemorySharedState", "RedisSharedState", "SharedState", "StateEntry")
