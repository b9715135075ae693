"""Running the Lua scripts that lie in `lua/`, and telling what a server's refusal means.

A script whose first line is `--! a b` begins with the text of `a.lua` and `b.lua`. Scripts are
called by their digest; a server that does not know it (new, restarted, or flushed) is given the
text once.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
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
    from collections.abc import Awaitable, Callable

__all__ = ("SCRIPTS", "RedisClient", "Script", "Scripts", "check_client", "refuse")

PATIENCE = 0.02
"""Seconds until a cancellation that had no effect is repeated."""

_FOLDER = files("tta_agent_coordination.coordinators") / "lua"


class RedisClient(Protocol):
    """What is used of a client: `redis.asyncio.Redis` and `RedisCluster` have it."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]:
        """Send a command and return the reply."""
        ...


def _text(name: str) -> str:
    text = (_FOLDER / f"{name}.lua").read_text("utf-8")
    first, _, rest = text.partition("\n")
    if not first.startswith("--! "):
        return text
    return "\n".join([*(_text(part) for part in first.split()[1:]), rest])


class Script:
    """One script, ready to be called."""

    __slots__ = ("digest", "name", "text")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.text: bytes = _text(name).encode()
        self.digest: bytes = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


# Read once, with the module: reading files later would hold up an event loop.
SCRIPTS = {
    name: Script(name)
    for name in (
        "cancel",
        "dead_list",
        "dead_move",
        "extend",
        "give_back",
        "nack",
        "pause",
        "purge",
        "send",
        "settle",
        "stats",
        "take",
    )
}


class Scripts:
    """The scripts, on one client.

    Args:
        client: Where to run them; never closed here.
        clock: Only for tests: what to tell the scripts as the time, in ms.
    """

    __slots__ = ("_client", "_clock")

    def __init__(self, client: RedisClient, clock: Callable[[], int] | None = None) -> None:
        self._client = client
        self._clock = clock

    async def run(self, name: str, key: bytes, *args: bytes | str | int) -> Any:
        """Run a script; its result is bytes, ints, lists and None, whatever the client decodes.

        Args:
            name: Which script.
            key: The root key of its type of agents.
            *args: What the script takes after the time.

        Raises:
            MessageCoordinatorError: The subclass tells what to do.
        """
        script = SCRIPTS[name]
        now = b"" if self._clock is None else self._clock()
        try:
            try:
                return await self._call("EVALSHA", script.digest, 1, key, now, *args)
            except NoScriptError:
                return await self._call("EVAL", script.text, 1, key, now, *args)
        except RedisError as error:
            refuse(error, key, name)

    async def _call(self, *command: bytes | str | float) -> Any:
        # The client sends by `asyncio.wait_for`, which on Python 3.11 can swallow a cancellation
        # that comes as the sending ends. It is still seen in the task's count, and made good here.
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        reply = await self._client.execute_command(*command, NEVER_DECODE=True)
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
        return reply

    async def pop(self, key: bytes, seconds: float) -> bytes | None:
        """Pop the head of a list, waiting for one; None after so many seconds."""
        # In a task of its own: a cancellation that the client swallows (see below) would otherwise
        # be noticed only when the waiting is over.
        waiting = asyncio.ensure_future(self._call("BLPOP", key, seconds))
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            while not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting], timeout=PATIENCE)
            if not waiting.cancelled():
                waiting.exception()  # seen; what was popped is still in the table of leases
            raise
        try:
            popped = waiting.result()
        except RedisError as error:
            refuse(error, key, "BLPOP")
        return None if popped is None else bytes(popped[1])


def refuse(error: RedisError, key: bytes, doing: str) -> NoReturn:
    """Raise the error that tells a caller what to do about a client's or a server's error."""
    said = str(error)
    where = f"{doing} at {key.decode('ascii', 'replace')!r}: {said:.200}"
    if isinstance(error, AuthenticationError):
        raise CoordinatorAccessError(
            f"{where}; check the user name and the password of the client"
        ) from error
    if isinstance(error, NoPermissionError) or "NOPERM" in said:
        raise CoordinatorAccessError(
            f"{where}; the account needs EVALSHA, EVAL, BLPOP and the commands on lists, hashes, "
            "sorted sets and keys, for all keys that begin with { and the prefix"
        ) from error
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, ClusterDownError)):
        raise CoordinatorConnectionError(
            f"{where}; the server cannot be reached now, and the call can be repeated without harm"
        ) from error
    if isinstance(error, OutOfMemoryError) or "OOM" in said:  # told so, or from within a script
        raise ServerFullError(
            f"{where}; receive and acknowledge what is there, raise maxmemory, then send again"
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
