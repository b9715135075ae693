"""Where in a YAML file a value stands: looked up only when an error has to name the line."""

from __future__ import annotations

from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from keploy_framework.storage.tree import PARSER

__all__ = ("line_of",)


def line_of(  # noqa: C901, PLR0912 - one loop over the events of a parser
    data: bytes, keys: tuple[str | int, ...], *, document: int = 0
) -> int | None:
    """Return the line (from 1) at which a value stands, for errors; None if it is not there.

    Args:
        data: The bytes of the file, which has been read before.
        keys: The keys and indexes that lead to the value; the nearest that exists is taken.
        document: Which document of the file, from 0.
    """
    parser: Any = PARSER(data.decode("utf-8", "replace"))
    best: tuple[int, int] | None = None
    place: list[list[Any]] = []  # for each open container: its kind, and the key or index in it
    try:
        while True:
            event: Any = parser.get_event()
            kind = cast("type[object]", type(event))
            if kind is StreamEndEvent:
                break
            if kind is DocumentEndEvent:
                document -= 1
                if document < 0:
                    break
            if kind in {SequenceEndEvent, MappingEndEvent}:
                place.pop()
                _advance(place, None)
            if document or kind not in {
                ScalarEvent,
                AliasEvent,
                SequenceStartEvent,
                MappingStartEvent,
            }:
                if kind in {SequenceStartEvent, MappingStartEvent}:
                    place.append([kind is MappingStartEvent, 0, None])
                elif kind in {ScalarEvent, AliasEvent}:
                    _advance(place, event)
                continue
            here = tuple(step[2] if step[0] else step[1] for step in place)
            depth = len(here)
            if here == keys[:depth] and (best is None or depth > best[0]):
                best = (depth, cast("int", event.start_mark.line) + 1)
            if kind in {SequenceStartEvent, MappingStartEvent}:
                place.append([kind is MappingStartEvent, 0, None])
            else:
                _advance(place, event)
    except yaml.YAMLError:
        pass
    finally:
        parser.dispose()
    return None if best is None else best[1]


def _advance(place: list[list[Any]], event: Any) -> None:
    """Step on in the innermost container, after one of its values or keys."""
    if not place:
        return
    top = place[-1]
    top[1] += 1
    if top[0]:
        top[2] = getattr(event, "value", None) if top[1] % 2 else None
