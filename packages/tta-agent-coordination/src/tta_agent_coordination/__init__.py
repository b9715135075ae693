"""Agents on many machines, over Redis: mailboxes with leases, retries and dead letters.

It stands alone: no other package of this project is needed, and metrics or traces reach it only
through protocols that it owns.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tta_agent_coordination.coordinators.memory import InMemoryMessageCoordinator
    from tta_agent_coordination.coordinators.redis_coordinator import RedisMessageCoordinator
    from tta_agent_coordination.errors import (
        AgentCoordinationError,
        AgentFailed,
        AgentRegistryError,
        CircuitBreakerOpenError,
        ConfigurationError,
        CoordinatorAccessError,
        CoordinatorConnectionError,
        ForeignKeyError,
        InvalidMessageError,
        LeaseLost,
        MessageCoordinatorError,
        NotReplicatedError,
        RequestTimeout,
        ServerFullError,
        ServerRefusedError,
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

__all__ = (
    "Agent",
    "AgentCoordinationError",
    "AgentFailed",
    "AgentId",
    "AgentMessage",
    "AgentProxy",
    "AgentRegistry",
    "AgentRegistryError",
    "CircuitBreakerOpenError",
    "ConfigurationError",
    "CoordinatorAccessError",
    "CoordinatorConnectionError",
    "DeadLetter",
    "DeadLetters",
    "EventKind",
    "FailureType",
    "ForeignKeyError",
    "InMemoryMessageCoordinator",
    "InvalidMessageError",
    "Lease",
    "LeaseLost",
    "MailboxCoordinator",
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
    "RedisMessageCoordinator",
    "RejectReason",
    "RequestTimeout",
    "ServerFullError",
    "ServerRefusedError",
    "__version__",
)

__version__: str
"""Version of the installed distribution."""

if not TYPE_CHECKING:  # type checkers would take any name for granted
    # In which module a name lives. The modules are loaded when a name is asked for: pydantic and
    # redis take a third of a second, and whoever only wants the version should not pay for them.
    _HOMES = {
        "coordinators.memory": ("InMemoryMessageCoordinator",),
        "coordinators.redis_coordinator": ("RedisMessageCoordinator",),
        "errors": (
            "AgentCoordinationError",
            "AgentFailed",
            "AgentRegistryError",
            "CircuitBreakerOpenError",
            "ConfigurationError",
            "CoordinatorAccessError",
            "CoordinatorConnectionError",
            "ForeignKeyError",
            "InvalidMessageError",
            "LeaseLost",
            "MessageCoordinatorError",
            "NotReplicatedError",
            "RequestTimeout",
            "ServerFullError",
            "ServerRefusedError",
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
