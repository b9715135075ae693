"""Files that went through an editor or a version control system of Windows are read as before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keploy_framework.importers import store_exchanges
from keploy_framework.model import Direction, Exchange, Failure, Piece, Request, Response
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

BOM = b"\xef\xbb\xbf"


def exchange(number: int, direction: Direction = Direction.INBOUND) -> Exchange:
    pieces = (Piece(0.1, b'{"a": 1,\r\n "b": "\xc3\xa9"}\n'), Piece(0.2, b"\n"))
    answer = Response(200, "OK", (("Content-Type", "application/json"),), pieces)
    asked = Request("POST", f"http://h/{number}", (("Host", "h"),), b"one\r\ntwo\n")
    return Exchange(str(number), direction, asked, answer, number * 10**9, number * 10**9 + 1)


@pytest.mark.parametrize("mark", [b"", BOM])
def test_line_ends_of_windows_and_byte_order_marks_change_nothing(
    mark: bytes, tmp_path: Path
) -> None:
    """Names, order, bytes, pieces and mocks stay; no sidecar is taken for that of another case."""
    cut = Failure("builtins.OSError", "gone")  # only the sidecar holds what was cut off
    recorded = [
        exchange(2), exchange(1), exchange(3, Direction.OUTBOUND),
        *(replace(exchange(number), failure=cut) for number in (5, 4)),
    ]  # fmt: skip
    store_exchanges(tmp_path, recorded)
    before = KeployFolder(tmp_path).set("test-set-0")
    expected = [(case.name, case.exact, case.exchange) for case in before]
    assert [one and one.started_at // 10**9 for _, _, one in expected] == [1, 2, 4, 5]
    mocks = [(mock.name, mock.exact, mock.exchange) for mock in before.mocks()]
    for path in tmp_path.rglob("*.yaml"):
        path.write_bytes(mark + path.read_bytes().replace(b"\n", b"\r\n"))

    after = KeployFolder(tmp_path).set("test-set-0")
    assert [(case.name, case.exact, case.exchange) for case in after] == expected
    assert [(mock.name, mock.exact, mock.exchange) for mock in after.mocks()] == mocks
    assert after.notices == []
    assert [exact for _, exact, _ in (*expected, *mocks)] == [True] * 5


def test_a_case_of_windows_that_has_no_sidecar_is_found_by_its_times(tmp_path: Path) -> None:
    """The glance at each file, which finds names and the order, knows both line ends."""
    store_exchanges(tmp_path, [exchange(2), exchange(1)])
    tests = tmp_path / "test-set-0" / "tests"
    for path in (tmp_path / "test-set-0" / "tta").iterdir():
        path.unlink()
    for path in tests.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    found = list(KeployFolder(tmp_path).set("test-set-0"))
    assert [case.exact for case in found] == [False, False]
    urls = [case.exchange.request.url for case in found if case.exchange is not None]
    assert urls == ["http://h/1", "http://h/2"]
