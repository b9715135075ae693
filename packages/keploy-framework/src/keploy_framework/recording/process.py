"""What the process does to its recorders: it forks, it is told to stop, it ends."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Protocol

from keploy_framework.errors import KeployError

if TYPE_CHECKING:
    from types import FrameType

__all__ = ("Watched", "unwatch", "watch")


class Watched(Protocol):
    """A recorder, as the process sees it."""

    def flush(self) -> bool:
        """Write down what ended."""
        ...

    def close(self) -> None:
        """End the recording."""
        ...

    def forked(self) -> None:
        """Begin anew in a child process, without touching what is the parent's."""
        ...


_running: weakref.WeakSet[Watched] = weakref.WeakSet()
_hooks = {"process": False, "signal": False, "fork": False}
_stopping = False


def watch(recorder: Watched) -> None:
    """Close the recorder at the end of the process, flush it on SIGTERM, renew it after a fork."""
    _running.add(recorder)
    if not _hooks["process"]:
        _hooks["process"] = True
        atexit.register(_close_all)
        if util := sys.modules.get("multiprocessing.util"):  # its children end without `atexit`
            util.Finalize(None, _close_all, exitpriority=10)
    if not _hooks["fork"] and hasattr(os, "register_at_fork"):
        _hooks["fork"] = True
        os.register_at_fork(after_in_child=_forked)
    if (
        not _hooks["signal"]
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        _hooks["signal"] = True
        signal.signal(signal.SIGTERM, _terminated)


def unwatch(recorder: Watched) -> None:
    """Let go of a recorder that is closed."""
    _running.discard(recorder)


def _close_all() -> None:
    for recorder in tuple(_running):
        try:
            recorder.close()
        except KeployError as error:
            warnings.warn(f"the recording is kept as a journal: {error}", stacklevel=1)


def _forked() -> None:
    global _stopping  # noqa: PLW0603 - the state of the process, which has just become another
    _stopping = False
    _hooks["process"] = False
    for recorder in tuple(_running):
        recorder.forked()
    _running.clear()


def _terminated(number: int, frame: FrameType | None) -> None:
    """Flush, then die of the signal as if this had not been here.

    A thread does the flushing: the code that the signal interrupted may hold a lock that it needs.
    """
    del frame
    global _stopping  # noqa: PLW0603 - as above
    if _stopping or not _running:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        return
    _stopping = True

    def flush() -> None:
        try:
            for recorder in tuple(_running):
                recorder.flush()
        finally:
            os.kill(os.getpid(), number)

    threading.Thread(target=flush, name="keploy-flush", daemon=True).start()
