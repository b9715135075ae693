"""`record` and `compact`."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.cli.stopping import told_to_stop
from keploy_framework.cli.targets import command_of
from keploy_framework.cli.telling import remark, say
from keploy_framework.errors import OptionError
from keploy_framework.recording.compact import compact
from keploy_framework.recording.proxy import RecordingProxy
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.session import SESSION_VARIABLE
from keploy_framework.replay.command import CommandTarget

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from keploy_framework.recording.compact import Compacted
    from keploy_framework.replay import Command

__all__ = ("compact_folder", "record")

_NOTHING = 5


def record(options: argparse.Namespace) -> int:
    """Record until SIGTERM or Ctrl-C comes, or the time is over; then make the files."""
    if options.target is not None and "://" not in options.target:
        raise OptionError(
            f"record needs a URL, not {options.target!r:.80}: an application object is recorded by "
            "RecordingMiddleware, in one line of its own"
        )
    if options.target is not None and options.command is not None:
        raise OptionError("give either a target or a command, not both")
    if options.seconds is not None and not 0 < options.seconds < math.inf:
        raise OptionError(f"--seconds must be more than 0, not {options.seconds!r}")
    recorder = Recorder(
        options.folder,
        test_set=options.test_set,
        include=options.include,
        exclude=options.exclude,
        sample=options.sample,
        enabled=True,  # asked for by name
        compact=False,
    )
    command = command_of(options) if options.target is None else None
    with _session_of_its_own():
        asyncio.run(_recording(options, command, recorder))
    made = compact(options.folder)
    if recorder.dropped:
        remark(
            f"{recorder.dropped} exchanges were left out: {recorder.problem or 'memory was full'}"
        )
    return _told(made)


def compact_folder(options: argparse.Namespace) -> int:
    """Make files of the journals that nobody writes any more."""
    return _told(compact(options.folder))


@contextmanager
def _session_of_its_own() -> Generator[None]:
    """Keep this apart from the same command that was started twice: those are no workers."""
    if SESSION_VARIABLE in os.environ:
        yield
        return
    os.environ[SESSION_VARIABLE] = secrets.token_hex(6)
    try:
        yield
    finally:
        del os.environ[SESSION_VARIABLE]


async def _recording(
    options: argparse.Namespace, command: Command | None, recorder: Recorder
) -> None:
    async with AsyncExitStack() as stack:
        upstream: str = options.target
        if command is not None:
            target = CommandTarget(
                command,
                turn_calls=False,
                freeze=False,
                connect_timeout=30.0,
                record=_outbound(options),
            )
            await target.start()
            stack.callback(_tell_of, target)
            stack.push_async_callback(target.aclose)
            upstream = command.url
        await stack.enter_async_context(recorder)
        proxy = RecordingProxy(upstream, recorder, host=options.host, port=options.port)
        await stack.enter_async_context(proxy)
        ready = f"recording {upstream}: send requests to {proxy.url}"
        await told_to_stop(ready, options.seconds)


def _outbound(options: argparse.Namespace) -> dict[str, object]:
    """Return how the outbound calls of a command are recorded."""
    return {
        "folder": str(Path(options.folder).absolute()),
        "test_set": options.test_set,
        "include": options.include,
        "exclude": options.exclude,
    }


def _tell_of(target: CommandTarget) -> None:
    """Say what was not recorded of a command's outbound calls."""
    if not target.hooked:
        remark(
            "the command did not load our start-up hook (it is no Python, or runs isolated): its "
            "outbound calls were not recorded"
        )
    for trouble in target.control.trouble:
        remark(trouble)


def _told(made: tuple[Compacted, ...]) -> int:
    for one in made:
        say(f"{one.test_set}: {one.cases} test cases, {one.mocks} mocks")
        if one.unread:
            remark(
                f"{one.test_set}: {one.unread} bytes of its journal are left out: a process that "
                "died wrote no more of them, or they are damaged"
            )
    if not made:
        remark("nothing was recorded")
    return 0 if made else _NOTHING
