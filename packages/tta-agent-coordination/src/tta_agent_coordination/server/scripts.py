"""Running the Lua scripts that lie in the folders `lua/`, beside the modules that call them.

A script whose first line is `--! a b` begins with the text of `a.lua` and `b.lua`; `--! server/a`
names one of another folder. Scripts are called by their digest; a server that does not know it
(new, restarted, or flushed) is given the text once.
"""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import NoScriptError, RedisError

from tta_agent_coordination.errors import CoordinatorConnectionError
from tta_agent_coordination.server.client import answer_of, refuse, slice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.resources.abc import Traversable

    from tta_agent_coordination.server.client import RedisClient

__all__ = ("Script", "Scripts", "load_scripts")

GRACE = 3.0
"""A blocking command that is so many seconds late has lost its connection."""


def _text(folder: Traversable, name: str) -> str:
    elsewhere, _, name = name.rpartition("/")
    if elsewhere:
        folder = files("tta_agent_coordination") / elsewhere / "lua"
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


class Scripts:
    """The scripts, on one client.

    Args:
        client: Where to run them; never closed here.
        clock: Only for tests: what to tell the scripts as the time, in ms.
        scripts: Which.
    """

    __slots__ = ("_client", "_clock", "_scripts", "_starting")

    def __init__(
        self,
        client: RedisClient,
        clock: Callable[[], int] | None,
        scripts: Mapping[str, Script],
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
        return cast("list[Any]", await answer_of(pipeline.execute(raise_on_error=False)))

    async def _call(self, *command: bytes | str | float) -> Any:
        if self._starting is not None:
            await self._start(self._starting)
        return await answer_of(self._client.execute_command(*command, NEVER_DECODE=True))

    async def _start(self, lock: asyncio.Lock) -> None:
        # A client of a cluster does not bear two first calls at once.
        async with lock:
            if self._starting is not None:
                await answer_of(cast("Any", self._client).initialize())
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
