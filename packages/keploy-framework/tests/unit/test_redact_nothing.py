"""Ordinary traffic, in which nothing is a credential: not one byte of it is taken for one."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.model import Direction, Exchange, Piece, Request, Response
from keploy_framework.redact import Redaction, scan_text

CHANCE = random.Random(5)
JSON = "application/json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def some_uuid() -> str:
    return str(uuid.UUID(int=CHANCE.getrandbits(128), version=4))


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + CHANCE.randbytes(600)).decode()
RSA = base64.b64encode(CHANCE.randbytes(294)).decode()
SVG = base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h24"/></svg>'
).decode()

GITHUB: dict[str, Any] = {
    "id": 1296269,
    "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5",
    "full_name": "octocat/Hello-World",
    "sha": sha("a")[:40],
    "commit": {
        "tree": {"sha": sha("b")[:40], "url": f"https://api.github.com/trees/{sha('b')[:40]}"},
        "verification": {"verified": False, "reason": "unsigned", "signature": None},
        "author": {"name": "Ada", "email": "ada@example.com", "date": "2024-05-06T07:08:09Z"},
    },
    "keys_url": "https://api.github.com/repos/octocat/Hello-World/keys{/key_id}",
    "git_url": "git:github.com/octocat/Hello-World.git",
    "ssh_url": "git@github.com:octocat/Hello-World.git",
    "permissions": {"admin": False, "push": True},
    "license": {"key": "mit", "spdx_id": "MIT", "node_id": "MDc6TGljZW5zZW1pdA=="},
    "ssh_keys": [{"id": 1, "key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ada@example.com"}],
    "etag": f'W/"{sha("e")[:32]}"',
    "description": "Tokens and passwords: how to keep them. The key is to rotate the secret.",
    "topics": ["token", "password", "secret-management"],
    "secrets": [{"name": "DEPLOY", "created_at": "2019-08-10T14:59:22Z"}],
    "content": base64.encodebytes(b"# Hello\n\nA readme of some lines.\n" * 9).decode(),
    "encoding": "base64",
}
STRIPE: dict[str, Any] = {
    "id": "ch_3MmlLrLkdIwHu7ix0snN0B15",
    "object": "charge",
    "amount": 1099,
    "balance_transaction": "txn_3MmlLrLkdIwHu7ix0uke3Ezy",
    "created": 1679090539,
    "currency": "usd",
    "customer": "cus_NffrFeUfNV2Hib",
    "payment_method": "pm_1MmlLrLkdIwHu7ixIJwEWSNR",
    "payment_intent": "pi_3MmlLrLkdIwHu7ix0O6Nx1Fr",
    "receipt_url": "https://pay.stripe.com/receipts/payment/CAcaFwoVYWNjdF8xTTJKVGtMa2RJd0h1N2l4",
    "publishable": "pk_test_TYooMQauvdEDq54NiTphI7jx",
    "payment_method_details": {
        "card": {
            "brand": "visa",
            "checks": {"cvc_check": "pass", "address_postal_code_check": None},
            "exp_month": 3,
            "fingerprint": "mToisGZ01V71BCos",
            "last4": "4242",
            "network_token": {"used": False},
        }
    },
    "idempotency_key": some_uuid(),
    "request_id": "req_aWL9Q5Qt3G0lDM",
    "livemode": False,
}
OPENAI: dict[str, Any] = {
    "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
    "object": "chat.completion",
    "created": 1741570283,
    "model": "gpt-4o-2024-08-06",
    "system_fingerprint": "fp_fc9f1d7035",
    "choices": [
        {
            "message": {
                "role": "assistant",
                "content": "A token is a piece of text; a password: something you remember.",
                "tool_calls": [
                    {
                        "id": "call_abc123DEF456ghi789",
                        "function": {
                            "name": "find",
                            "arguments": '{"query": "key = value", "n": 3}',
                        },
                    }
                ],
            },
            "logprobs": {
                "content": [
                    {"token": " Internationalization", "logprob": -0.31, "bytes": [32, 73]},
                    {"token": "Hello", "logprob": -0.5, "top_logprobs": [{"token": " 2024"}]},
                ]
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29, "max_tokens": 512},
}
AWS: dict[str, Any] = {
    "NextToken": "eyJNYXJrZXIiOiBudWxsLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAxfQ==",
    "Reservations": [{"ReservationId": "r-1234567890abcdef0", "OwnerId": "123456789012"}],
    "Instances": [
        {
            "InstanceId": "i-1234567890abcdef0",
            "ImageId": "ami-0abcdef1234567890",
            "KeyName": "my-key-pair-2024",
            "ClientToken": "",
            "Arn": "arn:aws:iam::123456789012:role/service-role/my-role-1a2b3c4d",
            "Tags": [{"Key": "Name", "Value": "web-server-01-production"}],
            "LaunchTime": "2024-05-06T07:08:09+00:00",
        }
    ],
    "ResponseMetadata": {"RequestId": some_uuid(), "HTTPStatusCode": 200, "RetryAttempts": 0},
    "KeyMetadata": {"KeyId": some_uuid(), "KeyState": "Enabled", "Origin": "AWS_KMS"},
    "ETag": f'"{sha("x")[:32]}-7"',
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "oauth": {"flows": {"password": {"tokenUrl": "https://h.example/token", "scopes": {}}}},
        },
        "schemas": {
            "Login": {
                "required": ["username", "password"],
                "properties": {
                    "username": {"type": "string", "title": "Username"},
                    "password": {"type": "string", "format": "password", "minLength": 8},
                    "access_token": {"$ref": "#/components/schemas/Token2024"},
                    "api_key": {"type": "string", "description": "The key: ask for it."},
                    "refresh_token": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
            }
        },
    },
    "parameters": [{"name": "token", "in": "query", "schema": {"type": "string"}}],
}
JWKS = {"keys": [{"kty": "RSA", "kid": some_uuid(), "use": "sig", "n": RSA, "e": "AQAB"}]}
ERRORS = {
    "password": ["This field may not be blank.", "This password is too short."],
    "token": ["required"],
    "detail": "Invalid token: it has expired. Authorization: see the docs",
    "code": "token_not_valid",
    "error": "invalid_token",
}
SESSIONS = {
    "session": {"id": some_uuid(), "expires_at": "2025-01-01T00:00:00Z", "agent": "curl/8.4.0"},
    "key": {"id": "abc-123-def-456", "created": 1700000000},
    "auth": {"provider": "google-oauth2", "method": "sso"},
    "cursor": "eyJpZCI6IDEyMywgImRpciI6ICJuZXh0In0=",
    "page_token": "CAUQAA1234567890abcd",
    "csrf": True,
    "tokens": [1, 2, 3],
    "volumes": [{"secret": {"secretName": "default-token-abc12", "defaultMode": 420}}],
    "image": f"data:image/png;base64,{PNG}",
    "icon": f"data:image/svg+xml;base64,{SVG}",
    "public_key": f"-----BEGIN PUBLIC KEY-----\n{RSA}\n-----END PUBLIC KEY-----",
    "certificate": f"-----BEGIN CERTIFICATE-----\n{RSA}\n-----END CERTIFICATE-----",
    "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "oid": "507f1f77bcf86cd799439011",
    "price": "12.50",
    "phone": "+49 30 1234567",
    "iban": "DE89370400440532013000",
    "version": "v1.2.3-rc.1+build.5114f85",
    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
    "time": "12:30:45",
    "ip": "2001:db8:85a3::8a2e:370:7334",
    "mac": "00:1A:2B:3C:4D:5E",
    "url": "https://h.example/a/b?page=2&sort=-created_at&fields=id,name",
}
PAGE = f"""<!doctype html><html><head><meta charset="utf-8">
<meta name="description" content="Token 2024: passwords and keys explained">
<link rel="stylesheet" href="/static/css/main.5f3c2a1b.css" integrity="sha384-{RSA[:64]}">
<script src="/static/js/runtime~main.0a1b2c3d4e.js" nonce=""></script></head>
<body data-page="{{&quot;name&quot;:&quot;Home&quot;,&quot;id&quot;:42}}">
<form><input type="text" name="username" value="ada"><input name="q" value="secret santa 2024">
<input type="password" name="password" placeholder="Password">
<label for="password">Password:</label>
<button name="submit" value="login-2024-spring">Sign in</button></form>
<li>Key: value</li><dt>Session</dt><dd>{some_uuid()}</dd><time>2024-05-06T07:08:09Z</time>
<img src="data:image/png;base64,{PNG}" alt="key"><a href="/reset/password">Forgot your password?</a>
<code>token = lexer.next_token()</code><p>if (token == Token.EOF) return key.length;</p>
</body></html>"""
XML = """<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>bucket</Name><Contents><Key>photos/2006/February/sample-1.jpg</Key>
<ETag>&quot;70ee1738b6b21e2c8a43f3a5ab0eee71&quot;</ETag><Size>142863</Size></Contents>
<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
</ListBucketResult>"""
LOG = f"""2024-05-06 07:08:09,123 INFO [main] started in 1.25 s, pid=4711, build=5114f85
127.0.0.1 - - [06/May/2024:07:08:09 +0000] "GET /users/42?page=2 HTTP/1.1" 200 1234 "-" "curl/8.4.0"
level=info msg="token refreshed" user=ada duration=12ms trace_id={sha("t")[:32]}
span_id={sha("s")[:16]}
commit {sha("c")[:40]} (HEAD -> main, tag: v1.2.3)
password: required; token: string; secret: none; authentication failed for user ada
sha256:{sha("i")}  image:latest
tar --exclude-vcs -czf out.tar.gz src && git commit --amend --no-edit --author ada
"""
CODE = '''def login(password: str, token: str | None = None) -> Session:
    """Check the password: raises when it is wrong."""
    token = token or self.make_token(password=password)
    secret = settings.SECRET_KEY
    api_key = os.environ["API_KEY"]
    return Session(key=key, token=token, auth=self.auth)
'''
CSV = "id,name,email,created\n1,Ada,ada@example.com,2024-05-06\n2,Bob,bob@example.com,2024-05-07\n"
YAML = (
    "name: web\npassword:\n  type: string\nimage: nginx:1.25\nkey: value\ntokenUrl: https://h/t\n"
)

BODIES: dict[str, tuple[str, str]] = {
    "github": (JSON, json.dumps(GITHUB)),
    "stripe": (JSON, json.dumps(STRIPE, indent=2)),
    "openai": (JSON, json.dumps(OPENAI)),
    "aws": ("application/x-amz-json-1.1", json.dumps(AWS)),
    "openapi": (JSON, json.dumps(OPENAPI, indent=1)),
    "jwks": (JSON, json.dumps(JWKS)),
    "errors": (JSON, json.dumps(ERRORS)),
    "sessions": (JSON, json.dumps(SESSIONS)),
    "html": (HTML, PAGE),
    "xml": ("application/xml", XML),
    "log": (TEXT, LOG),
    "code": (TEXT, CODE),
    "csv": ("text/csv", CSV),
    "yaml": ("application/yaml", YAML),
    "form": (
        "application/x-www-form-urlencoded",
        "q=secret+santa&page=2&next=https%3A%2F%2Fh.example%2Fa%3Fpage%3D2&key=name&code=42",
    ),
    "sse": (
        "text/event-stream",
        "".join(f"event: delta\ndata: {json.dumps(OPENAI)}\n\n" for _ in range(3)),
    ),
}
HEADERS = (
    ("ETag", f'W/"{sha("e")[:32]}"'),
    ("X-Request-Id", some_uuid()),
    ("X-Amzn-Trace-Id", f"Root=1-5759e988-{sha('r')[:24]}"),
    ("traceparent", f"00-{sha('t')[:32]}-{sha('s')[:16]}-01"),
    ("X-GitHub-Request-Id", "C5E2:1F2A:3B4C5D:6E7F80:65A1B2C3"),
    ("CF-RAY", "7d1f2e3a4b5c6d7e-FRA"),
    ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
    ("Digest", f"sha-256={base64.b64encode(hashlib.sha256(b'x').digest()).decode()}"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
    (
        "Content-Security-Policy",
        "default-src 'self'; script-src 'sha256-abc123=' https://h.example",
    ),
    ("WWW-Authenticate", 'Bearer realm="h", error="invalid_token", error_description="it expired"'),
    ("Access-Control-Allow-Headers", "Authorization, Cookie, X-API-Key, X-CSRF-Token"),
    ("Vary", "Authorization, Cookie"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("Sec-WebSocket-Protocol", "graphql-transport-ws, v4.channel.k8s.io"),
    ("X-RateLimit-Reset", "1700000000"),
    ("Idempotency-Key", some_uuid()),
    ("Surrogate-Key", "user-42 users page-2"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/124.0.0.0"),
    ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
    ("Server-Timing", 'auth;dur=5.1, cache;desc="hit: key"'),
    ("X-Amz-Version-Id", "3HL4kqtJvjVBH40Nrjfkd"),
    ("Link", '<https://h.example/a?page=2&per_page=100>; rel="next"'),
    ("Location", f"/users/{some_uuid()}?tab=keys#tokens"),
    ("Last-Modified", "Mon, 06 May 2024 07:08:09 GMT"),
    ("Content-Disposition", 'attachment; filename="passwords-2024.csv"'),
)
URLS = (
    f"https://h.example/users/{some_uuid()}/keys/42?page=2&per_page=100&sort=created_at#tokens",
    f"https://h.example/repos/octocat/hello/commits/{sha('c')[:40]}",
    "https://h.example/search?q=secret%20santa&after=2024-05-06T07%3A08%3A09Z&page_token=abc123def",
    "https://h.example/tokens/42/usage?model=gpt-4o-2024-08-06",
    "https://ada@h.example:8443/reset/password",
)


@pytest.mark.parametrize("name", BODIES)
def test_nothing_of_an_ordinary_body_is_taken_for_a_secret(name: str) -> None:
    """Ids, hashes, UUIDs, ETags, times, prices, images, public keys, schemas, prose and code."""
    content_type, text = BODIES[name]

    assert Redaction.default().text(text, content_type) == text


@pytest.mark.parametrize("name", BODIES)
def test_nothing_of_a_long_ordinary_body_is_taken_for_a_secret(name: str) -> None:
    """Beyond the limit for fields, bodies are searched by pattern, and find as little."""
    content_type, text = BODIES[name]
    window = Redaction.default().window((("Content-Type", content_type),))
    assert window is not None

    assert window.feed(text.encode()) + window.finish() == text.encode()


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_no_ordinary_header_is_taken_for_a_secret(name: str, value: str) -> None:
    """Tags, traces, digests, policies and lists of header names stay."""
    assert Redaction.default().headers(((name, value),)) == ((name, value),)


@pytest.mark.parametrize("url", URLS)
def test_no_ordinary_url_is_taken_for_a_secret(url: str) -> None:
    """Ids, commits, cursors, times and search terms stay."""
    assert Redaction.default().url(url) == url


def test_an_ordinary_exchange_is_the_same_object_afterwards() -> None:
    """What holds no secret is not even copied."""
    content_type, text = BODIES["github"]
    exchange = Exchange(
        "1",
        Direction.INBOUND,
        Request("GET", URLS[0], HEADERS),
        Response(200, "OK", (("Content-Type", content_type),), (Piece(0.1, text.encode()),)),
        1,
        2,
    )

    assert Redaction.default().exchange(exchange) is exchange


@pytest.mark.parametrize("name", BODIES)
def test_a_scan_reports_nothing_in_ordinary_traffic(name: str) -> None:
    """A gate that cries wolf is soon turned off."""
    assert list(scan_text(BODIES[name][1])) == []


@given(st.uuids(), st.binary(min_size=16, max_size=32), st.datetimes(), st.integers(0, 10**12))
def test_no_made_up_id_is_taken_for_a_secret(
    one: uuid.UUID, digest: bytes, when: object, number: int
) -> None:
    """Whatever a UUID, a digest, a time or a number is, it stays under a name that tells none."""
    body = json.dumps(
        {"id": str(one), "hash": digest.hex(), "at": str(when), "n": number, "sid": str(one)}
    )

    assert Redaction.default().text(body, JSON) == body
