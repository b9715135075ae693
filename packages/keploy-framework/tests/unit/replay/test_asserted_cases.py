"""What a case asserts in so many words decides, however it is replayed; and Keploy's own rules."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from keploy_framework.errors import FormatError, OptionError
from keploy_framework.replay import accept, find_noise, replay, write_noise
from keploy_framework.report import html_report, markdown_report, terminal_report
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from starlette.responses import Response

    from keploy_framework.storage.stored import StoredCase

Record = Callable[..., Awaitable[None]]
ORDER = {"id": 7, "tags": ["a", "b"], "user": {"name": "ada", "age": 36}}


def shop(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Starlette:
    """An application with one answer."""

    async def order(_: Any) -> Response:
        given = {"X-Id": "abc-7", **(headers or {})}
        return JSONResponse(ORDER if body is None else body, status, given)

    return Starlette(routes=[Route("/order", order)])


def wsgi_shop(status: str = "200 OK", body: bytes = b"") -> Any:
    """The same by WSGI."""

    def app(_: Any, start: Any) -> list[bytes]:
        start(status, [("Content-Type", "application/json"), ("X-Id", "abc-7")])
        return [body or json.dumps(ORDER).encode()]

    return app


async def ask(client: httpx.AsyncClient) -> None:
    await client.get("/order")


def assert_in(folder: Path, text: str, name: str = "get-order-1") -> None:
    """Write assertions into a case, as somebody does by hand."""
    path = folder / "test-set-0" / "tests" / f"{name}.yaml"
    before = path.read_text()
    after = before.replace("  assertions:\n", f"  assertions:\n    {text}\n")
    assert after != before
    path.write_text(after)


def cases(folder: Path) -> list[StoredCase]:
    return list(KeployFolder(folder).set("test-set-0"))


HOLDS = (
    "status_code: 204",
    "status_code_class: 2xx",
    "status_code_in: [200, 204]",
    "header_equal: {X-Id: abc-7}",
    "header_contains: {x-id: bc-}",
    "header_exists: [X-Id]",
    "header_matches: {X-Id: '^[a-z]+-[0-9]$'}",
    "json_contains: {user: {name: ada}, tags: [a, b]}",
    "json_contains: '{\"id\": 8}'",
)
FAILS = (
    ("status_code: 200", "status", "status_code"),
    ("status_code_class: 4xx", "status", "status_code_class"),
    ("status_code_in: [200, 201]", "status", "status_code_in"),
    ("header_equal: {X-Id: abc-8}", "header.X-Id", "header_equal"),
    ("header_contains: {X-Id: zz}", "header.X-Id", "header_contains"),
    ("header_exists: [X-No]", "header.X-No", "header_exists"),
    ("header_matches: {X-Id: '^[0-9]'}", "header.X-Id", "header_matches"),
    ("json_contains: {user: {name: bob}}", "body.user.name", "json_contains"),
    ("json_equal: ''", "body", "json_equal"),
)
CHANGED = {**ORDER, "id": 8, "more": True}


@pytest.mark.parametrize("assertion", HOLDS)
async def test_what_holds_decides_though_the_answer_is_another_one(
    folder: Path, record: Record, assertion: str
) -> None:
    """Status, id and a new field are others: nobody asserted them."""
    await record(shop(), ask)
    assert_in(folder, assertion)
    assert (await replay(shop(204, CHANGED), folder)).is_success
    changed = json.dumps(CHANGED).encode()
    assert (await replay(wsgi_shop("204 No Content", changed), folder)).is_success


@pytest.mark.parametrize(("assertion", "path", "name"), FAILS)
async def test_what_does_not_hold_is_told_with_its_name(
    folder: Path, record: Record, assertion: str, path: str, name: str
) -> None:
    """In every report; without a line of noise, which would not help."""
    await record(shop(), ask)
    assert_in(folder, assertion)
    for app in (shop(204, CHANGED), wsgi_shop("204 No Content", json.dumps(CHANGED).encode())):
        results = await replay(app, folder)
        (found,) = results.failures[0].differences
        assert (found.path, found.asserted) == (path, name)
        shown = terminal_report(results)
        assert f"the case asserts it: {name}" in shown
        assert "to ignore it" not in shown
        assert f"the case asserts it: <code>{name}</code>" in html_report(results)
        assert f"(asserted: {name})" in markdown_report(results)


async def test_an_assertion_is_checked_though_nothing_has_changed(
    folder: Path, record: Record
) -> None:
    """Somebody asserts what was not recorded: the recorded answer fails."""
    await record(shop(), ask)
    assert_in(folder, "status_code: 201")
    assert (await replay(shop(), folder)).failed == 1


async def test_an_answer_that_breaks_off_holds_nothing(folder: Path, record: Record) -> None:
    """An application that fails is a failure, whatever is asserted of its answer."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise RuntimeError("half way")

    await record(shop(), ask)
    assert_in(folder, "status_code: 200")
    results = await replay(broken, folder)
    assert [each.path for each in results.failures[0].differences] == ["failure"]
    assert "half way" in results.failures[0].reason


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        ("status_code: many", "status_code is a status such as 200"),
        ("status_code_class: 9xx", "status_code_class is like 2xx"),
        ("header_matches: {X-No: '('}", "is no pattern"),
        ("json_contains: '['", "json_contains is no JSON"),
        ("header_equal: [X-Id]", "header_equal is a mapping"),
    ],
)
async def test_an_assertion_that_is_none_is_one_error_with_the_file(
    folder: Path, record: Record, assertion: str, said: str
) -> None:
    """Before anything is replayed."""
    await record(shop(), ask)
    assert_in(folder, assertion)
    with pytest.raises(FormatError, match=said) as error:
        await replay(shop(), folder)
    assert error.value.path.endswith("get-order-1.yaml")


async def test_an_assertion_that_is_not_known_is_told(folder: Path, record: Record) -> None:
    """It asserts nothing; the answer is compared as a whole."""
    await record(shop(), ask)
    assert_in(folder, "status_cod: 500")
    results = await replay(shop(), folder)
    assert results.is_success
    (notice,) = results.notices
    assert notice == "test-set-0: get-order-1: the assertion status_cod is not known here"
    assert (await replay(shop(500), folder)).failed == 1


# --- typed rules of noise, beside assertions -----------------------------------------------------


def changing(ref: Callable[[], Any] | None = None) -> Starlette:
    numbers = itertools.count(1)

    async def order(_: Any) -> Response:
        made = str(uuid.uuid4()) if ref is None else ref()
        return JSONResponse({"ref": made, "visits": next(numbers), "item": "tea"})

    return Starlette(routes=[Route("/order", order)])


async def test_typed_rules_are_kept_and_checked_beside_assertions(
    folder: Path, record: Record
) -> None:
    """Evidence keeps a UUID a UUID; an assertion besides does not take that away."""
    await record(changing(), ask)
    found = await find_noise(changing(), folder)
    assert set(found.noise["test-set-0/get-order-1"]) == {"body.ref", "body.visits"}
    assert_in(folder, "json_contains: {item: tea}")
    await asyncio.to_thread(write_noise, folder, found.noise)
    (case,) = await asyncio.to_thread(cases, folder)
    assert set(case.assertions) - {"noise"} == {"json_contains"}
    assert (await replay(changing(), folder)).is_success
    for wrong in (lambda: "unknown", lambda: 7, lambda: None):
        results = await replay(changing(wrong), folder)
        assert [each.path for each in results.failures[0].differences] == ["body.ref"]


async def test_accepting_keeps_what_is_asserted(folder: Path, record: Record) -> None:
    """The new answer is the recorded one; assertions and rules stand as they stood."""
    await record(shop(), ask)
    assert_in(folder, "json_equal: ''\n    status_code_class: 2xx")
    results = await replay(shop(body=CHANGED), folder)
    assert results.failed == 1
    await asyncio.to_thread(accept, folder, results.test_cases)
    assert (await replay(shop(body=CHANGED), folder)).is_success
    assert (await replay(shop(500, CHANGED), folder)).failed == 1
    spec = yaml.safe_load((folder / "test-set-0/tests/get-order-1.yaml").read_text())["spec"]
    assert set(spec["assertions"]) == {"noise", "json_equal", "status_code_class"}


# --- with secrets, and with values of earlier answers --------------------------------------------


def bank(token: Callable[[], str]) -> Starlette:
    async def login(_: Any) -> Response:
        return JSONResponse({"access_token": token(), "plan": "free"})

    async def order(_: Any) -> Response:
        made = str(uuid.uuid4())
        return JSONResponse({"id": made}, headers={"Location": f"/orders/{made}"})

    async def show(request: Any) -> Response:
        return JSONResponse({"id": request.path_params["id"]})

    return Starlette(
        routes=[Route("/login", login), Route("/orders", order), Route("/orders/{id}", show)]
    )


async def test_assertions_of_secrets_hold_for_the_live_value(folder: Path, record: Record) -> None:
    """A pattern sees the token itself; the recorded body is compared by its placeholders."""

    async def log_in(client: httpx.AsyncClient) -> None:
        await client.get("/login")

    await record(bank(lambda: uuid.uuid4().hex), log_in)
    assert_in(folder, "json_equal: ''\n    header_exists: [content-type]", "get-login-1")
    assert (await replay(bank(lambda: uuid.uuid4().hex), folder)).is_success
    path = folder / "test-set-0/tests/get-login-1.yaml"
    path.write_text(path.read_text().replace("json_equal: ''", 'json_contains: {plan: "paid"}'))
    results = await replay(bank(lambda: "abcdef0123456789" * 2), folder)
    assert [each.asserted for each in results.failures[0].differences] == ["json_contains"]
    assert "abcdef0123456789" not in terminal_report(results) + repr(results)


async def test_what_follows_from_an_earlier_answer_holds(folder: Path, record: Record) -> None:
    """The recorded id is asserted; this replay's order has another one."""

    async def buy(client: httpx.AsyncClient) -> None:
        made = (await client.get("/orders")).json()["id"]
        await client.get(f"/orders/{made}")

    await record(bank(str), buy)
    _, case = await asyncio.to_thread(cases, folder)
    assert case.exchange is not None
    recorded = case.exchange.request.url.rpartition("/")[2]
    assert_in(folder, f"json_contains: {{id: {recorded}}}", case.name)
    results = await replay(bank(str), folder)
    assert results.test_cases[1].status == "PASSED", results
    assert [each.path for each in results.test_cases[1].excused] == ["body.id", "body.id"]


# --- Keploy's own rules --------------------------------------------------------------------------


async def test_keploys_rules_forgive_what_ours_do_not(folder: Path, record: Record) -> None:
    """Order of arrays, bodies that are no JSON; not values, keys, types, status, headers."""
    await record(shop(), ask)
    other = {**ORDER, "tags": ["b", "a"]}
    assert (await replay(shop(body=other), folder)).failed == 1
    results = await replay(shop(body=other), folder, rules="keploy")
    assert results.is_success
    assert [each.kind for each in results.test_cases[0].excused] == ["order"]
    for app, path in (
        (shop(201), "status"),
        (shop(body={**ORDER, "id": 8}), "body.id"),
        (shop(body=CHANGED), "body.id"),
        (shop(headers={"X-Id": "other"}), "header.x-id"),
        (shop(headers={"X-New": "1"}), "header.x-new"),
    ):
        results = await replay(app, folder, rules="keploy")
        assert path in [each.path.lower() for each in results.failures[0].differences]


async def test_the_switches_of_keploys_configuration_count(folder: Path, record: Record) -> None:
    """They stand in keploy.yml, beside the folder."""
    await record(shop(), ask)
    config = folder.parent / "keploy.yml"
    cases: tuple[tuple[str, Any, bool], ...] = (
        ("ignoreOrdering: false", {**ORDER, "tags": ["b", "a"]}, False),
        ("schemaMatch: true", {**ORDER, "id": 9}, True),
        ("schemaMatch: true", {**ORDER, "id": "9"}, False),
        ("autoPassHTTPResponseSchemaAddition: true", {**ORDER, "more": 1}, True),
        ("compareAll: false", {**ORDER, "more": 1}, False),
    )
    for line, body, passes in cases:
        config.write_text(f"test:\n  {line}\n")
        results = await replay(shop(body=body), folder, rules="keploy")
        assert results.is_success is passes, (line, results)
        assert (await replay(shop(body=body), folder)).failed == 1
    config.write_text("test:\n  compareAll: perhaps\n")
    with pytest.raises(FormatError, match="compareAll has to be true or false"):
        await replay(shop(), folder, rules="keploy")


async def test_keploys_noise_is_read_as_keploy_reads_it(folder: Path, record: Record) -> None:
    """By parts of paths, in any case of letters, a key at any depth; what is left is told."""
    await record(shop(), ask)
    path = folder / "test-set-0/tests/get-order-1.yaml"
    path.write_text(path.read_text().replace("noise: {}", "noise: {body.NAME: [], header.id: []}"))
    app = shop(body={**ORDER, "user": {"name": "bob", "age": 36}}, headers={"X-Id": "new"})
    assert (await replay(app, folder, rules="keploy")).is_success
    strict = await replay(app, folder)
    assert len(strict.failures[0].differences) >= 2
    app = shop(body={**ORDER, "user": {"name": "bob", "age": 37}})
    results = await replay(app, folder, rules="keploy")
    assert [each.path for each in results.failures[0].differences] == ["body.user.age"]
    (folder.parent / "keploy.yml").write_text(
        "test:\n  globalNoise:\n    global: {body: {user.age: []}}\n"
    )
    assert (await replay(app, folder, rules="keploy")).is_success


async def test_keploys_rules_pass_what_follows_from_an_earlier_answer(
    folder: Path, record: Record
) -> None:
    async def buy(client: httpx.AsyncClient) -> None:
        made = (await client.get("/orders")).json()["id"]
        await client.get(f"/orders/{made}")

    await record(bank(str), buy)
    results = await replay(bank(str), folder, rules="keploy")
    assert [each.status for each in results.test_cases] == ["FAILED", "PASSED"]


async def test_rules_that_are_none_are_refused(folder: Path, record: Record) -> None:
    await record(shop(), ask)
    with pytest.raises(OptionError, match='rules must be "strict" or "keploy"'):
        await replay(shop(), folder, rules="loose")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_what_is_new_in_an_answer_is_shown_without_its_secrets(
    folder: Path, record: Record
) -> None:
    """Also where only the status was asserted, so that nothing else of it is told."""
    await record(shop(), ask)
    assert_in(folder, "status_code: 200")
    key = "sk-live-0123456789abcdef0123"
    results = await replay(shop(body={"api_key": key}), folder)
    assert results.is_success
    assert key not in repr(results)
    assert {each.path for each in results.test_cases[0].excused} >= {"body.id", "body.api_key"}
