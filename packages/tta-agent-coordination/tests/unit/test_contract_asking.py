"""Requests and answers, over every back end.

In real time: what must pass is short, what must not is long, since machines pause.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tta_agent_coordination import (
    AgentFailed,
    AgentId,
    AgentMessage,
    ConfigurationError,
    InvalidMessageError,
    Lease,
    LeaseLost,
    MailboxFullError,
    MessageType,
    RequestTimeout,
)
from tta_agent_coordination.coordinators.base import StoredMailboxes
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, sample

Make = Callable[..., StoredMailboxes]
Handler = Callable[[StoredMailboxes, Lease], Any]


def question(message_id: str = "q1", **fields: Any) -> AgentMessage:
    """Return a request."""
    return sample(message_id, message_type=MessageType.REQUEST, **fields)


async def echo(coordinator: StoredMailboxes, lease: Lease) -> None:
    """Answer with the payload."""
    async with lease:
        await coordinator.reply(lease, {"echo": lease.message.payload})


async def echo_if_wanted(coordinator: StoredMailboxes, lease: Lease) -> None:
    """Answer with the payload, unless the requester has withdrawn meanwhile."""
    with suppress(LeaseLost):
        await echo(coordinator, lease)


@asynccontextmanager
async def answering(
    coordinator: StoredMailboxes, handler: Handler = echo, lease: float = 30
) -> AsyncGenerator[None]:
    """Have the writer answer requests, all at once, as long as the block lasts."""

    async def work() -> None:
        async with coordinator.consume(WRITER, lease=lease) as leases, asyncio.TaskGroup() as group:
            async for one in leases:
                group.create_task(handler(coordinator, one))

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def leased(coordinator: StoredMailboxes, agent: AgentId = WRITER) -> None:
    """Return when somebody works on a message."""
    while (await coordinator.stats(agent)).leased == 0:  # noqa: ASYNC110 - it may be a server
        await asyncio.sleep(0.002)


async def test_a_request_is_answered(make_real: Make) -> None:
    """The answer comes from whoever received it, to whoever asked; the request is done."""
    coordinator = make_real()

    async with answering(coordinator):
        answer = await coordinator.request(question(payload={"n": 1}), timeout=100)

    assert answer.payload == {"echo": {"n": 1}}
    assert answer.message_type is MessageType.RESPONSE
    assert (answer.sender, answer.recipient) == (WRITER, ASKER)
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased) == (0, 0)


async def test_each_of_many_requests_gets_its_own_answer(make_real: Make) -> None:
    """Although all answers come to one mailbox, and one of those who wait reads for all."""
    coordinator = make_real()

    async with answering(coordinator):
        answers = await asyncio.gather(
            *(
                coordinator.request(question(f"{n}", payload={"n": n}), timeout=100)
                for n in range(60)
            )
        )

    assert [answer.payload["echo"]["n"] for answer in answers] == list(range(60))


async def test_answers_in_any_order_find_who_waits_for_them(make_real: Make) -> None:
    """The one that reads for all is answered last, and then first; the others take over."""
    coordinator = make_real()
    held: list[Lease] = []
    asking = [asyncio.create_task(coordinator.request(question("0"), timeout=100))]
    while (await coordinator.stats(WRITER)).waiting == 0:  # noqa: ASYNC110 - it may be a server
        await asyncio.sleep(0.002)
    asking += [
        asyncio.create_task(coordinator.request(question(f"{n}"), timeout=100)) for n in (1, 2, 3)
    ]
    async with coordinator.consume(WRITER) as leases:
        async for lease in leases:
            held.append(lease)
            if len(held) == 4:
                break
        held.sort(key=lambda lease: lease.message.message_id)
        done: list[str] = []
        for place in (2, 0, 3, 1):
            await echo(coordinator, held[place])
            await asyncio.wait_for(asking[place], 60)
            done.append(held[place].message.message_id)

    assert done == ["2", "0", "3", "1"]


async def test_an_error_of_the_other_agent_is_raised(make_real: Make) -> None:
    async def fail(coordinator: StoredMailboxes, lease: Lease) -> None:
        async with lease:
            await coordinator.reply_error(lease, "no ink")

    coordinator = make_real()
    async with answering(coordinator, fail):
        with pytest.raises(AgentFailed, match=r"writer.*no ink"):
            await coordinator.request(question(), timeout=100)


async def test_without_an_answer_a_request_times_out(make_real: Make) -> None:
    """It is a TimeoutError, names who did not answer, and nobody receives the request later."""
    coordinator = make_real()
    loop = asyncio.get_running_loop()
    start = loop.time()

    with pytest.raises(RequestTimeout, match=r"writer.*'q1' within 0\.05 s") as caught:
        await coordinator.request(question(), timeout=0.05)

    assert isinstance(caught.value, TimeoutError)
    assert 0.05 <= loop.time() - start < 60
    assert await coordinator.receive(WRITER) is None
    assert (await coordinator.stats(WRITER)).waiting == 0


async def test_after_a_timeout_the_same_request_can_be_made_again(make_real: Make) -> None:
    coordinator = make_real()
    with pytest.raises(RequestTimeout):
        await coordinator.request(question(), timeout=0.02)

    async with answering(coordinator):
        answer = await coordinator.request(question(), timeout=100)

    assert answer.payload == {"echo": {}}


async def test_a_request_that_has_expired_is_not_handed_out(
    make_timeless: Make, clock: ManualClock
) -> None:
    """Even if nobody could withdraw it: its time to live is the requester's patience."""
    coordinator = make_timeless()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    received = await coordinator.receive(WRITER, 1, wait=100)
    assert received is not None
    assert received.time_left == 100
    assert received.expires_at == clock.now + 100

    clock.advance(99.9)
    assert await coordinator.receive(WRITER, 0.01) is not None
    clock.advance(0.1)

    assert await coordinator.receive(WRITER) is None
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])


async def test_a_cancelled_requester_withdraws_its_request(make_real: Make) -> None:
    coordinator = make_real()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    while (await coordinator.stats(WRITER)).waiting == 0:  # noqa: ASYNC110 - it may be a server
        await asyncio.sleep(0.001)

    asking.cancel()
    await asyncio.wait([asking])

    assert asking.cancelled()
    assert await coordinator.receive(WRITER) is None


async def test_an_answerer_hears_that_nobody_waits_any_more(make_timeless: Make) -> None:
    """Its lease is lost; an answer is refused, and the message does not come again."""
    heard = asyncio.Event()
    refused: list[LeaseLost] = []

    async def work(coordinator: StoredMailboxes, lease: Lease) -> None:
        await lease.wait_lost()
        assert lease.withdrawn
        try:
            await coordinator.reply(lease, {})
        except LeaseLost as error:
            refused.append(error)
        heard.set()

    coordinator = make_timeless()
    async with answering(coordinator, work, lease=0.15):
        asking = asyncio.create_task(coordinator.request(question(), timeout=100))
        await leased(coordinator)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(heard.wait(), 60)

    assert "nobody waits" in str(refused[0])
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased, stats.dead) == (0, 0, 0)


async def test_a_withdrawn_request_cannot_be_acknowledged(make_real: Make) -> None:
    coordinator = make_real()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    asking.cancel()
    await asyncio.wait([asking])

    assert not await coordinator.ack(WRITER, received.token)
    assert not await coordinator.extend(WRITER, received.token, 5)


async def test_a_request_comes_again_when_its_receiver_dies(make_real: Make) -> None:
    """The second receiver answers."""
    coordinator = make_real()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    first = await coordinator.receive(WRITER, 0.03, wait=100)
    second = await coordinator.receive(WRITER, 600, wait=100)
    assert first is not None
    assert second is not None
    await coordinator.reply(second, {"by": "second"})

    answer = await asking

    assert second.attempt == 2
    assert answer.payload == {"by": "second"}


async def test_the_first_of_two_answers_counts(make_real: Make) -> None:
    """The second one does no harm to the requests that follow."""
    coordinator = make_real()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    await coordinator.reply(received, {"n": 1})
    first = await asking
    await coordinator.reply(received, {"n": 2})
    await coordinator.ack(WRITER, received.token)

    async with answering(coordinator):
        second = await coordinator.request(question("q2"), timeout=100)

    assert first.payload == {"n": 1}
    assert second.payload == {"echo": {}}


async def test_trace_context_goes_there_and_back(make_real: Make) -> None:
    """Headers reach the answerer; ours are not among them."""
    coordinator = make_real()
    trace = {"traceparent": "00-ab-cd-01", "tracestate": "x=1", "other": "ü"}
    asking = asyncio.create_task(coordinator.request(question(), timeout=100, headers=trace))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    sent: list[dict[str, str]] = []
    store_send = coordinator._store.send  # pyright: ignore[reportPrivateUsage]

    async def spy(parcels: Any, terms: Any) -> str:
        sent.append(parcels[0][1].body.partition(b"\n")[0].decode())
        return await store_send(parcels, terms)

    coordinator._store.send = spy  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
    await coordinator.reply(received, {})
    await asking

    assert received.headers == trace
    assert '"traceparent": "00-ab-cd-01"' in sent[0]
    assert '"tracestate": "x=1"' in sent[0]
    assert "other" not in sent[0]


async def test_a_message_that_was_only_sent_has_no_answer(make_real: Make) -> None:
    coordinator = make_real()
    await coordinator.send_many([question()])
    received = await coordinator.receive(WRITER, 600)
    assert received is not None

    assert not received.wants_reply
    with pytest.raises(InvalidMessageError, match="nobody waits"):
        await coordinator.reply(received, {})


async def test_an_answer_that_cannot_be_sent_is_refused_where_it_is_made(make_real: Make) -> None:
    """So that the answerer can say so, instead of leaving the requester to wait."""
    coordinator = make_real(max_message_bytes=500)
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None
    wrong: Any = [{"x": {1, 2}}, {"x": float("nan")}, {1: 2}, 5, None, {"x": "y" * 500}]
    for payload in wrong:
        with pytest.raises(InvalidMessageError, match="answer to request 'q1'"):
            await coordinator.reply(received, payload)
    await coordinator.reply_error(received, "x" * 20)

    with pytest.raises(AgentFailed, match="x" * 20):
        await asking


async def test_only_a_request_can_be_asked(make_real: Make) -> None:
    coordinator = make_real(max_message_bytes=300, max_length=1)

    with pytest.raises(InvalidMessageError, match="EVENT"):
        await coordinator.request(sample("m1"), timeout=100)
    with pytest.raises(InvalidMessageError, match="AgentMessage"):
        await coordinator.request({}, timeout=100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidMessageError, match="max_message_bytes is 300"):
        await coordinator.request(question(payload={"x": "y" * 300}), timeout=100)
    with pytest.raises(InvalidMessageError, match="tta-"):
        await coordinator.request(question(), timeout=100, headers={"TTA-reply-to": "me"})
    await coordinator.send_many([sample("m1")])
    with pytest.raises(MailboxFullError, match="max_length=1"):
        await coordinator.request(question(), timeout=100)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5", None])
async def test_a_senseless_patience_is_refused(make_real: Make, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        await make_real().request(question(), timeout=seconds)


async def test_one_id_is_asked_once_at_a_time(make_real: Make) -> None:
    coordinator = make_real()
    asking = asyncio.create_task(coordinator.request(question(), timeout=100))
    received = await coordinator.receive(WRITER, 600, wait=100)
    assert received is not None

    with pytest.raises(InvalidMessageError, match="under way"):
        await coordinator.request(question(), timeout=100)

    await coordinator.reply(received, {})
    await asking


async def test_a_scheduled_message_has_no_patience_and_one_with_a_time_to_live_has(
    make_real: Make,
) -> None:
    coordinator = make_real()
    await coordinator.send_many([sample("a")], deliver_at=datetime.now(UTC) - timedelta(seconds=1))
    await coordinator.send_many([sample("b")], ttl=600)

    a, b = await coordinator.receive_many(WRITER, 2)

    assert (a.expires_at, a.time_left) == (None, None)
    assert b.time_left == pytest.approx(600, abs=60)


async def test_requests_cancelled_at_random_moments_leave_nothing(make_timeless: Make) -> None:
    """No message, no lease, nobody who waits; and the next request is answered."""
    coordinator = make_timeless()
    async with answering(coordinator, echo_if_wanted, lease=0.2):
        for n in range(40):
            asking = asyncio.create_task(coordinator.request(question(f"{n}"), timeout=100))
            await asyncio.sleep(n * 0.0001)
            asking.cancel()
            await asyncio.wait([asking])
        answer = await coordinator.request(question("last"), timeout=100)

    assert answer.payload == {"echo": {}}
    stats = await coordinator.stats(WRITER)
    assert (stats.waiting, stats.leased, stats.dead) == (0, 0, 0)
