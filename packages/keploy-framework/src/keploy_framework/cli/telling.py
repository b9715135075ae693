"""Where the commands write: results to the standard output, remarks to the standard error."""

from __future__ import annotations

import sys

__all__ = ("remark", "say")


def say(text: object) -> None:
    """Write a result, at once: another program may be waiting for it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def remark(text: object) -> None:
    """Write what is no result."""
    sys.stderr.write(f"{text}\n")
