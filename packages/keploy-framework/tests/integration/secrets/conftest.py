"""Secrets of about a hundred kinds, each where it stands in real traffic, and how to look for them.

A plant is one request and its answer, with one secret somewhere in it. Each has a secret of its
own, so that one that is found says which plant it came from.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest

from keploy_framework.model import Direction, Exchange, Failure, Message, Piece, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from keploy_framework.model import Headers

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=xx"
HTML = "text/html"
XML = "text/xml"
SSE = "text/event-stream"
TEXT = "text/plain"


@dataclass(frozen=True, kw_only=True)
class Plant:
    """One request and its answer; `secrets` must not be anywhere afterwards."""

    name: str
    secrets: tuple[str, ...]
    target: str = "/a"
    user: str = ""
    headers: Headers = ()
    body: bytes = b""
    reason: str = "OK"
    answer_headers: Headers = ()
    pieces: tuple[bytes, ...] = ()
    trailers: Headers = ()
    messages: tuple[str | bytes, ...] = ()
    failure: str = ""

    def exchange(self) -> Exchange:
        """Return it as a recorder hands it over."""
        url = f"http://{self.user}h.example{self.target}"
        pieces = tuple(Piece(number / 10, data) for number, data in enumerate(self.pieces))
        return Exchange(
            self.name,
            Direction.INBOUND,
            Request("POST", url, self.headers, self.body),
            Response(200, self.reason, self.answer_headers, pieces, trailers=self.trailers),
            1,
            2,
            failure=Failure("builtins.OSError", self.failure) if self.failure else None,
            messages=tuple(Message(0.1, "server", data) for data in self.messages),
        )


_numbers = count(10)


def fresh(shape: str = "hunter{}-and-more") -> str:
    return shape.format(next(_numbers))


def token() -> str:
    return fresh("Zx9k2PqLm5Rt7V{}")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


Say = Callable[[str], str | bytes]


def asked(name: str, kind: str, say: Say, secret: str = "", **rest: Any) -> Plant:
    """Return a plant whose secret is in the body of the request."""
    secret = secret or fresh()
    said = say(secret)
    body = said if isinstance(said, bytes) else said.encode()
    return Plant(name=name, secrets=(secret,), headers=(("Content-Type", kind),), body=body, **rest)


def answered(name: str, kind: str, say: Say, secret: str = "", **rest: Any) -> Plant:
    """Return a plant whose secret is in the body of the answer."""
    secret = secret or fresh()
    said = say(secret)
    body = said if isinstance(said, bytes) else said.encode()
    head = (("Content-Type", kind), *rest.pop("more", ()))
    return Plant(name=name, secrets=(secret,), answer_headers=head, pieces=(body,), **rest)


def headed(name: str, header: str, say: Say, secret: str = "") -> Plant:
    """Return a plant whose secret is in a header of the request, and in one of the answer."""
    secret = secret or fresh()
    line = ((header, str(say(secret))),)
    return Plant(name=name, secrets=(secret,), headers=line, answer_headers=line)


def repeated(name: str, kind: str, say: Say, secret: str, **rest: Any) -> Plant:
    """Return a plant that logs in by a form, and whose answer repeats the password."""
    said = say(secret)
    return Plant(
        name=name,
        secrets=(secret,),
        headers=(("Content-Type", FORM),),
        body=f"user=ada&password={quote_plus(secret)}".encode(),
        answer_headers=(("Content-Type", kind), *rest.pop("more", ())),
        pieces=(said if isinstance(said, bytes) else said.encode(),),
        **rest,
    )


def part(head: str, content: str) -> str:
    return f"--xx\r\n{head}\r\n\r\n{content}\r\n--xx--\r\n"


def events(shares: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(
        f"data: {json.dumps({'delta': {'content': share}})}\n\n".encode() for share in shares
    )


DISPOSITION = 'Content-Disposition: form-data; name="{}"'
_STEPS = ("the key is sk-", "ant-", "api03-abcdEFGH", "ijklMNOP0123", " and no more")

HEADERS = (
    headed("bearer", "Authorization", lambda s: f"Bearer {s}"),
    headed("basic", "Authorization", lambda s: f"Basic {b64('ada:' + s)}"),
    headed("bare authorization", "Authorization", lambda s: s),
    headed("digest", "Authorization", lambda s: f'Digest username="ada", response="{s}"'),
    headed("unknown scheme", "Authorization", lambda s: f"{s} {s}"),
    headed("proxy authorization", "Proxy-Authorization", lambda s: f"Bearer {s}"),
    headed("api key", "X-Api-Key", lambda s: s),
    headed("own token", "X-Foo-Token", lambda s: s, "supersecretword"),
    headed("own secret", "X-Client-Secret", lambda s: s),
    headed("session", "X-Session-Id", lambda s: s, token()),
    headed("auth", "X-Auth", lambda s: s, token()),
    headed("cookie", "Cookie", lambda s: f"theme=dark; sid={s}; a=b"),
    headed("nameless cookie", "Cookie", lambda s: s),
    headed("quoted cookie", "Cookie", lambda s: f'a="{s}"; b=2'),
    headed("set-cookie", "Set-Cookie", lambda s: f"sid={s}; Path=/; HttpOnly"),
    headed(
        "two cookies in one line",
        "Set-Cookie",
        lambda s: f"a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Path=/, sid={s}; Path=/",
    ),
    headed("location", "Location", lambda s: f"/home#access_token={s}&n=1"),
    headed("referer", "Referer", lambda s: f"https://ada:{s}@h.example/?token={s}"),
    headed("link", "Link", lambda s: f'<https://h/?access_token={s}&page=2>; rel="next"'),
    headed("original url", "X-Original-URL", lambda s: f"/a?token={s}"),
    headed("refresh", "Refresh", lambda s: f"0; url=/a?access_token={s}"),
    headed("debug", "X-Debug", lambda s: f"password={s}"),
    headed("base64", "X-Context", lambda s: b64(json.dumps({"password": s}))),
    headed("subprotocol", "Sec-WebSocket-Protocol", lambda s: f"bearer, {s}", token()),
    headed(
        "kubernetes",
        "Sec-WebSocket-Protocol",
        lambda s: f"base64url.bearer.authorization.k8s.io.{b64(s).rstrip('=')}",
    ),
    headed("test name", "Keploy-Test-Name", lambda s: f"login password={s}"),
    headed("key as test name", "Keploy-Test-Name", lambda s: s, "sk-ant-api03-nameABCDEF012345"),
)

TARGETS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("query", lambda s: f"/a?api_key={s}&n=1"),
    ("token in a query", lambda s: f"/a?n=1&token={s}"),
    ("percent-encoded name", lambda s: f"/a?%70assword={s}"),
    ("url in a query", lambda s: "/a?next=" + quote(f"https://h/?access_token={s}", safe="")),
    ("json in a query", lambda s: "/a?q=" + quote(json.dumps({"password": s}))),
    ("matrix", lambda s: f"/a;jsessionid={s}/b"),
    ("path of a reset", lambda s: f"/reset-password/{s}"),
)
URLS = tuple(
    Plant(name=name, secrets=(secret,), target=say(secret))
    for name, say in TARGETS
    for secret in [token()]
)
USERS = (
    Plant(name="user info", secrets=("hunter8-and-more",), user="ada:hunter8-and-more@"),
    Plant(name="user info alone", secrets=("Zx9k2PqLm5Rt7V08",), user="Zx9k2PqLm5Rt7V08@"),
)

BODIES = (
    asked("json", JSON, lambda s: json.dumps({"password": s})),
    asked("json as a form", FORM, lambda s: json.dumps({"password": s})),
    asked("json as octets", "application/octet-stream", lambda s: json.dumps({"password": s})),
    asked("json in a form", FORM, lambda s: "p=" + quote_plus(json.dumps({"password": s}))),
    asked("url in a form", FORM, lambda s: "n=" + quote_plus(f"https://h/?access_token={s}")),
    asked("form", FORM, lambda s: f"user[password]={s}&a=1"),
    asked("form value", FORM, lambda s: "password=" + quote_plus(s), "p ss/w&rd=99"),
    asked("form as text", TEXT, lambda s: f"user=ada&password={s}"),
    asked("saml", FORM, lambda s: "SAMLResponse=" + quote_plus(s), b64("<saml>x</saml>" * 4)),
    asked("part", PARTS, lambda s: part(DISPOSITION.format("password"), s), "hunter2"),
    asked("file", PARTS, lambda s: part(DISPOSITION.format("f"), f"DB_PASSWORD={s}")),
    asked(
        "base64 part",
        PARTS,
        lambda s: part(
            DISPOSITION.format("f") + "\r\nContent-Transfer-Encoding: base64",
            base64.encodebytes(json.dumps({"n": "x" * 60, "password": s}).encode()).decode(),
        ),
    ),
    asked(
        "parts in a part",
        "multipart/mixed; boundary=yy",
        lambda s: (
            "--yy\r\nContent-Type: multipart/form-data; boundary=xx\r\n\r\n"
            + part(DISPOSITION.format("password"), s)
            + "\r\n--yy--\r\n"
        ),
    ),
    asked(
        "requests in parts",
        "multipart/mixed; boundary=xx",
        lambda s: part(
            "Content-Type: application/http", f"POST /a HTTP/1.1\r\nX-Api-Key: {s}\r\n\r\n{{}}"
        ),
    ),
    asked(
        "graphql",
        JSON,
        lambda s: json.dumps({"query": f'mutation {{ login(password: "{s}") {{ id }} }}'}),
    ),
    asked("graphql itself", "application/graphql", lambda s: f'{{ login(password: "{s}") }}'),
    asked("xml", XML, lambda s: f"<a><x:Password Type='t'>{s}</x:Password></a>", "p&amp;ss"),
    asked("cdata", XML, lambda s: f"<a><password><![CDATA[{s}]]></password></a>"),
    asked("attribute", XML, lambda s: f"<user password='{s}'/>"),
    asked("setting", XML, lambda s: f'<add key="ApiKey" value="{s}"/>'),
    asked("resource", XML, lambda s: f'<string name="api_key">{s}</string>'),
    asked("plist", XML, lambda s: f"<key>password</key>\n<string>{s}</string>"),
    asked(
        "xml-rpc",
        XML,
        lambda s: f"<name>password</name><value><string>{s}</string></value>",
    ),
    asked("yaml", "application/yaml", lambda s: f"db:\n  password: {s}\n", "supersecretword2"),
    asked("toml", "application/toml", lambda s: f"password = '{s}'\n", "supersecretword3"),
    asked("curl", TEXT, lambda s: f"curl -H 'X-Api-Key: {s}' -u ada:{s} https://h.example"),
    asked("options", TEXT, lambda s: f'psql --password={s}; app --api-key "{s}" --token {s}'),
    asked("compressed", JSON, lambda s: gzip.compress(json.dumps({"password": s}).encode())),
)

ANSWERS = (
    answered("json list", JSON, lambda s: json.dumps({"password": [s]}), "hunter3"),
    answered("json below", JSON, lambda s: json.dumps({"password": {"value": s}})),
    answered("number", JSON, lambda s: f'{{"password": {s}}}', "48151623"),
    answered("escaped key", JSON, lambda s: f'{{"pass\\u0077ord": "{s}"}}'),
    answered("strings", JSON, lambda s: json.dumps({"b": json.dumps({"c": f'{{"pwd":"{s}"}}'})})),
    answered("secret manager", JSON, lambda s: json.dumps({"SecretString": s})),
    answered("environment", JSON, lambda s: json.dumps([{"name": "DB_PASSWORD", "value": s}])),
    answered("tags", JSON, lambda s: json.dumps([{"Value": s, "Key": "ApiKey"}])),
    answered("pairs", JSON, lambda s: json.dumps([["Authorization", f"Token {s}"]])),
    answered("headers", JSON, lambda s: json.dumps({"Cookie": f"a={s}"})),
    answered("dsn", JSON, lambda s: json.dumps({"db": f"postgres://ada:{s}@h/x?a=1"})),
    answered("settings", JSON, lambda s: json.dumps({"db": f"host=a password={s} user=b"})),
    answered("printed headers", JSON, lambda s: json.dumps({"e": f"X-Api-Key: {s}\nA: b"})),
    answered("printed dict", JSON, lambda s: json.dumps({"e": f"KeyError: {{'password': '{s}'}}"})),
    answered("base64 field", JSON, lambda s: json.dumps({"d": b64(f'{{"password": "{s}"}}')})),
    answered(
        "wrapped base64",
        JSON,
        lambda s: json.dumps(
            {"d": base64.encodebytes(f"{'x' * 90} password={s}\n".encode()).decode()}
        ),
    ),
    answered("base64 body", TEXT, lambda s: b64(json.dumps({"password": s}))),
    answered(
        "key in base64", JSON, lambda s: json.dumps({"d": b64(f"a {s} b")}), "AKIAQWERTYUIOPASDFGH"
    ),
    answered(
        "private key",
        JSON,
        lambda s: json.dumps(
            {"k": (f"-----BEGIN RSA PRIVATE KEY-----\n{s}\n-----END RSA PRIVATE KEY-----\n")}
        ),
        "QUJD" * 16,
    ),
    answered("input", HTML, lambda s: f'<input type="hidden" name="csrf_token" value="{s}">'),
    answered("bare input", HTML, lambda s: f"<input type=hidden name=csrf_token value={s}>"),
    answered("text area", HTML, lambda s: f'<textarea name="private_key" rows=3>{s}</textarea>'),
    answered("meta", HTML, lambda s: f'<meta name="csrf-token" content="{s}">'),
    answered("script", HTML, lambda s: f"<script>var apiKey = '{s}'</script>"),
    answered(
        "page data", HTML, lambda s: f'<div data-p="{{&quot;accessToken&quot;:&quot;{s}&quot;}}">'
    ),
    answered("callback", "application/javascript", lambda s: f'cb({{"access_token": "{s}"}})'),
    answered("csv", "text/csv", lambda s: f'id,password,n\n1,{s},2\n2,"{s}",3\n'),
    answered(
        "utf-16", f"{JSON}; charset=utf-16", lambda s: json.dumps({"password": s}).encode("utf-16")
    ),
    answered("ndjson", "application/x-ndjson", lambda s: f'{{"a":1}}\n{{"password":"{s}"}}\n'),
    answered("event", SSE, lambda s: f"data: password={s}\n\n"),
    answered("event of lines", SSE, lambda s: f'data: {{\ndata: "password":\ndata: "{s}"}}\n\n'),
    answered(
        "archive", "application/gzip", lambda s: gzip.compress(f'{{"password": "{s}"}}'.encode())
    ),
    answered(
        "gzip",
        JSON,
        lambda s: gzip.compress(f'{{"password": "{s}"}}'.encode()),
        more=(("Content-Encoding", "gzip"),),
    ),
    repeated("basic, repeated", JSON, lambda s: json.dumps({"hint": s}), "hunter4-and-more"),
    repeated("escaped, repeated", JSON, lambda s: json.dumps({"said": s}), 'p"ss\\w0rd-9'),
    repeated("markup, repeated", HTML, lambda s: f"<p>{html.escape(s)}</p>", "p<ss&w0rd-98"),
    repeated(
        "utf-8, repeated",
        JSON,
        lambda s: json.dumps({"said": s}, ensure_ascii=False),
        "pässwörd-97",
    ),
    repeated("ascii, repeated", JSON, lambda s: json.dumps({"said": s}), "pässwörd-96"),
    repeated("base64, repeated", JSON, lambda s: json.dumps({"said": b64(s)}), "hunter5-and-more"),
    repeated(
        "url, repeated",
        TEXT,
        lambda _: "",
        "p ss/w0rd-95",
        more=(("Location", "/x?again=" + quote_plus("p ss/w0rd-95")),),
    ),
    Plant(
        name="trailer",
        secrets=("Zx9k2PqLm5Rt7V01",),
        pieces=(b"x",),
        trailers=(("X-Auth-Token", "Zx9k2PqLm5Rt7V01"),),
    ),
    Plant(
        name="deltas",
        secrets=_STEPS[2:4],
        answer_headers=(("Content-Type", SSE),),
        pieces=events(_STEPS),
    ),
    Plant(
        name="cut",
        secrets=("sk-ant-api03-cutABCDEFGHIJKL",),
        answer_headers=(("Content-Type", TEXT),),
        pieces=tuple(bytes([each]) for each in b"key: sk-ant-api03-cutABCDEFGHIJKL."),
    ),
)

WORDS = (
    Plant(
        name="reason",
        secrets=("sk-ant-api03-reasonABCDEF01",),
        reason="no sk-ant-api03-reasonABCDEF01",
    ),
    Plant(
        name="failed url",
        secrets=("hunter6-and-more",),
        failure="cannot reach https://ada:hunter6-and-more@h/",
    ),
    Plant(
        name="failed dict",
        secrets=("hunter7-and-more",),
        failure="KeyError: {'password': 'hunter7-and-more'}",
    ),
    Plant(
        name="failed headers",
        secrets=("zxkpqlmrtvw1",),
        failure="[(b'authorization', b'Bearer zxkpqlmrtvw1')]",
    ),
)

TALK = (
    Plant(
        name="handshake",
        secrets=("hunter1-and-more",),
        messages=(
            json.dumps({"type": "connection_init", "payload": {"authToken": "hunter1-and-more"}}),
            "hunter1-and-more is what you said",
        ),
    ),
    Plant(
        name="binary message",
        secrets=("hunter0-and-more",),
        messages=(b'{"password": "hunter0-and-more"}',),
    ),
    Plant(
        name="base64 message",
        secrets=("hunter9-and-more",),
        messages=(b64('{"password": "hunter9-and-more"}'),),
    ),
    Plant(
        name="deltas in messages",
        secrets=("api03-talkEFGH", "ijklTALK0123"),
        messages=tuple(
            json.dumps({"type": "delta", "delta": each})
            for each in ("the key is sk-", "ant-", "api03-talkEFGH", "ijklTALK0123", " ok")
        ),
    ),
)

WIRE = (*HEADERS, *URLS, *BODIES, *ANSWERS)
"""The plants that any client and server can say to each other."""
ALL = (*WIRE, *USERS, *WORDS, *TALK)


def spellings(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written, where the text around it is not in disguise itself."""
    for text in {secret, quote(secret, safe=""), quote_plus(secret), html.escape(secret)}:
        yield text.encode()
        yield json.dumps(text)[1:-1].encode()
    yield secret.encode("latin-1", "replace")
    yield secret.encode("utf-16-le")


def disguises(data: bytes) -> Iterator[bytes]:
    """Yield what bytes say when they are opened in all the ways in which files hold text."""
    yield data
    text = data.decode("latin-1")
    yield unquote_plus(text).encode("latin-1", "replace")
    yield html.unescape(text).encode("utf-8", "replace")
    yield re.sub(r"\\(.)", r"\1", text).encode("latin-1")
    packed = re.compile(rb"[A-Za-z0-9+/_-]{8,}(?:(?:\\n|\s)+[A-Za-z0-9+/_-]{4,})*={0,2}")
    for match in packed.finditer(data):
        bare = re.sub(rb"\\n|\s|=", b"", match[0]).translate(bytes.maketrans(b"-_", b"+/"))
        opened = base64.b64decode(
            bare[: len(bare) - (len(bare) % 4 == 1)] + b"=" * (-len(bare) % 4)
        )
        yield opened
        yield from unzipped(opened)
    yield from unzipped(data)


def unzipped(data: bytes) -> Iterator[bytes]:
    for match in re.finditer(rb"\x1f\x8b\x08", data):
        try:
            yield zlib.decompressobj(31).decompress(data[match.start() :])
        except zlib.error:
            continue


def leaks(data: bytes, plants: Iterable[Plant]) -> list[str]:
    """Return the names of the plants whose secrets can be read in these bytes."""
    wanted = [
        (plant.name, spelled)
        for plant in plants
        for secret in plant.secrets
        for spelled in spellings(secret)
    ]
    readings = b"\n\n".join(disguises(data))
    return sorted({name for name, spelled in wanted if spelled in readings})


@pytest.fixture
def wire() -> tuple[Plant, ...]:
    """All plants that any client and server can say to each other."""
    return WIRE


@pytest.fixture
def talk() -> tuple[Plant, ...]:
    """The plants that are WebSocket conversations."""
    return TALK


@pytest.fixture
def leaked() -> Callable[[bytes], list[str]]:
    """Return what says which plants can be read in bytes."""
    return lambda data: leaks(data, ALL)


@pytest.fixture
def leaked_in() -> Callable[[Path], dict[str, list[str]]]:
    """Return what says which plants can be read in the files under a folder, and in their names."""

    def look(folder: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in sorted(folder.rglob("*")):
            data = str(path.relative_to(folder)).encode()
            if path.is_file():
                data += b"\n" + path.read_bytes()
            if names := leaks(data, ALL):
                found[str(path.relative_to(folder))] = names
        return found

    return look


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for a `plant` with each of them."""
    if "plant" in metafunc.fixturenames:
        metafunc.parametrize("plant", ALL, ids=[plant.name for plant in ALL])
