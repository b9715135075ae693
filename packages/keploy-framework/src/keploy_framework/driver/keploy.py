"""Running the Keploy binary: configured exactly, silent towards its makers, judged by its files."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keploy_framework.driver.binary import clean_environment, find_binary
from keploy_framework.errors import KeployError, OptionError
from keploy_framework.redact import Redaction
from keploy_framework.storage.names import check_set_name
from keploy_framework.storage.reports import read_report, run_names
from keploy_framework.storage.text import dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keploy_framework.driver.binary import Binary
    from keploy_framework.storage.reports import RunReport

__all__ = ("BinaryRun", "KeployBinary")

_TAIL: Final = 16 << 10
_LINES: Final = 40
_GRACE: Final = 10.0


@dataclass(frozen=True, slots=True)
class BinaryRun:
    """What became of a replay by the binary.

    Attributes:
        report: What its report files say.
        exit_code: Its exit code. Old releases end with 0 whatever happened: alone it says nothing.
        output: The last lines that it printed, without secrets; for people, nothing is read in it.
    """

    report: RunReport
    exit_code: int
    output: str

    @property
    def is_success(self) -> bool:
        """Whether the files say that cases ran and all passed, and the exit code agrees."""
        return self.exit_code == 0 and self.report.is_success


class KeployBinary:
    """The Keploy binary, for replay and recording; its methods block until it has ended.

    Args:
        binary: The binary. Default: the one that `find_binary` finds.
        timeout: How many seconds a replay may take. Default: 600.

    Raises:
        OptionError: There is no binary, or the timeout is no positive number.
    """

    def __init__(self, binary: Binary | None = None, *, timeout: float = 600.0) -> None:
        if isinstance(timeout, bool) or not 0 < timeout < math.inf:
            raise OptionError(f"timeout must be a number of seconds above 0, not {timeout!r:.60}")
        self.binary: Binary = binary or find_binary()
        self._timeout = timeout

    def test(
        self,
        folder: Path | str = "keploy",
        *,
        base_url: str | None = None,
        command: str | None = None,
        test_sets: Sequence[str] = (),
        delay: int = 5,
    ) -> BinaryRun:
        """Let the binary replay test sets.

        Against a URL it needs no privileges: it neither starts nor instruments the application.

        Args:
            folder: The `keploy` folder; its name has to be `keploy`, the binary knows no other.
            base_url: The URL of the running application.
            command: What starts the application; needs the rights of the binary's own recorder.
            test_sets: The sets to replay; none for all.
            delay: How many seconds the application takes to start.

        Raises:
            OptionError: An option is wrong; or both `base_url` and `command` are given, or neither.
            KeployError: The binary did not end in time, or wrote no report.
        """
        if (base_url is None) == (command is None):
            raise OptionError("give either base_url or command: what is to be tested?")
        root = _root(folder)
        options = ["--path", str(root)]
        if base_url is not None:
            if not base_url.startswith(("http://", "https://")):
                raise OptionError(f"base_url must begin with http:// or https://: {base_url!r:.80}")
            options = ["--base-path", base_url, *options]
        else:
            options = ["--command", command or "", *options]
        if test_sets:
            options += ["--test-sets", ",".join(map(check_set_name, test_sets))]
        before = set(run_names(folder))
        config: dict[str, Any] = {"disableTele": True, "test": {"delay": delay}}
        code, output = self._run("test", [*options, "--disable-ansi"], config, self._timeout)
        fresh = [name for name in run_names(folder) if name not in before]
        if not fresh:
            raise KeployError(
                f"{self.binary.path} test ended with {code} and wrote no report to "
                f"{Path(folder) / 'reports'}; it printed last:\n{output}"
            )
        return BinaryRun(read_report(folder, fresh[-1]), code, output)

    def record(
        self, command: str, folder: Path | str = "keploy", *, seconds: float | None = None
    ) -> int:
        """Let the binary record while a command runs; return its exit code.

        Args:
            command: What starts the application.
            folder: The `keploy` folder.
            seconds: How long to record; None until the command ends.

        Raises:
            OptionError: The command is empty.
        """
        if not command.strip():
            raise OptionError("record needs the command that starts the application")
        options = ["--command", command, "--path", str(_root(folder)), "--disable-ansi"]
        if seconds is not None:
            options += ["--record-timer", f"{seconds:g}s"]
        code, _ = self._run("record", options, {"disableTele": True}, None)
        return code

    def _run(
        self, verb: str, options: Sequence[str], config: Mapping[str, Any], limit: float | None
    ) -> tuple[int, str]:
        """Run the binary with a configuration of its own; return its exit code and last lines."""
        with tempfile.TemporaryDirectory(prefix="keploy-") as folder:
            place = Path(folder)
            (place / "keploy.yml").write_text(dump(dict(config)), encoding="utf-8")
            printed = place / "printed"
            with printed.open("wb") as output:
                try:
                    process = subprocess.Popen(  # noqa: S603 - the user's own binary
                        [str(self.binary.path), verb, *options, "--config-path", folder],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=clean_environment(os.environ),
                        start_new_session=True,
                    )
                except OSError as error:
                    raise KeployError(f"{self.binary.path} cannot be run: {error}") from error
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                raise KeployError(
                    f"{self.binary.path} {verb} did not end within {limit:g} s; it printed last:\n"
                    f"{_last_lines(printed)}"
                ) from None
            finally:
                if process.poll() is None:
                    _stop(process)
            return code, _last_lines(printed)


def _last_lines(path: Path) -> str:
    """Return the end of what was printed, without secrets."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        text = file.read().decode("utf-8", "replace")
    return Redaction.default().text("\n".join(text.splitlines()[-_LINES:]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: asked first, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return


def _root(folder: Path | str) -> Path:
    """Return the folder in which the `keploy` folder is."""
    place = Path(folder).absolute()
    if place.name != "keploy":
        raise OptionError(
            f"the binary only knows folders that are named keploy, not {place.name!r:.60}"
        )
    return place.parent
