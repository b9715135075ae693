"""Fixtures for all tests of this package.

The contract of a coordinator is tested by the same tests over every store: in memory, fakeredis,
and a real server (started here, on a free port), the latter also with every script run twice, as a
client does that lost a reply. With `TTA_REDIS_CLUSTER=1` also over TLS, by an account with no more
rights than needed; over a Sentinel; over a cluster of three nodes. `valkey-server` is tested where
it is installed, and `TTA_REDIS_SERVERS=path,...` adds further server programs.

All fixtures that several files share stand here, which makes it a long file.
"""

import logging
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from blockbuster import blockbuster_ctx
from redis.asyncio import Redis

from tta_agent_coordination import InMemoryMessageCoordinator, RedisMessageCoordinator, tasks
from tta_agent_coordination.coordinators import consumer, redis_receiver
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.redis_store import SCRIPTS
from tta_agent_coordination.registries import base, redis_registry, watching
from tta_agent_coordination.server import scripts
from tta_agent_coordination.sharing import base as sharing_base
from tta_agent_coordination.sharing import redis_state
from tta_agent_coordination.testing import LocalCluster, LocalSentinel, ManualClock, RedisServer
from tta_agent_coordination.testing.servers import free_port, hold
from tta_agent_coordination.worker import crew, health, running

Make: TypeAlias = Callable[..., StoredMailboxes]

FAKEREDIS = tuple(map(int, version("fakeredis").split(".")[:2])) if find_spec("fakeredis") else ()
OTHERS = [path for path in os.environ.get("TTA_REDIS_SERVERS", "").split(",") if path]
if shutil.which("valkey-server") is not None and not any("valkey" in path for path in OTHERS):
    OTHERS.append("valkey-server")
ANY_REDIS: Any = Redis  # whose keyword arguments have no types
LONG: dict[str, Any] = {"socket_timeout": 60, "socket_connect_timeout": 60}
# The integration tests show that each of them works; here the whole contract, three times more.
TOPOLOGIES = ("redis-tls", "sentinel", "cluster") if "TTA_REDIS_CLUSTER" in os.environ else ()
BACKENDS: list[Any] = [
    *("memory", "fakeredis", "redis", "redis-decoded", "redis-resp3", "redis-twice"),
    # What differs there lies outside this package: not once more in each environment.
    *(pytest.param(name, marks=pytest.mark.slow) for name in (*TOPOLOGIES, *OTHERS)),
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files.

    On for one file at a time, so that it never watches the tests of another package.
    """
    with blockbuster_ctx(
        scanned_modules=["tta_agent_coordination"],
        excluded_modules=["tta_agent_coordination.testing"],
    ) as blocking:
        for function in blocking.functions.values():
            # The client libraries read files of theirs when they connect.
            function.can_block_in("redis/utils.py", "get_lib_version")
            # The sender for synchronous code blocks, as it says.
            function.can_block_in("tta_agent_coordination/coordinators/sync.py", "execute_command")
            # The command writes to its terminal, and has nothing else to do meanwhile.
            writing = {"show", "write", "close"}
            function.can_block_in("tta_agent_coordination/cli/output.py", writing)
            function.can_block_in("fakeredis/model/_command_info.py", "_load_command_info")
        yield


@pytest.fixture(autouse=True)
def warnings_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Let each test hear warnings, whatever an example or a program run before has muted."""
    caplog.set_level(logging.WARNING, "tta_agent_coordination")


def missing(what: str) -> None:
    """Skip a test for want of something; where everything must be there, fail it."""
    message = f"{what} is not installed here"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], RedisServer]]:
    """Start servers when they are first asked for, by program."""
    running: dict[str, RedisServer] = {}

    def get(program: str) -> RedisServer:
        if program not in running:
            if shutil.which(program) is None:
                missing(program)
            running[program] = RedisServer(program)
            running[program].start()
        return running[program]

    yield get
    for server in running.values():
        server.close()


def rights() -> set[str]:
    """Return the commands that an account needs: those in the scripts, and those that run them."""
    inside: set[str] = set()
    for package in ("server", "coordinators", "registries", "resilience", "sharing"):
        for script in (files("tta_agent_coordination") / package / "lua").iterdir():
            inside |= set(re.findall(r"call\('([A-Z]+)'", script.read_text("utf-8")))
    # Of some, a variable says which end of a list they write to.
    return {name.lower() for name in inside} | {"evalsha", "eval", "blpop", "lpush", "rpush"}


class SecureServer:
    """A server with TLS and an account that may do what we need, and no more."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "server.crt"
        key = folder / "server.key"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        self._held = hold()
        self.port: int = free_port() if self._held is None else self._held.getsockname()[1]
        allowed = [f"+{name}" for name in sorted(rights() | {"keys"})]  # some tests list keys
        self.server = RedisServer(
            "redis-server",
            (
                *("--tls-port", str(self.port), "--tls-auth-clients", "no"),
                *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(key)),
                *("--user", "agent", "on", ">secret", "resetchannels", "~{*", "-@all", *allowed),
            ),
        )
        self.server.start()

    @property
    def url(self) -> str:
        """Where clients find it, and who they are."""
        return self.url_of("agent:secret")

    def url_of(self, account: str) -> str:
        """Return its URL for an account: name, colon, password."""
        return f"rediss://{account}@127.0.0.1:{self.port}/0?ssl_ca_certs={self.certificate}"

    def close(self) -> None:
        """End it."""
        self.server.close()
        if self._held is not None:
            self._held.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Callable[[], LocalCluster]]:
    """Start a cluster when it is first asked for."""
    running: list[LocalCluster] = []

    def get() -> LocalCluster:
        if shutil.which("redis-server") is None:
            missing("redis-server")
        if not running:
            made = LocalCluster()
            made.start()
            running.append(made)
        return running[0]

    yield get
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def sentinel() -> Iterator[Callable[[], LocalSentinel]]:
    """Start a master, two replicas and a Sentinel when they are first asked for."""
    running: list[LocalSentinel] = []

    def get() -> LocalSentinel:
        if shutil.which("redis-server") is None:
            missing("redis-server")
        if not running:
            made = LocalSentinel(down_after=1000)
            made.start()
            running.append(made)
        return running[0]

    yield get
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], SecureServer]]:
    """Start a server that speaks TLS when it is first asked for."""
    running: list[SecureServer] = []

    def get() -> SecureServer:
        for name in ("redis-server", "openssl"):
            if shutil.which(name) is None:
                missing(name)
        if not running:
            running.append(SecureServer(tmp_path_factory.mktemp("tls")))
        return running[0]

    yield get
    for one in running:
        one.close()


@pytest.fixture
def program() -> str:
    """The server's program, for a test that starts a server of its own."""
    if shutil.which("redis-server") is None:
        missing("redis-server")
    return "redis-server"


@pytest.fixture
def redis_server(servers: Callable[[str], RedisServer]) -> RedisServer:
    """A real server, shared by all tests; each uses a key prefix of its own."""
    return servers("redis-server")


SEND = {SCRIPTS["send"].digest, SCRIPTS["send"].text}


class Twice:
    """A client that runs every script twice and returns the second reply: the first one got lost.

    Of a send it returns the first: the second rightly says that all are duplicates.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connection_pool = client.connection_pool

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a script twice, anything else once."""
        first = await self._client.execute_command(*args, **options)
        if args[0] not in {"EVALSHA", "EVAL"}:
            return first
        second = await self._client.execute_command(*args, **options)
        return first if args[1] in SEND else second


@pytest.fixture(scope="session")
def twice() -> type[Twice]:
    """Make a client run every script twice."""
    return Twice


class Resending:
    """A client that keeps what it sends, and lets copies of that arrive later.

    As from a connection that a client has left, whose commands a server comes to in the end.
    """

    def __init__(self, client: Any, clock: ManualClock) -> None:
        self._client = client
        self._clock = clock
        self.connection_pool = client.connection_pool
        self.calls: list[tuple[float, tuple[Any, ...]]] = []

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and keep it."""
        self.calls.append((self._clock(), args))
        return await self._client.execute_command(*args, **options)

    async def sent(self, work: Awaitable[object]) -> list[tuple[Any, ...]]:
        """Await some work, and return what it has sent."""
        before = len(self.calls)
        await work
        return [call for _, call in self.calls[before:]]

    async def copy(self, *calls: tuple[Any, ...]) -> None:
        """Let copies arrive now; nobody hears of their answers."""
        for name, *args in calls:
            if name in {"EVALSHA", "EVAL"}:
                args[3] = self._clock.milliseconds()
            await self._client.execute_command(name, *args)

    async def copy_one(self, number: int, scripts: Container[bytes]) -> None:
        """Let a copy of a call of some scripts arrive now, if there was one in the last minute."""
        since = self._clock() - 59
        calls = [call for at, call in self.calls if at > since and call[1] in scripts]
        if calls:
            await self.copy(calls[-1 - number % len(calls)])


@pytest.fixture(scope="session")
def resending() -> type[Resending]:
    """Make a client whose calls may arrive once more, late."""
    return Resending


@pytest.fixture
def prefix() -> str:
    """What the keys of a test begin with."""
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
def late(client: Any, clock: ManualClock) -> Resending:
    """The test's client, so that its calls may arrive once more, late."""
    return Resending(client, clock)


@pytest.fixture
def clock() -> ManualClock:
    """The time that the coordinators of a test live in."""
    return ManualClock()


@pytest.fixture(params=BACKENDS)
async def client(
    request: pytest.FixtureRequest,
    servers: Callable[[str], RedisServer],
    cluster: Callable[[], LocalCluster],
    sentinel: Callable[[], LocalSentinel],
    secure: Callable[[], SecureServer],
) -> AsyncIterator[Any]:
    """A client of each back end; None for the one in memory."""
    backend = str(request.param)
    if backend == "memory":
        yield None
        return
    if backend == "sentinel":
        async with sentinel().client(**LONG) as found:
            yield found
        return
    made: Any
    if backend == "fakeredis":
        if find_spec("fakeredis") is None:
            missing("fakeredis")
        made = import_module("fakeredis").FakeAsyncRedis()
    elif backend == "cluster":
        made = cluster().client(**LONG)
    elif backend == "redis-tls":
        made = ANY_REDIS.from_url(secure().url, **LONG)
    else:
        server = servers("redis-server" if backend.startswith("redis") else backend)
        made = server.client(
            **LONG,
            decode_responses=backend == "redis-decoded",
            protocol=3 if backend == "redis-resp3" else 2,
        )
    yield Twice(made) if backend == "redis-twice" else made
    await made.aclose()


def _maker(client: Any, clock: ManualClock | None) -> Make:
    prefix = f"test:{uuid.uuid4().hex}"

    def make(**options: Any) -> StoredMailboxes:
        if client is not None:
            now = None if clock is None else clock.milliseconds
            return RedisMessageCoordinator(client, prefix, _clock=now, **options)
        if clock is not None:
            options["clock"] = clock
        return InMemoryMessageCoordinator(**options)

    return make


@pytest.fixture
def make(client: Any, clock: ManualClock, unhurried: None) -> Make:
    """Make a coordinator over the back end, in the test's own time, with options."""
    return _maker(client, clock)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time limit of ours pass because the machine is busy, or pauses."""
    for module in (tasks, redis_receiver, base, redis_registry, redis_state, crew, running):
        monkeypatch.setattr(module, "PARTING", 60.0)
    for module in (scripts, health):
        monkeypatch.setattr(module, "GRACE", 60.0)
    monkeypatch.setattr(running, "ENROLLING", 60.0)
    monkeypatch.setattr(tasks, "INSIST", 60.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, unhurried: None) -> None:
    """Besides, let nobody who waits look by himself: what is seen in a minute, he was told."""
    for module in (consumer, redis_receiver, redis_registry, redis_state):
        monkeypatch.setattr(module, "PARK", 1000.0)
    for module in (watching, sharing_base):
        monkeypatch.setattr(module, "WATCH", 1000.0)


@pytest.fixture
def cancelable(client: Any) -> Any:
    """The test's client, for calls that wait and may be cancelled."""
    if type(client).__module__.startswith("fakeredis") and FAKEREDIS < (2, 38):
        pytest.skip("fakeredis before 2.38 hands a cancelled command's reply to the next command")
    return client


@pytest.fixture
def make_real(cancelable: Any, patient: None) -> Make:
    """Make a coordinator over the back end, in real time: what waits must wait."""
    return _maker(cancelable, None)


@pytest.fixture
def make_timeless(cancelable: Any, clock: ManualClock, patient: None) -> Make:
    """Make one in whose mailboxes time passes only if the test says so; what waits must wait."""
    return _maker(cancelable, clock)


@pytest.fixture
def coordinator(make: Make) -> StoredMailboxes:
    """A coordinator without jitter, so that back-off can be told to the millisecond."""
    return make(backoff_jitter=0)
