"""When a step fails: how soon the call returns, what still runs, and what the error says."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tta_dev_primitives import Parallel, Sequential, WorkflowContext

from .measure import figure
from .observing import observed
from .row import Measured, Row
from .subjects import bare_task_group, gathered, passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from .measure import Effort, Figure
    from .peers import Peer
    from .row import Peers

__all__ = ("Sibling", "frames_between", "rows")

_HERE = str(Path(__file__).resolve().parent)
_SOON = 0.005  # seconds until the decisive branch ends
_LATE = 0.15  # seconds until its sibling would end
_FRAMES_PER_LEVEL = 2.0
_LEVELS = 3


def rows() -> Iterator[Row]:
    """Yield rows about cancelled siblings and about the error that arrives."""
    for policy, title in (
        ("fail_fast", "a branch fails while its sibling sleeps: until the call raises"),
        ("first_success", "`first_success`, a branch succeeds: until the call returns"),
        ("quorum", "`quorum`, a failure makes it impossible: until the call raises"),
    ):
        yield _cancelling(policy, title)
    yield Row(
        key="failure.frames",
        title="the middle of three steps raises: library frames in its traceback",
        against="frames, causes included; the original type and a note with the path are demanded",
        unit="",
        budget=_FRAMES_PER_LEVEL,
        measure=_middle,
        with_peers=True,
    )
    yield Row(
        key="failure.frames.nested",
        title=f"a step {_LEVELS} chains deep raises: library frames in its traceback, per level",
        against="frames",
        unit="",
        budget=_FRAMES_PER_LEVEL,
        measure=_deep,
    )


class Sibling:
    """Two branches: one that decides the run soon, and one that would take long."""

    def __init__(self) -> None:
        self.decided = 0.0
        self.cancelled = False
        self.ended = asyncio.Event()

    async def fails(self, value: int) -> int:
        """Fail soon."""
        await self.succeeds(value)
        message = "boom"
        raise ValueError(message)

    async def succeeds(self, value: int) -> int:
        """Return soon."""
        await asyncio.sleep(_SOON)
        self.decided = time.perf_counter()
        return value

    async def sleeps(self, value: int) -> int:
        """Return late, unless cancelled."""
        try:
            await asyncio.sleep(_LATE)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()
        return value


def _cancelling(policy: str, title: str) -> Row:
    async def measure(effort: Effort, peers: Peers) -> Measured:
        with observed("off"):
            return await _cancel(policy, effort, peers)

    return Row(
        key=f"failure.siblings.{policy}",
        title=title,
        against="from the branch's end, with the sibling cancelled and ended",
        unit="ms",
        budget=5.0,
        measure=measure,
        with_peers=policy == "fail_fast",
    )


def _ours(policy: str) -> Callable[[Sibling], Any]:
    def build(pair: Sibling) -> Any:
        made: Any
        if policy == "fail_fast":
            made = Parallel([pair.fails, pair.sleeps])
        elif policy == "first_success":
            made = Parallel([pair.succeeds, pair.sleeps], on_error="first_success")
        else:
            made = Parallel([pair.fails, pair.sleeps], quorum=2)
        return made.execute

    return build


def _fan_out_of(peer: Peer) -> Callable[[Sibling], Any]:
    return lambda pair: peer.fan_out([pair.fails, pair.sleeps])


async def _cancel(policy: str, effort: Effort, peers: Peers) -> Measured:
    ours, told, leaked = await _rounds(_ours(policy), effort)
    others: dict[str, Figure | str] = {}
    facts = [f"ours: {told}"]
    if policy == "fail_fast":
        builders: dict[str, Callable[[Sibling], Any] | str] = {
            "asyncio.TaskGroup": lambda pair: bare_task_group([pair.fails, pair.sleeps]),
            "asyncio.gather": lambda pair: gathered([pair.fails, pair.sleeps]),
        }
        for name, peer in peers.items():
            builders[name] = peer if isinstance(peer, str) else _fan_out_of(peer)
        for name, build in builders.items():
            if isinstance(build, str):
                others[name] = build
                continue
            try:
                found, how, outlived = await _rounds(build, effort)
            except LookupError as error:
                others[name] = str(error)
            except Exception as error:  # noqa: BLE001 - whatever another system raises
                others[name] = f"{type(error).__name__}: {error}"
            else:
                # Who leaves the sibling running has not done the work, however soon it returns.
                others[name] = how if outlived else found
                facts.append(f"{name}: {how}")
    return Measured(
        ours=ours,
        peers=others,
        facts=tuple(facts),
        broken=f"{leaked} siblings outlived their call" if leaked else None,
    )


async def _rounds(build: Callable[[Sibling], Any], effort: Effort) -> tuple[Figure, str, int]:
    """Return milliseconds, what was seen of error and sibling, and how many outlived the call."""
    times: list[float] = []
    leaked = 0
    told = ""
    for _ in range(effort.failures):
        pair = Sibling()
        run = build(pair)
        if run is None:
            message = "has nothing to compare"
            raise LookupError(message)
        try:
            await run(1)
            raised = "returned"
        except Exception as error:  # noqa: BLE001 - which one it is, is reported
            raised = f"raised {type(error).__name__}"
        times.append((time.perf_counter() - pair.decided) * 1_000)
        outlives = not pair.ended.is_set()
        leaked += outlives
        await pair.ended.wait()
        if outlives:
            sibling = "sibling still ran after the call"
        else:
            sibling = "sibling cancelled" if pair.cancelled else "waited for the sibling"
        told = f"{raised}, {sibling}"
    return figure(times), told, leaked


async def raises(value: int) -> int:
    """Fail, as a step does."""
    message = f"cannot use {value}"
    raise ValueError(message)


async def _middle(effort: Effort, peers: Peers) -> Measured:
    del effort
    with observed("off"):
        error = await _error_of(Sequential([passes, raises, passes]).execute)
    others: dict[str, Figure | str] = {}
    facts = [f"ours: {_described(error)}"]
    for name, peer in peers.items():
        if isinstance(peer, str):
            others[name] = peer
            continue
        found = await _error_of(peer.chain([passes, raises, passes]))
        others[name] = figure([frames_between(found)])
        facts.append(f"{name}: {_described(found)}")
    return Measured(
        ours=figure([frames_between(error)]),
        peers=others,
        facts=tuple(facts),
        broken=_lacks(error, "sequential/raises"),
    )


async def _deep(effort: Effort, peers: Peers) -> Measured:
    del effort, peers
    chain: Any = raises
    names = [f"level{number}" for number in range(_LEVELS, 0, -1)]
    for name in names:
        chain = Sequential([passes, chain], name=name)
    context = WorkflowContext(correlation_id="benchmark")

    async def run(value: int) -> object:
        return await chain.execute(context, value)

    with observed("off"):
        error = await _error_of(run)
    path = "/".join((*reversed(names), "raises"))
    lacks = _lacks(error, path) or _lacks(error, "correlation id benchmark")
    return Measured(
        ours=figure([frames_between(error) / _LEVELS]),
        facts=(_described(error),),
        broken=lacks,
    )


async def _error_of(run: Callable[[int], Awaitable[object]]) -> BaseException:
    try:
        await run(1)
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return error
    message = "a step raised, yet the call returned"
    raise RuntimeError(message)


def frames_between(error: BaseException) -> int:
    """Count the frames that belong neither to these benchmarks nor to their steps.

    The causes and contexts of the error count as well: a reader has to pass them too.
    """
    frames = 0
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        frames += sum(
            not frame.filename.startswith(_HERE)
            for frame in traceback.extract_tb(one.__traceback__)
        )
        rest += (one.__cause__, one.__context__)
    return frames


def _described(error: BaseException) -> str:
    notes = " ".join(getattr(error, "__notes__", ()))
    # Peers know the step by the name of its node.
    named = re.search(r"\b(raises|s1)\b", f"{error} {notes}") is not None
    return f"{type(error).__name__}, {'names' if named else 'does not name'} the step"


def _lacks(error: BaseException, text: str) -> str | None:
    if type(error) is not ValueError:
        return f"arrived as {type(error).__name__} instead of ValueError"
    notes = " ".join(getattr(error, "__notes__", ()))
    return None if text in notes else f"no note has {text!r}: {notes!r:.100}"
