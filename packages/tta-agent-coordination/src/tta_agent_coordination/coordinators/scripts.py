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
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    RedisClusterException,
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
    from collections.abc import Awaitable, Callable, Mapping
    from importlib.resources.abc import Traversable

__all__ = (
    "SCRIPTS",
    "RedisClient",
    "Script",
    "Scripts",
    "check_client",
    "load_scripts",
    "refuse",
    "slice_of",
    "unswallowed",
)

GRACE = 3.0
"""A blocking command that is so many seconds late has lost its connection."""
PATIENCE = 0.02
"""Seconds until a cancellation that had no effect is repeated."""
SLICE = 2.0
"""A blocking command waits at most so many seconds."""


class RedisClient(Protocol):
    """What is used of a client: `redis.asyncio.Redis` and `RedisCluster` have it."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]:
        """Send a command and return the reply."""
        ...


def _text(folder: Traversable, name: str) -> str:
    text = (folder / f"{name}.lua").read_text("utf-8")
    first, _, rest = text.partition("\n")
    if not first.startswith("--! "):
        return text
    return "\n".join([*(_text(folder, part) for part in first.split()[1:]), rest])


class Script:
    """One script, ready to be called."""

    __slots__ = ("digest", "name", "text")

    def __init__(self, folder: Traversable, name: str) -> None:
        self.name: str = name
        self.text: bytes = _text(folder, name).encode()
        self.digest: bytes = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


def load_scripts(package: str, *names: str) -> dict[str, Script]:
    """Read scripts, by name, from the folder `lua` of a package.

    Read once, with the module that runs them: reading files later would hold up an event loop.
    """
    folder = files(package) / "lua"
    return {name: Script(folder, name) for name in names}


SCRIPTS = load_scripts(
    "tta_agent_coordination.coordinators",
    "cancel",
    "dead_list",
    "dead_move",
    "drop",
    "extend",
    "fence",
    "give_back",
    "nack",
    "pause",
    "purge",
    "roster",
    "send",
    "settle",
    "stats",
    "take",
)


class Scripts:
    """The scripts, on one client.

    Args:
        client: Where to run them; never closed here.
        clock: Only for tests: what to tell the scripts as the time, in ms.
        scripts: Which; by default those of the mailboxes.
    """

    __slots__ = ("_client", "_clock", "_scripts", "_starting")

    def __init__(
        self,
        client: RedisClient,
        clock: Callable[[], int] | None = None,
        scripts: Mapping[str, Script] = SCRIPTS,
    ) -> None:
        self._client = client
        self._clock = clock
        self._scripts = scripts
        of_cluster = hasattr(client, "get_node_from_key")
        self._starting = asyncio.Lock() if of_cluster else None

    async def run(self, name: str, key: bytes, *args: bytes | str | int) -> Any:
        """Run a script; its result is bytes, ints, lists and None, whatever the client decodes.

        Args:
            name: Which script.
            key: The root key of its type of agents.
            *args: What the script takes after the time.

        Raises:
            MessageCoordinatorError: The subclass tells what to do.
        """
        script = self._scripts[name]
        now = b"" if self._clock is None else self._clock()
        try:
            try:
                return await self._call("EVALSHA", script.digest, 1, key, now, *args)
            except NoScriptError:
                return await self._call("EVAL", script.text, 1, key, now, *args)
        except RedisError as error:
            refuse(error, key, name)

    async def run_replicated(
        self, name: str, key: bytes, *args: bytes | str | int, replicas: int, patience: int
    ) -> tuple[Any, int]:
        """Run a script, and wait until replicas have what it wrote.

        Args:
            name: Which script.
            key: The root key.
            *args: What the script takes after the time.
            replicas: So many shall have it.
            patience: They have so many ms.

        Returns:
            The script's result, and how many replicas have it.
        """
        script = self._scripts[name]
        now = b"" if self._clock is None else self._clock()
        arguments = (1, key, now, *args)
        try:
            result, count = await self._call_pair(
                ("EVALSHA", script.digest, *arguments), ("WAIT", replicas, patience)
            )
            if isinstance(result, NoScriptError):
                result, count = await self._call_pair(
                    ("EVAL", script.text, *arguments), ("WAIT", replicas, patience)
                )
            for reply in (result, count):
                if isinstance(reply, RedisError):
                    raise reply
        except RedisError as error:
            refuse(error, key, name)
        return result, int(count)

    async def _call_pair(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        # WAIT is about what its own connection has written.
        pipeline = cast("Any", self._client).pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, NEVER_DECODE=True)
        return cast("list[Any]", await unswallowed(pipeline.execute(raise_on_error=False)))

    async def _call(self, *command: bytes | str | float) -> Any:
        try:
            if self._starting is not None:
                await self._start(self._starting)
            return await unswallowed(self._client.execute_command(*command, NEVER_DECODE=True))
        except RedisClusterException as error:  # no RedisError
            raise RedisConnectionError(str(error)) from error

    async def _start(self, lock: asyncio.Lock) -> None:
        # A client of a cluster does not bear two first calls at once.
        async with lock:
            if self._starting is not None:
                await unswallowed(cast("Any", self._client).initialize())
                self._starting = None

    async def pop(self, key: bytes, seconds: float) -> bytes | None:
        """Pop the head of a list, waiting for one; None after so many seconds.

        Raises:
            CoordinatorConnectionError: Also if the server does not answer soon after that.
        """
        try:
            async with asyncio.timeout(seconds + GRACE):
                popped = await self._call("BLPOP", key, seconds)
        except TimeoutError:
            raise CoordinatorConnectionError(
                f"the server has not answered for {seconds + GRACE:.1f} s; the call can be "
                "repeated without harm"
            ) from None
        except RedisError as error:
            refuse(error, key, "BLPOP")
        return None if popped is None else bytes(popped[1])

    async def note(self, key: bytes, seconds: float) -> bytes | None:
        """Pop the head of a list as `pop` does, but wait in slices that no client gives up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            # Zero would wait for ever.
            item = await self.pop(key, round(max(0.001, min(left, slice_of(self._client))), 3))
            if item is not None:
                return item
        return None


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
    before, again = task.cancelling(), 0
    handle: asyncio.TimerHandle

    def look() -> None:
        nonlocal again, handle
        if task.cancelling() > before + again:
            again += 1
            task.cancel()
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
