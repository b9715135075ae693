"""A command that is started for a replay never outlives the call that started it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Client
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.model import Request
from keploy_framework.replay.command import Command, CommandTarget
from keploy_framework.replay.control import ADDRESS_VARIABLE, CALLS, KEY_VARIABLE, Control

if TYPE_CHECKING:
    from collections.abc import Iterator


class Waiting(Mapping[str, str]):
    """An environment that is read only when it may be: the process is started behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __iter__(self) -> Iterator[str]:
        self.reached.set()
        assert self.go_on.wait(60)
        return iter(())

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __len__(self) -> int:
        return 0


async def test_a_start_that_is_cancelled_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it is cancelled while a thread is about to start it."""
    started: list[subprocess.Popen[bytes]] = []

    class Seen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr("keploy_framework.replay.command.subprocess.Popen", Seen)
    environment = Waiting()
    command = Command(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        port=1, env=environment, stop_timeout=60,
    )  # fmt: skip
    target = CommandTarget(command, turn_calls=False, freeze=False, connect_timeout=1)
    task = asyncio.create_task(target.start())
    await asyncio.to_thread(environment.reached.wait, 60)
    task.cancel()
    await asyncio.sleep(0)
    environment.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await target.aclose()

    (process,) = started
    assert process.returncode is not None


class _Broken:
    """Raises where it should answer."""

    def answer(self, request: Request) -> None:
        raise ValueError("the recordings cannot be read")


def test_a_call_that_cannot_be_answered_ends_and_is_told() -> None:
    """Who asked is not left waiting, and no thread dies of the error."""
    control = Control(turn_calls=True, freeze=False)
    control.start()
    control.responder = _Broken()
    told = control.environment
    try:
        key = bytes.fromhex(told[KEY_VARIABLE])
        with Client(told[ADDRESS_VARIABLE], authkey=key) as application:
            application.send(CALLS)
            application.send(Request("GET", "http://service.example/"))
            assert application.poll(60)
            with pytest.raises(EOFError):
                application.recv()
    finally:
        control.close()
    assert list(control.trouble) == [
        "a call was not answered: builtins.ValueError: the recordings cannot be read"
    ]


def test_who_closes_waits_for_nobody_who_has_gone() -> None:
    """The thread that accepts may see the end by itself, before it is woken."""
    control = Control(turn_calls=True, freeze=False)
    control.start()
    listener, control._listener = control._listener, None  # pyright: ignore[reportPrivateUsage] - the moment between two of its steps
    assert listener is not None
    assert control._thread is not None  # pyright: ignore[reportPrivateUsage] - as above
    with suppress(OSError, EOFError):
        Client(listener.address, authkey=control._key).close()  # pyright: ignore[reportPrivateUsage] - as above
    control._thread.join(60)  # pyright: ignore[reportPrivateUsage] - as above
    control._listener = listener  # pyright: ignore[reportPrivateUsage] - as above

    closing = threading.Thread(target=control.close, daemon=True)
    closing.start()
    closing.join(60)

    assert not closing.is_alive()
