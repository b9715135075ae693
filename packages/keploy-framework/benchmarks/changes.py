"""Seeded changes of an answer: its status, headers, values, lines and pieces."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ("KINDS", "Answer", "changed")

_FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "date", "server", "keep-alive"}
)
_WORD: Final = re.compile(rb"[A-Za-z]{3,}")


@dataclass(slots=True)
class Answer:
    """An answer on its way.

    Attributes:
        status: The status.
        headers: The lines.
        pieces: The pieces of the body.
    """

    status: int
    headers: list[tuple[str, str]]
    pieces: list[bytes]

    def header(self, name: str) -> str:
        """Return the value of a header, "" if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def _status(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    others = [code for code in (200, 201, 400, 404, 409, 418, 500) if code != answer.status]
    answer.status = chance.choice(others)
    return True


def _own_headers(answer: Answer, noise: set[str]) -> list[int]:
    return [
        number
        for number, (name, _) in enumerate(answer.headers)
        if name.lower() not in _FRAMING and f"header.{name.lower()}" not in noise
    ]


def _header_dropped(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    own = _own_headers(answer, noise)
    if own:
        del answer.headers[chance.choice(own)]
    return bool(own)


def _header_added(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    answer.headers.append((f"X-New-{chance.randrange(99)}", "1"))
    return True


def _header_changed(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    own = _own_headers(answer, noise)
    if own:
        number = chance.choice(own)
        name, value = answer.headers[number]
        answer.headers[number] = (name, f"{value}x" if value else "x")
    return bool(own)


def _header_order(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Change the order of a header that comes more than once."""
    del noise, chance
    seen: dict[str, int] = {}
    for number, (name, value) in enumerate(answer.headers):
        before = seen.setdefault(name.lower(), number)
        if before != number and answer.headers[before][1] != value:
            lines = answer.headers
            lines[before], lines[number] = lines[number], lines[before]
            return True
    return False


def _tree(answer: Answer) -> tuple[Any, Callable[[Any], None]] | None:
    """Return the JSON of an answer, and what puts another one in its place."""
    body = b"".join(answer.pieces)
    squeezed = answer.header("content-encoding") == "gzip"
    if "json" not in answer.header("content-type") or "event" in answer.header("content-type"):
        return None
    try:
        tree = json.loads(gzip.decompress(body) if squeezed else body)
    except (ValueError, OSError):
        return None

    def put(new: Any) -> None:
        made = json.dumps(new, ensure_ascii=False).encode()
        answer.pieces = [gzip.compress(made) if squeezed else made]

    return (cast("object", tree), put) if isinstance(tree, (dict, list)) else None


@dataclass(frozen=True, slots=True)
class _Place:
    holder: Any
    key: Any
    path: str

    @property
    def value(self) -> Any:
        return self.holder[self.key]


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        named = cast("dict[Any, Any]", value)  # type: ignore[redundant-cast]
        return list(named.items())
    listed: list[Any] = value
    return list(enumerate(listed))


def _places(tree: Any) -> list[_Place]:
    found: list[_Place] = []
    waiting: list[tuple[Any, str]] = [(tree, "body")]
    while waiting:
        value, path = waiting.pop()
        for key, inner in _items(value):
            below = f"{path}.{key}" if isinstance(value, dict) else path
            found.append(_Place(value, key, below))
            deeper: object = inner
            if isinstance(deeper, (dict, list)):
                waiting.append((cast("object", inner), below))
    return found


def _quiet(path: str, noise: set[str]) -> bool:
    """Say whether nothing at or above a path is noise."""
    return not any(path == each or path.startswith(f"{each}.") for each in noise)


def _in_json(
    choose: Callable[[_Place], bool], change: Callable[[_Place, random.Random], None]
) -> Callable[[Answer, random.Random, set[str]], bool]:
    def changing(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
        found = _tree(answer)
        if found is None:
            return False
        tree, put = found
        places = [each for each in _places(tree) if choose(each) and _quiet(each.path, noise)]
        if not places:
            return False
        change(chance.choice(places), chance)
        put(tree)
        return True

    return changing


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + chance.choice((-1, 1, 10))
    return f"{value}{chance.choice('xyz')}" if chance.random() < 0.5 or not value else value[1:]  # noqa: PLR2004 - half


def _other_type(value: Any) -> Any:
    if isinstance(value, str):
        return len(value)
    return str(value) if isinstance(value, (bool, int, float)) else {"was": "null"}


def _set(place: _Place, new: Any) -> None:
    place.holder[place.key] = new


def _is_leaf(place: _Place) -> bool:
    return not isinstance(place.value, (dict, list))


def _swap(place: _Place, chance: random.Random) -> None:
    del chance
    items: list[Any] = place.value
    at = next(n for n in range(1, len(items)) if items[n] != items[0])
    items[0], items[at] = items[at], items[0]


def _json_order(place: _Place) -> bool:
    value: Any = place.value
    return isinstance(place.value, list) and any(item != value[0] for item in value[1:])


def _text(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Change a word of a body that is no JSON."""
    del noise
    body = b"".join(answer.pieces)
    if _tree(answer) is not None or answer.header("content-encoding") or not body:
        return False
    words = list(_WORD.finditer(body))
    if words:
        word = chance.choice(words)
        start = word.start()
    else:
        start = chance.randrange(len(body))
    new = bytes([body[start] ^ 1])
    cut = 0
    for number, piece in enumerate(answer.pieces):
        if cut <= start < cut + len(piece):
            at = start - cut
            answer.pieces[number] = piece[:at] + new + piece[at + 1 :]
        cut += len(piece)
    return True


def _line(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    """Leave out a line of a body that is text."""
    del noise
    body = b"".join(answer.pieces)
    if "text/" not in answer.header("content-type") or "event" in answer.header("content-type"):
        return False
    lines = body.splitlines(keepends=True)
    if len(lines) < 2 or answer.header("content-encoding"):  # noqa: PLR2004 - one has to stay
        return False
    del lines[chance.randrange(len(lines))]
    answer.pieces = [b"".join(lines)]
    return True


def _is_stream(answer: Answer) -> bool:
    return not answer.header("content-length") and sum(map(bool, answer.pieces)) > 1


def _piece_dropped(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    answer.pieces.remove(chance.choice([piece for piece in answer.pieces if piece]))
    return True


def _piece_merged(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    pieces = [piece for piece in answer.pieces if piece]
    at = chance.randrange(len(pieces) - 1)
    answer.pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]
    return True


def _piece_doubled(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    at = chance.choice([number for number, piece in enumerate(answer.pieces) if piece])
    answer.pieces.insert(at, answer.pieces[at])
    return True


def _piece_order(answer: Answer, chance: random.Random, noise: set[str]) -> bool:
    del noise
    if not _is_stream(answer):
        return False
    pieces = [piece for piece in answer.pieces if piece]
    at = chance.randrange(len(pieces) - 1)
    if pieces[at] == pieces[at + 1]:
        return False
    pieces[at], pieces[at + 1] = pieces[at + 1], pieces[at]
    answer.pieces = pieces
    return True


KINDS: Final[dict[str, Callable[[Answer, random.Random, set[str]], bool]]] = {
    "status": _status,
    "key removed": _in_json(
        lambda place: isinstance(place.holder, dict), lambda place, _: place.holder.pop(place.key)
    ),
    "key added": _in_json(
        lambda place: isinstance(place.holder, dict),
        lambda place, _: place.holder.__setitem__("new_key", None),
    ),
    "type": _in_json(_is_leaf, lambda place, _: _set(place, _other_type(place.value))),
    "value": _in_json(
        lambda place: _is_leaf(place) and place.value is not None,
        lambda place, chance: _set(place, _other(place.value, chance)),
    ),
    "order": _in_json(_json_order, _swap),
    "header removed": _header_dropped,
    "header added": _header_added,
    "header changed": _header_changed,
    "header order": _header_order,
    "text changed": _text,
    "line removed": _line,
    "piece dropped": _piece_dropped,
    "pieces merged": _piece_merged,
    "piece doubled": _piece_doubled,
    "pieces swapped": _piece_order,
}
"""What may be changed, by name."""


def changed(
    answer: Answer, kinds: Sequence[str], chance: random.Random, noise: set[str]
) -> str | None:
    """Change an answer in the first of these kinds that can; return its name.

    Args:
        answer: The answer; its length is put right, as a server would.
        kinds: Names of kinds, in the order in which they are tried.
        chance: Where the change is.
        noise: Paths whose values are not to be changed.
    """
    length = answer.header("content-length")
    for kind in kinds:
        if KINDS[kind](answer, chance, noise):
            if (
                length
                and answer.header("content-length") == length
                and answer.status not in {204, 304}
            ):
                size = str(sum(map(len, answer.pieces)))
                if answer.pieces and any(answer.pieces):
                    answer.headers = [
                        (name, size if name.lower() == "content-length" else value)
                        for name, value in answer.headers
                    ]
            return kind
    return None
