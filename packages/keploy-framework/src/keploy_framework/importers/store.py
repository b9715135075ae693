"""Storing exchanges that were not recorded here as a test set."""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.names import CaseNames
from keploy_framework.storage.writer import SetWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keploy_framework.model import Exchange
    from keploy_framework.storage.documents import Format

__all__ = ("store_exchanges",)


def store_exchanges(
    folder: Path | str,
    exchanges: Iterable[Exchange],
    *,
    test_set: str | None = None,
    format: Format = "yaml",  # noqa: A002 - Keploy's word
) -> str:
    """Write exchanges as test cases and mocks; what is in the folder stays.

    Args:
        folder: The `keploy` folder; made if it does not exist.
        exchanges: What to write, redacted already.
        test_set: The name of the set; None takes the next `test-set-<n>`. Exchanges are added to a
            set that is there.
        format: What new files are.

    Returns:
        The name of the set.

    Raises:
        OptionError: No set can have this name.
        JournalError: The folder cannot be written.
    """
    target = KeployFolder(folder, format=format)
    held = target.create_set(test_set)
    staging = Path(folder) / f".import-{secrets.token_hex(4)}"
    try:
        writer = SetWriter(
            KeployFolder(staging, format=held.format_of_mocks() or format),
            held.name,
            names=CaseNames([*held.case_names(), "mocks"]),
            first_mock=_next_mock(mock.name for mock in held.mocks()),
        )
        for exchange in exchanges:
            writer.add(exchange)
        writer.finish()
        writer.move_into(target)
    except BaseException:
        with suppress(OSError):
            held.path.rmdir()  # only if nothing got there
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return held.name


def _next_mock(names: Iterable[str]) -> int:
    numbers = [name.partition("#")[0].removeprefix("mock-") for name in names]
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1
