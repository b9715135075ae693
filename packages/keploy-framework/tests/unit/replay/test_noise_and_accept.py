"""Noise found by replaying twice, and answers taken over."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from keploy_framework.errors import OptionError
from keploy_framework.replay import accept, find_noise, replay, write_noise
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from starlette.requests import Request as Asked
    from starlette.responses import Response

    from keploy_framework.storage.stored import StoredCase

Record = Callable[..., Awaitable[None]]


class Service:
    """Answers with an id, a time and a number that are new each time, and a name that is not."""

    def __init__(self, name: str = "Ada") -> None:
        self.name = name
        self.numbers = itertools.count(7)
        self.resets = 0
        self.app = Starlette(
            routes=[
                Route("/me", self.me),
                Route("/visits", self.visit, methods=["POST"]),
            ]
        )

    def reset(self) -> None:
        self.resets += 1
        self.numbers = itertools.count(7)

    async def me(self, _: Asked) -> Response:
        trace = str(uuid.uuid4())
        now = time.time()
        body: dict[str, Any] = {"trace": trace, "at": now, "name": self.name, "born": "1815-12-10"}
        return JSONResponse(body, headers={"X-Trace": trace})

    async def visit(self, _: Asked) -> Response:
        return JSONResponse({"number": next(self.numbers)}, 201)


def stored(folder: Path) -> StoredCase:
    """Read the one case."""
    return KeployFolder(folder).set("test-set-0").case("get-me-1")


async def look(client: httpx.AsyncClient) -> None:
    await client.get("/me")


async def visit(client: httpx.AsyncClient) -> None:
    await client.get("/me")
    await client.post("/visits")


async def test_what_varies_is_found_and_typed(folder: Path, record: Record) -> None:
    """UUIDs and times are noise by their kind; stable fields keep their assertion."""
    await record(Service().app, look)
    found = await find_noise(Service().app, folder)
    kinds = {each.path.lower(): each.kind for each in found.evidence["test-set-0/get-me-1"]}
    assert kinds == {"body.trace": "uuid", "body.at": "time", "header.x-trace": "uuid"}
    assert not (await replay(Service().app, folder)).is_success
    assert await asyncio.to_thread(write_noise, folder, found.noise) == ("test-set-0/get-me-1",)
    results = await replay(Service().app, folder)
    assert results.is_success, results
    assert len(results.test_cases[0].excused) == 3
    # A stable field that changes is still seen, also one that is a date.
    changed = await replay(Service("Grace").app, folder)
    assert "body.name" in [each.path for each in changed.failures[0].differences]
    assert len(changed.failures[0].excused) == 3


async def test_what_has_changed_once_is_no_noise(folder: Path, record: Record) -> None:
    """Replays that agree with each other and not with the recording show a change."""
    await record(Service().app, look)
    found = await find_noise(Service("Grace").app, folder)
    assert "body.name" not in found.noise["test-set-0/get-me-1"]


async def test_without_a_reset_unsafe_methods_are_unproven(folder: Path, record: Record) -> None:
    """A counter that grows with each POST may be the work of the replay itself."""
    service = Service()
    await record(service.app, visit)
    found = await find_noise(service.app, folder)
    assert found.unproven == ("test-set-0/post-visits-1",)
    assert "test-set-0/post-visits-1" not in found.noise


async def test_with_a_reset_each_pass_begins_from_the_same_state(
    folder: Path, record: Record
) -> None:
    """After a reset the counter is as it was recorded: there is nothing to be said of it."""
    service = Service()
    await record(service.app, visit)

    async def reset() -> None:
        service.reset()

    found = await find_noise(service.app, folder, reset=reset, passes=3)
    assert service.resets == 3
    assert set(found.evidence) == {"test-set-0/get-me-1"}
    assert found.unproven == ()


async def test_fewer_than_two_passes_find_nothing(folder: Path, record: Record) -> None:
    """One replay says nothing of noise."""
    await record(Service().app, look)
    with pytest.raises(OptionError, match="2 or more"):
        await find_noise(Service().app, folder, passes=1)


async def test_frozen_time_is_that_of_the_recording(folder: Path, record: Record) -> None:
    """Under frozen time, the time of the answer is the time of the recording, or near it."""
    await record(Service().app, look)
    results = await replay(Service().app, folder, freeze=True, workers=4)
    found = {each.path: each for each in results.failures[0].differences}
    at = found["body.at"]
    assert abs(float(str(at.expected)) - float(str(at.actual))) < 2
    assert "one after the other" in results.notices[0]
    again = await replay(Service().app, folder, freeze=True)
    same = {each.path: each.actual for each in again.failures[0].differences}
    assert same["body.at"] == at.actual


async def test_freezing_without_the_library_is_an_error_that_names_it(
    folder: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What freezes time is optional; asked for and absent, its name is told."""
    await record(Service().app, look)
    monkeypatch.setattr("keploy_framework.replay.frozen.find_spec", dict[str, object]().get)
    with pytest.raises(OptionError, match="uv add time-machine"):
        await replay(Service().app, folder, freeze=True)


async def test_accepted_answers_are_the_recorded_ones(folder: Path, record: Record) -> None:
    """After accepting, the new answer passes; request, noise and file names stay."""
    service = Service()
    await record(service.app, look)
    found = await find_noise(service.app, folder)
    await asyncio.to_thread(write_noise, folder, found.noise)
    before = await asyncio.to_thread(stored, folder)
    changed = await replay(Service("Grace").app, folder)
    assert await asyncio.to_thread(accept, folder, changed.test_cases) == ("test-set-0/get-me-1",)
    after = await asyncio.to_thread(stored, folder)
    assert after.exact
    assert before.exchange is not None
    assert after.exchange is not None
    assert after.exchange.request == before.exchange.request
    assert after.noise == before.noise
    assert KeployFolder(folder).set("test-set-0").notices == []
    assert (await replay(Service("Grace").app, folder)).is_success
    assert not (await replay(service.app, folder)).is_success


async def test_accepting_needs_an_answer(folder: Path, record: Record) -> None:
    """A case whose application died has nothing to accept."""
    await record(Service().app, look)

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    results = await replay(bare, folder)
    with pytest.raises(OptionError, match="no whole answer"):
        accept(folder, results.test_cases)


async def test_noise_of_the_configuration_counts(folder: Path, record: Record) -> None:
    """`keploy.yml` beside the folder says what is ignored everywhere, and in one set."""
    await record(Service().app, look)
    (folder.parent / "keploy.yml").write_text(
        "test:\n  globalNoise:\n    global:\n      body:\n        trace: []\n        at: []\n"
        "    test-sets:\n      test-set-0:\n        header:\n          X-Trace: []\n"
    )
    results = await replay(Service().app, folder)
    assert results.is_success, results
