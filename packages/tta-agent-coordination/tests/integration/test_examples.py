"""The examples run, in memory and on a server, and print what they are about."""

import asyncio
import importlib.util
import logging
import runpy
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tta_agent_coordination import (
    CoordinatorConnectionError,
    InMemoryMessageCoordinator,
    RedisMessageCoordinator,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> Any:
    """Load an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def level_as_before(caplog: pytest.LogCaptureFixture) -> None:
    """Put the level of the package's logger back: an example, as a program may, sets one."""
    caplog.set_level(logging.NOTSET, "tta_agent_coordination")


@pytest.fixture(params=["memory", "redis"])
async def mailboxes(request: pytest.FixtureRequest) -> AsyncIterator[StoredMailboxes]:
    """Where the example's messages lie."""
    if request.param == "memory":
        yield InMemoryMessageCoordinator(backoff_base=0.05)
        return
    server = request.getfixturevalue("redis_server")
    async with server.client() as client:
        yield RedisMessageCoordinator(client, uuid.uuid4().hex, backoff_base=0.05)


async def test_basic_usage(mailboxes: StoredMailboxes, capsys: pytest.CaptureFixture[str]) -> None:
    await load("basic_usage").converse(mailboxes)

    assert capsys.readouterr().out.splitlines()[-1] == "acknowledged: True"


async def test_custom_agent_types(
    mailboxes: StoredMailboxes, capsys: pytest.CaptureFixture[str]
) -> None:
    """One agent asks another, and both end."""
    async with asyncio.timeout(120):
        await load("custom_agent_types").converse(mailboxes)

    assert capsys.readouterr().out.splitlines() == [
        "'I walk to the harbor' -> a quiet harbor at dawn",
        "done: [1, 1]",
    ]


async def test_fault_tolerance(
    mailboxes: StoredMailboxes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crash, a failure that passes, and one that stays until somebody redrives it."""
    async with asyncio.timeout(120):
        await load("fault_tolerance").suffer(mailboxes)

    assert capsys.readouterr().out.splitlines() == [
        "taken and dropped: shaky",
        "shaky, attempt 2: the ladder falls over",
        "shaky, attempt 3: painted",
        "dead: impossible, permanent: TypeError: that is no wall",
        "redriven: 1",
        "impossible: painted after all",
    ]


@pytest.mark.parametrize("name", ["basic_usage", "custom_agent_types", "fault_tolerance"])
def test_an_example_without_its_server_ends_with_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise CoordinatorConnectionError("the server cannot be reached now")

    for call in ("send_message", "send_many", "request"):
        monkeypatch.setattr(InMemoryMessageCoordinator, call, away)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    assert ended.value.code == "the server cannot be reached now"
