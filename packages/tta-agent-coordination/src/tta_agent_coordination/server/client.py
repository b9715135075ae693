"""What is asked of a client library, how its calls are cancelled, and what its errors mean."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tta_agent_coordination.errors import (
    ConfigurationError,
    CoordinatorAccessError,
    CoordinatorConnectionError,
    ForeignKeyError,
    ServerFullError,
    ServerRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.exceptions import RedisError

__all__ = ("RedisClient", "answer_of", "check_client", "refuse", "slice_of", "unswallowed")

PATIENCE = 0.02
"""Seconds until a cancellation that had no effect is repeated."""
FORBIDDEN = ("NOPERM", "The user executing the script can't", "ACL failure in script")
"""What a server says of a missing right."""
NOBODY = ("NOAUTH", "HELLO must be called with the client already authenticated")
"""What a server says to a client that has not given a password."""
SLICE = 2.0
"""A blocking command waits at most so many seconds."""


class RedisClient(Protocol):
    """What is used of a client: `redis.asyncio.Redis` and `RedisCluster` have it."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]:
        """Send a command and return the reply."""
        ...


def slice_of(client: object) -> float:
    """Return how many seconds a command may block before the client would give it up."""
    pool = getattr(client, "connection_pool", client)
    options = cast("dict[str, object]", getattr(pool, "connection_kwargs", {}))
    timeout = options.get("socket_timeout")
    if isinstance(timeout, (int, float)) and timeout > 0:
        return min(SLICE, timeout / 2)
    return SLICE


async def unswallowed(call: Awaitable[Any]) -> Any:
    """Await a client's call, and let a cancellation end it soon, come when it may.

    The client sends by `asyncio.wait_for`, which on Python 3.11 can swallow a cancellation that
    comes as the sending ends; the client would then wait for the reply as if nothing had been.
    Such a cancellation is still seen in the task's count: it is repeated until it has an effect.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None  # no event loop: a client for synchronous code
    if task is None:
        return await call
    loop = asyncio.get_running_loop()
    before, again, seen = task.cancelling(), 0, False
    handle: asyncio.TimerHandle

    def look() -> None:
        nonlocal again, handle, seen
        # At the first sight it may be a time limit of the client's own that has just passed; to
        # cancel once more would make a cancellation of what is to become a TimeoutError.
        pending = task.cancelling() > before + again
        if pending and seen:
            again += 1
            task.cancel()
        seen = pending
        handle = loop.call_later(PATIENCE, look)

    handle = loop.call_later(PATIENCE, look)
    try:
        reply = await call
    except Exception:
        if task.cancelling() > before:  # the error came instead of the reply, and hides it as well
            raise asyncio.CancelledError from None
        raise
    finally:
        handle.cancel()
        for _ in range(again):
            task.uncancel()
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return reply


async def answer_of(call: Awaitable[Any]) -> Any:
    """Await a client's call as `unswallowed` does; that nobody answers is a `RedisError`, too."""
    try:
        return await unswallowed(call)
    except (RedisClusterException, OSError) as error:  # no RedisError
        raise RedisConnectionError(str(error)) from error
    except AttributeError as error:
        # The client of a cluster uses a connection that another call has just closed: then, and
        # only then, its writer is None.
        if "'NoneType'" not in str(error):
            raise
        raise RedisConnectionError(f"the client lost its connection: {error}") from error


def refuse(error: RedisError, key: bytes, doing: str) -> NoReturn:
    """Raise the error that tells a caller what to do about a client's or a server's error."""
    said = str(error).partition(" : <")[0]  # a client that looks for a master tells of itself
    if any(word in said for word in NOBODY):
        said = "the server wants a password, and was given none"
    where = f"{doing} at {key.decode('ascii', 'replace')!r}: {said:.200}"
    if isinstance(error, AuthenticationError):
        raise CoordinatorAccessError(
            f"{where}; check the user name and the password of the client"
        ) from error
    # Also where the account may run scripts, but not what is inside; servers word this differently.
    if isinstance(error, NoPermissionError) or any(word in said for word in FORBIDDEN):
        raise CoordinatorAccessError(
            f"{where}; the account needs EVALSHA, EVAL, BLPOP, TIME and the commands on lists, "
            "hashes, sets, sorted sets, texts and keys, for all keys that begin with { and the "
            "prefix"
        ) from error
    # A server that has become a replica: whoever asks again is led to the new master.
    away = (RedisConnectionError, RedisTimeoutError, ClusterDownError, ReadOnlyError)
    if isinstance(error, away) or said.startswith("READONLY"):
        raise CoordinatorConnectionError(
            f"{where}; the server cannot be reached now, and the call can be repeated without harm"
        ) from error
    if isinstance(error, OutOfMemoryError) or "OOM" in said:  # told so, or from within a script
        raise ServerFullError(
            f"{where}; the server has reached its maxmemory: raise it, or make room by receiving "
            "and acknowledging, then repeat the call"
        ) from error
    if "WRONGTYPE" in said:
        raise ForeignKeyError(
            f"{where}; another program keeps its own data there: use another key_prefix"
        ) from error
    raise ServerRefusedError(where) from error


def check_client(client: object) -> None:
    """Refuse what is no asyncio client, before a first call fails in a strange way.

    Raises:
        ConfigurationError: It is something else, such as the client for synchronous code.
    """
    execute = getattr(client, "execute_command", None)
    if not inspect.iscoroutinefunction(execute):
        raise ConfigurationError(
            f"redis must be a client such as redis.asyncio.Redis(), not {client!r:.100}"
        )
