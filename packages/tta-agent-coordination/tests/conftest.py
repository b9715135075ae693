"""Fixtures for all tests of this package.

The contract of a coordinator is tested by the same tests over every store: in memory, fakeredis,
and a real server (started here, on a free port), the latter also with every script run twice, as a
client does that lost a reply. `TTA_REDIS_SERVERS=path,...` adds further server programs,
`TTA_REDIS_CLUSTER=1` a cluster of three nodes.
"""

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, TypeAlias

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, Phase, settings

from tta_agent_coordination import InMemoryMessageCoordinator, RedisMessageCoordinator
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.coordinators.scripts import SCRIPTS
from tta_agent_coordination.testing import LocalCluster, ManualClock, RedisServer

Make: TypeAlias = Callable[..., StoredMailboxes]

FAKEREDIS = tuple(map(int, version("fakeredis").split(".")[:2])) if find_spec("fakeredis") else ()
OTHERS = [path for path in os.environ.get("TTA_REDIS_SERVERS", "").split(",") if path]
BACKENDS = ["memory", "fakeredis", "redis", "redis-decoded", "redis-resp3", "redis-twice", *OTHERS]
if "TTA_REDIS_CLUSTER" in os.environ:
    BACKENDS.append("cluster")

# No deadline: a busy machine is no failure. Explaining a failure would take minutes with a server.
settings.register_profile(
    "mailboxes",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("mailboxes")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the async tests on asyncio; without this, anyio also tries other backends."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our own code blocks the event loop; tests themselves may read files."""
    with blockbuster_ctx(
        scanned_modules=["tta_agent_coordination"],
        excluded_modules=["tta_agent_coordination.testing"],
    ) as blocking:
        for function in blocking.functions.values():
            # The client libraries read files of theirs when they connect.
            function.can_block_in("redis/utils.py", "get_lib_version")
            # The sender for synchronous code blocks, as it says.
            function.can_block_in("tta_agent_coordination/coordinators/sync.py", "execute_command")
            function.can_block_in("fakeredis/model/_command_info.py", "_load_command_info")
        yield


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
        if shutil.which(program) is None:
            missing(program)
        if program not in running:
            running[program] = RedisServer(program)
            running[program].start()
        return running[program]

    yield get
    for server in running.values():
        server.close()


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


@pytest.fixture
def clock() -> ManualClock:
    """The time that the coordinators of a test live in."""
    return ManualClock()


@pytest.fixture(params=BACKENDS)
async def client(
    request: pytest.FixtureRequest,
    servers: Callable[[str], RedisServer],
    cluster: Callable[[], LocalCluster],
) -> AsyncIterator[Any]:
    """A client of each back end; None for the one in memory."""
    backend = str(request.param)
    if backend == "memory":
        yield None
        return
    made: Any
    if backend == "fakeredis":
        if find_spec("fakeredis") is None:
            missing("fakeredis")
        made = import_module("fakeredis").FakeAsyncRedis()
    elif backend == "cluster":
        made = cluster().client()
    else:
        server = servers("redis-server" if backend.startswith("redis") else backend)
        made = server.client(
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
def make(client: Any, clock: ManualClock) -> Make:
    """Make a coordinator over the back end, in the test's own time, with options."""
    return _maker(client, clock)


@pytest.fixture
def make_real(client: Any) -> Make:
    """Make a coordinator over the back end, in real time: what waits must wait."""
    if type(client).__module__.startswith("fakeredis") and FAKEREDIS < (2, 38):
        pytest.skip("fakeredis before 2.38 hands a cancelled command's reply to the next command")
    return _maker(client, None)


@pytest.fixture
def coordinator(make: Make) -> StoredMailboxes:
    """A coordinator without jitter, so that back-off can be told to the millisecond."""
    return make(backoff_jitter=0)
