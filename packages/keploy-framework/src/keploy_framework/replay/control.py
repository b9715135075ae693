"""What a started application asks of the replay: recorded answers, and what time it is.

The application's side is `keploy_framework.replay.child`. Both talk over a local socket that only
who knows a random key can open.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from keploy_framework.recording.sink import failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

    from keploy_framework.model import Request
    from keploy_framework.recording.clients.seam import Responder

__all__ = (
    "ADDRESS_VARIABLE",
    "ALLOW_VARIABLE",
    "BLOCKED",
    "CALLS",
    "CLOCK",
    "FREEZE_VARIABLE",
    "HELLO",
    "KEY_VARIABLE",
    "LIVE_VARIABLE",
    "PACKAGE_VARIABLE",
    "RECORD_VARIABLE",
    "TROUBLE",
    "Control",
)

ADDRESS_VARIABLE: Final = "KEPLOY_REPLAY_ADDRESS"
KEY_VARIABLE: Final = "KEPLOY_REPLAY_KEY"
FREEZE_VARIABLE: Final = "KEPLOY_REPLAY_FREEZE"
PACKAGE_VARIABLE: Final = "KEPLOY_REPLAY_PACKAGE"
LIVE_VARIABLE: Final = "KEPLOY_REPLAY_LIVE"
ALLOW_VARIABLE: Final = "KEPLOY_REPLAY_ALLOW"
RECORD_VARIABLE: Final = "KEPLOY_RECORD_OUTBOUND"
HELLO: Final = "hello"
BLOCKED: Final = "blocked"
TROUBLE: Final = "trouble"
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
        allow_hosts: Hosts that it may call for real where its calls are answered here.
        record: The options of a `Recorder` for its outbound calls; None records none.

    Attributes:
        responder: Answers the application's calls now; None answers none.
        greeted: Whether any process of the application has loaded the start-up hook.
        blocked: The hosts that it reached for, and that were refused.
        trouble: What the start-up hook could not do, one sentence each.
    """

    def __init__(
        self,
        *,
        turn_calls: bool,
        freeze: bool,
        allow_hosts: Sequence[str] = (),
        record: Mapping[str, object] | None = None,
    ) -> None:
        self.responder: Responder | None = None
        self.greeted: bool = False
        self.blocked: dict[str, None] = {}
        self.trouble: dict[str, None] = {}
        self._turn_calls = turn_calls
        self._freeze = freeze
        self._allow_hosts = list(allow_hosts)
        self._record = record
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
        if self._turn_calls:
            variables[ALLOW_VARIABLE] = json.dumps(self._allow_hosts)
        else:
            variables[LIVE_VARIABLE] = "1"
        if self._record is not None:
            variables[RECORD_VARIABLE] = json.dumps(self._record)
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
        # Closing a socket does not wake who waits at it. No words are exchanged: who accepts may be
        # gone by now, and nobody would answer.
        address: Any = listener.address
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with suppress(OSError), socket.socket(family) as waking:
            waking.settimeout(_PATIENCE)
            waking.connect(address)
        listener.close()
        with self._lock:
            connections, self._open = self._open, set()
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
            if what in {BLOCKED, TROUBLE}:
                told = self.blocked if what == BLOCKED else self.trouble
                told[str(connection.recv())] = None
            while what == CALLS:
                request = cast("Request", connection.recv())
                responder = self.responder
                connection.send(None if responder is None else responder.answer(request))
        except (OSError, EOFError, TypeError):
            pass  # gone; a TypeError where `close` has taken the handle away from a read
        except Exception as error:  # noqa: BLE001 - who asked must not wait for ever
            with self._lock:
                mine = connection in self._open
            if mine:  # else `close` came, and what was read by its number is another's
                failure = failure_of(error)
                self.trouble[f"a call was not answered: {failure.kind}: {failure.text}"] = None
        with self._lock:
            mine = connection in self._open
            self._open.discard(connection)
        if mine:  # else `close` ends it: once, since by then its number may be another's
            connection.close()
