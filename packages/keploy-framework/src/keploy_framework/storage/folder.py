"""The `keploy` folder and its test sets: what is there, read when it is asked for, and written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.errors import FormatError, JournalError, OptionError
from keploy_framework.model import Direction
from keploy_framework.storage.documents import read_documents, render, replace_file
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.http import VERSION, decode_http
from keploy_framework.storage.index import MOCK_SIDECAR, case_index, only
from keploy_framework.storage.mappings import decode_mappings
from keploy_framework.storage.names import RESERVED, check_set_name, next_set_name
from keploy_framework.storage.sidecar import decode_sidecar, digest_of
from keploy_framework.storage.stored import StoredCase, StoredMock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keploy_framework.model import Exchange
    from keploy_framework.storage.documents import Document, Format
    from keploy_framework.storage.tree import Tree

__all__ = ("KeployFolder", "TestSet")

_MOCK_VERSIONS = frozenset({VERSION, "api.keploy.io/v1beta2"})


class KeployFolder:
    """A `keploy` folder.

    Args:
        path: The folder; it need not exist yet.
        format: Which of twins in YAML and JSON counts, and what new files are.
    """

    def __init__(self, path: Path | str, *, format: Format = "yaml") -> None:  # noqa: A002 - Keploy's word
        if cast("str", format) not in {"yaml", "json"}:
            raise OptionError(f"format must be 'yaml' or 'json', not {format!r:.60}")
        self.path: Path = Path(path)
        self.format: Format = format

    def sets(self) -> tuple[str, ...]:
        """Return the names of the test sets, numbers in their order."""
        if not self.path.is_dir():
            return ()
        names = [
            entry.name
            for entry in self.path.iterdir()
            if entry.name not in RESERVED and not entry.name.startswith(".") and entry.is_dir()
        ]
        return tuple(sorted(names, key=lambda name: (*_natural(name), name)))

    def set(self, name: str) -> TestSet:
        """Return a test set; it need not exist yet.

        Raises:
            OptionError: No set can have this name.
        """
        return TestSet(self, check_set_name(name))

    def create_set(self, name: str | None = None) -> TestSet:
        """Make the folder of a new test set; without a name, of the next number.

        Raises:
            OptionError: No set can have this name.
            JournalError: The folder cannot be made.
        """
        while True:
            # A file may have such a name as well as a folder.
            there = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
            wanted = check_set_name(name) if name is not None else next_set_name(there)
            try:
                (self.path / wanted).mkdir(parents=True, exist_ok=name is not None)
            except FileExistsError as error:
                if name is None:
                    continue  # another process was faster
                raise JournalError(f"{self.path / wanted} is in the way: it is a file") from error
            except OSError as error:
                raise JournalError(
                    f"cannot make {self.path / wanted}: {error.strerror or error}"
                ) from error
            return TestSet(self, wanted)


class TestSet:
    """The test cases and mocks of one set.

    Cases are found by a glance at each file, and read when they are asked for.

    Attributes:
        notices: What a reader should know and need not act on, such as an ignored sidecar.
    """

    __test__ = False  # its name begins as those of pytest's classes do

    def __init__(self, folder: KeployFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        self.path: Path = folder.path / name
        self.notices: list[str] = []
        self._index: dict[str, Path] | None = None
        self._mocks: tuple[StoredMock, ...] | None = None

    def case_names(self) -> tuple[str, ...]:
        """Return the names of the test cases, in the order in which they are replayed.

        Raises:
            FormatError: Two files hold cases of the same name, or a file is damaged.
        """
        if self._index is None:
            self._index = case_index(self.path, self.folder.format, self.notices)
        return tuple(self._index)

    def __iter__(self) -> Iterator[StoredCase]:
        return (self.case(name) for name in self.case_names())

    def __len__(self) -> int:
        return len(self.case_names())

    def case(self, name: str) -> StoredCase:
        """Read one test case.

        Raises:
            LookupError: There is none of this name.
            FormatError: Its file is damaged.
        """
        self.case_names()
        path = cast("dict[str, Path]", self._index).get(name)
        if path is None:
            raise LookupError(f"{self.path} holds no test case {name!r:.80}")
        if path.parent.name == "tta":
            fields = self._sidecar(path)
            exchange = decode_sidecar(fields, self._asset)
            kind = _kind(exchange)
            return StoredCase(name=name, kind=kind, exchange=exchange, exact=True, path=path)
        return self._decode_case(name, path)

    def mocks(self) -> tuple[StoredMock, ...]:
        """Return the mocks, in the order of the file.

        Raises:
            FormatError: The file is damaged, or is a gob file, which only Keploy can read.
        """
        if self._mocks is None:
            self._mocks = tuple(self._read_mocks())
        return self._mocks

    def format_of_mocks(self) -> Format | None:
        """Return the format of the file of mocks; None if there is none."""
        path = self._twin("mocks")
        return None if path is None else "json" if path.suffix == ".json" else "yaml"

    def mappings(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the mocks that belong to each test case."""
        path = self._twin("mappings")
        if path is None:
            return {}
        documents = read_documents(path)
        return decode_mappings(documents[0], str(path)) if documents else {}

    def settings(self) -> Document | None:
        """Return `config.yaml`: hooks, template values, metadata; None if there is none."""
        return self._first("config")

    def secrets(self) -> Document | None:
        """Return `secret.yaml`; None if there is none."""
        return self._first("secret")

    def rewrite(self, case: StoredCase, *, noise: Mapping[str, list[str]]) -> None:
        """Write the noise of a test case; all else in its file stays.

        Raises:
            OptionError: The case has no file of Keploy's.
        """
        if case.document is None:
            raise OptionError(f"{case.name} has no file of Keploy's that could hold noise")
        tree = cast("dict[str, Any]", case.document.tree)
        spec = cast("dict[str, Any]", tree["spec"])
        assertions = {**cast("dict[str, Any]", spec.get("assertions") or {}), "noise": dict(noise)}
        if "assertions" not in spec and "created" in spec:
            # Keploy's order: assertions stand before `created`.
            items = list(spec.items())
            at = [key for key, _ in items].index("created")
            spec = dict([*items[:at], ("assertions", assertions), *items[at:]])
        else:
            spec = {**spec, "assertions": assertions}
        document = replace(case.document, tree={**tree, "spec": spec})
        replace_file(case.path, render([document]))

    def _decode_case(self, name: str, path: Path) -> StoredCase:
        document = only(read_documents(path), path)
        top = Fields(document.tree, str(path), document.data)
        kind = top.text("kind", None)
        if top.text("version", None) != VERSION:
            raise top.error(
                f"version {top.text('version')[:60]!r} is not known; this reads {VERSION}",
                "version",
            )
        if kind not in {"Http", "gRPC"}:
            raise top.error(f"{kind[:60]!r} is no kind of test case; Http and gRPC are", "kind")
        spec = top.required("spec")
        stored = StoredCase(
            name=name,
            kind=kind,
            exchange=None,
            exact=False,
            noise=_noise(spec.nested("assertions"), "noise"),
            assertions={
                key: spec.nested("assertions").get(key)
                for key in spec.nested("assertions").names()
                if key != "noise"
            },
            description=spec.nested("metadata").text("description"),
            app_port=spec.number("app_port") or None,
            path=path,
            document=document,
        )
        if kind != "Http":
            return stored
        exact = self._exact(name, document.tree)
        if exact is not None:
            return replace(stored, exchange=exact, exact=True)
        return replace(stored, exchange=decode_http(spec, name, Direction.INBOUND, self._asset))

    def _exact(self, name: str, tree: Tree) -> Exchange | None:
        """Return what the sidecar says, if it belongs to this case."""
        path = self.path / "tta" / f"{name}.yaml"
        if not path.is_file():
            return None
        fields = self._sidecar(path)
        if fields.text("digest") != digest_of(tree):
            self.notices.append(
                f"{path} is ignored: the case beside it was changed since it was recorded"
            )
            return None
        return decode_sidecar(fields, self._asset)

    def _sidecar(self, path: Path) -> Fields:
        document = only(read_documents(path), path)
        return Fields(document.tree, str(path), document.data)

    def _read_mocks(self) -> Iterator[StoredMock]:
        path = self._twin("mocks")
        gob = self.path / "mocks.gob"
        if gob.exists():
            if path is None:
                raise FormatError(
                    "mocks in Go's gob format can be read by Keploy alone; record them again with "
                    "`record.mockFormat: yaml`, or let Keploy rewrite them",
                    path=str(gob),
                )
            self.notices.append(f"{gob} is ignored: {path.name} stands beside it")
        exact = self._exact_mocks()
        seen: dict[str, int] = {}
        for document in read_documents(path) if path is not None else ():
            mock = self._decode_mock(document, str(path), exact)
            seen[mock.name] = count = seen.get(mock.name, 0) + 1
            if count > 1:
                name = f"{mock.name}#{count}"
                exchange = mock.exchange and replace(mock.exchange, id=name, name=name)
                mock = replace(mock, name=name, exchange=exchange)
            yield mock
        for name, fields in exact.items():
            if fields.get("digest") is None:
                exchange = decode_sidecar(fields, self._asset)
                yield StoredMock(name=name, kind=_kind(exchange), exchange=exchange, exact=True)

    def _exact_mocks(self) -> dict[str, Fields]:
        path = self.path / "tta" / f"{MOCK_SIDECAR}.yaml"
        if not path.is_file():
            return {}
        found: dict[str, Fields] = {}
        for document in read_documents(path):
            fields = Fields(document.tree, str(path), document.data, document=document.index)
            found[fields.text("name", None)] = fields
        return found

    def _decode_mock(
        self, document: Document, path: str, exact: Mapping[str, Fields]
    ) -> StoredMock:
        top = Fields(document.tree, path, document.data, document=document.index)
        name, kind = top.text("name", None), top.text("kind", None)
        raw = top.get("noise")
        noise = {"value": _texts(raw)} if isinstance(raw, list) else _noise(top, "noise")
        if kind != "Http":
            return StoredMock(
                name=name, kind=kind, exchange=None, exact=False, noise=noise, document=document
            )
        if top.text("version", None) not in _MOCK_VERSIONS:
            raise top.error(
                f"version {top.text('version')[:60]!r} is not known; this reads {VERSION}",
                "version",
            )
        spec = top.required("spec")
        lifetime = spec.nested("metadata").text("type")
        fields = exact.get(name)
        fits = fields is not None and fields.text("digest") == digest_of(document.tree)
        if fields is not None and not fits:
            self.notices.append(f"the sidecar of mock {name} is ignored: the mock was changed")
        return StoredMock(
            name=name,
            kind=kind,
            exchange=decode_sidecar(fields, self._asset)
            if fits and fields is not None
            else decode_http(spec, name, Direction.OUTBOUND, self._asset),
            exact=fits,
            lifetime=lifetime if lifetime in {"config", "connection"} else "once",
            noise=noise,
            document=document,
        )

    def _asset(self, fields: Fields, path: str) -> bytes:
        """Read a file that a field names; it has to stand in the `keploy` folder."""
        root = self.folder.path.resolve()
        if not path or "\0" in path:
            raise fields.error(f"{path!r:.100} is no path of a file")
        for base in (root, self.path.resolve()):
            place = (base / path).resolve()
            if not place.is_relative_to(root):
                raise fields.error(f"the path {path!r:.100} leads out of the folder {root}")
            if place.is_file():
                return place.read_bytes()
        raise fields.error(f"the file {path!r:.100} that it names is not in {root}")

    def _twin(self, name: str) -> Path | None:
        other: Format = "json" if self.folder.format == "yaml" else "yaml"
        for suffix in (self.folder.format, other):
            path = self.path / f"{name}.{suffix}"
            if path.is_file():
                return path
        return None

    def _first(self, name: str) -> Document | None:
        path = self._twin(name)
        documents = read_documents(path) if path is not None else []
        return documents[0] if documents else None


def _kind(exchange: Exchange) -> str:
    """Say what an exchange is that only a sidecar holds."""
    switched = exchange.response is not None and exchange.response.status == 101  # noqa: PLR2004 - Switching Protocols
    socket = exchange.request.url.startswith(("ws:", "wss:"))
    return "WebSocket" if exchange.messages or switched or socket else "Http"


def _noise(fields: Fields, name: str) -> dict[str, tuple[str, ...]]:
    """Read noise: a map of paths to patterns, or a bare list of paths."""
    raw = fields.get(name)
    if isinstance(raw, list):
        return dict.fromkeys(_texts(raw), ())
    nested = fields.nested(name)
    result: dict[str, tuple[str, ...]] = {}
    for key in nested.names():
        value = nested.get(key)
        if value is not None and not isinstance(value, (list, str)):
            raise nested.error(f"the noise of {key!r:.60} has to be a list of patterns", key)
        result[key] = _texts(value)
    return result


def _texts(value: Tree) -> tuple[str, ...]:
    if isinstance(value, str):
        return (str(value),)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _natural(name: str) -> tuple[str, int]:
    number = re.search(r"\d+$", name)
    return (name[: number.start()], int(number[0])) if number else (name, -1)
