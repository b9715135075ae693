"""The consumer iterator and its leases, over every back end; in real time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tta_agent_coordination import AgentId, ConfigurationError, LeaseLost, MessageMetrics
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]


async def test_all_messages_come_in_order_and_are_acknowledged(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many(sample(f"{n}") for n in range(50))
    seen: list[str] = []

    async with coordinator.consume(WRITER) as leases:
        async for lease in leases:
            async with lease:
                seen.append(lease.message.message_id)
            if len(seen) == 50:
                break

    assert seen == [f"{n}" for n in range(50)]
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased) == (0, 0)


async def test_what_was_fetched_and_not_handed_out_is_given_back(make_real: Make) -> None:
    metrics = MessageMetrics()
    coordinator = make_real(metrics=metrics)
    await coordinator.send_many(sample(f"{n}") for n in range(10))

    async with coordinator.consume(WRITER, prefetch=8) as leases:
        async for lease in leases:
            await lease.ack()
            break

    received = await coordinator.receive_many(WRITER, 20)
    assert [got.message.message_id for got in received] == [f"{n}" for n in range(1, 10)]
    assert {got.attempt for got in received} == {1}
    assert metrics.snapshot()["given_back"] == 7


async def test_acknowledgments_travel_together(
    make_real: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call fetches 16 messages and acknowledges the 16 before."""
    coordinator = make_real()
    await coordinator.send_many(sample(f"{n}") for n in range(48))
    calls = 0
    take = coordinator.take

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return await take(*args, **options)

    monkeypatch.setattr(coordinator, "take", counted)
    seen = 0
    async with coordinator.consume(WRITER, prefetch=16) as leases:
        async for lease in leases:
            await lease.ack()
            seen += 1
            if seen == 48:
                break

    assert calls == 3
    assert (await coordinator.stats(WRITER)).leased == 0


async def test_leases_renew_themselves_while_the_work_goes_on(
    make_timeless: Make, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that were fetched ahead."""
    coordinator = make_timeless()
    await coordinator.send_many(sample(f"{n}") for n in range(2))
    renewals = asyncio.Semaphore(0)
    renew = coordinator.renew

    async def counted(tokens: Sequence[str], seconds: float) -> Any:
        answers = await renew(tokens, seconds)
        renewals.release()
        return answers

    monkeypatch.setattr(coordinator, "renew", counted)
    async with coordinator.consume(WRITER, lease=0.06) as leases:
        async for lease in leases:
            async with lease:
                for _ in range(3):
                    clock.advance(0.05)
                    while not renewals.locked():
                        await renewals.acquire()
                    for _ in range(2):  # the first of them may have been under way before
                        await asyncio.wait_for(renewals.acquire(), 60)
                    assert await coordinator.receive(WRITER) is None
                assert lease.attempt == 1
            if lease.message.message_id == "1":
                break

    assert (await coordinator.stats(WRITER)).leased == 0


async def test_an_acknowledgment_does_not_wait_for_the_next_fetch(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many([sample("a"), sample("b")])

    async with coordinator.consume(WRITER, prefetch=2, lease=600) as leases:
        async for lease in leases:
            await lease.ack()
            async with asyncio.timeout(60):
                while (await coordinator.stats(WRITER)).leased > 1:  # noqa: ASYNC110 - it may be a server
                    await asyncio.sleep(0.01)
            break


async def fail_at_work(coordinator: StoredMailboxes) -> None:
    """Receive a message and raise."""
    async with coordinator.consume(WRITER) as leases:
        lease = await anext(leases)
        async with lease:
            raise RuntimeError("no luck")


async def test_a_block_that_raises_refuses_its_message(make_real: Make) -> None:
    """With the exception's text; the exception goes on to the caller."""
    coordinator = make_real(backoff_base=0)
    await coordinator.send_many([sample("m1")])

    with pytest.raises(RuntimeError, match="no luck"):
        await fail_at_work(coordinator)

    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 2
    assert received.last_error == "RuntimeError: no luck"


async def test_a_cancelled_block_gives_its_message_back(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many([sample("m1")])
    started = asyncio.Event()

    async def work() -> None:
        async with coordinator.consume(WRITER) as leases:
            async for lease in leases:
                async with lease:
                    started.set()
                    await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    received = await coordinator.receive(WRITER)
    assert received is not None
    assert received.attempt == 1


async def test_a_message_that_comes_while_waiting_is_handed_out(make_real: Make) -> None:
    coordinator = make_real()

    async with coordinator.consume(WRITER) as leases:
        asking = asyncio.ensure_future(anext(leases))
        while (await coordinator.stats(WRITER)).receivers == 0:  # noqa: ASYNC110 - it may be a server
            await asyncio.sleep(0.002)
        await coordinator.send_many([sample("m1")])
        lease = await asyncio.wait_for(asking, 60)
        await lease.ack()

    assert (await coordinator.stats(WRITER)).leased == 0


async def test_settling_a_lost_lease_says_so(make_timeless: Make) -> None:
    """Its message is with another receiver; the renewal finds out."""
    coordinator = make_timeless()
    await coordinator.send_many([sample("m1")])

    async with coordinator.consume(WRITER, lease=0.06) as leases:
        async for lease in leases:
            # What an operator could do: take the message away.
            await coordinator.give_back(WRITER, lease.token)
            await asyncio.wait_for(lease.wait_lost(), 60)
            with pytest.raises(LeaseLost, match="'m1'"):
                await lease.ack()
            with pytest.raises(LeaseLost):
                await lease.nack()
            with pytest.raises(LeaseLost):
                await lease.extend(5)
            break


async def test_a_lease_is_settled_once(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many([sample("m1")])

    async with coordinator.consume(WRITER) as leases:
        lease = await anext(leases)
        await lease.extend(60)
        await lease.ack()
        with pytest.raises(LeaseLost, match="settled already"):
            await lease.ack()
        await lease.give_back()

    assert await coordinator.receive(WRITER) is None


async def test_an_iterator_has_ended_when_its_block_has(make_real: Make) -> None:
    coordinator = make_real()
    async with coordinator.consume(WRITER) as leases:
        pass

    with pytest.raises(StopAsyncIteration):
        await anext(leases)


async def test_no_task_outlives_the_block(make_real: Make) -> None:
    coordinator = make_real()
    before = asyncio.all_tasks()

    async with coordinator.consume(AgentId(type="x")):
        assert len(asyncio.all_tasks() - before) == 1

    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("prefetch", "lease"), [(0, 1), (1001, 1), (1, 0), (1, float("nan"))])
async def test_senseless_options_are_refused_before_anything_happens(
    make_real: Make, prefetch: int, lease: float
) -> None:
    with pytest.raises(ConfigurationError):
        make_real().consume(WRITER, prefetch=prefetch, lease=lease)
