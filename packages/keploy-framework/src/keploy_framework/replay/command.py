"""Replay against a command: start the application, wait until it answers, stop it at the end."""

from __future__ import annotations

import asyncio
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from keploy_framework.errors import AppStartError, OptionError
from keploy_framework.recording.switch import RECORD_VARIABLE
from keploy_framework.redact import Redaction
from keploy_framework.replay.control import Control
from keploy_framework.replay.url_target import URLTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from keploy_framework.model import Exchange, Request
    from keploy_framework.recording.clients.seam import Responder
    from keploy_framework.replay.target import Answered

__all__ = ("Command", "CommandTarget")

_TAIL = 1 << 16
_LOOK = 0.02
_DYING = 0.25
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Command:
    """How an application is started.

    Attributes:
        argv: The program and its arguments, as a list or as one line; no shell reads it.
        port: The port at which it answers; it has to be free.
        host: The address at which it answers.
        env: What is added to the environment.
        cwd: The folder that it runs in; None for the present one.
        start_timeout: How long (s) it may take until it answers.
        stop_timeout: How long (s) it may take to end after SIGTERM, before it is killed.

    Raises:
        OptionError: A value is none of those.

    Example:
        >>> Command("uvicorn app:app --port 8000", port=8000).arguments
        ['uvicorn', 'app:app', '--port', '8000']
    """

    argv: str | Sequence[str]
    port: int
    host: str = "127.0.0.1"
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: Path | str | None = None
    start_timeout: float = 30.0
    stop_timeout: float = 5.0

    def __post_init__(self) -> None:
        port = cast("object", self.port)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _HIGHEST_PORT:
            raise OptionError(f"port must be a number from 1 to {_HIGHEST_PORT}, not {port!r:.40}")
        for name in ("start_timeout", "stop_timeout"):
            seconds = getattr(self, name)
            numeric = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
            if not numeric or not 0 < seconds < math.inf:
                raise OptionError(f"{name} must be seconds, more than 0, not {seconds!r:.40}")
        if not self.arguments or not self.arguments[0]:
            raise OptionError("a command needs a program to start")

    @property
    def arguments(self) -> list[str]:
        """The program and its arguments."""
        if not isinstance(self.argv, str):
            return list(self.argv)
        try:
            return shlex.split(self.argv)
        except ValueError as error:
            raise OptionError(f"{self.argv!r:.80} is no command line: {error}") from error

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class CommandTarget:
    """An application that is started for the replay.

    Args:
        command: How.
        turn_calls: Whether its outbound calls are answered from the recording.
        freeze: Whether its time stands still.
        connect_timeout: How long (s) a connection may take.
        allow_hosts: Hosts that it calls for real where its calls are answered from the recording;
            this machine is always among them.
        record: The options of a `Recorder` for its outbound calls; None records none.
    """

    def __init__(
        self,
        command: Command,
        *,
        turn_calls: bool,
        freeze: bool,
        connect_timeout: float,
        allow_hosts: Sequence[str] = (),
        record: Mapping[str, object] | None = None,
    ) -> None:
        self._command = command
        self._freeze = freeze
        self._url = URLTarget(command.url, connect_timeout=connect_timeout)
        self.control: Control = Control(
            turn_calls=turn_calls, freeze=freeze, allow_hosts=allow_hosts, record=record
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._listening = False
        self._log = ""

    @property
    def in_process(self) -> bool:
        """It runs elsewhere."""
        return False

    @property
    def log(self) -> str:
        """The end of what it printed, without secrets."""
        return self._log

    @property
    def hooked(self) -> bool:
        """Whether it has loaded the start-up hook."""
        return self.control.greeted

    def answer_with(self, responder: Responder) -> None:
        """Let its outbound calls be answered by ``responder``."""
        self.control.responder = responder

    async def start(self) -> None:
        """Start it and wait until its port answers.

        Raises:
            AppStartError: The port is taken, the program is not there, it ends at once, or does not
                answer in time.
        """
        command = self._command
        if await _answers(command):
            raise AppStartError(
                f"port {command.port} of {command.host} is taken: something answers there before "
                "the command was started; stop it, or give the application another port"
            )
        if not self._listening:
            await asyncio.to_thread(self.control.start)
            self._listening = True
        shown = shlex.join(command.arguments)
        spawning = asyncio.create_task(asyncio.to_thread(self._spawn))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:
            # What a thread is about to start cannot be called off: it is stopped when it is there.
            await asyncio.wait({spawning})
            await self._stop()
            raise
        except (OSError, ValueError) as error:
            self._close_output()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AppStartError(f"cannot start {shown}: {reason}") from error
        try:
            await self._ready(shown)
        except BaseException:
            await self._stop()
            raise

    async def play(self, request: Request, recorded: Exchange, speed: float) -> Answered:
        """Send a request. See `Target`."""
        if self._freeze:
            await asyncio.to_thread(self.control.set_time, recorded.started_at)
        answered = await self._url.play(request, recorded, speed)
        process = self._process
        if answered.trouble and process is not None:
            # A process that dies closes its connections before it is gone.
            code = await _exit_code(process, _DYING)
            if code is not None:
                return answered._replace(trouble=f"the application has ended ({_ended(code)})")
        return answered

    async def aclose(self) -> None:
        """Stop it."""
        await self._url.aclose()
        await self._stop()
        if self._listening:
            self._listening = False
            await asyncio.to_thread(self.control.close)

    async def restart(self) -> None:
        """Stop it and start it again.

        Raises:
            AppStartError: See `start`.
        """
        await self._url.aclose()
        await self._stop()
        await self.start()

    def _spawn(self) -> None:
        command = self._command
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_stop`
        self._process = subprocess.Popen(  # noqa: S603 - what the caller asked for
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=command.cwd,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                RECORD_VARIABLE: "0",  # what is replayed is not recorded again
                **command.env,
                **self._environment(command.env),
            },
            start_new_session=sys.platform != "win32",
        )

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        made = dict(self.control.environment)
        if "PYTHONPATH" in given and "PYTHONPATH" in made:
            startup = made["PYTHONPATH"].partition(os.pathsep)[0]
            made["PYTHONPATH"] = f"{startup}{os.pathsep}{given['PYTHONPATH']}"
        return made

    async def _ready(self, shown: str) -> None:
        command, process = self._command, self._process
        loop = asyncio.get_running_loop()
        deadline = loop.time() + command.start_timeout
        while not await _answers(command):
            code = process.poll() if process is not None else 0
            if code is not None:
                raise AppStartError(
                    f"{shown} ended before it answered at {command.url} ({_ended(code)})",
                    output=await asyncio.to_thread(self._tail),
                )
            if loop.time() > deadline:
                raise AppStartError(
                    f"{shown} does not answer at {command.url} after {command.start_timeout:g} s; "
                    "is that the port it listens at?",
                    output=await asyncio.to_thread(self._tail),
                )
            await asyncio.sleep(_LOOK)
        if self._freeze and not await asyncio.to_thread(self.control.set_time, time.time_ns()):
            raise AppStartError(
                f"{shown} did not load the start-up hook that freezes its time: it is no Python, "
                "runs isolated (-I, -S), or lacks time-machine",
                output=await asyncio.to_thread(self._tail),
            )

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            _signal(process, signal.SIGTERM)
            await _exit_code(process, self._command.stop_timeout)
        finally:
            # Also what it started and left behind: the group is its own.
            _kill(process)
            self._close_output()
        await asyncio.to_thread(process.wait)

    def _close_output(self) -> None:
        output = self._output
        if output is not None:
            try:
                self._log = self._tail()
            finally:
                self._output = None
                output.close()

    def _tail(self) -> str:
        output = self._output
        if output is None:
            return ""
        size = os.fstat(output.fileno()).st_size
        data = os.pread(output.fileno(), _TAIL, max(0, size - _TAIL))
        return Redaction.default().text(data.decode("utf-8", "replace"), "text/plain")


async def _exit_code(process: subprocess.Popen[bytes], patience: float) -> int | None:
    """Wait for a process to end; its exit code, or None if it does not for so long (s)."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while (code := process.poll()) is None and loop.time() < deadline:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_LOOK)
    return code


async def _answers(command: Command) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(command.host, command.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.terminate()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
