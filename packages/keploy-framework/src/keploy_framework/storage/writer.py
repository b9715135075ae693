"""Writing a test set, exchange by exchange, so that no more than one is in memory.

It is written beside its place and moved there when it is whole: what is there before stays intact.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.errors import JournalError
from keploy_framework.model import Direction
from keploy_framework.storage.documents import (
    Document,
    as_read,
    read_documents,
    render,
    replace_file,
)
from keploy_framework.storage.http import encode_http
from keploy_framework.storage.mappings import MappedMock, encode_mappings
from keploy_framework.storage.sidecar import digest_of, encode_sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from keploy_framework.model import Exchange
    from keploy_framework.storage.documents import Format
    from keploy_framework.storage.folder import KeployFolder
    from keploy_framework.storage.names import CaseNames
    from keploy_framework.storage.sidecar import LongFile

    Frames = Callable[[], Iterable[tuple[float, bytes]]]

__all__ = ("SIDECAR_HEAD", "SetWriter", "move_set")

SIDECAR_HEAD = "# Exact bytes and times of the recording beside it; written by keploy-framework.\n"
_GITIGNORE = ("/reports/", "/*/secret.yaml")


class SetWriter:
    """Writes the cases and mocks of one test set.

    Args:
        staging: Where it is written first.
        name: The name of the set.
        names: Gives test cases their names.
        first_mock: The number of the first mock.
    """

    def __init__(
        self, staging: KeployFolder, name: str, *, names: CaseNames, first_mock: int = 0
    ) -> None:
        self.name = name
        self.cases: int = 0
        self.mocks: int = 0
        self._root = staging.path
        self._path = staging.path / name
        self._format: Format = staging.format
        self._names = names
        self._next_mock = first_mock
        self._cases: dict[str, str] = {}  # the ids of inbound exchanges, and their names
        self._mapped: dict[str, list[MappedMock]] = {}

    def add(
        self,
        exchange: Exchange,
        *,
        request_frames: Frames | None = None,
        response_frames: Frames | None = None,
        noise: Mapping[str, list[str]] | None = None,
    ) -> str:
        """Write an exchange; return the name that it got.

        Args:
            exchange: A test case if it is inbound, a mock if it is outbound. Its name is the one
                that is wanted; "" leaves the choice.
            request_frames: Gives the pieces of a request body that is too long to be in memory.
            response_frames: The same of the answer.
            noise: What replay of a test case ignores.

        Raises:
            JournalError: It cannot be written.
        """
        inbound = exchange.direction is Direction.INBOUND
        if inbound:
            request = exchange.request
            name = self._names.give(request.method, request.url, wanted=exchange.name or None)
            self._cases[exchange.id] = name
            self.cases += 1
        else:
            name = f"mock-{self._next_mock}"
            self._next_mock += 1
            self.mocks += 1
            if exchange.parent is not None:
                mock = MappedMock(name, "Http", exchange.started_at, exchange.ended_at)
                self._mapped.setdefault(exchange.parent, []).append(mock)
        request_file = self._long(name, "body.txt", request_frames)
        response_file = self._long(name, "response.bin", response_frames)
        digest = None
        if exchange.response is not None and exchange.failure is None and not exchange.messages:
            digest = self._write_keploy(exchange, name, request_file, noise)
        tree = encode_sidecar(
            exchange, name, digest=digest, request_file=request_file, response_file=response_file
        )
        sidecar = Document(tree, head=SIDECAR_HEAD)
        if inbound:
            replace_file(self._path / "tta" / f"{name}.yaml", render([sidecar]))
        else:
            self._append(self._path / "tta" / "mocks.yaml", sidecar)
        return name

    def finish(self) -> None:
        """Write which mocks belong to which test case."""
        mapped = {
            name: self._mapped[identity]
            for identity, name in self._cases.items()
            if identity in self._mapped
        }
        if mapped:
            tree = encode_mappings(self.name, mapped)
            path = self._path / f"mappings.{self._format}"
            replace_file(path, render([Document(tree, format=self._format)]))

    def move_into(self, folder: KeployFolder) -> None:
        """Move the set to its place, or what is in it into a set that is there already.

        Raises:
            JournalError: It cannot be moved.
        """
        self.join_with(folder)
        move_set(self._path, folder.path / self.name)

    def join_with(self, folder: KeployFolder) -> None:
        """Make the files whole that have to take the place of others: nothing of those is lost.

        What is left to do is `move_set`, which may be done again after it was broken off.

        Raises:
            JournalError: They cannot be read or written.
        """
        target = folder.path / self.name
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            for made in sorted(self._path.rglob("*")):
                there = target / made.relative_to(self._path)
                if made.is_file() and there.is_file():
                    replace_file(made, _joined(there, made))
            _ignore_private(folder.path)
        except OSError as error:
            raise _cannot_write(target, error) from error

    def _write_keploy(
        self,
        exchange: Exchange,
        name: str,
        request_file: LongFile | None,
        noise: Mapping[str, list[str]] | None,
    ) -> str:
        """Write Keploy's form of the exchange; return its digest."""
        asset = None
        if request_file is not None:
            asset = (request_file[0], sum(size for _, size in request_file[1]))
        made = encode_http(exchange, name, test_set=self.name, request_asset=asset, noise=noise)
        for asset_path, data in made.assets.items():
            replace_file(self._root / asset_path, data)
        document = Document(made.tree, format=self._format)
        if exchange.direction is Direction.INBOUND:
            path = self._path / "tests" / f"{name}.{self._format}"
            replace_file(path, render([document]))
        else:
            self._append(self._path / f"mocks.{self._format}", document)
        return digest_of(as_read(document))

    def _append(self, path: Path, document: Document) -> None:
        """Add a document to a file of many."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            data = render([document], compact=True)
            if file.tell() and document.format == "yaml":
                data = b"---\n" + data[len(document.head.encode()) :]
            file.write(data)

    def _long(self, name: str, file_name: str, frames: Frames | None) -> LongFile | None:
        """Write a long body to a file of its own."""
        if frames is None:
            return None
        path = f"{self.name}/assets/{name}/{file_name}"
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        pieces: list[tuple[float, int]] = []
        with place.open("wb") as file:
            for at, data in frames():
                file.write(data)
                pieces.append((at, len(data)))
        return path, pieces


def move_set(made: Path, target: Path) -> None:
    """Move the files of a set to their place; each at once, and again without harm.

    Args:
        made: The set that was made, complete with what the files hold that it replaces.
        target: Where it belongs; it may be there.

    Raises:
        JournalError: They cannot be moved.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        try:
            target.rmdir()  # it was made to keep the name, and is empty
        except OSError:
            for source in sorted(made.rglob("*")):
                place = target / source.relative_to(made)
                if source.is_dir():
                    place.mkdir(exist_ok=True)
                else:
                    source.replace(place)
            shutil.rmtree(made)
        else:
            made.rename(target)
    except OSError as error:
        raise _cannot_write(target, error) from error


def _cannot_write(target: Path, error: OSError) -> JournalError:
    return JournalError(f"cannot write {target}: {error.strerror or error}")


def _joined(there: Path, made: Path) -> bytes:
    """Return what a file holds, with what is added to it."""
    if made.stem == "mappings":
        old, new = read_documents(there)[0], read_documents(made)[0]
        return render([_joined_mappings(old, new)])
    old_data, new_data = there.read_bytes(), made.read_bytes()
    if made.suffix == ".yaml":
        head = new_data.find(b"\n") + 1 if new_data.startswith(b"#") else 0
        end = b"" if old_data.endswith(b"\n") else b"\n"
        new_data = end + b"---\n" + new_data[head:]
    return old_data + new_data


def _joined_mappings(old: Document, new: Document) -> Document:
    """Add the tests of one mapping to another."""
    tree = cast("dict[str, Any]", old.tree)
    added = cast("dict[str, Any]", new.tree)
    tests: list[Any] = [*(tree.get("tests") or []), *(added.get("tests") or [])]
    return Document({**tree, "tests": tests}, indent=old.indent, head=old.head, format=old.format)


def _ignore_private(folder: Path) -> None:
    """Keep reports and secrets out of version control, as Keploy does."""
    path = folder / ".gitignore"
    lines: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = path.read_text(encoding="utf-8").splitlines()
    missing = [line for line in _GITIGNORE if line not in lines]
    if missing:
        replace_file(path, "".join(f"{line}\n" for line in [*lines, *missing]).encode())
