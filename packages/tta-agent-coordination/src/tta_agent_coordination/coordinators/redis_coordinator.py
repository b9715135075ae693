"""The coordinator for agents on many machines: mailboxes on a Redis server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.redis_store import RedisMailboxStore
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.server.client import check_client
from tta_agent_coordination.server.names import check_prefix

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tta_agent_coordination.metrics import MetricsProtocol
    from tta_agent_coordination.server.client import RedisClient

__all__ = ("RedisMessageCoordinator",)


class RedisMessageCoordinator(StoredMailboxes):
    """Carries messages between agents over a Redis server.

    A message is delivered at least once: it stays until its receiver acknowledges it, and comes
    again when that one dies. Only the token of the latest delivery can settle it. All decisions are
    made on the server, by its clock, in one round trip each, and cost the same however long the
    queue is.

    Args:
        redis: A client of `redis.asyncio`: `Redis` (also from Sentinel, with any decoding or
            protocol) or `RedisCluster`. It is the caller's, and is never closed here.
        key_prefix: All keys begin with `{` and this; two coordinators with the same one share
            mailboxes.
        metrics: Counts deliveries; with a method `on_event`, it hears of everything else.
        max_attempts: After so many deliveries without success a message is a dead letter.
        max_length: So many messages may be ready in a mailbox, and so many scheduled; None is any
            number.
        max_message_bytes: The largest message, as JSON.
        dedupe_window: For so many seconds a mailbox knows the ids it has seen (about 150 bytes
            each); the client library repeats calls for up to 59 s. With 0 a message can be sent
            twice when the connection breaks.
        backoff_base: Seconds that a failed message waits after its first delivery.
        backoff_factor: How many times longer after each further one.
        backoff_max: Never longer than so many seconds.
        backoff_jitter: Up to this share of the wait is left out, at random.
        rng: Draws the jitter.
        min_replicas: A send is confirmed only when so many replicas have it; else it raises
            NotReplicatedError, and can be repeated. What is confirmed survives if one of those
            is promoted: name as many as may be. With 0, what the server had not passed on is lost
            when it fails. Not for a cluster.
        replica_timeout: The replicas have so many seconds, at most half of the client's
            `socket_timeout`.

    Raises:
        ConfigurationError: An option is out of range, or `redis` is no asyncio client.

    Example:
        ```python
        coordinator = RedisMessageCoordinator(redis.asyncio.Redis(), key_prefix="myapp")
        result = await coordinator.send_message(sender, recipient, message)
        received = await coordinator.receive(recipient, wait=10)
        if received is not None:
            await coordinator.ack(recipient, received.token)
        ```
    """

    def __init__(
        self,
        redis: RedisClient,
        key_prefix: str = "tta",
        metrics: MetricsProtocol | None = None,
        *,
        max_attempts: int = 4,
        max_length: int | None = 100_000,
        max_message_bytes: int = 1_048_576,
        dedupe_window: float = 120.0,
        backoff_base: float = 1.0,
        backoff_factor: float = 2.0,
        backoff_max: float = 30.0,
        backoff_jitter: float = 0.5,
        rng: random.Random | None = None,
        min_replicas: int = 0,
        replica_timeout: float = 1.0,
        _clock: Callable[[], int] | None = None,
    ) -> None:
        check_client(redis)
        super().__init__(
            RedisMailboxStore(
                redis,
                check_prefix(key_prefix),
                _clock,
                replicas=check_count("min_replicas", min_replicas, least=0),
                patience=check_seconds("replica_timeout", replica_timeout),
            ),
            metrics=metrics,
            max_attempts=max_attempts,
            max_length=max_length,
            max_message_bytes=max_message_bytes,
            dedupe_window=dedupe_window,
            backoff_base=backoff_base,
            backoff_factor=backoff_factor,
            backoff_max=backoff_max,
            backoff_jitter=backoff_jitter,
            rng=rng,
        )
