"""Test cases that say the same: found by their shape, left out only if coverage does not fall."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from keploy_framework.errors import FormatError
from keploy_framework.generate.shapes import json_body, media_type, request_shape, shape_of
from keploy_framework.storage.documents import read_documents
from keploy_framework.storage.fields import Fields
from keploy_framework.storage.tree import as_int

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keploy_framework.model import Exchange, Response

__all__ = ("CoverageProof", "Duplicates", "Lines", "find_duplicates", "read_lines")

Lines: TypeAlias = "dict[str, frozenset[tuple[str, int]]]"
"""For each case id, the lines of the application that it ran: file and number."""

_NONE: Final[frozenset[tuple[str, int]]] = frozenset()


@dataclass(frozen=True, slots=True)
class CoverageProof:
    """That the cases which are kept run every line that all of them ran.

    Attributes:
        before: How many lines all cases ran.
        after: How many lines the kept cases run; the same number.
        returned: Cases that have the shape of another and are kept, for lines that only they run.
    """

    before: int
    after: int
    returned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What can go and what stays.

    Attributes:
        kept: The ids of the cases that stay, in their order.
        dropped: The ids of those that can go, each with the id of the case that stands for it.
        proof: That coverage does not fall; None if it was not known which case runs which lines.
    """

    kept: tuple[str, ...]
    dropped: dict[str, str] = field(default_factory=dict[str, str])
    proof: CoverageProof | None = None


def find_duplicates(
    cases: Iterable[tuple[str, Exchange]],
    lines: Mapping[str, frozenset[tuple[str, int]]] | None = None,
) -> Duplicates:
    """Find the cases that ask for the same and get the same, but for the values.

    Args:
        cases: The id of each case, and what was recorded, in their order.
        lines: Which lines each case runs, see `read_lines`. Cases that are not in it are kept.

    Example:
        >>> from keploy_framework.model import Direction, Exchange, Request, Response
        >>> def case(number: int) -> Exchange:
        ...     asked = Request("GET", f"http://h/users/{number}")
        ...     return Exchange(str(number), Direction.INBOUND, asked, Response(200), 0, 0)
        >>> find_duplicates([("s/a", case(1)), ("s/b", case(2))]).dropped
        {'s/b': 's/a'}
    """
    first: dict[str, str] = {}
    kept: list[str] = []
    dropped: dict[str, str] = {}
    for name, exchange in cases:
        shape = _shape(exchange)
        if shape in first and (lines is None or name in lines):
            dropped[name] = first[shape]
        else:
            first.setdefault(shape, name)
            kept.append(name)
    if lines is None:
        return Duplicates(tuple(kept), dropped)
    order = [*kept, *dropped]
    whole = frozenset[tuple[str, int]]().union(*(lines.get(name, _NONE) for name in order))
    covered = frozenset[tuple[str, int]]().union(*(lines.get(name, _NONE) for name in kept))
    returned: list[str] = []
    while missing := whole - covered:
        best = max(dropped, key=lambda name: len(lines.get(name, _NONE) & missing))
        del dropped[best]
        returned.append(best)
        covered |= lines.get(best, _NONE)
    stays = {*kept, *returned}
    given = [name for name in order if name in stays]
    return Duplicates(
        tuple(given), dropped, CoverageProof(len(whole), len(covered), tuple(returned))
    )


def read_lines(path: Path | str) -> Lines:
    """Read which lines each case ran, from the `dedupData.yaml` of Keploy's SDK.

    Raises:
        FormatError: The file is damaged, or a line is no number.
    """
    found: dict[str, frozenset[tuple[str, int]]] = {}
    for document in read_documents(Path(path)):
        tree = document.tree
        items = tree if isinstance(tree, list) else [tree]
        for item in items:
            fields = Fields(item, str(path), document.data, document=document.index)
            files = fields.nested("executedLinesByFile")
            lines: set[tuple[str, int]] = set()
            for file in files.names():
                for number in files.listed(file):
                    line = as_int(number)
                    if line is None:
                        raise FormatError(
                            f"{file!r:.100} lists {number!r:.40}, which is no line", path=str(path)
                        )
                    lines.add((file, line))
            found[fields.text("id", None)] = frozenset(lines)
    return found


def _shape(exchange: Exchange) -> str:
    answer = _answer(exchange.response) if exchange.response is not None else "none"
    talk = ",".join(f"{one.sender}:{one.close_code}" for one in exchange.messages)
    return f"{request_shape(exchange.request)} -> {answer} {talk}"


def _answer(response: Response) -> str:
    is_json, value = json_body(response.headers, response.body)
    body = shape_of(value) if is_json else "body" if response.body else ""
    return f"{response.status} {media_type(response.headers)} {body}"
