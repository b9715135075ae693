"""Sending from code that has no event loop, or must not wait for one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from tta_agent_coordination.coordinators.memory import InMemoryMessageCoordinator
from tta_agent_coordination.coordinators.redis_coordinator import RedisMessageCoordinator
from tta_agent_coordination.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping
    from datetime import datetime

    from redis import Redis

    from tta_agent_coordination.coordinators.base import StoredMailboxes
    from tta_agent_coordination.messaging import MessageResult
    from tta_agent_coordination.metrics import MetricsProtocol
    from tta_agent_coordination.models import AgentId, AgentMessage

__all__ = ("SyncSender",)

T = TypeVar("T")


class _BlockingPipeline:
    """A pipeline of a client for synchronous code."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def execute_command(self, *args: Any, **options: Any) -> None:
        self._pipeline.execute_command(*args, **options)

    async def execute(self, *, raise_on_error: bool) -> Any:
        return self._pipeline.execute(raise_on_error=raise_on_error)


class _BlockingClient:
    """A client for synchronous code, with the methods of the other kind; they never wait."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = getattr(client, "connection_pool", None)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._client.execute_command(*args, **options)

    def pipeline(self, *, transaction: bool) -> _BlockingPipeline:
        return _BlockingPipeline(self._client.pipeline(transaction=transaction))


class SyncSender:
    """Sends messages from synchronous code: a web view, a script, a callback.

    Messages, results and errors are those of the coordinator whose `key_prefix` it shares. A call
    blocks its thread for one round trip; it may be made with or without a running event loop, and,
    as the client allows it, from many threads.

    Args:
        redis: A client for synchronous code, such as `redis.Redis()`; never closed here. Or an
            `InMemoryMessageCoordinator`, in the thread of the event loop that uses it; it then
            brings its own options.
        key_prefix: As for `RedisMessageCoordinator`.
        metrics: As there.
        max_length: As there.
        max_message_bytes: As there.
        dedupe_window: As there.
        min_replicas: As there.
        replica_timeout: As there.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is something else.

    Example:
        >>> from tta_agent_coordination.testing import ASKER, WRITER, sample
        >>> sender = SyncSender(InMemoryMessageCoordinator())
        >>> sender.send_message(ASKER, WRITER, sample("m1")).delivered
        True
    """

    def __init__(
        self,
        redis: Redis | InMemoryMessageCoordinator,
        key_prefix: str = "tta",
        metrics: MetricsProtocol | None = None,
        *,
        max_length: int | None = 100_000,
        max_message_bytes: int = 1_048_576,
        dedupe_window: float = 120.0,
        min_replicas: int = 0,
        replica_timeout: float = 1.0,
    ) -> None:
        self._coordinator: StoredMailboxes
        if isinstance(redis, InMemoryMessageCoordinator):
            self._coordinator = redis
            return
        execute = getattr(redis, "execute_command", None)
        if not callable(execute) or inspect.iscoroutinefunction(execute):
            raise ConfigurationError(
                f"redis must be a client for synchronous code such as redis.Redis(), not "
                f"{redis!r:.100}; with one of redis.asyncio, await a coordinator's send_message()"
            )
        self._coordinator = RedisMessageCoordinator(
            _BlockingClient(redis),
            key_prefix,
            metrics,
            max_length=max_length,
            max_message_bytes=max_message_bytes,
            dedupe_window=dedupe_window,
            min_replicas=min_replicas,
            replica_timeout=replica_timeout,
        )

    def send_message(
        self,
        sender: AgentId,
        recipient: AgentId,
        message: AgentMessage,
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> MessageResult:
        """Do as `send_message` of a coordinator."""
        return finish(
            self._coordinator.send_message(
                sender,
                recipient,
                message,
                deliver_at=deliver_at,
                ttl=ttl,
                headers=headers,
                ordering_key=ordering_key,
            )
        )

    def send_many(
        self,
        messages: Iterable[AgentMessage],
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Do as `send_many` of a coordinator."""
        return finish(
            self._coordinator.send_many(
                messages,
                deliver_at=deliver_at,
                ttl=ttl,
                headers=headers,
                ordering_key=ordering_key,
            )
        )

    def publish(
        self,
        topic: str,
        message: AgentMessage,
        *,
        deliver_at: datetime | None = None,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        ordering_key: str | None = None,
    ) -> list[MessageResult]:
        """Do as `publish` of a coordinator."""
        return finish(
            self._coordinator.publish(
                topic,
                message,
                deliver_at=deliver_at,
                ttl=ttl,
                headers=headers,
                ordering_key=ordering_key,
            )
        )


def finish(call: Coroutine[Any, Any, T]) -> T:
    """Run a call that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    call.close()
    raise RuntimeError("a call that must not wait has waited")
