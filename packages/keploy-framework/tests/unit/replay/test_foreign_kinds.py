"""Kinds that are carried through, and not played: replay says so, for each case that it meets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from keploy_framework.pytest_plugin.cases import cases_of
from keploy_framework.replay import replay
from keploy_framework.report import terminal_report

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

Record = Callable[..., Awaitable[None]]
MOCKS = """
version: api.keploy.io/v1beta1
kind: {kind}
name: {name}
spec:
  metadata: {{type: config}}
---
"""
MAPPINGS = """
version: api.keploy.io/v1beta1
kind: TestMocksMapping
test_set_id: test-set-0
tests:
  - {id: get-a-1, mocks: "mock-0,mock-1"}
  - {id: get-b-1, mocks: "mock-2"}
"""
KINDS = ("Redis", "Redis", "DNS", "gRPC")
GRPC = "version: api.keploy.io/v1beta1\nkind: gRPC\nname: grpc-1\nspec: {grpcReq: {}}\n"


def app() -> Starlette:
    async def said(_: Any) -> JSONResponse:
        return JSONResponse({})

    return Starlette(routes=[Route("/a", said), Route("/b", said)])


def prepare(folder: Path) -> None:
    """Write mocks of other kinds, of which one belongs to no known case, and a case."""
    place = folder / "test-set-0"
    texts = [MOCKS.format(kind=kind, name=f"mock-{n}") for n, kind in enumerate(KINDS)]
    (place / "mocks.yaml").write_text("".join(texts).removesuffix("---\n"))
    (place / "mappings.yaml").write_text(MAPPINGS)
    (place / "tests" / "grpc-1.yaml").write_text(GRPC)


@pytest.fixture
async def recorded(folder: Path, record: Record) -> Path:
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/a", "/b"):
            await client.get(path)

    await record(app(), ask)
    await asyncio.to_thread(prepare, folder)
    return folder


async def test_each_kind_is_told_once_for_each_case(recorded: Path) -> None:
    """With the case and the mocks, in one line; what belongs to no known case, too."""
    results = await replay(app(), recorded)
    rest = "the application needs what they stand for"
    assert results.notices == tuple(
        f"{whose}: its {kind} mocks are carried through, not played ({names}): {rest}"
        for whose, kind, names in (
            ("test-set-0/get-a-1", "Redis", "mock-0, mock-1"),
            ("test-set-0/get-b-1", "DNS", "mock-2"),
            ("test-set-0", "gRPC", "mock-3"),
        )
    )
    shown = terminal_report(results)
    for notice in results.notices:
        assert f"note: {notice}" in shown


async def test_a_case_of_another_kind_is_ignored_and_says_why(recorded: Path) -> None:
    """It counts neither as passed nor as failed, and stands in the report."""
    results = await replay(app(), recorded)
    (ignored,) = [each for each in results.test_cases if each.status == "IGNORED"]
    assert (ignored.name, ignored.kind) == ("grpc-1", "gRPC")
    assert ignored.reason == "a case of the kind gRPC is carried through, not replayed"
    assert ignored.reason in terminal_report(results)
    alone = await replay(app(), recorded, cases=["grpc-1"])
    assert not alone.is_success


async def test_only_what_belongs_to_the_chosen_cases_is_told(recorded: Path) -> None:
    """Nothing of the mocks of others, but of those that any case may need."""
    results = await replay(app(), recorded, cases=["get-b-1"])
    assert [each.partition(":")[0] for each in results.notices] == [
        "test-set-0/get-b-1",
        "test-set-0",
    ]


async def test_a_test_of_a_case_of_another_kind_is_skipped(recorded: Path) -> None:
    """With the reason."""
    mark = pytest.mark.keploy_cases("keploy/test-set-0").mark
    found = await asyncio.to_thread(cases_of, mark, recorded.parent, "here")
    (grpc,) = [case for case in found if case.name == "grpc-1"]
    with pytest.raises(pytest.skip.Exception, match="gRPC is carried through"):
        await grpc.acheck(app())
