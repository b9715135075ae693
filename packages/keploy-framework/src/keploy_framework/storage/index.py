"""Finding the test cases of a set, and their order, by a glance at each file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.names import check_case_name, name_number
from keploy_framework.storage.times import from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keploy_framework.storage.documents import Document, Format

__all__ = ("MOCK_SIDECAR", "case_index", "only")

MOCK_SIDECAR: Final = "mocks"
"""The name of the sidecar of all mocks of a set."""

_NAME = re.compile(rb"^name: *(.*?) *\r?$", re.MULTILINE)
_TIME = re.compile(rb"^( +)timestamp: *[\"']?([^\"'\r\n]+?)[\"']? *\r?$", re.MULTILINE)
_STARTED = re.compile(rb"^started_at: (\d+)\r?$", re.MULTILINE)
_ENDED = re.compile(rb"^ended_at: (\d+)\r?$", re.MULTILINE)


def case_index(folder: Path, preferred: Format, notices: list[str]) -> dict[str, Path]:
    """Return the cases of a set, each with its file, in the order in which they are replayed.

    Args:
        folder: The folder of the set.
        preferred: Which of twins in YAML and JSON counts.
        notices: Gets what a reader should know, such as a sidecar whose case is gone.

    Raises:
        FormatError: Two files hold cases of the same name, or a file is damaged.
    """
    keys: dict[str, tuple[int, int, int, str]] = {}
    paths: dict[str, Path] = {}
    tests = folder / "tests"
    # Recordings of 2023 have their cases beside the mocks.
    place = tests if tests.is_dir() else folder
    for path in _case_files(place, preferred):
        if place is folder and not path.name.startswith("test-"):
            continue
        name, order = _glance(path)
        if name in paths:
            raise FormatError(
                f"the name {name!r:.80} is also that of {paths[name].name}; "
                "two test cases cannot share one",
                path=str(path),
            )
        paths[name], keys[name] = path, order
    sidecars = folder / "tta"
    for path in sorted(sidecars.glob("*.yaml")) if sidecars.is_dir() else ():
        if path.stem in paths or path.stem == MOCK_SIDECAR:
            continue
        data = path.read_bytes()
        if re.search(rb"^digest: ", data, re.MULTILINE):
            notices.append(f"{path} is ignored: its test case is gone")
            continue
        started, ended = _STARTED.search(data), _ENDED.search(data)
        paths[path.stem] = path
        keys[path.stem] = (
            int(started[1]) if started else 0,
            int(ended[1]) if ended else 0,
            name_number(path.stem),
            path.stem,
        )
    return {name: paths[name] for name in sorted(paths, key=lambda name: keys[name])}


def _glance(path: Path) -> tuple[str, tuple[int, int, int, str]]:
    """Return the name and the place in the order of a case, without reading all of its file.

    The timestamps are those two that stand equally deep at the indent of the file; where a file is
    laid out in another way, it is read.
    """
    stem = path.stem
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=str(path)) from error
    found = _NAME.search(data)
    times = _TIME.findall(data)
    indents = {indent for indent, _ in times}
    if path.suffix == ".yaml" and found and len(times) == 2 and len(indents) == 1:  # noqa: PLR2004 - asked, answered
        first, second = (from_rfc3339(text.decode("latin-1")) for _, text in times)
        name = found[1].strip(b"'\"").decode("utf-8", "replace")
        if first is not None and second is not None:
            return _checked(name, stem, path), (first, second, name_number(stem), stem)
    document = only(read_documents(path, str(path)), path)
    top = Fields(document.tree, str(path), document.data)
    spec = top.required("spec")
    order: list[int] = []
    for names in (("req", "grpcReq"), ("resp", "grpcResp")):
        text = next((spec.nested(name).text("timestamp") for name in names if spec.get(name)), "")
        order.append(from_rfc3339(text) or 0)
    name = _checked(top.text("name", None), stem, path)
    return name, (order[0], order[1], name_number(stem), stem)


def _checked(name: str, stem: str, path: Path) -> str:
    try:
        check_case_name(name)
    except OptionError as error:
        raise FormatError(str(error), path=str(path)) from error
    return name or stem


def _case_files(folder: Path, preferred: Format) -> Iterator[Path]:
    """Yield the case files of a folder; of twins only the preferred one."""
    other = "json" if preferred == "yaml" else "yaml"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.suffix not in {".yaml", ".json"}:
            continue
        if path.suffix == f".{other}" and path.with_suffix(f".{preferred}").is_file():
            continue
        yield path


def only(documents: list[Document], path: Path) -> Document:
    """Return the document of a file that has to hold one.

    Raises:
        FormatError: It holds none, or more.
    """
    if len(documents) != 1:
        problem = "is empty" if not documents else "holds more than one document"
        raise FormatError(f"{problem}; one test case is expected", path=str(path))
    return documents[0]
