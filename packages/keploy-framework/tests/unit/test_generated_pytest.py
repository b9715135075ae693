"""Generated pytest files run alone: they pass on what was recorded, and fail on what changed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.generate import pytest_file
from keploy_framework.model import Direction, Exchange, Message, Omitted, Piece, Request, Response
from keploy_framework.storage.stored import StoredCase

ASGI_APP = """
import json, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["ready"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    answer = {
        "path": scope["path"], "query": scope["query_string"].decode(),
        "ready": scope["state"]["ready"],
        "sent": body.decode("latin-1"), "key": headers.get(b"x-api-key", b"").decode(),
        "id": os.urandom(4).hex(), "mode": os.environ.get("APP_MODE", "old"),
    }
    head = [(b"content-type", b"application/json")]
    head += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 201, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"""
FLASK_APP = """
from flask import Flask, jsonify, request
app = Flask("shop")
@app.post("/echo/<name>")
def echo(name):
    return jsonify(name=name, form=request.form.to_dict(flat=False), q=request.args["q"])
"""
JSON = (("content-type", "application/json"),)


def case(
    name: str,
    asked: Request,
    answer: Response,
    noise: dict[str, tuple[str, ...]] | None = None,
    messages: tuple[Message, ...] = (),
) -> StoredCase:
    exchange = Exchange(name, Direction.INBOUND, asked, answer, 1, 2, messages=messages)
    return StoredCase(
        name=name, kind="Http", exchange=exchange, exact=True, noise=noise or {}, path=Path(name)
    )


def response(
    body: bytes, headers: tuple[tuple[str, str], ...] = JSON, status: int = 200
) -> Response:
    return Response(status, "OK", headers, (Piece(0, body),))


def run_alone(
    folder: Path, text: str, *options: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a file where this package cannot be imported, and no plugin is loaded."""
    (folder / "test_generated.py").write_text(text, encoding="utf-8")
    (folder / "conftest.py").write_text(
        "import sys\nsys.modules['keploy_framework'] = None\nsys.modules['httpx'] = None\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    own = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": "", **environ}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_generated.py"]
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def asgi_case(name: str = "post-items-1", body: str = '{"a": 1}') -> StoredCase:
    answer = (
        '{"path": "/items/\\u00fc", "query": "x=1&x=2", "ready": true, "sent": "{\\"a\\": 1}", '
        '"key": "[redacted:api-key:1]", "id": "00c0ffee", "mode": "old"}'
    )
    headers = (*JSON, ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("date", "long ago"))
    return case(
        name,
        Request(
            "POST", "http://shop.test/items/%C3%BC?x=1&x=2",
            (("X-Api-Key", "[redacted:api-key:1]"), *JSON), body.encode(),
        ),
        response(answer.encode(), headers, 201),
        {"body.id": ("^[0-9a-f]{8}$",)},
    )  # fmt: skip


def test_a_file_replays_an_asgi_application_alone(tmp_path: Path) -> None:
    """Lifespan, repeated headers, query, secrets from the environment and noise: all without us."""
    (tmp_path / "shop.py").write_text(ASGI_APP)
    text = pytest_file([asgi_case()], target="shop:app")

    done = run_alone(tmp_path, text, KEPLOY_SECRET_API_KEY_1="the real key")  # noqa: S106

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_what_changed_fails_and_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(ASGI_APP)
    text = pytest_file([asgi_case()], target="shop:app")

    done = run_alone(tmp_path, text, APP_MODE="new")

    assert done.returncode == 1
    assert "body.mode: 'old' became 'new'" in done.stdout
    assert (
        "body.id" not in done.stdout.partition("short test summary")[0].split("AssertionError")[-1]
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('"status": 201', "status: 200 became 201"),
        ("del answer['path']", "body.path: missing"),
        ("answer['extra'] = 1", "body.extra: added"),
        ("answer['n'] = '3'", "body.n: 3 became '3'"),
        ("answer['list'].reverse()", "body.list: 1 became 2"),
        ("answer['list'].pop()", "body.list: 2 elements became 1"),
        ("headers.append(('X-New', '1'))", "header.x-new"),
        ("answer['id'] = 'no-hex'", "body.id"),
    ],
)
@pytest.mark.slow
def test_every_kind_of_change_is_caught(tmp_path: Path, change: str, says: str) -> None:
    """Status, keys, types, order, length, headers and values outside of their noise pattern."""
    app = """
    import json
    def app(environ, start):
        answer = {"path": environ["PATH_INFO"], "n": 3, "list": [1, 2], "id": "ab12"}
        headers = [("Content-Type", "application/json")]
        %s
        start("%s", headers)
        return [json.dumps(answer).encode()]
    """
    is_status = "status" in change
    status = "201 Created" if is_status else "200 OK"
    app %= "pass" if is_status else change, status
    (tmp_path / "shop.py").write_text(textwrap.dedent(app))
    body = b'{"path": "/a", "n": 3, "list": [1, 2], "id": "cd34"}'
    stored = case(
        "a", Request("GET", "http://h/a"), response(body), {"body.id": ("^[0-9a-f]{4}$",)}
    )

    done = run_alone(tmp_path, pytest_file([stored], target="shop:app"))

    assert done.returncode == 1, done.stdout
    assert says in done.stdout


def test_a_flask_application_is_a_target(tmp_path: Path) -> None:
    """The same cases, recorded from one application, pass as WSGI object."""
    made: dict[str, Any] = {}
    exec(FLASK_APP, made)  # noqa: S102 - the very text that the generated file imports
    with httpx.Client(transport=httpx.WSGITransport(app=made["app"])) as client:
        got = client.post("http://localhost/echo/a%20b?q=1", data={"x": "1 2"})
    asked = Request(
        "POST",
        str(got.request.url),
        tuple((name, value) for name, value in got.request.headers.items()),
        got.request.content,
    )
    answer = response(got.content, tuple(got.headers.items()), got.status_code)
    (tmp_path / "shop.py").write_text(FLASK_APP)
    done = run_alone(tmp_path, pytest_file([case("echo", asked, answer)], target="shop:app"))

    assert done.returncode == 0, done.stdout


def test_a_url_is_called_over_the_network(tmp_path: Path) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.path.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        stored = case("a", Request("GET", "http://h/a?b"), response(b"/a?b", ()))
        url = f"http://127.0.0.1:{server.server_port}"
        done = run_alone(tmp_path, pytest_file([stored], target=url))
        other = case("b", Request("GET", "http://h/a"), response(b"/b", ()))
        bad = run_alone(tmp_path, pytest_file([other]), KEPLOY_TARGET=url)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert done.returncode == 0, done.stdout
    assert bad.returncode == 1
    assert "body: b'/b' became b'/a'" in bad.stdout


def test_a_hundred_cases_are_a_hundred_tests(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(ASGI_APP)
    cases = [asgi_case(f"post-items-{number}") for number in range(100)]

    done = run_alone(tmp_path, pytest_file(cases, target="shop:app"))

    assert "100 passed" in done.stdout


def test_what_cannot_be_replayed_alone_is_named() -> None:
    """WebSockets, failures and answers that were not stored are left out, and it is said."""
    asked = Request("GET", "http://h/")
    omitted = Response(200, omitted=Omitted(10, "", "too long"))
    text = pytest_file(
        [
            case("talk", asked, Response(101), messages=(Message(0, "client", "hi"),)),
            case("long", asked, omitted),
            StoredCase(name="grpc", kind="gRPC", exchange=None, exact=False, path=Path("x")),
        ]
    )
    assert "# Left out: talk, long, grpc." in text
    compile(text, "generated", "exec")


@pytest.mark.parametrize("target", ["", "not a target", "a/b:c", "-x:y"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(OptionError, match="target must be a URL or module:attribute"):
        pytest_file([], target=target)


def test_noise_that_is_no_pattern_is_refused() -> None:
    with pytest.raises(FormatError, match="no regular expression"):
        pytest_file([case("a", Request("GET", "http://h/"), Response(200), {"body.a": ("(",)})])


# --- ids and tokens ------------------------------------------------------------------------------

ORDERS_APP = """
import json, uuid
orders, tokens, asked = {}, set(), []

def app(environ, start):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    asked.append(path)
    status, answer, headers = "404 Not Found", {"error": "unknown"}, []
    if path == "/login":
        token = "t/" + uuid.uuid4().hex + "+="
        tokens.add(token)
        status, answer = "200 OK", {"access": token}
    elif environ.get("HTTP_AUTHORIZATION", "")[7:] not in tokens:
        status, answer = "401 Unauthorized", {"error": "who are you?"}
    elif method == "POST":
        ref = str(uuid.uuid4())
        orders[ref] = {"ref": ref, "item": "tea", "n": asked.count("/orders")}
        status, answer, headers = "201 Created", orders[ref], [("Location", "/orders/" + ref)]
    elif path.rpartition("/")[2] in orders:
        status, answer = "200 OK", orders[path.rpartition("/")[2]]
    start(status, [("Content-Type", "application/json"), *headers])
    return [json.dumps(answer).encode()]
"""
REF = "4996f231-5900-4d89-b78d-808c5a3cd272"
TOKEN = (("Authorization", "Bearer [redacted:bearer:1]"),)


def order_cases() -> list[StoredCase]:
    order = f'{{"ref": "{REF}", "item": "tea", "n": 1}}'.encode()
    uuid = "^[0-9a-f-]{36}$"
    return [
        case(
            "post-login-1", Request("POST", "http://h/login"),
            response(b'{"access": "[redacted:bearer:1]"}'),
        ),
        case(
            "post-orders-1", Request("POST", "http://h/orders", TOKEN),
            response(order, (*JSON, ("Location", f"/orders/{REF}")), 201),
            {"body.ref": (uuid,), "header.location": ()},
        ),
        case(
            "get-orders-by-id-1", Request("GET", f"http://h/orders/{REF}", TOKEN), response(order)
        ),
    ]  # fmt: skip


def test_ids_and_tokens_go_from_answers_into_requests(tmp_path: Path) -> None:
    """A file of a login, an order and a look at it passes against an application that has none."""
    (tmp_path / "shop.py").write_text(ORDERS_APP)

    done = run_alone(tmp_path, pytest_file(order_cases(), target="shop:app"))

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize(
    "options", [["-k", "get-orders-by-id-1"], ["-k", "post-orders-1"], ["-k", "not login"]]
)
def test_a_test_that_needs_others_asks_for_them_first(options: list[str], tmp_path: Path) -> None:
    """Chosen alone it passes as well, and nothing is asked twice."""
    (tmp_path / "shop.py").write_text(ORDERS_APP)

    done = run_alone(tmp_path, pytest_file(order_cases(), target="shop:app"), *options)

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_an_answer_of_another_thing_is_still_a_difference(tmp_path: Path) -> None:
    """The new id is expected where the recorded one stood, and no other."""
    wrong = ORDERS_APP.replace('= "200 OK", orders[', '= "200 OK", {**orders[').replace(
        '.rpartition("/")[2]]\n    start',
        '.rpartition("/")[2]], "ref": str(uuid.uuid4())}\n    start',
    )
    assert wrong.count("**orders") == 1
    (tmp_path / "shop.py").write_text(wrong)

    done = run_alone(tmp_path, pytest_file(order_cases(), target="shop:app"))

    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert "body.ref:" in done.stdout


def test_what_a_left_out_case_would_hand_out_is_not_waited_for(tmp_path: Path) -> None:
    """A source without a whole answer has no place in the file; its values come from nobody."""
    login, *others = order_cases()
    (tmp_path / "shop.py").write_text(ORDERS_APP)
    text = pytest_file(
        [case("post-login-1", Request("POST", "http://h/login", omitted=Omitted(1, "", "long")),
              response(b'{"access": "[redacted:bearer:1]"}')), *others],
        target="shop:app",
    )  # fmt: skip
    done = run_alone(tmp_path, text)

    assert login.name in text.partition("# Left out: ")[2].splitlines()[0]
    assert "401" in done.stdout
    assert "Traceback" not in done.stdout
