"""By which name a header, a field, a cookie or a parameter is known to hold a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keploy_framework.redact.placeholders import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = (
    "AUTH_HEADERS",
    "HEADERS",
    "NOTHING",
    "STRONG",
    "WEAK",
    "Names",
    "looks_secret",
    "normal",
)

AUTH_HEADERS: Final = frozenset({"authorization", "proxyauthorization"})
"""Headers that name a scheme before the secret, as `normal` spells them."""

HEADERS: Final = frozenset(
    {
        *AUTH_HEADERS,
        "apikey",
        "cfaccessclientsecret",
        "cfaccessjwtassertion",
        "cftoken",
        "circletoken",
        "cookie",
        "ddapikey",
        "ddapplicationkey",
        "jobtoken",
        "ocpapimsubscriptionkey",
        "privatetoken",
        "setcookie",
        "xaccesstoken",
        "xamznoidcaccesstoken",
        "xamznoidcdata",
        "xamzsecuritytoken",
        "xapikey",
        "xapitoken",
        "xappkey",
        "xauthkey",
        "xauthorization",
        "xauthtoken",
        "xcsrftoken",
        "xfigmatoken",
        "xforwardedaccesstoken",
        "xfunctionskey",
        "xgitlabtoken",
        "xgoogapikey",
        "xgoogiamauthorizationtoken",
        "xhoneycombteam",
        "xmastodontoken",
        "xmsauthorizationauxiliary",
        "xmstokenaadaccesstoken",
        "xmstokenaadidtoken",
        "xmstokenaadrefreshtoken",
        "xrapidapikey",
        "xredmineapikey",
        "xsecret",
        "xservicetoken",
        "xsessiontoken",
        "xshopifyaccesstoken",
        "xsubscriptiontoken",
        "xtoken",
        "xvaulttoken",
        "xwebhooksecret",
        "xxsrftoken",
    }
)
"""Headers whose value is a secret, as `normal` spells them."""

STRONG: Final = frozenset(
    {
        "accountkey",
        "apisecret",
        "apitoken",
        "authenticitytoken",
        "authkey",
        "authorization",
        "awssessiontoken",
        "bearertoken",
        "clientassertion",
        "connectionstring",
        "csrfmiddlewaretoken",
        "csrftoken",
        "cvc",
        "cvv",
        "encryptionkey",
        "jwt",
        "masterkey",
        "mfacode",
        "oauthtoken",
        "otp",
        "passcode",
        "passwort",
        "proxyauthorization",
        "pwd",
        "recoverycode",
        "requestverificationtoken",
        "samlassertion",
        "samlresponse",
        "secretbinary",
        "secretkeybase",
        "secretstring",
        "sastoken",
        "securitytoken",
        "serviceaccountkey",
        "signingkey",
        "subscriptionkey",
        "totp",
        "xamzsecuritytoken",
        "xapikey",
        "xcsrftoken",
        "xsrftoken",
        "xxsrftoken",
    }
)
"""Fields that hold a secret whatever it looks like, as `normal` spells them."""

_STRONG_ENDS: Final = (
    "accesstoken",
    "apikey",
    "authtoken",
    "clientsecret",
    "idtoken",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "sessiontoken",
    "tokensecret",
)
WEAK: Final = frozenset(
    {
        "accesskey",
        "accesskeyid",
        "auth",
        "awsaccesskeyid",
        "code",
        "cookie",
        "credential",
        "jsessionid",
        "key",
        "pass",
        "phpsessid",
        "sess",
        "session",
        "sessionid",
        "sessionkey",
        "sid",
        "sig",
        "setcookie",
        "signature",
        "xamzcredential",
        "xamzsignature",
        "xgoogcredential",
        "xgoogsignature",
    }
)
"""Fields that hold a secret if their value looks like one, as `normal` spells them."""

# Words that look like a token's name and are none: cursors, what counts or describes tokens, and
# the locks of WebDAV, which anyone may ask for (RFC 4918, section 6.4).
_NO_TOKEN: Final = (
    "pagetoken",
    "nexttoken",
    "continuationtoken",
    "synctoken",
    "cancellationtoken",
    "cursortoken",
    "locktoken",
)
_QUERY_ONLY: Final = frozenset({"code", "key"})
_SESSIONS: Final = frozenset({"session", "sessionid", "sid", "sess"})
_CAPITAL_INSIDE: Final = re.compile(r"[a-z][A-Z]")
_IN_NAMES: Final = 2
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SPLIT: Final = str.maketrans("", "", "-_. \t[]$:")
_WEAK_LENGTH: Final = 12
_LONG: Final = 24
_MEMORY: Final = 4096
_SHORT: Final = 128
_SENT: Final = 6
NOTHING: Final = frozenset(
    {"true", "false", "null", "none", "nil", "undefined", "string", "required", "yes", "no"}
)
"""Values that say that there is none, or of which kind it is."""


def normal(name: str) -> str:
    """Return a name in lower case, without what separates its words.

    Example:
        >>> normal("X-Api_Key")
        'xapikey'
    """
    return name.lower().translate(_SPLIT)


def looks_secret(value: str) -> bool:
    """Say whether a value looks made by chance: long, in one piece, letters and digits mixed.

    Example:
        >>> looks_secret("x7Kp2mQ9vL4n"), looks_secret("hello world 12"), looks_secret("Hello")
        (True, False, False)
    """
    value = PLACEHOLDER.sub("", value)  # those look made by chance, too
    if len(value) < _WEAK_LENGTH or any(mark in value for mark in " \t\r\n<>{}"):
        return False
    digits = sum(map(str.isdigit, value))
    if not digits:
        if len(value) < _LONG or value.islower():
            return False
        # Where words are joined, each begins with a capital at most; by chance they stand anywhere.
        joined = value.replace("-", "").replace("_", "").isalpha()
        return value.isalpha() or (joined and len(_CAPITAL_INSIDE.findall(value)) > _IN_NAMES)
    return digits < len(value) or len(value) >= _LONG


class Names:
    """Knows which names are those of secrets.

    Args:
        headers: More headers that hold one.
        fields: More fields, parameters and cookies that hold one.
        allow: Names (of all three) that are left as they are.
    """

    __slots__ = ("_allow", "_fields", "_harmless", "_headers", "_kinds")

    def __init__(
        self,
        headers: frozenset[str] = frozenset(),
        fields: frozenset[str] = frozenset(),
        allow: frozenset[str] = frozenset(),
    ) -> None:
        self._headers = HEADERS | {normal(name) for name in headers}
        self._fields = frozenset(normal(name) for name in fields)
        self._allow = frozenset(normal(name) for name in allow)
        self._kinds: dict[str, tuple[str, bool] | None] = {}
        self._harmless: set[str] = set()

    @property
    def has_own_fields(self) -> bool:
        """Whether there are more fields than those that are known to all."""
        return bool(self._fields)

    def all_harmless(self, names: Collection[str]) -> bool:
        """Say whether none of these may be a telling name; one with an escape may be any."""
        harmless = self._harmless
        if harmless.issuperset(names):
            return True
        for name in names:
            if "\\" in name or self.kind(name) is not None:
                return False
        if len(harmless) < _MEMORY:
            harmless.update(name for name in names if len(name) <= _SHORT)
        return True

    def allows(self, name: str) -> bool:
        """Say whether the values of this name are left as they are."""
        return bool(self._allow) and normal(name) in self._allow

    def header(self, name: str) -> bool:
        """Say whether the header's value is a secret whatever it looks like."""
        plain = normal(name)
        return plain in self._headers and plain not in self._allow

    def field(
        self, name: str, value: str, *, query: bool = False, sent: bool = False
    ) -> str | None:
        """Return the kind of secret that a field holds; None if it holds none.

        Args:
            name: The name of the field.
            value: Its value: some names are those of secrets only if the value looks like one.
            query: Whether it is a parameter of a URL or of a form, or might be one.
            sent: Whether it is one for sure, or a header: what is called a token there is one.
        """
        known = self.kind(name)
        if known is None or not value:
            return None
        kind, sure = known
        if sure:
            return kind
        plain = normal(name)
        if plain in _QUERY_ONLY and not query:
            return None
        if sent and kind == "token" and len(value) >= _SENT and value.lower() not in NOTHING:
            return kind
        if not looks_secret(value):
            return None
        return None if plain in _SESSIONS and _UUID.fullmatch(value) else kind

    def kind(self, name: str) -> tuple[str, bool] | None:
        """Return what a field of this name holds, and whether it always does; None if nothing."""
        try:
            return self._kinds[name]
        except KeyError:
            found = self._kind(normal(name))
            if len(self._kinds) < _MEMORY and len(name) <= _SHORT:
                self._kinds[name] = found
            return found

    def _kind(self, plain: str) -> tuple[str, bool] | None:
        if plain in self._allow:
            return None
        bare = plain.rstrip("0123456789") or plain
        if plain in self._fields or bare in STRONG or bare.endswith(_STRONG_ENDS):
            return _called(bare), True
        if bare in WEAK:
            return _called(bare), False
        if bare.endswith("token") and not bare.endswith(_NO_TOKEN):
            return "token", False
        return None


def _called(plain: str) -> str:
    """Return the kind of secret that a name promises."""
    if "pass" in plain or plain == "pwd":
        return "password"
    for part, kind in (
        ("csrf", "csrf-token"),
        ("xsrf", "csrf-token"),
        ("token", "token"),
        ("secret", "secret"),
        ("key", "api-key"),
        ("cookie", "cookie"),
        ("sess", "session"),
        ("sig", "signature"),
    ):
        if part in plain:
            return kind
    return "secret"
