"""`mappings.yaml`: which mocks belong to which test case, in every form that Keploy has written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keploy_framework.storage.fields import Fields
from keploy_framework.storage.http import VERSION
from keploy_framework.storage.times import to_rfc3339
from keploy_framework.storage.tree import Plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keploy_framework.storage.documents import Document

__all__ = ("MappedMock", "decode_mappings", "encode_mappings")


@dataclass(frozen=True, slots=True)
class MappedMock:
    """A mock that belongs to a test case, and when it was used (nanoseconds since the epoch)."""

    name: str
    kind: str = "Http"
    started_at: int = 0
    ended_at: int = 0


def encode_mappings(test_set: str, mappings: Mapping[str, Sequence[MappedMock]]) -> dict[str, Any]:
    """Return the document of a test set."""
    return {
        "version": VERSION,
        "kind": "TestMocksMapping",
        "test_set_id": test_set,
        "tests": [
            {
                "id": name,
                "mock_entries": [
                    {
                        "name": mock.name,
                        "kind": mock.kind,
                        "timestamp": mock.started_at // 1_000_000_000,
                        "reqTimestampMock": Plain(to_rfc3339(mock.started_at)),
                        "resTimestampMock": Plain(to_rfc3339(mock.ended_at)),
                    }
                    for mock in mocks
                ],
            }
            for name, mocks in mappings.items()
        ],
    }


def decode_mappings(document: Document, path: str) -> dict[str, tuple[str, ...]]:
    """Return the names of the mocks of each test case.

    Raises:
        FormatError: A field is not what it has to be.
    """
    top = Fields(document.tree, path, document.data, document=document.index)
    result: dict[str, tuple[str, ...]] = {}
    for test in top.items("tests"):
        name = test.text("id", None)
        entries = test.get("mock_entries")
        mocks: object = entries if entries is not None else test.get("mocks")
        if isinstance(mocks, str):
            names = _plain(mocks.split(","))
        elif isinstance(mocks, list):
            field = "mocks" if entries is None else "mock_entries"
            listed = test.listed(field)
            if all(isinstance(item, str) for item in listed):
                names = _plain(str(item) for item in listed)
            else:
                names = tuple(item.text("name", None) for item in test.items(field))
        else:
            names = ()
        result[name] = (*result.get(name, ()), *names)
    return result


def _plain(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in names if name.strip())
