"""`AgentWorker`: fetches messages, lets them be worked on, until told to stop."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tta_agent_coordination.coordinators.consumer import Consumer
from tta_agent_coordination.errors import (
    AgentCoordinationError,
    ConfigurationError,
    CoordinatorConnectionError,
)
from tta_agent_coordination.limits import check_count, check_seconds
from tta_agent_coordination.models import AgentId
from tta_agent_coordination.neighbor import classifier
from tta_agent_coordination.worker.crew import Crew
from tta_agent_coordination.worker.desk import Desk
from tta_agent_coordination.worker.handlers import classify as by_its_type
from tta_agent_coordination.worker.handlers import runner_of
from tta_agent_coordination.worker.health import Ear, WorkerHealth, WorkerState, unix_time
from tta_agent_coordination.worker.signals import heeding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tta_agent_coordination.coordinators.consumer import BatchCoordinator
    from tta_agent_coordination.interfaces import AgentRegistry, MailboxCoordinator
    from tta_agent_coordination.worker.handlers import Classify, Handler

__all__ = ("AgentWorker",)

ENROLLING = 1.0
"""Registering may hold up the beginning for so many seconds."""
PARTING = 0.25
"""Giving one kind of thing back may take so many seconds; beyond, the end of the leases does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingAgent:
    """What a worker tells a registry about itself."""

    agent_id: AgentId
    capabilities: Iterable[str]


class AgentWorker:
    """Runs a handler as an agent: its messages are received, worked on, answered and settled.

    What the handler returns is the answer, where the sender waits for one (`request`); then the
    message is acknowledged. What it raises is classified: a message that nobody waits for comes
    again after a back-off, or is a dead letter; a requester gets AgentFailed at once, and decides
    for itself whether to ask again. Work is cancelled when its lease is lost or its requester has
    given up. A message that was answered, or done, while the server was away is settled when it is
    back.

    Each message has a task and a context of its own: what a handler sets in context variables is
    not seen by the next one. A worker runs once. It owns all its tasks; when `run` returns, none is
    left.

    Args:
        coordinator: Where messages come from: any coordinator of this package.
        agent_id: Whose messages; without an instance, those that all agents of the type share.
        handler: A function of the message, sync (it runs in a thread) or async; an object with an
            async method `process`, which takes the payload; or a workflow of the core package,
            which gets the payload, and a context with the deadline and the trace of the sender.
        registry: The agent is registered there while the worker runs. The heartbeat is the
            registry's own (`async with registry:`).
        capabilities: What the registry is told that the agent can do. Default: the handler's
            `capabilities`, if it has some.
        concurrency: So many messages are worked on at a time, 1 to 1000.
        prefetch: So many are fetched at a time, 1 to 1000. Default: 1, so that no message waits
            behind another while a different worker is idle; 16 or more pays for quick handlers.
        lease: Seconds that a message is reserved; renewed by itself. After a crash, others get the
            message that much later.
        classify: Tells what kind of failure an exception is. Default: `classify`.
        drain_timeout: When stopped, wait so many seconds for the work in hand; then cancel it, and
            give it back. Zero cancels at once.

    Raises:
        ConfigurationError: An option is out of range, or the handler is none.

    Example:
        >>> import asyncio
        >>> from tta_agent_coordination import InMemoryMessageCoordinator
        >>> from tta_agent_coordination.testing import WRITER, sample
        >>> async def main() -> None:
        ...     coordinator = InMemoryMessageCoordinator()
        ...     await coordinator.send_many([sample("m1"), sample("m2")])
        ...
        ...     async def write(message: AgentMessage) -> None:
        ...         print("working on", message.message_id)
        ...         if message.message_id == "m2":
        ...             worker.stop()
        ...
        ...     worker = AgentWorker(coordinator, WRITER, write)
        ...     await worker.run()
        >>> asyncio.run(main())
        working on m1
        working on m2
    """

    def __init__(
        self,
        coordinator: MailboxCoordinator,
        agent_id: AgentId,
        handler: Handler,
        *,
        registry: AgentRegistry | None = None,
        capabilities: Iterable[str] | None = None,
        concurrency: int = 1,
        prefetch: int | None = None,
        lease: float = 30,
        classify: Classify = by_its_type,
        drain_timeout: float = 10,
    ) -> None:
        for name in ("take", "ack_many", "renew", "give_back_many", "reply", "reply_error"):
            if not callable(getattr(coordinator, name, None)):
                raise ConfigurationError(
                    f"coordinator must be one such as RedisMessageCoordinator, not "
                    f"{coordinator!r:.100}, which has no {name}()"
                )
        if not isinstance(agent_id, AgentId):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"agent_id must be an AgentId, not {agent_id!r:.100}")
        if registry is not None and agent_id.instance is None:
            raise ConfigurationError(
                f"{agent_id!r:.200} names all agents of a type; with a registry, agent_id needs an "
                "instance of its own"
            )
        self._coordinator = coordinator
        self._agent_id = agent_id
        runner = runner_of(handler)
        self._registry = registry
        if capabilities is None:
            capabilities = cast("Iterable[str]", getattr(handler, "capabilities", ()))
        self._capabilities = tuple(capabilities)
        self._concurrency = check_count("concurrency", concurrency, most=1000)
        self._prefetch = 1 if prefetch is None else check_count("prefetch", prefetch, most=1000)
        self._lease = check_seconds("lease", lease)
        if not callable(cast("object", classify)):
            raise ConfigurationError(f"classify must be a function, not {classify!r:.100}")
        self._desk = Desk(coordinator, agent_id, runner, classify)
        self._drain = check_seconds("drain_timeout", drain_timeout, zero=True)
        if classify is by_its_type:
            classifier()  # reads files, which must not happen in the event loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ear: Ear | None = None
        self._began: float | None = None
        self._told = asyncio.Event()
        self._stopping = False
        self._hurried = False
        self._hurry = asyncio.Event()
        self._crew = Crew(
            cast("BatchCoordinator", coordinator),
            agent_id,
            self._desk,
            concurrency=self._concurrency,
            stop=self.stop,
        )

    # What others may call, from any thread.

    def stop(self) -> None:
        """Take no more messages, give back those not begun, finish the others, then end `run`.

        The work in hand has `drain_timeout` seconds. May be called from any thread, before `run`
        too, which then returns at once.
        """
        self._stopping = True
        self._ring(self._told)

    def stop_now(self) -> None:
        """Do as `stop`, but cancel the work in hand at once and give it back."""
        self._hurried = True
        self._ring(self._hurry)
        self.stop()

    def _ring(self, bell: asyncio.Event) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(bell.set)

    def health(self) -> WorkerHealth:
        """Tell how the worker is; costs nothing, and never waits."""
        ear, loop = self._ear, self._loop
        state, since = WorkerState.STOPPING, self._began
        if ear is not None and loop is not None and not self._stopping:
            if ear.deaf:
                state, since = WorkerState.DEAF, ear.heard
            elif len(self._crew.working) < self._concurrency:
                state = WorkerState.READY
            else:
                state = WorkerState.BUSY
        return WorkerHealth(
            state=state,
            since=None if since is None or loop is None else unix_time(since, loop.time()),
            working=len(self._crew.working),
            done=self._desk.done,
            failed=self._desk.failed,
            dropped=self._desk.dropped,
        )

    # The life of a worker.

    async def run(self, *, signals: bool = False) -> None:
        """Work until stopped.

        A server that is away is waited for. When this call is cancelled, the work in hand is
        cancelled as well, and given back.

        Args:
            signals: Let the first SIGTERM or SIGINT call `stop`, a further one `stop_now`; only in
                the main thread. The former handlers are restored at the end.

        Raises:
            ConfigurationError: It has run before, or signals are wanted outside the main thread.
            MessageCoordinatorError: The server refuses (such as a wrong password), or what only a
                newer program can read; the work in hand is finished before.
        """
        if self._loop is not None:
            raise ConfigurationError("a worker runs once; make another one to run again")
        loop = self._loop = asyncio.get_running_loop()
        self._began = loop.time()
        if self._hurried:
            self._hurry.set()
        if self._stopping:
            self._told.set()
        try:
            with heeding(self.stop, self.stop_now) if signals else nullcontext():
                await self._live()
        finally:
            self._stopping = True

    async def _live(self) -> None:
        coordinator = cast("BatchCoordinator", self._coordinator)
        now = asyncio.get_running_loop().time
        ear = self._ear = Ear(coordinator, now, self._desk.give_up_lost)
        try:
            await self._enroll()
            async with Consumer(
                ear, self._agent_id, prefetch=self._prefetch, lease=self._lease
            ) as consumer:
                await self._serve(consumer, ear)
        finally:
            await self._leave()

    async def _serve(self, consumer: Consumer, ear: Ear) -> None:
        try:
            if not self._stopping:
                self._crew.begin(consumer)
            await self._told.wait()
        except asyncio.CancelledError:
            self._hurried = True
            raise
        finally:
            self._stopping = True
            ear.closed = True
            await self._crew.leave(consumer, 0 if self._hurried else self._drain, self._hurry)
        if self._crew.error is not None:
            raise self._crew.error

    # The registry.

    async def _enroll(self) -> None:
        if self._registry is not None:
            self._registry.register(
                WorkingAgent(agent_id=self._agent_id, capabilities=self._capabilities)
            )
            # If the server is away, the heartbeat does it later.
            with suppress(CoordinatorConnectionError, TimeoutError):
                async with asyncio.timeout(ENROLLING):
                    await self._flush_registry()

    async def _leave(self) -> None:
        if self._registry is not None:
            self._registry.deregister(self._agent_id)
            # If it fails, the heartbeat will be missed.
            with suppress(TimeoutError, AgentCoordinationError):
                async with asyncio.timeout(PARTING):
                    await self._flush_registry()

    async def _flush_registry(self) -> None:
        flush = cast(
            "Callable[[], Awaitable[object]] | None", getattr(self._registry, "flush", None)
        )
        if flush is not None:
            await flush()
