"""The peers, each used as its documents show; a text instead of one says why it is not there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

__all__ = ("CASSETTES", "cassettes", "mitmproxy", "named")

_MITMPROXY: Final = (
    *("uv", "run", "--no-project", "--isolated", "--python", sys.executable),
    *("--with", "mitmproxy"),
)
_PATIENCE: Final = 60.0


def named(package: str) -> str:
    """Return a package with its version."""
    return f"{package} {version(package)}"


def _vcrpy(path: Path, *, record: bool) -> AbstractContextManager[object]:
    mode: Any = "new_episodes" if record else "none"
    library: Any = import_module("vcr")
    made: AbstractContextManager[object] = library.use_cassette(
        str(path), record_mode=mode, match_on=["method", "uri"]
    )
    return made


def _cassetter(path: Path, *, record: bool) -> AbstractContextManager[object]:
    library: Any = import_module("cassetter")
    mode: Any = library.RecordMode.NEW_EPISODES if record else library.RecordMode.NONE
    made: AbstractContextManager[object] = library.use_cassette(path, record_mode=mode)
    return made


CASSETTES: Final[dict[str, Callable[..., AbstractContextManager[object]]]] = {
    "vcrpy": _vcrpy,
    "cassetter": _cassetter,
}
"""Recorders of outbound calls: each takes a path, and whether it records."""


def cassettes() -> dict[str, Callable[..., AbstractContextManager[object]]]:
    """Return the recorders that are installed, by name and version."""
    names = {"vcrpy": "vcr", "cassetter": "cassetter"}
    return {
        named(package): use
        for package, use in CASSETTES.items()
        if find_spec(names[package]) is not None
    }


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@contextmanager
def mitmproxy(upstream: str) -> Generator[tuple[str, str]]:
    """Run mitmproxy in front of a server, in an environment of its own; yield its name and URL.

    Raises:
        RuntimeError: It cannot be had, or does not start; the text says why.
    """
    if shutil.which("uv") is None:
        raise RuntimeError("uv is needed to run it in an environment of its own")
    clean = {
        key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}
    }
    asked = subprocess.run(  # noqa: S603 - fixed words
        [*_MITMPROXY, "mitmdump", "--version"],
        capture_output=True,
        text=True,
        env=clean,
        timeout=300,
        check=False,
    )
    if asked.returncode:
        raise RuntimeError(f"it cannot be installed: {asked.stderr.strip()[-200:]}")
    name = f"mitmproxy {asked.stdout.partition('Mitmproxy:')[2].split()[0]}"
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen(  # noqa: S603 - as above
            [*_MITMPROXY, "mitmdump", "--quiet", "--mode", f"reverse:{upstream}", "--listen-host",
             "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={folder}",
             "--save-stream-file", str(Path(folder) / "flows")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:
                try:
                    httpx.get(url, trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            else:
                raise RuntimeError("it did not start")
            yield name, url
        finally:
            running.terminate()
            running.wait(_PATIENCE)
