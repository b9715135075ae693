"""What a started application asks of the replay: recorded answers, and what time it is.

The application's side is `keploy_framework.replay.child`. Both talk over a local socket that only
who knows a random key can open.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from keploy_framework.model import Request
    from keploy_framework.recording.clients.seam import Responder

__all__ = (
    "ADDRESS_VARIABLE",
    "CALLS",
    "CLOCK",
    "FREEZE_VARIABLE",
    "HELLO",
    "KEY_VARIABLE",
    "PACKAGE_VARIABLE",
    "Control",
)

ADDRESS_VARIABLE: Final = "KEPLOY_REPLAY_ADDRESS"
KEY_VARIABLE: Final = "KEPLOY_REPLAY_KEY"
FREEZE_VARIABLE: Final = "KEPLOY_REPLAY_FREEZE"
PACKAGE_VARIABLE: Final = "KEPLOY_REPLAY_PACKAGE"
HELLO: Final = "hello"
CALLS: Final = "calls"
CLOCK: Final = "clock"

_STARTUP: Final = Path(__file__).parent / "startup"
_PACKAGE: Final = Path(__file__).parent.parent.parent
_PATIENCE: Final = 10.0


class Control:
    """The replay's side; usable from any thread.

    Args:
        turn_calls: Whether outbound calls of the application are answered here.
        freeze: Whether its time stands still.

    Attributes:
        responder: Answers the application's calls now; None answers none.
        greeted: Whether any process of the application has loaded the start-up hook.
    """

    def __init__(self, *, turn_calls: bool, freeze: bool) -> None:
        self.responder: Responder | None = None
        self.greeted: bool = False
        self._turn_calls = turn_calls
        self._freeze = freeze
        self._key = secrets.token_bytes(24)
        self._folder: str | None = None
        self._listener: Listener | None = None
        self._lock = threading.Lock()
        self._clocks: list[Connection] = []
        self._open: set[Connection] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen."""
        if sys.platform == "win32":
            self._listener = Listener(("127.0.0.1", 0), authkey=self._key)
        else:
            self._folder = tempfile.mkdtemp(prefix="keploy-")
            path = str(Path(self._folder) / "replay")
            self._listener = Listener(path, family="AF_UNIX", authkey=self._key)
        listener = self._listener
        self._thread = threading.Thread(
            target=self._accept, args=(listener,), name="keploy-control", daemon=True
        )
        self._thread.start()

    @property
    def environment(self) -> Mapping[str, str]:
        """What the application's environment needs."""
        if self._listener is None:
            return {}
        address = cast("object", self._listener.address)
        host_port = cast("tuple[str, int]", address)
        shown = address if isinstance(address, str) else f"{host_port[0]}:{host_port[1]}"
        paths = [str(_STARTUP), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {
            ADDRESS_VARIABLE: shown,
            KEY_VARIABLE: self._key.hex(),
            PACKAGE_VARIABLE: str(_PACKAGE),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        if self._freeze:
            variables[FREEZE_VARIABLE] = "1"
        if not self._turn_calls:
            variables["KEPLOY_REPLAY_LIVE"] = "1"
        return variables

    def set_time(self, at: int) -> int:
        """Let the application's time stand still at ``at`` (ns); how many processes obeyed."""
        obeyed = 0
        with self._lock:
            clocks = list(self._clocks)
        for clock in clocks:
            try:
                clock.send(at)
                if clock.poll(_PATIENCE) and clock.recv() == at:
                    obeyed += 1
                    continue
            except (OSError, EOFError):
                pass
            with self._lock:
                self._clocks = [one for one in self._clocks if one is not clock]
        return obeyed

    def close(self) -> None:
        """Stop listening, and end all conversations."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # Closing a socket does not wake who waits at it.
        with suppress(OSError, EOFError):
            Client(listener.address, authkey=self._key).close()
        listener.close()
        with self._lock:
            connections = [*self._open]
        for connection in connections:
            with suppress(OSError):
                connection.close()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, listener: Listener) -> None:
        while self._listener is listener:
            try:
                connection = listener.accept()
            except Exception:  # noqa: BLE001, S112 - a stranger without the key, or the end
                continue
            with self._lock:
                self._open.add(connection)
            threading.Thread(
                target=self._serve, args=(connection,), name="keploy-control", daemon=True
            ).start()

    def _serve(self, connection: Connection) -> None:
        try:
            what = connection.recv()
            if what == CLOCK:
                with self._lock:
                    self._clocks.append(connection)
                return  # asked by `set_time`
            if what == HELLO:
                self.greeted = True
            while what == CALLS:
                request = cast("Request", connection.recv())
                responder = self.responder
                connection.send(None if responder is None else responder.answer(request))
        except (OSError, EOFError):
            pass
        with self._lock:
            self._open.discard(connection)
        connection.close()
