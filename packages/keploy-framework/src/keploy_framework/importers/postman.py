"""Postman collections 2.0 and 2.1: the examples that are saved with the requests."""

from __future__ import annotations

import re
from http.client import responses
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from keploy_framework.importers.source import header_lines, whole_body
from keploy_framework.model import Exchange, Piece, Request, Response
from keploy_framework.storage.bodies import as_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keploy_framework.model import Direction
    from keploy_framework.storage.fields import Fields

__all__ = ("read_postman",)

_VARIABLE: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_DEEPEST: Final = 50


def read_postman(top: Fields, direction: Direction, notices: list[str]) -> Iterator[Exchange]:
    """Yield an exchange for each saved example, in the order of the collection.

    Variables of the collection are filled in; others stay as they are written.

    Args:
        top: The file.
        direction: What the exchanges become.
        notices: Gets what could not be taken over.

    Raises:
        FormatError: A field is missing, or is not what it has to be.
    """
    values = {item.text("key"): item.text("value") for item in top.items("variable")}
    without = 0
    number = 0
    for item in _requests(top, 0):
        examples = item.items("response")
        without += not examples
        for example in examples:
            asked = example if example.get("originalRequest") is not None else item
            key = "originalRequest" if asked is example else "request"
            yield _example(asked.required(key), example, values, direction, f"example-{number}")
            number += 1
    if without:
        notices.append(f"{without} requests are left out: no example is saved with them")


def _requests(fields: Fields, depth: int) -> Iterator[Fields]:
    """Yield the requests of a folder and of the folders in it."""
    if depth > _DEEPEST:
        raise fields.error(f"folders nest deeper than {_DEEPEST} levels", "item")
    for item in fields.items("item"):
        if item.get("request") is not None:
            yield item
        else:
            yield from _requests(item, depth + 1)


def _example(
    asked: Fields,
    example: Fields,
    values: Mapping[str, str],
    direction: Direction,
    name: str,
) -> Exchange:
    stored = asked.get("url")
    url = asked.text("url") if isinstance(stored, str) else asked.nested("url").text("raw")
    url = _filled(url, values)
    if "://" not in url:
        url = f"http://{url}"
    status = example.number("code", None)
    headers, body = whole_body(
        header_lines(example, "header"), as_bytes(example.content("body")), status=status
    )
    return Exchange(
        id=name,
        direction=direction,
        request=Request(
            asked.text("method", "GET").upper(),
            url,
            tuple((key, _filled(value, values)) for key, value in header_lines(asked, "header")),
            _body(asked, values).encode(),
        ),
        response=Response(
            status,
            example.text("status") or responses.get(status, ""),
            headers,
            (Piece(0.0, body),) if body else (),
        ),
        started_at=0,
        ended_at=round(max(0.0, example.real("responseTime")) * 1_000_000),
    )


def _body(asked: Fields, values: Mapping[str, str]) -> str:
    if asked.get("body") is None:
        return ""
    body = asked.nested("body")
    mode = body.text("mode")
    if mode == "urlencoded":
        return urlencode(
            [
                (_filled(item.text("key"), values), _filled(item.text("value"), values))
                for item in body.items("urlencoded")
                if not item.truth("disabled")
            ]
        )
    if mode in {"", "raw"}:
        return _filled(body.text("raw"), values)
    raise body.error(f"a body of the mode {mode[:60]!r} cannot be imported; raw ones can", "mode")


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Fill in the variables that have a value."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)
