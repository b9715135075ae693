"""Sessions that log in are recorded without their tokens, and replayed against the real thing."""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from keploy_framework.asgi import RecordingMiddleware
from keploy_framework.cli import run
from keploy_framework.recording.recorder import Recorder
from keploy_framework.replay import Command, find_noise, replay, write_noise

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

PASSWORD = 'correct "horse" \\ battery 1'  # noqa: S105 - nobody's
APP = r'''
"""Hands out secrets in many ways, and wants each of them back."""
import base64, json, secrets, uuid
from urllib.parse import parse_qs
from starlette.applications import Starlette
from starlette.responses import (
    HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response,
)
from starlette.routing import Route

PASSWORD = "@"
given = {}

def give(kind, value=None):
    value = value or uuid.uuid4().hex
    given.setdefault(kind, set()).add(value)
    return value

def verdict(kind, value):
    known = value in given.get(kind, ())
    return JSONResponse({"ok": known}, 200 if known else 401)

def jwt():
    def part(what):
        return base64.urlsafe_b64encode(json.dumps(what).encode()).decode().rstrip("=")
    return f'{part({"alg": "HS256"})}.{part({"jti": uuid.uuid4().hex})}.{secrets.token_urlsafe(32)}'

async def login(request):
    if (await request.json())["password"] != PASSWORD:
        return JSONResponse({"error": "wrong password"}, 401)
    made = {"access_token": give("bearer", jwt()), "refresh_token": give("refresh")}
    answer = JSONResponse({**made, "token_type": "Bearer"})
    answer.set_cookie("sessionid", give("session"), httponly=True)
    answer.set_cookie("csrftoken", give("csrf", secrets.token_urlsafe(24)))
    return answer

async def refresh(request):
    if (await request.json())["refresh_token"] not in given["refresh"]:
        return JSONResponse({"error": "expired"}, 401)
    return JSONResponse({"data": {"accessToken": give("bearer", jwt())}})

async def me(request):
    return verdict("bearer", request.headers.get("authorization", "").removeprefix("Bearer "))

async def echo(request):
    return JSONResponse({"you said": request.headers["x-ticket"]})

async def ticket(request):
    return verdict("bearer", request.headers["x-ticket"])

async def profile(request):
    if request.cookies.get("sessionid") not in given["session"]:
        return JSONResponse({"error": "no session"}, 401)
    return verdict("csrf", request.headers.get("x-csrftoken"))

async def document(request):
    if request.method == "LOCK":
        token = give("lock", f"{request.query_params['as']}:{uuid.uuid4()}")
        return Response(headers={"Lock-Token": f"<{token}>"})
    if request.method == "PUT":
        return verdict("lock", request.headers["if"].strip("(<>)"))
    return verdict("lock", request.headers["lock-token"].strip("<>"))

async def plain(request):
    return PlainTextResponse(f"token={give('bearer', 'tok-' + secrets.token_hex(16))}\n")

async def key(request):
    return JSONResponse({"api_key": give("key", "sk-live-" + secrets.token_hex(16))})

async def data(request):
    return verdict("key", request.query_params.get("api_key") or request.headers.get("x-api-key"))

async def sign(request):
    return JSONResponse({"url": f"http://shop/file?expires=99&signature={give('signed')}"})

async def file(request):
    return verdict("signed", request.query_params.get("signature"))

async def authorize(request):
    return RedirectResponse(f"/callback?code={give('code', secrets.token_urlsafe(24))}&state=s")

async def callback(request):
    return verdict("code", request.query_params["code"])

async def token(request):
    if parse_qs((await request.body()).decode())["code"][0] not in given["code"]:
        return JSONResponse({"error": "invalid_grant"}, 400)
    return JSONResponse({"access_token": give("bearer")})

async def form(request):
    if request.method == "GET":
        return HTMLResponse(f'<input name="csrfmiddlewaretoken" value="{give("form")}">')
    sent = parse_qs((await request.body()).decode())
    if sent["password"][0] != PASSWORD:
        return JSONResponse({"error": "wrong password"}, 401)
    return verdict("form", sent["csrfmiddlewaretoken"][0])

async def events(request):
    said = json.dumps({"session_token": give("bearer")})
    return Response(f"data: {said}\n\n", media_type="text/event-stream")

async def forgot(request):
    return JSONResponse({"link": f"/reset/{give('reset')}"})

async def reset(request):
    return verdict("reset", request.path_params["word"])

async def once(request):
    if request.method == "GET":
        return JSONResponse({"otp": give("otp", str(secrets.randbelow(900000) + 100000))})
    return verdict("otp", (await request.json())["otp"])

app = Starlette(routes=[
    Route("/login", login, methods=["POST"]), Route("/refresh", refresh, methods=["POST"]),
    Route("/me", me), Route("/profile", profile), Route("/plain", plain), Route("/key", key),
    Route("/document", document, methods=["LOCK", "PUT", "UNLOCK"]), Route("/data", data),
    Route("/sign", sign), Route("/file", file), Route("/authorize", authorize),
    Route("/callback", callback), Route("/token", token, methods=["POST"]),
    Route("/form", form, methods=["GET", "POST"]), Route("/events", events),
    Route("/forgot", forgot), Route("/reset/{word}", reset), Route("/echo", echo),
    Route("/once", once, methods=["GET", "POST"]), Route("/ticket", ticket),
])
'''.replace('"@"', repr(PASSWORD))
VARIABLE = "KEPLOY_SECRET_PASSWORD_1"


async def visit(client: httpx.AsyncClient) -> None:
    """Use every way in which a secret is handed out and handed in."""

    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def got(path: str) -> Any:
        return (await client.get(path)).json()

    first = (await client.post("/login", json={"user": "ada", "password": PASSWORD})).json()
    await client.get("/me", headers=bearer(first["access_token"]))
    await client.get("/profile", headers={"X-CSRFToken": client.cookies["csrftoken"]})
    again = await client.post("/refresh", json={"refresh_token": first["refresh_token"]})
    await client.get("/me", headers=bearer(again.json()["data"]["accessToken"]))
    await client.get("/ticket", headers={"X-Ticket": first["access_token"]})
    await client.get("/echo", headers={"X-Ticket": (await client.get("/plain")).text.strip()[6:]})
    for scheme in ("opaquelocktoken", "urn:uuid"):
        lock = (await client.request("LOCK", f"/document?as={scheme}")).headers["lock-token"]
        await client.put("/document", headers={"If": f"({lock})"})
        await client.request("UNLOCK", "/document", headers={"Lock-Token": lock})
    key = (await got("/key"))["api_key"]
    await client.get("/data", params={"api_key": key})
    await client.get("/data", headers={"X-API-Key": key})
    await client.get((await got("/sign"))["url"].removeprefix("http://shop"))
    location = (await client.get("/authorize")).headers["location"]
    await client.get(location)
    code = location.partition("code=")[2].partition("&")[0]
    token = (await client.post("/token", data={"code": code})).json()["access_token"]
    await client.get("/me", headers=bearer(token))
    page = (await client.get("/form")).text.partition('value="')[2][:32]
    await client.post("/form", data={"csrfmiddlewaretoken": page, "password": PASSWORD})
    said = json.loads((await client.get("/events")).text[6:])["session_token"]
    await client.get("/me", headers=bearer(said))
    await client.get((await got("/forgot"))["link"])
    await client.post("/once", json=await got("/once"))


def made() -> tuple[Any, dict[str, set[str]]]:
    """Return an application of its own, and what it has handed out."""
    found = runpy.run_path("vault.py")
    return found["app"], found["given"]


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def record(app: Any, place: Path) -> None:
    async with Recorder(place) as recorder:
        transport = httpx.ASGITransport(RecordingMiddleware(app, recorder))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            await visit(client)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording of the visit, in which every answer was a good one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vault.py").write_text(APP)
    app, given = made()
    place = tmp_path / "keploy"
    asyncio.run(record(app, place))
    written = "".join(path.read_text("utf-8", "replace") for path in place.rglob("*.yaml"))
    secret = [one for kind, each in given.items() if kind != "lock" for one in each]
    assert [one for one in [*secret, PASSWORD] if one in written] == []
    assert "status_code: 401" not in written
    # Locks are no secrets: their names are ids that change, as any other.
    locks = [f"test-set-0/lock-document-{number}" for number in (1, 2)]
    write_noise(place, {name: {"header.Lock-Token": ()} for name in locks})
    return place


async def test_an_application_gets_its_own_tokens_back(folder: Path) -> None:
    """In this process, with many workers and in a second pass as well."""
    for workers in (1, 8):
        results = await replay(
            made()[0], folder, secrets={"[redacted:password:1]": PASSWORD}, workers=workers
        )
        assert results.is_success, results
        assert not results.notices


async def test_a_server_gets_its_own_tokens_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a connection; what the client alone knows comes from the environment."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    async with serving(made()[0]) as url:
        results = await replay(url, folder)
    assert results.is_success, results


async def test_a_command_gets_its_own_tokens_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    """The command is started, and has handed out nothing before."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    port = free_port()
    line = [sys.executable, "-m", "uvicorn", "vault:app", "--port", str(port)]
    results = await replay(Command(line, port=port, start_timeout=120), folder)
    assert results.is_success, results


def test_the_command_line_gets_its_own_tokens_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the password it says which variable to set; with it, all is as recorded."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "vault", raising=False)
    assert run(["replay", "vault:app", "--folder", str(folder)]) == 1
    assert VARIABLE in capsys.readouterr().out
    monkeypatch.setenv(VARIABLE, PASSWORD)
    assert run(["replay", "vault:app", "--folder", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert PASSWORD not in shown


async def test_tokens_that_change_in_each_pass_are_no_noise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passes against one application find nothing that varies, and nothing that differs."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    found = await find_noise(made()[0], folder)
    assert found.results.is_success, found.results
    assert not found.evidence


async def test_a_secret_given_to_the_call_wins_over_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "not the password")
    given = {"[redacted:password:1]": PASSWORD}
    assert (await replay(made()[0], folder, secrets=given)).is_success
