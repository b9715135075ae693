"""Each implementation of a protocol, assigned to it: a checker flags one that does not conform.

The ordinary run of pyright over the workspace finds it. Those of the core package are held together
with what it asks for; neither imports the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio
from tta_dev_primitives import WorkflowPrimitive
from tta_dev_primitives.core.protocols import CacheStore
from tta_dev_primitives.recovery import BreakerStore
from tta_dev_primitives.recovery.breakers.config import BreakerConfig

from tta_agent_coordination import (
    Agent,
    AgentDescription,
    AgentProxy,
    AgentRegistry,
    AgentTransport,
    InMemoryAgentRegistry,
    InMemoryMessageCoordinator,
    MailboxAgentProxy,
    MailboxCoordinator,
    MessageCoordinator,
    MessageMetrics,
    MetricsProtocol,
    NullMetrics,
    QueueObserver,
    RedisAgentRegistry,
    RedisAgentTransport,
    RedisBreakerStore,
    RedisCacheStore,
    RedisMessageCoordinator,
)
from tta_agent_coordination.coordinators.consumer import BatchCoordinator
from tta_agent_coordination.coordinators.memory import InMemoryMailboxStore
from tta_agent_coordination.coordinators.redis_store import RedisMailboxStore
from tta_agent_coordination.coordinators.store import MailboxStore
from tta_agent_coordination.registries.memory import InMemoryRegistryStore
from tta_agent_coordination.registries.redis_registry import RedisRegistryStore
from tta_agent_coordination.registries.store import RegistryStore
from tta_agent_coordination.server.client import RedisClient
from tta_agent_coordination.sharing.memory import InMemoryStateStore
from tta_agent_coordination.sharing.redis_state import RedisStateStore
from tta_agent_coordination.sharing.store import StateStore
from tta_agent_coordination.stores import BreakerSettings
from tta_agent_coordination.worker.handlers import ProcessingAgent, Workflow
from tta_agent_coordination.worker.health import Ear
from tta_agent_coordination.worker.running import WorkingAgent

if TYPE_CHECKING:
    from tta_agent_coordination.messaging import Settler
    from tta_agent_coordination.worker import Handler

# What users meet.
counters: type[MetricsProtocol] = MessageMetrics
observing: type[QueueObserver] = MessageMetrics
nothing: type[MetricsProtocol] = NullMetrics
described: type[Agent] = AgentDescription
working: type[Agent] = WorkingAgent
transport: type[AgentTransport] = RedisAgentTransport
over_redis: type[MessageCoordinator] = RedisMessageCoordinator
mailboxes: type[MailboxCoordinator] = RedisMessageCoordinator
in_memory: type[MailboxCoordinator] = InMemoryMessageCoordinator
agents: type[AgentRegistry] = RedisAgentRegistry
agents_here: type[AgentRegistry] = InMemoryAgentRegistry
proxy: type[AgentProxy] = MailboxAgentProxy

# What the core package asks for, and gives.
results: type[CacheStore] = RedisCacheStore
breakers: type[BreakerStore] = RedisBreakerStore

# What keeps things.
store: type[MailboxStore] = RedisMailboxStore
store_here: type[MailboxStore] = InMemoryMailboxStore
registry: type[RegistryStore] = RedisRegistryStore
registry_here: type[RegistryStore] = InMemoryRegistryStore
state: type[StateStore] = RedisStateStore
state_here: type[StateStore] = InMemoryStateStore
client: type[RedisClient] = redis.asyncio.Redis
cluster: type[RedisClient] = redis.asyncio.RedisCluster


def consumed(one: RedisMessageCoordinator, other: Ear) -> tuple[BatchCoordinator, ...]:
    """Coordinators, and what listens to them, can be consumed."""
    return one, other


def settled(one: RedisMessageCoordinator) -> Settler:
    """Leases are settled with a coordinator."""
    return one


def settings(config: BreakerConfig) -> BreakerSettings:
    """The store reads the configuration of the core's breakers."""
    return config


def handled(
    workflow: WorkflowPrimitive[dict[str, object], object], agent: MailboxAgentProxy
) -> tuple[Handler, Workflow, ProcessingAgent]:
    """A workflow and another agent can do a worker's work."""
    return workflow, workflow, agent
