"""Agents on many machines, over Redis: mailboxes with leases, retries and dead letters.

It stands alone: no other package of this project is needed, and metrics or traces reach it only
through protocols that it owns.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_agent_coordination.coordinators.memory import InMemoryMessageCoordinator
    from tta_agent_coordination.coordinators.redis_coordinator import RedisMessageCoordinator
    from tta_agent_coordination.coordinators.sync import SyncSender
    from tta_agent_coordination.errors import (
        AgentCoordinationError,
        AgentFailed,
        AgentNotFound,
        AgentRegistryError,
        CircuitBreakerOpenError,
        ConfigurationError,
        CoordinatorAccessError,
        CoordinatorConnectionError,
        ForeignKeyError,
        InvalidAgentError,
        InvalidMessageError,
        InvalidStateError,
        LeaseLost,
        MailboxFullError,
        MessageCoordinatorError,
        NotReplicatedError,
        RequestTimeout,
        ServerFullError,
        ServerRefusedError,
        SharedStateError,
        StateConflictError,
    )
    from tta_agent_coordination.interfaces import (
        Agent,
        AgentProxy,
        AgentRegistry,
        DeadLetters,
        MailboxCoordinator,
        MessageCoordinator,
    )
    from tta_agent_coordination.messaging import (
        DeadLetter,
        FailureType,
        Lease,
        MailboxStats,
        MessageResult,
        MessageSubscription,
        ReceivedMessage,
        RejectReason,
    )
    from tta_agent_coordination.metrics import (
        EventKind,
        MessageMetrics,
        MetricsProtocol,
        NullMetrics,
        QueueEvent,
        QueueObserver,
    )
    from tta_agent_coordination.models import AgentId, AgentMessage, MessagePriority, MessageType
    from tta_agent_coordination.registries.memory import InMemoryAgentRegistry
    from tta_agent_coordination.registries.proxy import MailboxAgentProxy
    from tta_agent_coordination.registries.records import (
        AgentChange,
        AgentDescription,
        AgentRecord,
        ChangeKind,
    )
    from tta_agent_coordination.registries.redis_registry import RedisAgentRegistry
    from tta_agent_coordination.resilience.circuit_breaker import (
        CircuitBreaker,
        CircuitBreakerConfig,
    )
    from tta_agent_coordination.resilience.retry import RetryConfig, retry_with_backoff
    from tta_agent_coordination.sharing.base import SharedState, StateEntry
    from tta_agent_coordination.sharing.memory import InMemorySharedState
    from tta_agent_coordination.sharing.redis_state import RedisSharedState
    from tta_agent_coordination.stores import RedisBreakerStore, RedisCacheStore
    from tta_agent_coordination.transport import AgentTransport, RedisAgentTransport, RemoteStep
    from tta_agent_coordination.worker.handlers import current_message
    from tta_agent_coordination.worker.health import WorkerHealth, WorkerState
    from tta_agent_coordination.worker.running import AgentWorker

__all__ = (
    "Agent",
    "AgentChange",
    "AgentCoordinationError",
    "AgentDescription",
    "AgentFailed",
    "AgentId",
    "AgentMessage",
    "AgentNotFound",
    "AgentProxy",
    "AgentRecord",
    "AgentRegistry",
    "AgentRegistryError",
    "AgentTransport",
    "AgentWorker",
    "ChangeKind",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitBreakerOpenError",
    "ConfigurationError",
    "CoordinatorAccessError",
    "CoordinatorConnectionError",
    "DeadLetter",
    "DeadLetters",
    "EventKind",
    "FailureType",
    "ForeignKeyError",
    "InMemoryAgentRegistry",
    "InMemoryMessageCoordinator",
    "InMemorySharedState",
    "InvalidAgentError",
    "InvalidMessageError",
    "InvalidStateError",
    "Lease",
    "LeaseLost",
    "MailboxAgentProxy",
    "MailboxCoordinator",
    "MailboxFullError",
    "MailboxStats",
    "MessageCoordinator",
    "MessageCoordinatorError",
    "MessageMetrics",
    "MessagePriority",
    "MessageResult",
    "MessageSubscription",
    "MessageType",
    "MetricsProtocol",
    "NotReplicatedError",
    "NullMetrics",
    "QueueEvent",
    "QueueObserver",
    "ReceivedMessage",
    "RedisAgentRegistry",
    "RedisAgentTransport",
    "RedisBreakerStore",
    "RedisCacheStore",
    "RedisMessageCoordinator",
    "RedisSharedState",
    "RejectReason",
    "RemoteStep",
    "RequestTimeout",
    "RetryConfig",
    "ServerFullError",
    "ServerRefusedError",
    "SharedState",
    "SharedStateError",
    "StateConflictError",
    "StateEntry",
    "SyncSender",
    "WorkerHealth",
    "WorkerState",
    "__version__",
    "current_message",
    "retry_with_backoff",
)

__version__: str
"""Version of the installed distribution."""

if not TYPE_CHECKING:  # type checkers would take any name for granted
    # In which module a name lives. The modules are loaded when a name is asked for: pydantic and
    # redis take a third of a second, and whoever only wants the version should not pay for them.
    _HOMES = {
        "coordinators.memory": ("InMemoryMessageCoordinator",),
        "coordinators.redis_coordinator": ("RedisMessageCoordinator",),
        "coordinators.sync": ("SyncSender",),
        "errors": (
            "AgentCoordinationError",
            "AgentFailed",
            "AgentNotFound",
            "AgentRegistryError",
            "CircuitBreakerOpenError",
            "ConfigurationError",
            "CoordinatorAccessError",
            "CoordinatorConnectionError",
            "ForeignKeyError",
            "InvalidAgentError",
            "InvalidMessageError",
            "InvalidStateError",
            "LeaseLost",
            "MailboxFullError",
            "MessageCoordinatorError",
            "NotReplicatedError",
            "RequestTimeout",
            "ServerFullError",
            "ServerRefusedError",
            "SharedStateError",
            "StateConflictError",
        ),
        "interfaces": (
            "Agent",
            "AgentProxy",
            "AgentRegistry",
            "DeadLetters",
            "MailboxCoordinator",
            "MessageCoordinator",
        ),
        "messaging": (
            "DeadLetter",
            "FailureType",
            "Lease",
            "MailboxStats",
            "MessageResult",
            "MessageSubscription",
            "ReceivedMessage",
            "RejectReason",
        ),
        "metrics": (
            "EventKind",
            "MessageMetrics",
            "MetricsProtocol",
            "NullMetrics",
            "QueueEvent",
            "QueueObserver",
        ),
        "models": ("AgentId", "AgentMessage", "MessagePriority", "MessageType"),
        "registries.memory": ("InMemoryAgentRegistry",),
        "registries.proxy": ("MailboxAgentProxy",),
        "registries.records": ("AgentChange", "AgentDescription", "AgentRecord", "ChangeKind"),
        "registries.redis_registry": ("RedisAgentRegistry",),
        "resilience.circuit_breaker": ("CircuitBreaker", "CircuitBreakerConfig"),
        "resilience.retry": ("RetryConfig", "retry_with_backoff"),
        "sharing.base": ("SharedState", "StateEntry"),
        "sharing.memory": ("InMemorySharedState",),
        "sharing.redis_state": ("RedisSharedState",),
        "stores": ("RedisBreakerStore", "RedisCacheStore"),
        "transport": ("AgentTransport", "RedisAgentTransport", "RemoteStep"),
        "worker.handlers": ("current_message",),
        "worker.health": ("WorkerHealth", "WorkerState"),
        "worker.running": ("AgentWorker",),
    }

    def __getattr__(name: str) -> object:
        """Return a public name from its module, or ``__version__`` from the metadata."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - 30 ms that an import must not cost

            return version("tta-agent-coordination")
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module  # noqa: PLC0415 - as above

                value = getattr(import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
