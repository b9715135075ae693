"""Applications that raise, hang, die in the middle, or say nothing: one clear outcome each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from keploy_framework.errors import FormatError
from keploy_framework.model import Direction, Exchange, Failure, Omitted, Piece, Request, Response
from keploy_framework.recording.asgi import RecordingMiddleware
from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from keploy_framework.results import TestResults

Store = Callable[..., Awaitable[None]]
LetPass = Callable[[float], None]
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def case(response: Response | None = None, failure: Failure | None = None) -> Exchange:
    """A case that was answered with two pieces."""
    made = response or Response(200, "", (), (Piece(0.0, b"one"), Piece(0.1, b"two")))
    request = Request("GET", "http://h/a", (("Host", "h"),))
    return Exchange("1", Direction.INBOUND, request, made, 1, 2, failure=failure)


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("no such thing as sk-live-1234567890abcdefghij")


async def dying(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        raise OSError("the disk is gone")


class UnprintableError(Exception):
    """Whose text raises one like it."""

    def __str__(self) -> str:
        raise UnprintableError


async def unprintable(scope: Any, receive: Any, send: Any) -> None:
    raise UnprintableError


def unprintable_wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    raise UnprintableError


async def silent(scope: Any, receive: Any, send: Any) -> None:
    pass


async def unfinished(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send(START)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (raising, "the application raised ValueError: no such thing as"),
        (dying, "the application raised OSError: the disk is gone"),
        (silent, "returned without an answer"),
        (unfinished, "returned before its answer was whole"),
    ],
)
async def test_trouble_is_an_outcome(folder: Path, store: Store, app: Any, words: str) -> None:
    """Whatever an application does, its case fails with a sentence, and the run goes on."""
    await store(case(), case())
    results = await replay(app, folder)
    assert results.failed == 2
    assert words in results.failures[0].reason
    assert results.failures[0].crashed
    assert results.sets == {"test-set-0": "APP_FAULT"}
    assert "sk-live-1234567890abcdefghij" not in str(results)


@pytest.mark.parametrize("app", [unprintable, unprintable_wsgi])
async def test_an_error_that_cannot_be_printed_is_an_outcome(
    folder: Path, store: Store, app: Any
) -> None:
    """Its case fails at once, and no thread dies of it."""
    await store(case())
    results = await replay(app, folder, timeout=60)
    assert "the application raised UnprintableError: (its text raised" in results.failures[0].reason


async def test_an_application_that_hangs_is_an_outcome(
    folder: Path, store: Store, let_pass: LetPass
) -> None:
    """After the time that a case may take it is cancelled, and the run goes on."""
    cancelled: list[str] = []

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            let_pass(21)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(scope["path"])
                raise
        raise RuntimeError("no lifespan here")

    await store(case(), case())
    results = await replay(hanging, folder, timeout=20)
    assert [each.crashed for each in results.failures] == [True, True]
    assert "no whole answer within 20 s" in results.failures[0].reason
    assert results.sets == {"test-set-0": "APP_FAULT"}
    assert cancelled == ["/a", "/a"]


async def test_an_application_that_cannot_be_cancelled_is_left_behind(
    folder: Path, store: Store, let_pass: LetPass
) -> None:
    """A case ends even if its application swallows the cancellation."""
    left: list[asyncio.Task[Any] | None] = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            left.append(asyncio.current_task())
            let_pass(21)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                let_pass(2)
            await asyncio.Event().wait()
        raise RuntimeError("no lifespan here")

    await store(case())
    results = await replay(stubborn, folder, timeout=20)
    assert "no whole answer" in results.failures[0].reason
    (task,) = left
    assert task is not None
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_a_recorded_crash_that_happens_again_passes(folder: Path, store: Store) -> None:
    """An answer that was cut short is compared as far as it came."""
    cut = Response(200, "", (), (Piece(0.0, b"one"),))
    await store(case(cut, Failure("builtins.OSError", "the disk was gone")))
    assert (await replay(dying, folder)).is_success

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(START)
            await send({"type": "http.response.body", "body": b"one"})

    results = await replay(whole, folder)
    assert [each.path for each in results.failures[0].differences] == ["failure"]


async def test_a_client_that_left_leaves_again(folder: Path, store: Store) -> None:
    """A stream without an end is read as far as it was recorded."""
    left = Failure("keploy_framework.errors.IncompleteAnswerError", "the client left before it")
    await store(case(failure=left))

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        await send(START)
        for number in range(100):
            word = b"one" if number % 2 == 0 else b"two"
            await send({"type": "http.response.body", "body": word, "more_body": True})
            if number >= 1:
                gone = await receive()
                assert gone["type"] == "http.disconnect"
                return

    results = await replay(endless, folder)
    assert results.is_success, results


async def test_a_proxy_recorded_500_passes_where_the_application_raises(
    folder: Path, store: Store
) -> None:
    """A server answers 500 for an application that raises; without one, raising is that answer."""
    words = b"Internal Server Error"
    headers = (("content-type", "text/plain"), ("content-length", str(len(words))))
    await store(case(Response(500, "Internal Server Error", headers, (Piece(0.0, words),))))
    assert (await replay(raising, folder)).is_success
    assert (await replay(silent, folder)).is_success
    assert not (await replay(dying, folder)).is_success


async def test_requests_that_were_not_stored_are_not_replayed(folder: Path, store: Store) -> None:
    """A request whose body is not there is ignored with the reason, and a run of it is no pass."""
    asked = Request("PUT", "http://h/a", (), b"", omitted=Omitted(5, "", "over the limit"))
    await store(Exchange("1", Direction.INBOUND, asked, Response(200), 1, 2))
    results = await replay(silent, folder)
    assert results.test_cases[0].status == "IGNORED"
    assert "over the limit" in results.test_cases[0].reason
    assert not results.is_success
    assert results.sets == {"test-set-0": "IGNORED"}


async def test_a_hanging_wsgi_application_costs_its_case_only(
    folder: Path, store: Store, let_pass: LetPass
) -> None:
    """A thread that never returns is left; the next case gets another one."""
    stop = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/hang":
            let_pass(21)
            stop.wait(60)
        start_response("200 OK", [])
        return [b"one", b"two"]

    hang = Request("GET", "http://h/hang")
    await store(Exchange("0", Direction.INBOUND, hang, Response(200), 0, 0), case())
    results = await replay(app, folder, timeout=20)
    stop.set()
    assert [each.status for each in results.test_cases] == ["FAILED", "PASSED"]
    assert "no whole answer within 20 s" in results.failures[0].reason


async def test_a_damaged_case_is_one_clear_error(folder: Path, store: Store) -> None:
    """A file that is cut off is named, with its line."""
    await store(case())
    path = folder / "test-set-0" / "tests" / "get-a-1.yaml"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(FormatError, match=r"get-a-1\.yaml"):
        await replay(silent, folder)


async def test_foreign_kinds_are_ignored_with_a_reason(folder: Path, store: Store) -> None:
    """A gRPC case is carried through: it is not replayed, and not counted as passed."""
    await store(case())
    place = folder / "test-set-0" / "tests"
    (place / "grpc-1.yaml").write_text(
        "version: api.keploy.io/v1beta1\nkind: gRPC\nname: grpc-1\nspec:\n  grpcReq: {}\n"
    )
    results: TestResults = await replay(dying, folder)
    statuses = {each.name: each.status for each in results.test_cases}
    assert statuses == {"grpc-1": "IGNORED", "get-a-1": "FAILED"}


async def test_an_application_that_cancels_itself_is_an_outcome(folder: Path, store: Store) -> None:
    """A cancellation that comes from within the application does not end the replay."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            raise asyncio.CancelledError

    await store(case(), case())
    for workers in (1, 2):
        results = await replay(app, folder, workers=workers)
        assert results.failed == 2
        assert "cancelled the task of its own" in results.failures[0].reason


async def test_what_is_replayed_is_not_recorded_again(folder: Path, store: Store) -> None:
    """An application that is wrapped for recording is replayed without that."""
    await store(case())
    recorder = MemoryRecorder()
    await replay(RecordingMiddleware(dying, recorder), folder)
    assert recorder.exchanges == ()
