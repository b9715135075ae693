"""Secrets in tables: the columns of CSV that have a telling name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.hints import has_names
from keploy_framework.redact.placeholders import is_placeholder
from keploy_framework.redact.spans import SPACE, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keploy_framework.redact.names import Names

__all__ = ("columns",)

_HEAD: Final = re.compile(r"[^\r\n]{1,8192}+")


def columns(text: str, names: Names) -> Iterator[Span]:  # noqa: C901 - one pass
    r"""Yield the cells below a telling name in the first line.

    Example:
        >>> from keploy_framework.redact.names import Names
        >>> [span.value for span in columns('id,password\n1,abc\n2,"d,e"\n', Names())]
        ['abc', 'd,e']
    """
    head = _HEAD.match(text)
    if head is None or not has_names(head[0], names):
        return
    sign = max(",;\t|", key=head[0].count)
    cell = re.compile(rf'(?P<quoted>"(?:[^"]++|"")*+")|(?P<bare>[^{re.escape(sign)}\r\n]*+)')
    at, number = 0, 0
    telling: dict[int, str] = {}
    while at <= len(text):
        match = cell.match(text, at)
        if match is None:
            return
        quoted = match["quoted"]
        value = quoted[1:-1].replace('""', '"') if quoted is not None else match["bare"]
        start, end = (at + 1, match.end() - 1) if quoted is not None else match.span()
        if at < head.end():
            known = names.kind(value.strip(SPACE))
            if known is not None and "[redacted:" not in value:  # the kind of one is no name
                telling[number] = value.strip(SPACE)
        elif number in telling and value and not is_placeholder(value):
            kind = names.field(telling[number], value)
            if kind is not None:
                yield Span(start, end, kind, value)
        at = match.end()
        if text.startswith(sign, at):
            number += 1
        elif at < len(text):
            if not telling:
                return
            number = 0
            if text.startswith("\r\n", at):
                at += 1
        else:
            return
        at += 1
