"""Turn the calls of HTTP clients: record them, or answer them from recordings."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from keploy_framework.errors import OptionError
from keploy_framework.recording.clients.aiohttp_protocol import patch_aiohttp
from keploy_framework.recording.clients.httpx_transport import patch_httpx
from keploy_framework.recording.clients.patching import hold, release
from keploy_framework.recording.clients.seam import Interception, enter, leave
from keploy_framework.recording.clients.urllib3_connection import patch_urllib3
from keploy_framework.recording.clients.websockets_client import (
    patch_websockets,
    patch_websockets_asyncio,
    patch_websockets_legacy,
    patch_websockets_sync,
)
from keploy_framework.recording.network import AllowedHosts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from contextlib import AbstractContextManager

    from keploy_framework.recording.clients.patching import Apply
    from keploy_framework.recording.clients.seam import Responder
    from keploy_framework.recording.sink import Sink

__all__ = ("CLIENTS", "answering", "install", "recording")

_URLLIB3: Final[dict[str, Apply]] = {"urllib3.connectionpool": patch_urllib3}
_MODULES: Final[dict[str, dict[str, Apply]]] = {
    "aiohttp": {"aiohttp": patch_aiohttp},
    "httpx": {"httpx": patch_httpx},
    "httpx2": {"httpx2": patch_httpx},
    "requests": _URLLIB3,
    "urllib3": _URLLIB3,
    "websockets": {
        "websockets.client": patch_websockets,
        "websockets.asyncio.client": patch_websockets_asyncio,
        "websockets.legacy.client": patch_websockets_legacy,
        "websockets.sync.client": patch_websockets_sync,
    },
}
CLIENTS: Final = tuple(sorted(_MODULES))
"""The names of the clients whose calls can be turned."""


@contextmanager
def install(
    clients: Collection[str] | Literal["installed"] = "installed",
    *,
    sink: Sink | None = None,
    responder: Responder | None = None,
    speed: float = 0,
    allow_hosts: Collection[str] | AllowedHosts = (),
    context: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Interception]:
    """Turn outbound calls while the block runs.

    Libraries that are not imported are left alone until they are. Blocks may be nested, and may
    overlap: the innermost that names a client has its calls. requests sends through urllib3, so
    naming one of them names both.

    Args:
        clients: Names out of `CLIENTS`, or "installed" for all that are there.
        sink: Where calls that go to the network are recorded; None leaves them unrecorded.
        responder: Answers calls from recordings; None lets all go to the network.
        speed: How fast recorded answers are played: 1 as they came, 2 twice as fast, 0 at once.
        allow_hosts: Hosts that are called for real, whatever the responder holds.
        context: Turn only calls of this context (this thread or task, and tasks that it starts);
            else those of the whole process.
        clock: Monotonic seconds, for blocking clients; others go by their loop.
        sleep: Waits so many seconds, for blocking clients.

    Raises:
        OptionError: A name is no client's, or the client is not installed; or the speed is
            negative or no number.

    Example:
        >>> from keploy_framework.recording.memory import MemoryRecorder
        >>> recorder = MemoryRecorder()
        >>> with install(["httpx"], sink=recorder):
        ...     pass  # what httpx calls here is recorded
    """
    names = _names(clients)
    _check_speed(speed)
    allowed = allow_hosts if isinstance(allow_hosts, AllowedHosts) else AllowedHosts(allow_hosts)
    interception = Interception(
        names,
        sink=sink,
        responder=responder,
        speed=speed,
        allowed=allowed,
        clock=clock,
        sleep=sleep,
    )
    modules: dict[str, Apply] = {}
    for name in names:
        modules.update(_MODULES[name])
    hold(modules)
    try:
        enter(interception, context=context)
        try:
            yield interception
        finally:
            leave(interception, context=context)
    finally:
        release(modules)


def recording(
    sink: Sink, clients: Collection[str] | Literal["installed"] = "installed"
) -> AbstractContextManager[Interception]:
    """Record the outbound calls of the whole process while the block runs. See `install`."""
    return install(clients, sink=sink)


def answering(
    responder: Responder,
    clients: Collection[str] | Literal["installed"] = "installed",
    *,
    speed: float = 0,
    allow_hosts: Collection[str] | AllowedHosts = (),
    context: bool = False,
) -> AbstractContextManager[Interception]:
    """Answer outbound calls from recordings while the block runs. See `install`."""
    return install(
        clients, responder=responder, speed=speed, allow_hosts=allow_hosts, context=context
    )


def _check_speed(speed: object) -> None:
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed < math.inf:
        raise OptionError(f"speed must be a number, 0 or more, not {speed!r:.60}")


def _names(clients: Collection[str] | Literal["installed"]) -> frozenset[str]:
    """Check the names of clients.

    Raises:
        OptionError: A name is no client's, or the client is not installed.
    """
    known = ", ".join(CLIENTS)
    if isinstance(clients, str):
        if clients == "installed":
            return frozenset(CLIENTS)
        raise OptionError(
            f'clients must be "installed" or a list of names ({known}), not {clients!r:.60}'
        )
    names: set[str] = set()
    for name in clients:
        if name not in _MODULES:
            raise OptionError(f"{name!r:.60} is no client that can be recorded; these are: {known}")
        if find_spec(name) is None:
            raise OptionError(f"{name} is not installed: uv add {name}")
        names.add(name)
        if name in {"requests", "urllib3"}:
            names |= {"requests", "urllib3"}
    return frozenset(names)
