"""The application's side of a replay that started it: loaded by the start-up hook, before its code.

Outbound calls are answered by the replay, over a local socket; frozen time is set by it.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Client
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.errors import KeployError
from keploy_framework.recording.network import blocked_network, this_machine
from keploy_framework.replay.control import (
    ADDRESS_VARIABLE,
    ALLOW_VARIABLE,
    BLOCKED,
    CALLS,
    CLOCK,
    FREEZE_VARIABLE,
    HELLO,
    KEY_VARIABLE,
    LIVE_VARIABLE,
    RECORD_VARIABLE,
    TROUBLE,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

    from keploy_framework.matching import Miss
    from keploy_framework.model import Exchange, Request

__all__ = ("RemoteAnswers", "begin")

_kept: list[AbstractContextManager[object]] = []


def begin() -> None:
    """Turn what has to be turned in this process, as its environment says."""
    if ADDRESS_VARIABLE not in os.environ:
        return
    with _connected() as greeting:
        greeting.send(HELLO)
    if RECORD_VARIABLE in os.environ:
        _record(json.loads(os.environ[RECORD_VARIABLE]))
    if LIVE_VARIABLE not in os.environ:
        from keploy_framework.recording.clients import install  # noqa: PLC0415 - not when calls go out

        allowed = cast("list[str]", json.loads(os.environ.get(ALLOW_VARIABLE, "[]")))
        hosts = (*this_machine(), *allowed)
        _keep(install(responder=RemoteAnswers(), allow_hosts=allowed))
        _keep(blocked_network(hosts, nearest=lambda host, port: _tell(BLOCKED, host, port)))
    if FREEZE_VARIABLE in os.environ:
        import time_machine  # noqa: PLC0415 - an extra, and only needed here

        _keep_time(time_machine)
        if hasattr(os, "register_at_fork"):  # threads do not come along
            os.register_at_fork(after_in_child=lambda: _keep_time(time_machine))


def _keep(context: AbstractContextManager[object]) -> None:
    """Enter what holds as long as the process lives."""
    context.__enter__()
    _kept.append(context)


def _tell(what: str, *words: object) -> None:
    """Tell the replay, if it is still there."""
    with suppress(OSError, EOFError), _connected() as connection:
        connection.send(what)
        connection.send(":".join(str(word) for word in words if word is not None))


def _record(options: dict[str, Any]) -> None:
    """Record the calls that go out of this process, into the session of who started it."""
    from keploy_framework.recording.recorder import Recorder  # noqa: PLC0415 - seldom needed

    # What passes inbound is recorded by who started it, and YAML is made there.
    recorder = Recorder(**options, outbound="installed", enabled=True, compact=False)

    def end() -> None:
        if recorder.dropped:
            _tell(TROUBLE, f"{recorder.dropped} calls were not recorded ({recorder.problem})")

    atexit.register(end)  # before the recorder's own, so that it runs after it
    try:
        _keep(recorder)
    except KeployError as error:
        _tell(TROUBLE, f"no outbound call is recorded: {error}")


class RemoteAnswers:
    """Asks the replay for recorded answers; a `Responder`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._pid = 0

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Return the recorded exchange, or a miss.

        Raises:
            KeployError: The replay is gone.
        """
        if self._pid != os.getpid():  # also in a process that was forked, whose lock may be held
            self._lock = threading.Lock()
            self._connection = None
            self._pid = os.getpid()
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connected()
                    self._connection.send(CALLS)
                self._connection.send(request)
                return cast("Exchange | Miss | None", self._connection.recv())
            except (OSError, EOFError) as error:
                self._connection = None
                raise KeployError(
                    f"the replay that started this process is over: {request.method} "
                    f"{request.url.partition('?')[0]} is not answered, nor sent"
                ) from error


def _connected() -> Connection:
    shown = os.environ[ADDRESS_VARIABLE]
    host, _, port = shown.rpartition(":")
    address: str | tuple[str, int] = shown
    if sys.platform == "win32":
        address = (host, int(port))
    key = bytes.fromhex(os.environ[KEY_VARIABLE])
    return Client(address, authkey=key)


def _keep_time(library: Any) -> None:
    """Let the time stand still where the replay says, in a thread that listens to it."""
    connection = _connected()
    connection.send(CLOCK)

    def listen() -> None:
        traveled: Any = None
        while True:
            try:
                at = cast("int", connection.recv())
            except (OSError, EOFError):
                return  # the replay is over
            if traveled is not None:
                traveled.stop()
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at // 1000)
            traveled = library.travel(moment, tick=False)
            traveled.start()
            with suppress(OSError):  # it is over, as the next turn finds
                connection.send(at)

    threading.Thread(target=listen, name="keploy-clock", daemon=True).start()
