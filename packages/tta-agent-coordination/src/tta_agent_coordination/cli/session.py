"""The server that the command works with: how its URL is read, and what is read from it."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from tta_agent_coordination.coordinators.names import SHARED, mailbox_of
from tta_agent_coordination.coordinators.redis_coordinator import RedisMessageCoordinator
from tta_agent_coordination.models import AgentId
from tta_agent_coordination.server.client import answer_of, refuse
from tta_agent_coordination.server.names import check_prefix, root_key, unquoted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from urllib.parse import SplitResult

__all__ = ("Session", "UsageProblem", "check_files", "connect", "opened", "shown_url")

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
UNKNOWN = re.compile(r"unexpected keyword argument ('\w+')")
ANSWER = 5.0
"""The server must answer within so many seconds."""
SCAN = 1000


class UsageProblem(Exception):  # noqa: N818 - it is no failure of ours
    """The command was called in a way that cannot work; its text is all that is shown."""


def shown_url(url: str) -> str:
    """Return a URL without its password.

    Example:
        >>> shown_url("rediss://alice:secret@db:6379/0?ssl_ca_certs=ca.pem")
        'rediss://alice@db:6379/0'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # it is none: what may be a password is left out
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
    _, at, place = parts.netloc.rpartition("@")
    user = parts.netloc.partition("@")[0].partition(":")[0] if at else ""
    return urlunsplit((parts.scheme, f"{user}{'@' if user else ''}{place}", parts.path, "", ""))


def check_files(url: str) -> None:
    """Refuse a URL that names files which are not there; a client would say that no server is.

    To be called before the event loop runs, as files are looked at.

    Raises:
        UsageProblem: A file is not there.
    """
    for option, path in parse_qsl(url.partition("?")[2]):
        if option in FILES and not Path(path).is_file():
            raise UsageProblem(
                f"--url {shown_url(url)!r:.100}: there is no file {path!r} for {option}"
            )


def connect(url: str) -> Any:
    """Return a client for a URL; it connects when it is used.

    ```text
    redis://[user:password@]host[:port][/db]        rediss:// with TLS; ?ssl_ca_certs=FILE
    unix://[user:password@]/path/to.sock[?db=0]
    redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db]
    redis+cluster://[user:password@]host[:port]
    ```

    A Sentinel's own account: `?sentinel_username=...&sentinel_password=...`.

    Raises:
        UsageProblem: The URL is of another form.
    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise UsageProblem(
            f"--url must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}, not "
            f"{shown_url(url)!r:.100}"
        )
    options: dict[str, Any] = {
        "socket_timeout": ANSWER,
        "socket_connect_timeout": ANSWER,
        "retry": Retry(NoBackoff(), 0),  # a person waits, and can try again
    }
    base, _, kind = scheme.partition("+")
    try:
        parts = urlsplit(url)._replace(scheme=base)
        if kind == "cluster":
            return RedisCluster.from_url(urlunsplit(parts), **options)
        client = _sentinel(parts, options) if kind else _single(url, parts, options)
        client.connection_pool.make_connection()  # refuses options that it does not know
    except (ValueError, TypeError, RedisClusterException) as error:
        unknown = UNKNOWN.search(str(error))
        said = str(error) if unknown is None else f"there is no option {unknown[1]}"
        raise UsageProblem(f"--url {shown_url(url)!r:.100}: {said:.200}") from None
    return client


def _database(text: str) -> int:
    if not text.isdecimal():  # the client would take no number for 0
        raise ValueError(f"a database is named by its number, such as 0, not {text!r}")
    return int(text)


def _single(url: str, parts: SplitResult, options: dict[str, Any]) -> Any:
    if parts.scheme != "unix":
        _database(parts.path.strip("/") or "0")
    return cast("Any", Redis).from_url(url, **options)


def _sentinel(parts: SplitResult, options: dict[str, Any]) -> Any:
    account, _, places = parts.netloc.rpartition("@")
    path = parts.path.strip("/").split("/")
    if not path[0] or not places:
        raise ValueError("it must name hosts and a service: redis+sentinel://host:26379/mymaster")
    hosts: list[tuple[str, int]] = []
    for place in places.split(","):
        host = urlsplit(f"//{place}")
        hosts.append((host.hostname or "localhost", host.port or 26379))
    query: dict[str, Any] = dict(parse_qsl(parts.query))
    own = {
        name.removeprefix("sentinel_"): query.pop(name)
        for name in list(query)
        if name.startswith("sentinel_")
    }
    user, colon, password = account.partition(":")
    if colon:
        query["password"] = unquote(password)
    if user:
        query["username"] = unquote(user)
    if parts.scheme == "rediss":
        query["ssl"] = own["ssl"] = True
    sentinel = cast("Any", Sentinel)(
        hosts, sentinel_kwargs={**options, **own}, **{**options, **query}
    )
    return sentinel.master_for(path[0], db=_database(path[1]) if len(path) > 1 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A server, and a prefix on it.

    Attributes:
        client: The client.
        prefix: The key prefix, any text.
        coordinator: Does what coordinators do.
        url: The server, without the password.
    """

    client: Any
    prefix: str
    coordinator: RedisMessageCoordinator
    url: str

    async def command(self, *args: Any, key: bytes = b"-") -> Any:
        """Send a command; the reply is bytes, ints, lists and None.

        Raises:
            MessageCoordinatorError: The subclass tells what to do.
        """
        # The client of a cluster does not bear the option with this one.
        options = {} if args == ("PING",) else {"NEVER_DECODE": True}
        try:
            return await answer_of(self.client.execute_command(*args, **options))
        except RedisError as error:
            refuse(error, key, str(args[0]))

    def base(self, agent_id: AgentId) -> bytes:
        """Return what the keys of a mailbox begin with."""
        mailbox = mailbox_of(agent_id)
        return f"{root_key(check_prefix(self.prefix), mailbox.type)}:m:{mailbox.name}".encode()

    async def mailboxes(self) -> list[AgentId]:
        """Return whose mailboxes there are, in order; looks at the names of all keys."""
        prefix = check_prefix(self.prefix)
        try:
            keys = cast("list[bytes]", await answer_of(self._keys(f"{{{prefix}:*}}:m:*")))
        except RedisError as error:
            refuse(error, prefix.encode(), "SCAN")
        pattern = re.compile(rf"\{{{re.escape(prefix)}:([^:}}]+)\}}:m:([^:]+):".encode())
        matches = filter(None, map(pattern.match, keys))
        # Types that begin with ? are mailboxes for answers: they come and go.
        found = {
            (match[1].decode(), match[2].decode())
            for match in matches
            if not match[1].startswith(b"?")
        }
        return [
            AgentId(type=unquoted(kind), instance=None if name == SHARED else unquoted(name))
            for kind, name in sorted(found)
        ]

    async def _keys(self, pattern: str) -> list[bytes]:
        return [key async for key in self.client.scan_iter(match=pattern, count=SCAN)]


@asynccontextmanager
async def opened(url: str, prefix: str) -> AsyncGenerator[Session]:
    """Open a session; its connections are closed with the block."""
    client = connect(url)
    try:
        yield Session(
            client=client,
            prefix=prefix,
            coordinator=RedisMessageCoordinator(client, key_prefix=prefix),
            url=shown_url(url),
        )
    finally:
        await client.aclose()
