"""The absolute URL of a request, as the recorders of inbound traffic write it down."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes

__all__ = ("absolute_url", "is_authority", "request_target")

_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]+")
_TARGET: Final = re.compile(rb"/[!-~]*")
_VISIBLE: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def request_target(path: bytes, query: bytes) -> str:
    r"""Return path and query as they stand on a request line; bytes that cannot, percent-encoded.

    >>> request_target(b"/caf\xc3\xa9", b"q=a%20b&q=")
    '/caf%C3%A9?q=a%20b&q='
    """
    raw = path + b"?" + query if query else path
    if _TARGET.fullmatch(raw) is None:
        return quote_from_bytes(raw if raw.startswith(b"/") else b"/" + raw, safe=_VISIBLE)
    return raw.decode("ascii")


def absolute_url(scheme: str, host: str | None, fallback: str, target: str) -> str:
    """Join the parts of a URL; ``fallback`` stands in for a host that is absent or is none.

    The client chooses its Host header freely; one that would move the border between host and path
    is not taken over.

    >>> absolute_url("http", "example.com:8000", "127.0.0.1", "/a?b")
    'http://example.com:8000/a?b'
    >>> absolute_url("http", "evil/../", "127.0.0.1", "/a")
    'http://127.0.0.1/a'
    """
    if not host or not is_authority(host):
        host = fallback
    return f"{scheme}://{host}{target}"


@lru_cache(maxsize=64)
def is_authority(host: str) -> bool:
    """Say whether ``host`` can stand between the scheme and the path of a URL."""
    return _AUTHORITY.fullmatch(host) is not None
