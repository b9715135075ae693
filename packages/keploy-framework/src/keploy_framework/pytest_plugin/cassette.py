"""The recording of one test's outbound calls: made when there is none, and played from then on."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from keploy_framework.errors import UnrecordedCallError
from keploy_framework.importers import store_exchanges
from keploy_framework.matching import Miss, RequestRules
from keploy_framework.recording.clients import RecordedAnswers, install
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.recording.network import blocked_network
from keploy_framework.redact import Redaction
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from keploy_framework.model import Exchange, Request
    from keploy_framework.pytest_plugin.marks import MarkOptions

__all__ = ("Cassette",)


class Cassette:
    """The outbound calls of one test.

    Args:
        folder: The `keploy` folder.
        name: The name of the set that holds the recording.
        mode: `none`, `once`, `new` or `rewrite`.
        options: What the mark of the test says.

    Attributes:
        name: The name of the set.
        path: Its folder.
        recording: Whether calls go out and are recorded.
        missed: What was asked that nothing answers, with an explanation each.
    """

    def __init__(self, folder: Path, name: str, *, mode: str, options: MarkOptions) -> None:
        self.name = name
        self.path: Path = folder / name
        self.missed: list[str] = []
        self._folder = folder
        self._mode = mode
        self._options = options
        held = KeployFolder(folder).set(name)
        self._stored = [mock.exchange for mock in held.mocks() if mock.exchange is not None]
        if mode == "rewrite":
            self._stored = []
        self.recording: bool = mode in {"new", "rewrite"} or (mode == "once" and not self._stored)
        self._sink = MemoryRecorder() if self.recording else None
        self._answers = RecordedAnswers(
            self._stored,
            rules=RequestRules(options.match_on),
            redact=Redaction.default(),
            live=self.recording,
        )
        self._stack = ExitStack()

    @property
    def played(self) -> tuple[str, ...]:
        """The names of the recordings that have answered."""
        waiting = set(self.unplayed)
        return tuple(one.name for one in self._stored if one.name not in waiting)

    @property
    def unplayed(self) -> tuple[str, ...]:
        """The names of the recordings that nothing has asked for yet."""
        return tuple(one.name for one in self._answers.unplayed)

    @property
    def recorded(self) -> tuple[Exchange, ...]:
        """What went to the network and was recorded, with its secrets, so far."""
        return tuple(self._sink.exchanges) if self._sink is not None else ()

    def answer(self, request: Request) -> Exchange | Miss | None:
        """Return the recorded answer, or why there is none; None lets the call go out.

        Raises:
            UnrecordedCallError: There is no recording at all.
        """
        found = self._answers.answer(request)
        if isinstance(found, Miss):
            self.missed.append(str(found))
            if not self._stored:
                raise UnrecordedCallError(
                    f"no recording answers {found}: there is none at {self.path}; record the test "
                    "with --record-mode=once",
                    method=request.method,
                    url=found.request.partition(" ")[2],
                )
        return found

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            allowed = self._options.allow_hosts
            if not self.recording:
                stack.enter_context(blocked_network(allowed, nearest=self._nearest))
            stack.enter_context(
                install("installed", sink=self._sink, responder=self, allow_hosts=allowed)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def finish(self, *, keep: bool) -> None:
        """End the recording; keep what was recorded, or not.

        Args:
            keep: Whether the test passed. What a failed test has recorded is given up, and what was
                recorded before stays.
        """
        if self._sink is None or not keep:
            return
        redact = Redaction.default()
        exchanges = [redact.exchange(one) for one in self._sink.exchanges]
        if not exchanges and self._mode != "rewrite":
            return
        if self._mode != "rewrite":
            store_exchanges(self._folder, exchanges, test_set=self.name)
            return
        old = self.path.with_name(f".{self.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.path.exists():
            self.path.rename(old)
        try:
            if exchanges:
                store_exchanges(self._folder, exchanges, test_set=self.name)
        except BaseException:
            if old.exists():
                shutil.rmtree(self.path, ignore_errors=True)
                old.rename(self.path)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _nearest(self, host: str, port: int | None) -> str | None:
        """Name a recording of the host, for the error of a blocked network."""
        del port
        found = (one for one in self._stored if host in one.request.url)
        first = next(found, None)
        return (
            None if first is None else f"{first.name}, {first.request.method} {first.request.url}"
        )
