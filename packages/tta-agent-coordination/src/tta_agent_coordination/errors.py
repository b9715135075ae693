"""What can go wrong between agents, as a tree of exceptions that says what the caller can do.

```text
AgentCoordinationError
├── ConfigurationError(ValueError)             an option is out of range: fix the call
├── MessageCoordinatorError                    a message could not be sent, taken or settled
│   ├── InvalidMessageError(ValueError)        this message can never be sent: fix the message
│   ├── LeaseLost                              someone else has the message now: drop the work
│   ├── RequestTimeout(TimeoutError)           no answer in time: ask again, or give up
│   ├── AgentFailed                            the other agent answered with an error
│   ├── MailboxFullError                       too many messages wait there: ask again later
│   ├── CoordinatorConnectionError(ConnectionError)  the server is away: try again
│   ├── CoordinatorAccessError(PermissionError)      password or rights: fix the account
│   ├── ServerFullError                        the server has no memory left: drain, then send again
│   ├── NotReplicatedError                     too few replicas have it: send again, it is safe
│   ├── ForeignKeyError(TypeError)             someone else uses our key: change the prefix
│   └── ServerRefusedError                     the server answered with any other error
├── AgentRegistryError                         an agent could not be registered or listed
│   ├── InvalidAgentError(ValueError)          this agent can never be registered: fix it
│   └── AgentNotFound(LookupError)             nobody alive is called so, or can do this
├── SharedStateError                           a shared value could not be read or written
│   ├── InvalidStateError(ValueError)          this value can never be kept: fix it
│   └── StateConflictError                     others have changed it meanwhile: read it again
└── CircuitBreakerOpenError                    the breaker is open: do not call now
```

Every one is made from its message alone, so all of them can be pickled.
"""

from __future__ import annotations

__all__ = (
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
)


class AgentCoordinationError(Exception):
    """Root of all errors that this package raises on its own account."""


class ConfigurationError(AgentCoordinationError, ValueError):
    """An option has a value that can never work; the message names the option and the value."""


class MessageCoordinatorError(AgentCoordinationError):
    """A message could not be sent, received or settled."""


class InvalidMessageError(MessageCoordinatorError, ValueError):
    """A message cannot be written as JSON that a receiver could read; fix it before sending."""


class LeaseLost(MessageCoordinatorError):  # noqa: N818 - the name that users of leases know
    """A lease has run out, or was settled before: the message belongs to another receiver now."""


class RequestTimeout(MessageCoordinatorError, TimeoutError):  # noqa: N818 - a name of the field
    """No answer came before the deadline of a request."""


class AgentFailed(MessageCoordinatorError):  # noqa: N818 - says who failed: not the coordinator
    """The agent that was asked answered with an error."""


class MailboxFullError(MessageCoordinatorError):
    """The recipient's mailbox holds as many messages as it may; ask again when some are done."""


class CoordinatorConnectionError(MessageCoordinatorError, ConnectionError):
    """The server cannot be reached, or the connection broke; every call is safe to repeat."""


class CoordinatorAccessError(MessageCoordinatorError, PermissionError):
    """The server refuses this account: a wrong password, or rights that are missing."""


class ServerFullError(MessageCoordinatorError):
    """The server has reached its memory limit and accepts nothing new; receiving still works."""


class NotReplicatedError(MessageCoordinatorError):
    """Fewer replicas than asked for have confirmed a message; sending it again is safe."""


class ForeignKeyError(MessageCoordinatorError, TypeError):
    """A key of ours holds something of another type: another program uses the same prefix."""


class ServerRefusedError(MessageCoordinatorError):
    """The server answered a command with an error of its own."""


class AgentRegistryError(AgentCoordinationError):
    """An agent could not be registered, renewed or listed."""


class InvalidAgentError(AgentRegistryError, ValueError):
    """An agent has no instance, or capabilities that are no texts; fix it before registering."""


class AgentNotFound(AgentRegistryError, LookupError):  # noqa: N818 - a name of the field
    """No agent that is alive has this name, or can do what is asked for."""


class SharedStateError(AgentCoordinationError):
    """A value that agents share could not be read or written."""


class InvalidStateError(SharedStateError, ValueError):
    """A value or its key cannot be kept: it is no JSON, or too large."""


class StateConflictError(SharedStateError):
    """Others have changed a value each time before it could be written."""


class CircuitBreakerOpenError(AgentCoordinationError):
    """A circuit breaker is open and lets no call through."""
