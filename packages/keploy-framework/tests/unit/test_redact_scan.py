"""Credentials that are in files already are found, with their place."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from keploy_framework.redact import Redaction, scan_path, scan_text

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-" + "ant-api03-abcdefghij0123456789"
CASE = """\
version: api.keploy.io/v1beta1
spec:
  req:
    header:
      Authorization: Bearer abcdefghijklmnop12345
      Cookie: a=b; c=[redacted:cookie:1]
      Date: Mon, 01 Jan 2026
    body: '{"password":"hunter2","id":"3f2504e0-4f89-11d3-9a0c-0305e82c3301"}'
  curl: |
    curl -u joe:pw1234 -H 'X-Api-Key: zzzz1' https://u:secret@h/
  etag: W/"1234567890abcdef"
  sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
"""


def test_findings_say_where() -> None:
    """File, line, column, kind, and no more of the secret than its first signs."""
    found = [(each.line, each.kind) for each in scan_text(CASE, "t.yaml")]

    assert found == [
        (5, "bearer"),
        (6, "cookie"),
        (8, "password"),
        (10, "password"),
        (10, "api-key"),
        (10, "password"),
    ]
    first = next(scan_text(CASE, "t.yaml"))
    assert str(first) == "t.yaml:5:29: bearer abcd… (21 characters)"
    assert CASE.splitlines()[4][28:].startswith("abcd")


def test_what_we_write_has_no_findings() -> None:
    """Text that went through redaction is clean for the scanner."""
    clean = Redaction.default().text(CASE)

    assert list(scan_text(clean)) == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_base64_hides_nothing(*, wrapped: bool) -> None:
    """A ``!!binary`` value, on one line or on many, is opened."""
    packed = base64.b64encode(b"\x00\x01" * 50 + KEY.encode() + b"\xff" * 90).decode()
    lines = [packed[at : at + 76] for at in range(0, len(packed), 76)] if wrapped else [packed]
    text = "body: !!binary |\n" + "".join(f"  {line}\n" for line in lines)

    (found,) = scan_text(text, "mocks.yaml")

    assert (found.line, found.kind) == (2, "anthropic-key")
    assert KEY not in str(found)


def test_a_folder_is_walked_and_allowed_names_pass(tmp_path: Path) -> None:
    """Every file counts, whatever it is; what is allowed does not."""
    (tmp_path / "a.yaml").write_text("x: 1\npassword: hunter22\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.bin").write_bytes(b"\xff\xfe\x00" + KEY.encode() + b"\x00")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c").write_text(KEY)
    (tmp_path / "link").symlink_to(tmp_path / "a.yaml")

    found = list(scan_path(tmp_path))

    assert [each.file.removeprefix(str(tmp_path)) for each in found] == ["/a.yaml", "/deep/b.bin"]
    assert list(scan_path(tmp_path / "a.yaml", allow=["password"])) == []
    with pytest.raises(FileNotFoundError):
        list(scan_path(tmp_path / "none"))


def test_a_long_file_is_read_in_parts_and_lines_are_right(tmp_path: Path) -> None:
    """Places are right behind the first part, and nothing is found twice."""
    lines = ["nothing to see in this line at all, go on"] * 210_000
    for number in (5, 99_864, 99_865, 104_000, 209_999):
        lines[number] = f"here: {KEY}"
    path = tmp_path / "long.log"
    path.write_text("\n".join(lines))

    assert [each.line for each in scan_path(path)] == [6, 99_865, 99_866, 104_001, 210_000]
