"""Secrets that are known by their looks: the keys and tokens of providers, JWTs, private keys.

Each kind has literals that must stand in a text before its pattern is tried: looking for a literal
costs a fraction of trying a pattern. Every pattern is linear: it begins at a literal or at the
start of a word, and its repetitions are bounded or possessive.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from keploy_framework.redact.hints import runs
from keploy_framework.redact.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("KINDS", "Kind", "Looks")


class Kind(NamedTuple):
    """A kind of secret.

    Attributes:
        name: What its placeholders are called.
        literals: One of these stands in every text that holds one; empty if there is none.
        pattern: Finds it; group 1, if there is one, is the secret itself.
        confirm: Looks at what the pattern found, where the pattern alone finds too much.
        in_run: Whether all of it lies in one of the `runs` of a text.
        gate: A sign that every one has; "" if there is none.
        starts: Whether it begins with the literal.
    """

    name: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    confirm: Callable[[str], bool] | None = None
    in_run: bool = False
    gate: str = ""
    starts: bool = False


def _mixed(value: str) -> bool:
    """Say whether letters and digits are mixed, as chance mixes them and words do not."""
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _pair(value: str) -> bool:
    """Say whether a Basic credential is one: base64 of a name, a colon and a password."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _no_end_of_placeholder(value: str) -> bool:
    """Say whether a password is more than what a placeholder for the user info ends with."""
    return not value.upper().endswith("%5D")


def _kind(
    name: str,
    literals: str,
    pattern: str,
    confirm: Callable[[str], bool] | None = None,
    before: str = r"(?<![A-Za-z0-9])",
    *,
    in_run: bool = True,
    gate: str = "",
    starts: bool = True,
) -> Kind:
    listed = tuple(literals.split())
    if not gate:
        gate = next((sign for sign in "_-." if all(sign in literal for literal in listed)), "")
    # Text is read byte by byte: what Unicode calls blanks may be half of a letter.
    compiled = re.compile(before + pattern, re.ASCII)
    return Kind(name, listed, compiled, confirm, in_run, gate, in_run and starts)


KINDS: Final = (
    # Model providers.
    _kind("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{12,}+"),
    _kind("langfuse-key", "sk-lf-", r"sk-lf-[0-9a-f-]{20,}+"),
    _kind("openai-key", "sk-", r"sk-(?!ant-|lf-)(?:[a-z0-9]{1,8}-)?[A-Za-z0-9_-]{16,}+", _mixed),
    _kind("google-key", "AIza", r"AIza[A-Za-z0-9_-]{35}+"),
    _kind("google-token", "ya29.", r"ya29\.[A-Za-z0-9_.-]{16,}+"),
    _kind("google-token", "1//0", r"1//0[A-Za-z0-9_-]{30,}+"),
    _kind("google-secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,}+"),
    _kind("huggingface-token", "hf_ api_org_", r"(?:hf_|api_org_)[A-Za-z0-9]{30,}+"),
    _kind("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{20,}+", _mixed),
    _kind("xai-key", "xai-", r"xai-[A-Za-z0-9]{40,}+"),
    _kind("perplexity-key", "pplx-", r"pplx-[A-Za-z0-9]{32,}+"),
    _kind("replicate-token", "r8_", r"r8_[A-Za-z0-9]{30,}+"),
    _kind("langsmith-key", "lsv2_", r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}+"),
    _kind("nvidia-key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{40,}+"),
    _kind("tavily-key", "tvly-", r"tvly-[A-Za-z0-9-]{20,}+"),
    _kind("pinecone-key", "pcsk_", r"pcsk_[A-Za-z0-9_]{20,}+"),
    # Clouds.
    _kind(
        "aws-access-key",
        "AKIA ASIA ABIA ACCA",
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    ),
    _kind(
        "aws-secret-key",
        "cret",
        r"[Ss]ecret_?[Aa]ccess_?[Kk]ey[\"'\\]{0,3}\s{0,4}[:=>]{1,2}\s{0,4}[\"'\\]{0,3}"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
        before="",
        in_run=False,
    ),
    _kind(
        "azure-key",
        "Key=",
        r"(?:AccountKey|AccessKey)=([A-Za-z0-9+/]{40,}+={0,2})",
        before="",
        starts=False,
    ),
    _kind("azure-sas", "sig=", r"(?<=[?&])sig=([A-Za-z0-9%+/]{36,}+={0,2})", before=""),
    _kind(
        "azure-secret",
        "Q~",
        r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}+(?![A-Za-z0-9_~.-])",
        before=r"(?<![A-Za-z0-9_~.-])",
        starts=False,
    ),
    _kind("digitalocean-token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}+", starts=False),
    _kind("alibaba-key", "LTAI", r"LTAI[A-Za-z0-9]{16,24}+(?![A-Za-z0-9])", _mixed),
    _kind("vault-token", "hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_-]{20,}+"),
    _kind("databricks-token", "dapi", r"dapi[a-f0-9]{32}+"),
    _kind("pulumi-token", "pul-", r"pul-[a-f0-9]{40}+"),
    # Code, packages, teams.
    _kind("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{20,}+"),
    _kind("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{20,}+"),
    _kind(
        "gitlab-token",
        "gl",
        r"gl(?:pat|dt|ptt|soat|cbt|rt|ft|imt|agent|oas)-[A-Za-z0-9_.-]{16,}+",
        gate="-",
    ),
    _kind("slack-token", "xox xapp-", r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}+", _mixed, gate="-"),
    _kind(
        "slack-webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{16,}+)",
        before="",
    ),
    _kind(
        "discord-webhook",
        "/api/webhooks/",
        r"/api/webhooks/[0-9]{10,24}+/([A-Za-z0-9_-]{30,}+)",
        before="",
    ),
    _kind(
        "telegram-token",
        ":AA",
        r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,33}+",
        before=r"(?<![0-9])",
        in_run=False,
    ),
    _kind("npm-token", "npm_", r"npm_[A-Za-z0-9]{36}+"),
    _kind("pypi-token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{40,}+"),
    _kind("docker-token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}+"),
    _kind("atlassian-token", "ATATT3 ATCTT3", r"AT[AC]TT3[A-Za-z0-9_=-]{40,}+"),
    _kind("linear-key", "lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}+"),
    _kind("notion-token", "ntn_ secret_", r"(?:ntn_|secret_)[A-Za-z0-9]{40,}+", _mixed),
    _kind("figma-token", "figd_", r"figd_[A-Za-z0-9_-]{30,}+"),
    _kind("postman-key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _kind("sentry-token", "sntry", r"sntry[su]_[A-Za-z0-9_=+/-]{40,}+"),
    _kind("grafana-token", "glc_ glsa_", r"(?:glc|glsa)_[A-Za-z0-9+/_=-]{30,}+"),
    _kind("newrelic-key", "NRAK- NRJS- NRII-", r"NR(?:AK|JS|II)-[A-Za-z0-9_-]{19,}+"),
    _kind("doppler-token", "dp.", r"dp\.(?:pt|st|ct|sa|scim)\.[A-Za-z0-9._-]{40,}+"),
    _kind("supabase-token", "sbp_", r"sbp_[a-f0-9]{40}+"),
    _kind("planetscale-token", "pscale_", r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.=-]{30,}+"),
    _kind("age-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    # Payment, mail, telephone, shops.
    _kind(
        "stripe-key", "_live_ _test_", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}+", starts=False
    ),
    _kind("stripe-webhook-secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{16,}+", _mixed),
    _kind("square-token", "sq0", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}+", gate="-"),
    _kind("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"),
    _kind("twilio-key", "SK", r"SK[a-f0-9]{32}(?![A-Za-z0-9])"),
    _kind("mailgun-key", "key-", r"key-[a-f0-9]{32}(?![A-Za-z0-9])"),
    _kind("mailchimp-key", "-us", r"[a-f0-9]{32}-us[0-9]{1,2}(?![A-Za-z0-9])", starts=False),
    _kind("shopify-token", "shp", r"shp(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}+", gate="_"),
    _kind("facebook-token", "EAA", r"EAA[A-Za-z0-9]{60,}+", _mixed),
    # Not bound to a provider.
    _kind(
        "jwt",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++){0,2}",
        before=r"(?<![A-Za-z0-9_.-])",
        gate=".",
    ),
    _kind(
        "bearer",
        "earer BEARER",
        r"(?:[Bb]earer|BEARER)\s{1,4}([A-Za-z0-9._~+/=-]{16,}+)",
        _mixed,
        in_run=False,
    ),
    _kind(
        "basic",
        "asic BASIC",
        r"(?:[Bb]asic|BASIC)\s{1,4}([A-Za-z0-9+/]{6,}+={0,2})",
        _pair,
        in_run=False,
    ),
    _kind(
        "password",
        "://",
        r"://[^\s/:@\"'<>\[\]\\?#]{0,256}+:([^\s/@\"'<>\\]{1,256}+)@",
        _no_end_of_placeholder,
        before="",
        in_run=False,
        gate="@",
    ),
)
"""Every kind, in the order in which they are tried; the first that finds a place names it."""

_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


_UPPER: Final = ""
"""Stands for any upper-case letter as a gate; as a text it is in every text."""


def _plan(kinds: tuple[Kind, ...]) -> _Plan:
    """Sort the kinds by what has to be seen before their pattern is tried."""
    always: list[int] = []
    anywhere: list[tuple[str, str, int]] = []
    gated: dict[str, list[tuple[str, int]]] = {}
    for place, kind in enumerate(kinds):
        if not kind.literals:
            always.append(place)
        for literal in kind.literals:
            if kind.in_run:
                needs_upper = literal.lower() != literal
                gate = kind.gate or (_UPPER if needs_upper else literal[0])
                gated.setdefault(gate, []).append((literal, place))
            else:
                anywhere.append((kind.gate, literal, place))
    return _Plan(
        tuple(always), tuple(anywhere), tuple((gate, tuple(found)) for gate, found in gated.items())
    )


class _Plan(NamedTuple):
    always: tuple[int, ...]
    """The kinds without literals."""
    anywhere: tuple[tuple[str, str, int], ...]
    """Literals of kinds that may stand anywhere in a text, each behind its gate."""
    in_runs: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    """Literals of kinds that lie in a run, behind the one sign that all of these have."""


_PLAN: Final = _plan(KINDS)


class Looks:
    """Finds the secrets of a text that are known by their looks.

    Args:
        own: Kinds besides `KINDS`; they come first.

    Example:
        >>> [span.kind for span in Looks().spans("key=AKIAQWERTYUIOPASDFGH")]
        ['aws-access-key']
    """

    __slots__ = ("_kinds", "_plan")

    def __init__(self, own: tuple[Kind, ...] = ()) -> None:
        self._kinds = own + KINDS
        self._plan = _plan(self._kinds) if own else _PLAN

    def possible(self, text: str) -> bool:
        """Say whether there may be one; False is certain."""
        plan = self._plan
        if plan.always or "PRIVATE KEY" in text:
            return True
        if any([literal in text for _, literal, _ in plan.anywhere]):  # noqa: C419 - faster so
            return True
        found = runs(text)
        return bool(found) and bool(self._in_runs(text, found))

    def spans(self, text: str, found: list[tuple[int, int]] | None = None) -> Iterator[Span]:
        """Yield the secrets; they may overlap. ``found`` are the `runs` of the text, if known."""
        plan = self._plan
        seen = [
            (place, literal)
            for gate, literal, place in plan.anywhere
            if literal in text and gate in text
        ]
        if found is None:
            found = runs(text)
        if found:
            seen += self._in_runs(text, found)
        tried: set[int] = set()
        for place, literal in sorted([*((place, "") for place in plan.always), *seen]):
            kind = self._kinds[place]
            if kind.starts:
                matches = _matches_at(kind.pattern, text, literal)
            elif place in tried:
                continue
            else:
                tried.add(place)
                matches = kind.pattern.finditer(text)
            group = 1 if kind.pattern.groups else 0
            for match in matches:
                value = match[group]
                if value and (kind.confirm is None or kind.confirm(value)):
                    yield Span(match.start(group), match.end(group), kind.name, value)
        if "PRIVATE KEY" in text:
            yield from _private_keys(text)

    def _in_runs(self, text: str, found: list[tuple[int, int]]) -> list[tuple[int, str]]:
        """Return the kinds of which a literal stands in a run, with the literal."""
        whole = "\n".join([text[start:end] for start, end in found])
        lower = whole.islower()
        return [
            (place, literal)
            for gate, literals in self._plan.in_runs
            if gate in whole and not (lower and gate == _UPPER)
            for literal, place in literals
            if literal in whole
        ]


def _matches_at(pattern: re.Pattern[str], text: str, literal: str) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern that begins with the literal."""
    at = text.find(literal)
    while at >= 0:
        match = pattern.match(text, at)
        if match is not None:
            yield match
        at = text.find(literal, at + 1 if match is None else match.end())


def _private_keys(text: str) -> Iterator[Span]:
    """Yield PEM blocks; one that does not end reaches to the end of the text."""
    at = 0
    while begin := _PEM_BEGIN.search(text, at):
        end = _PEM_END.search(text, begin.end())
        at = end.start() if end else len(text)
        body = text[begin.end() : at]
        if any(map(str.isalnum, body)) and "[redacted:" not in body:
            yield Span(begin.end(), at, "private-key", body)
        if end is None:
            return
