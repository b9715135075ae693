"""A set is read once for all of its cases, and a case costs no more in a long set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.pytest_plugin.cases import cases_of
from keploy_framework.replay.plan import Plans, planned
from keploy_framework.storage.documents import replace_file

if TYPE_CHECKING:
    from pathlib import Path

_JSON = (("Content-Type", "application/json"),)


def exchange(number: int, path: str, body: str, parent: int | None = None) -> Exchange:
    answer = Response(200, "OK", _JSON, (Piece(0, body.encode()),))
    return Exchange(
        f"x{number}", Direction.INBOUND if parent is None else Direction.OUTBOUND,
        Request("GET", f"http://localhost/{path}"), answer, number, number,
        parent=None if parent is None else f"x{parent}",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases, of which the second needs the first, with mocks of two."""
    token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105 - none of anybody's
    store_exchanges(
        tmp_path / "keploy",
        [
            exchange(1, "first", f'{{"ref": "{token}"}}'),
            exchange(2, "up/first", "1", parent=1),
            exchange(3, f"second/{token}", "2"),
            exchange(4, "third", "3"),
            exchange(5, "up/third", "3", parent=4),
        ],
        test_set="test-set-0",
    )
    return tmp_path / "keploy"


def names(planned_sets: list[Any]) -> list[list[str]]:
    return [[case.name for case in each.cases] for each in planned_sets]


def test_the_same_recording_is_read_once(folder: Path) -> None:
    """By whichever name its folder is given, in the same words."""
    plans = Plans()
    first = plans(folder, ["test-set-0"])
    assert plans(str(folder), ["test-set-0"]) is first
    assert plans(folder, ["test-set-0"], "keploy") is not first
    assert names(first) == names(planned(folder, ["test-set-0"]))


def test_a_file_that_was_replaced_is_read_again(folder: Path) -> None:
    """As accepting an answer does, and learning noise."""
    plans = Plans()
    first = plans(folder, ["test-set-0"])
    path = folder / "test-set-0" / "tests" / "get-first-1.yaml"
    replace_file(path, path.read_bytes().replace(b"noise: {}", b"noise: {body.ref: []}"))
    os.utime(path.parent, ns=(1, 1))  # a file system may count time in steps
    second = plans(folder, ["test-set-0"])
    assert second is not first
    assert second[0].cases[0].noise.paths == ("body.ref",)


def test_a_chosen_case_has_what_it_needs_and_nothing_else(folder: Path) -> None:
    """The case whose answer it takes an id from, and their mocks."""
    (whole,) = planned(folder)
    first, second, third = (case.name for case in whole.cases)
    chosen = whole.chosen([second])
    assert [case.name for case in chosen.cases] == [first, second]
    assert [mock.case for mock in chosen.mocks] == [first]
    assert [case.number for case in whole.chosen([third]).cases] == [2]
    assert [mock.case for mock in whole.chosen([third]).mocks] == [third]
    assert whole.chosen(["none"]).cases == []
    assert len(whole.cases) == 3
    assert len(whole.mocks) == 2


def test_the_cases_of_a_mark_share_what_was_read(folder: Path) -> None:
    """Each of them is a test; all of them read the set together once."""
    found = cases_of(pytest.mark.keploy_cases("keploy").mark, folder.parent, "here")
    assert len({id(case.plans) for case in found}) == 1

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [*_JSON])
        bodies = {"/first": b'{"ref": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}', "/third": b"3"}
        return [bodies.get(environ["PATH_INFO"], b"2")]

    read = found[0].plans(folder, ["test-set-0"])
    for case in found:
        assert case.check(app).status == "PASSED"
    assert found[0].plans(folder, ["test-set-0"]) is read
