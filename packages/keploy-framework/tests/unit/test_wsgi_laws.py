"""Laws of the WSGI middleware: it changes nothing, and keeps nothing of a body."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler

from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.recording.memory import MemoryRecorder
from keploy_framework.wsgi import RecordingMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def serve(app: WSGIApplication) -> bytes:
    """Act as the server of the standard library; return what went over the wire."""
    out = io.BytesIO()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    SimpleHandler(io.BytesIO(), out, io.StringIO(), environ, multithread=False).run(app)
    return out.getvalue()


def deaf(
    status: str, headers: list[tuple[str, str]], exc_info: object = None, /
) -> Callable[[bytes], object]:
    """Act as the `start_response` of a server that sends nothing."""
    return len


@given(
    st.lists(st.binary(max_size=5), max_size=6),
    st.integers(0, 7),
    st.sets(st.sampled_from(["lazy", "write"])),
)
def test_what_goes_over_the_wire_is_the_same_with_and_without_the_middleware(
    items: list[bytes], fail_at: int, options: set[str]
) -> None:
    """Lists and generators, `write`, errors anywhere: byte for byte, and one exchange ends."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A date of its own: the server would write the time of the run.
        date = "Sat, 21 Nov 2026 11:53:21 GMT"
        writer = start_response("200 OK", [("X-A", "1"), ("Date", date)])
        if "write" in options:
            writer(b"first")
        return stream() if "lazy" in options else list(items)

    def stream() -> Iterator[bytes]:
        for number, item in enumerate(items):
            if number == fail_at:
                raise LookupError("on purpose")
            yield item

    recorder = MemoryRecorder()

    assert serve(RecordingMiddleware(app, recorder)) == serve(app)
    assert len(recorder.exchanges) == 1
    assert recorder.under_way == ()


def test_a_long_body_leaves_no_memory_behind() -> None:
    """64 MiB pass in each direction, and no more than a few pieces are ever held."""

    class Endless:
        def read(self, size: int) -> bytes:
            return bytes(size)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(1024):
            yield environ["wsgi.input"].read(1 << 16)

    class Counter:
        id = "1"
        size = 0

        def open(self, *_: Any, **__: Any) -> Any:
            return self

        def __getattr__(self, name: str) -> Any:
            return self.count

        def count(self, *arguments: Any) -> None:
            self.size += sum(len(item) for item in arguments if isinstance(item, bytes))

    counter = Counter()
    environ = {"REQUEST_METHOD": "PUT", "wsgi.input": Endless()}
    tracemalloc.start()
    try:
        for _ in RecordingMiddleware(app, counter)(environ, deaf):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert counter.size == 2 << 26
    assert peak < 1 << 20
