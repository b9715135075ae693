"""Every line of the Lua scripts is run by the tests."""

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]


@pytest.mark.slow
async def test_every_line_of_lua_is_run() -> None:
    """Over fakeredis, in a process of its own, which prints the lines that are not."""
    if find_spec("tta_dev_primitives") is None:
        pytest.skip("the windows of breakers are only tested beside tta-dev-primitives")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "lua_lines.py"),
        cwd=HERE.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()[-4000:]
    assert b" lines of Lua were run" in said
