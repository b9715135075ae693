"""What must not leave the process in a log line, span or label, and how it is taken out.

Two rules, both on by default. A *key* is sensitive when its words say so (`db_password`,
`X-Api-Key`, `accessToken`); whole words are compared, so `author`, `session_count` and
`max_tokens` pass. A *text* is searched for what looks like a credential wherever it stands: API
keys with a known prefix, JSON Web Tokens, `Bearer` headers, URL credentials, private keys, and
`password=…` pairs. What is found is replaced by a marker that says nothing about it.

The rules are a net, not a licence: a secret that looks like prose passes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("REDACTED", "Plain", "is_sensitive_key", "scrub", "scrub_text")

REDACTED = "[redacted]"
"""What stands where a secret stood."""

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What JSON can hold."""

# --- keys ---------------------------------------------------------------------------------------

_SECRET_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "cvc",
        "cvv",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "passwort",
        "privatekey",
        "pwd",
        "secret",
        "secretkey",
        "secrets",
        "ssn",
    }
)
# A key for something, as against a dictionary's key or a keyboard's.
_KEY_OF = frozenset(
    {"access", "account", "api", "encryption", "hmac", "master", "private", "secret", "signing"}
)
_LAST_WORDS = frozenset({"auth", "bearer", "token"})
# Tokens that are no credentials: of texts, parsers and pages.
_HARMLESS_TOKENS = frozenset(
    {
        "bos",
        "cancel",
        "cancellation",
        "cls",
        "current",
        "eos",
        "first",
        "last",
        "mask",
        "next",
        "pad",
        "page",
        "per",
        "prev",
        "previous",
        "sep",
        "special",
        "stop",
        "unexpected",
        "unk",
    }
)
# A fact about a secret is none: `password_length`.
_FACT_WORDS = frozenset(
    {
        "attempts",
        "changed",
        "count",
        "created",
        "enabled",
        "expired",
        "expires",
        "expiry",
        "length",
        "manager",
        "max",
        "min",
        "missing",
        "policy",
        "present",
        "required",
        "rotation",
        "size",
        "strength",
        "ttl",
        "type",
        "updated",
        "usage",
        "valid",
        "version",
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PAIRS = frozenset({("card", "number"), ("credit", "card"), ("social", "security")})


@lru_cache(maxsize=4096)
def is_sensitive_key(key: str) -> bool:
    """Whether what stands under `key` is a secret by its name.

    Example:
        >>> [is_sensitive_key(key) for key in ("dbPassword", "x-api-key", "author", "max_tokens")]
        [True, True, False, False]
    """
    words = [word.lower() for word in _WORD.findall(key[-200:])]
    if not words or words[-1] in _FACT_WORDS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    pairs = set(pairwise(words))
    if any(second == "key" and first in _KEY_OF for first, second in pairs) or pairs & _PAIRS:
        return True
    if words[-1] not in _LAST_WORDS:
        return False
    return len(words) == 1 or words[-2] not in _HARMLESS_TOKENS


# --- texts --------------------------------------------------------------------------------------

# No alternative may take more than linear time on any text: repeated parts never overlap.
_TOKEN = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----
        (?: [\s\S]*? -----END[ ][A-Z ]{0,40}PRIVATE[ ]KEY----- | [\s\S]* )
  | (?<![A-Za-z0-9])(?:
        sk-(?: (?=[A-Za-z_-]{0,40}[0-9]) [\w-]{5,} | [\w-]{12,} )        # OpenAI, Anthropic
      | [rs]k_(?:live|test)_\w{8,} | whsec_\w{16,}                       # Stripe
      | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}                             # AWS
      | gh[opsur]_\w{16,} | github_pat_\w{16,} | glpat-[\w-]{16,}        # GitHub, GitLab
      | xox[abeoprs]-[\w-]{8,} | xapp-[\w-]{16,}                         # Slack
      | AIza[\w-]{30,} | ya29\.[\w-]{16,} | GOCSPX-[\w-]{16,}            # Google
      | hf_[A-Za-z0-9]{16,} | gsk_\w{16,} | xai-\w{16,} | pplx-\w{16,} | r8_\w{16,}
      | npm_\w{30,} | pypi-[\w-]{30,} | dop_v1_\w{16,} | SG\.[\w-]{16,}\.[\w-]{16,}
      | eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*                             # JSON Web Token
    )
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(
    r"(?i:\b(bearer)[ \t]+)(?=[A-Za-z._~+/-]{0,200}[0-9._~+/-]|\S{16})[\w.~+/=-]{8,}"
    r"|\b([Bb]asic[ \t]+)(?=[A-Za-z+/]*?(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/]{6,}={0,2}"
)
_URL = re.compile(r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9+.-]{1,20}://)[^\s/?#@:]*:[^\s/?#]*@")
# One of these is in every sensitive key; looked for first, since most texts have none.
_STEMS = (
    *("pass", "pwd", "secret", "token", "key", "auth", "cookie", "credential"),
    *("jwt", "bearer", "ssn", "cvv", "cvc", "card", "security"),
)
_NAMED = re.compile(
    r"""
    (?<![\w.-]) (?P<key> [A-Za-z_][\w.-]{0,200} ) (?P<closed> \\?["'] )? \s{0,3}
    (?P<sign> => | [=:] ) (?![=:/]) [ \t]{0,3}
    """,
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""
    (?P<quote> \\?["'] ) (?P<quoted> (?: (?!(?P=quote)) [^\r\n] ){0,4000} )
  | (?P<scheme> (?i:bearer|basic|digest|token|apikey|negotiate) [ \t]+ )?
    (?P<bare> [^\s"',;&(){}\[\]<>]+ )
    """,
    re.VERBOSE,
)
_STRONG = re.compile(r"(?i)pass(?:wor[dt]|wd|phrase)|pwd|secret|key$")


def scrub_text(text: str) -> str:
    """Return `text` with everything that looks like a credential replaced by the marker.

    Example:
        >>> scrub_text("cannot reach postgres://app:hunter2@db/main with sk-proj-0123456789abc")
        'cannot reach postgres://[redacted]@db/main with [redacted]'
    """
    if len(text) < 5:  # noqa: PLR2004 - the shortest thing that any rule finds
        return text
    if "://" in text:
        text = _URL.sub(rf"\1{REDACTED}@", text)
    if "=" in text or ":" in text:
        lowered = text.lower()
        if any(stem in lowered for stem in _STEMS):
            text = _without_values(text)
    if _TOKEN.search(text) is not None:
        text = _TOKEN.sub(REDACTED, text)
    if "asic" in text or "earer" in text or "EARER" in text:
        text = _SCHEME.sub(_without_credential, text)
    return text


def _without_credential(found: re.Match[str]) -> str:
    return f"{(found[1] or found[2]).rstrip()} {REDACTED}"


def _without_values(text: str) -> str:
    """Take values out of `key=value`, `key: value` and the like where the key is a secret's."""
    parts: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or not is_sensitive_key(named["key"]):
            continue
        found = _VALUE.match(text, named.end())
        if found is None:
            continue
        group = "quoted" if found["bare"] is None else "bare"
        value = found[group]
        if not value or value in _HARMLESS_VALUES or value.startswith(REDACTED[:-1]):
            continue
        prose = named["sign"] == ":" and named["closed"] is None and group == "bare"
        if (
            prose
            and found["scheme"] is None
            and _STRONG.search(named["key"]) is None
            and not _odd(value)
        ):
            continue
        parts += text[done : found.start(group)], REDACTED
        done = found.end(group)
    return "".join((*parts, text[done:])) if parts else text


_HARMLESS_VALUES = frozenset({"None", "null", "True", "False", "true", "false"})


def _odd(value: str) -> bool:
    """Whether `value` is rather a credential than a word of a sentence."""
    return len(value) >= 16 or any(c.isdigit() or c in "=_" for c in value)  # noqa: PLR2004


# --- values -------------------------------------------------------------------------------------

_DEPTH = 8
_NODES = 5000
_BITS = 4096
_SIMPLE = frozenset({bool, int, type(None)})


def scrub(value: object, *, key: str | None = None) -> Plain:
    """Return `value` as plain data that JSON can hold, without secrets. Never raises.

    Args:
        value: Anything. What JSON does not know is shown as text; what contains itself, is deeper
            than 8 levels or has more than 5,000 parts is cut off with `…`.
        key: The name under which it stands.

    Example:
        >>> scrub({"user": "ada", "api_key": "k-1", "pair": (1, 2.5)})
        {'user': 'ada', 'api_key': '[redacted]', 'pair': [1, 2.5]}
    """
    try:
        return _Scrubber().scrub(value, key, _DEPTH)
    except Exception:  # noqa: BLE001 - a value may run any code and must not stop its user
        return f"<{type(value).__name__}>"


class _Scrubber:
    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _NODES

    def scrub(self, value: object, key: str | None, depth: int) -> Plain:
        kind = value.__class__
        if key is not None and is_sensitive_key(key) and not (value is None or kind is bool):
            return REDACTED
        if kind is str:
            return scrub_text(cast("str", value))
        if kind in _SIMPLE:
            return _number(cast("int | None", value))
        self.left -= 1
        if depth <= 0 or self.left <= 0:
            return "…"
        return self._other(value, depth - 1)

    def _other(self, value: object, depth: int) -> Plain:  # noqa: PLR0911 - a table of types
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else repr(float(value))
        if isinstance(value, Enum):
            return self.scrub(value.value, None, depth)
        if isinstance(value, str):
            return scrub_text(str.__str__(value))
        if isinstance(value, int):
            return _number(int(value))
        if isinstance(value, (bytes, bytearray)):
            return scrub_text(bytes(value).decode("utf-8", "backslashreplace"))
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), depth)
        if isinstance(value, (list, tuple, AbstractSet)):
            return self._sequence(cast("Iterable[object]", value), depth)
        if isinstance(value, (date, time)):
            return value.isoformat()
        return scrub_text(shown(value))

    def _mapping(self, value: Mapping[object, object], depth: int) -> Plain:
        plain: dict[str, Plain] = {}
        for key, item in value.items():
            self.left -= 1
            if self.left <= 0:
                plain["…"] = "…"
                break
            name = str.__str__(key) if isinstance(key, str) else shown(key)
            plain[scrub_text(name)] = self.scrub(item, name, depth)
        return plain

    def _sequence(self, value: Iterable[object], depth: int) -> Plain:
        plain: list[Plain] = []
        for item in value:
            self.left -= 1
            if self.left <= 0:
                plain.append("…")
                break
            plain.append(self.scrub(item, None, depth))
        return plain


def _number(value: int | None) -> Plain:
    """Return a number that `json` can write; beyond 4,096 bits Python refuses to."""
    if value is None or value.bit_length() <= _BITS:
        return value
    return hex(value)


def shown(value: object) -> str:
    """Return a value as text: an exception as `Type: message`, anything else as its `repr`."""
    try:
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}"
        return repr(value)
    except Exception:  # noqa: BLE001 - a failing repr must not stop its user
        return f"<{type(value).__name__}>"
