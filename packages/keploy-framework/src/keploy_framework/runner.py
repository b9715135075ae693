"""The runner and the recording session that users of the first version know, made true."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import httpx

from keploy_framework.errors import OptionError
from keploy_framework.model import Direction
from keploy_framework.recording.clients.httpx_call import open_exchange, with_stream, write_head
from keploy_framework.recording.clients.httpx_recorded import sent_async, watched_async
from keploy_framework.recording.clients.seam import Interception
from keploy_framework.recording.recorder import Recorder
from keploy_framework.replay import replay
from keploy_framework.report import html_report
from keploy_framework.results import ResultValidator
from keploy_framework.storage.documents import replace_file

if TYPE_CHECKING:
    from types import TracebackType

    from keploy_framework.model import Headers
    from keploy_framework.recording.clients.httpx_call import Call
    from keploy_framework.recording.sink import ExchangeWriter, Sink
    from keploy_framework.replay import Rules
    from keploy_framework.results import TestResults

__all__ = ("KeployTestRunner", "RecordingSession", "record_tests")

_INSTEAD = (
    "docker_image is not used: the replay of this package runs in Python and needs no container; "
    "leave it out"
)


class RecordingSession:
    """Record what its client asks of an API, and what it answers, as test cases.

    Args:
        api_url: Where the API is; paths that the client is given are taken from there.
        keploy_dir: The `keploy` folder that is recorded into.
        test_set: The name of the test set; None takes the next number.
        timeout: How long (s) the client waits.

    Attributes:
        client: An `httpx.AsyncClient`; there while the session is open. Calls to other hosts are
            made, and not recorded.

    Raises:
        OptionError: The URL is none of HTTP.
        FolderInUseError: On entering: another session records into the folder.

    Example:
        ```text
        async with RecordingSession("http://localhost:8000") as session:
            await session.client.post("/orders", json={"item": "tea"})
        ```
    """

    def __init__(
        self,
        api_url: str,
        keploy_dir: Path | str = "./keploy",
        *,
        test_set: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.api_url: str = _checked_url(api_url)
        # A client is a deliberate act: it records wherever it runs, also in production.
        self.recorder: Recorder = Recorder(keploy_dir, test_set=test_set, enabled=True)
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """The client whose calls are recorded.

        Raises:
            RuntimeError: The session is not open.
        """
        if self._client is None:
            raise RuntimeError("the session is not open: use `async with RecordingSession(...)`")
        return self._client

    async def __aenter__(self) -> Self:
        await self.recorder.__aenter__()
        transport = _RecordingTransport(_Inbound(self.recorder), httpx.URL(self.api_url))
        self._client = httpx.AsyncClient(
            base_url=self.api_url, transport=transport, timeout=self._timeout
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        try:
            if client is not None:
                await client.aclose()
        finally:
            await self.recorder.__aexit__(kind, error, traceback)


def record_tests(
    api_url: str, keploy_dir: Path | str = "./keploy", *, test_set: str | None = None
) -> RecordingSession:
    """Return a session that records what its client asks of an API; see `RecordingSession`.

    Example:
        ```text
        async with record_tests("http://localhost:8000") as session:
            await session.client.get("/health")
        ```
    """
    return RecordingSession(api_url, keploy_dir, test_set=test_set)


class KeployTestRunner:
    """Replay recorded test cases against an API that runs.

    Args:
        api_url: Where the API is.
        keploy_dir: The `keploy` folder.
        timeout: How long (s) one case may take.
        docker_image: Refused: nothing of this runs in a container.
        min_pass_rate: The fraction of cases that has to pass for `validate=True`, from 0 to 1.
        rules: By which rules answers are compared; see `replay`.

    Raises:
        OptionError: An option has a value that it cannot have.

    Example:
        ```text
        results = await KeployTestRunner("http://localhost:8000").run_all_tests()
        print(results.pass_rate)
        ```
    """

    def __init__(
        self,
        api_url: str,
        keploy_dir: Path | str = "./keploy",
        timeout: float = 30,
        docker_image: str | None = None,
        *,
        min_pass_rate: float = 0.8,
        rules: Rules = "strict",
    ) -> None:
        if docker_image is not None:
            raise OptionError(_INSTEAD)
        self.api_url: str = _checked_url(api_url)
        self.keploy_dir: Path = Path(keploy_dir)
        self.timeout = timeout
        self.rules: Rules = rules
        self.validator: ResultValidator = ResultValidator(min_pass_rate)

    async def run_all_tests(
        self,
        validate: bool = True,  # noqa: FBT001, FBT002 - users of the first version pass it so
        generate_report: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> TestResults:
        """Replay all test sets.

        Args:
            validate: Raise unless enough cases passed.
            generate_report: Write `test-report.html` into the `keploy` folder.

        Raises:
            AssertionError: Too few cases passed, or there was none.
            AppStartError: Nothing answers at the URL.
            KeployError: The recording cannot be read.
        """
        return await self._run((), validate=validate, report=generate_report)

    async def run_tests(
        self,
        test_set: str,
        validate: bool = True,  # noqa: FBT001, FBT002 - as in `run_all_tests`
        generate_report: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> TestResults:
        """Replay one test set; see `run_all_tests`.

        Raises:
            OptionError: There is no such set.
        """
        return await self._run((test_set,), validate=validate, report=generate_report)

    async def _run(
        self, test_sets: tuple[str, ...], *, validate: bool, report: bool
    ) -> TestResults:
        results = await replay(
            self.api_url,
            self.keploy_dir,
            test_sets=test_sets,
            timeout=self.timeout,
            rules=self.rules,
        )
        if report:
            await asyncio.to_thread(_write_report, results, self.keploy_dir / "test-report.html")
        if validate:
            self.validator.assert_pass_rate(results)
        return results


class _Inbound:
    """A sink that takes calls of a client for those that the application gets."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def open(
        self,
        direction: Direction,
        method: str,
        url: str,
        headers: Headers,
        http_version: str = "1.1",
    ) -> ExchangeWriter | None:
        """Begin a test case."""
        del direction
        return self._sink.open(Direction.INBOUND, method, url, headers, http_version)


class _RecordingTransport(httpx.AsyncBaseTransport):
    """Sends requests over the network, and records those to one origin."""

    def __init__(self, sink: Sink, origin: httpx.URL) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._interception = Interception(frozenset({"httpx"}), sink=sink)
        self._origin = (origin.scheme, origin.host, origin.port)
        self._sent: Any = sent_async(httpx)
        self._watched: Any = watched_async(httpx)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        url = request.url
        writer = None
        if (url.scheme, url.host, url.port) == self._origin:
            writer = open_exchange(self._interception, cast("Call", request))
        if writer is None:
            return await self._inner.handle_async_request(request)
        try:
            sent = with_stream(cast("Call", request), self._sent(request.stream, writer))
            response = await self._inner.handle_async_request(cast("httpx.Request", sent))
        except BaseException as error:
            writer.fail(error)
            raise
        write_head(writer, response)
        response.stream = self._watched(response.stream, writer)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _checked_url(url: object) -> str:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise OptionError(f"api_url must begin with http:// or https://, not {url!r:.80}")
    return url.rstrip("/")


def _write_report(results: TestResults, path: Path) -> None:
    replace_file(path, html_report(results).encode())
