"""The parts of recorded URLs, as they were on the wire."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

__all__ = ("Parts", "parts_of")

_PLAIN = re.compile(
    r"(https?|wss?)://([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[!-\"$->@-~]*)?(?:\?([!-\"$-~]*))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Parts(NamedTuple):
    """A URL in parts: path and query exactly as they stood on the request line."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def target(self) -> str:
        """Path and query, as a request line has them."""
        return f"{self.path}?{self.query}" if self.query else self.path


def parts_of(url: str) -> Parts:
    """Cut a URL into its parts; what cannot stand on a request line is percent-encoded.

    >>> parts_of("http://example.com/a%20b?x=1").target
    '/a%20b?x=1'
    """
    plain = _PLAIN.fullmatch(url)
    if plain is not None:
        scheme, host, given, path, query = plain.groups("")
        return Parts(
            scheme, host, int(given) if given else _DEFAULT_PORTS[scheme], path or "/", query
        )
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    ends = [at for mark in "/?" if (at := rest.find(mark)) >= 0]
    end = min(ends, default=len(rest))
    authority, rest = rest[:end].rpartition("@")[2], rest[end:]
    path, _, query = rest.partition("?")
    host, port = _host_and_port(authority)
    return Parts(
        scheme.lower(),
        host,
        port if port is not None else _DEFAULT_PORTS.get(scheme.lower(), 80),
        _visible(path or "/"),
        _visible(query),
    )


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    return host, int(port) if port.isdecimal() and len(port) < 6 else None  # noqa: PLR2004 - a port


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return quote(text, safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
