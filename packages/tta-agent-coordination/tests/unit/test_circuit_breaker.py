"""The breaker that processes share, over every kind of server; its time is the server's."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tta_agent_coordination.errors import CircuitBreakerOpenError
from tta_agent_coordination.resilience import CircuitBreaker, CircuitBreakerConfig
from tta_agent_coordination.testing import ManualClock

SERVERS = [
    *("fakeredis", "redis", "redis-twice"),
    pytest.param("cluster", marks=pytest.mark.slow),
]
pytestmark = pytest.mark.parametrize("client", SERVERS, indirect=True)

CONFIG = CircuitBreakerConfig(
    failure_threshold=3,
    timeout_seconds=60,
    recovery_timeout_seconds=300,
    half_open_max_calls=2,
    success_threshold=2,
    probe_lease_seconds=20,
)
Make = Callable[..., CircuitBreaker]


@pytest.fixture
def make(client: Any, clock: ManualClock) -> Make:
    """Make a breaker, one of many processes' on one server."""
    prefix = f"test:{uuid.uuid4().hex}"

    def made(name: str = "mail", config: CircuitBreakerConfig = CONFIG, **options: Any) -> Any:
        options = {"store_timeout": 30.0, "_clock": clock.milliseconds, **options}
        return CircuitBreaker(client, name, config, prefix, **options)

    return made


async def fail() -> None:
    """Fail as a server does that is down."""
    raise ConnectionResetError("down")


async def failing(breaker: CircuitBreaker, times: int = 1) -> None:
    """Make calls that fail."""
    for _ in range(times):
        with pytest.raises(ConnectionResetError):
            await breaker.call(fail)


async def state(breaker: CircuitBreaker) -> str:
    return (await breaker.get_state()).state


async def refused(breaker: CircuitBreaker) -> bool:
    try:
        await breaker.call(str)
    except CircuitBreakerOpenError:
        return True
    return False


async def half_open(breaker: CircuitBreaker, clock: ManualClock) -> None:
    await failing(breaker, CONFIG.failure_threshold)
    clock.advance(CONFIG.timeout_seconds)


async def started(breaker: CircuitBreaker, ending: "asyncio.Future[str]") -> "asyncio.Task[str]":
    """Begin a call that lasts; return when it has been let through, or refused."""
    begun = asyncio.Event()

    async def work() -> str:
        begun.set()
        return await ending

    task = asyncio.create_task(breaker.call(work))
    await asyncio.wait(
        [task, asyncio.ensure_future(begun.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    begun.set()
    return task


async def test_a_call_returns_what_the_function_returns(make: Make) -> None:
    async def join(*parts: str, sep: str) -> str:
        return sep.join(parts)

    breaker = make()

    assert await breaker.call(join, "a", "b", sep="-") == "a-b"
    assert await breaker.call("{}{x}".format, 1, x=2) == "12"


async def test_failures_in_a_row_open_it_for_all_processes_at_once(make: Make) -> None:
    one, other = make(), make()

    await failing(one, 2)
    await failing(other)

    for breaker in (one, other, make()):
        with pytest.raises(CircuitBreakerOpenError, match=r"'mail' is open: .* in 60\.0 s"):
            await breaker.call(str)
    assert (one.rejected, one.store_failures) == (1, 0)


async def test_a_success_anywhere_ends_the_row(make: Make) -> None:
    one, other = make(), make()

    for _ in range(4):
        await failing(one, 2)
        await other.call(str)

    assert await state(one) == "closed"
    assert (await one.get_state()).failures == 0


async def test_only_failures_as_asked_for_count(make: Make) -> None:
    breaker = make(failures=(TimeoutError, ConnectionError))
    for _ in range(5):
        with pytest.raises(ValueError, match="wrong"):
            await breaker.call(int, "wrong")

    assert await state(breaker) == "closed"
    await failing(breaker, 3)
    assert await state(breaker) == "open"


async def test_an_open_breaker_inside_is_no_failure_of_the_outer_one(make: Make) -> None:
    inner, outer = make("inner"), make("outer")
    await inner.trip()
    for _ in range(5):
        with pytest.raises(CircuitBreakerOpenError, match="'inner'"):
            await outer.call(lambda: inner.call(str))

    assert await state(outer) == "closed"


async def test_cancelled_calls_count_as_nothing(make: Make) -> None:
    breaker = make()
    await failing(breaker, 2)
    for _ in range(5):
        task = await started(breaker, asyncio.get_running_loop().create_future())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await state(breaker) == "closed"
    await failing(breaker)
    assert await state(breaker) == "open"


async def test_it_stays_open_for_its_timeout_by_the_servers_clock(
    make: Make, clock: ManualClock
) -> None:
    breaker = make()
    await failing(breaker, 3)

    clock.advance(59.999)
    assert await refused(breaker)
    clock.advance(0.001)
    assert not await refused(breaker)
    assert await state(breaker) == "half_open"


async def test_good_probes_close_it(make: Make, clock: ManualClock) -> None:
    one, other = make(), make()
    await half_open(one, clock)

    await one.call(str)
    assert await state(other) == "half_open"
    await other.call(str)

    assert await state(one) == "closed"
    await failing(one, 2)
    assert await state(one) == "closed"


async def test_a_bad_probe_opens_it_again_for_the_whole_time(
    make: Make, clock: ManualClock
) -> None:
    breaker = make()
    await half_open(breaker, clock)

    await breaker.call(str)
    await failing(breaker)

    assert await state(breaker) == "open"
    clock.advance(59)
    assert await refused(breaker)
    assert (await breaker.get_state()).opened == 2


async def test_no_more_probes_than_allowed_pass_at_a_time(make: Make, clock: ManualClock) -> None:
    breakers = [make() for _ in range(6)]
    await half_open(breakers[0], clock)
    ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks = [await started(breaker, ending) for breaker in breakers]

    with pytest.raises(CircuitBreakerOpenError, match="half-open: its probes are under way"):
        await breakers[0].call(str)
    assert (await breakers[0].get_state()).probes == 2
    ending.set_result("fine")
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results.count("fine") == 2
    assert await state(breakers[0]) == "closed"


async def test_a_cancelled_probe_gives_its_place_back(make: Make, clock: ManualClock) -> None:
    """Three that are cancelled must not wedge it half-open."""
    breaker = make()
    await half_open(breaker, clock)
    for _ in range(5):
        task = await started(breaker, asyncio.get_running_loop().create_future())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (await breaker.get_state()).probes == 0
    assert not await refused(breaker)


async def test_a_probe_whose_process_died_gives_its_place_back_after_its_lease(
    make: Make, clock: ManualClock
) -> None:
    """Whatever the call says later still counts, once."""
    breaker = make()
    await half_open(breaker, clock)
    ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hung = [await started(breaker, ending) for _ in range(2)]
    assert await refused(breaker)

    clock.advance(20)
    await breaker.call(str)
    assert await state(breaker) == "half_open"
    ending.set_result("late")
    await asyncio.gather(*hung)

    assert await state(breaker) == "closed"


async def test_half_open_ends_after_its_longest_time(make: Make, clock: ManualClock) -> None:
    breaker = make()
    await half_open(breaker, clock)
    await breaker.call(str)

    clock.advance(299)
    assert (await breaker.get_state()).retry_after == 0
    clock.advance(1)
    assert (await breaker.get_state()).retry_after == 60

    assert await refused(breaker)
    assert await state(breaker) == "open"
    clock.advance(60)
    assert not await refused(breaker)


async def test_what_ends_after_the_state_has_changed_does_not_count(
    make: Make, clock: ManualClock
) -> None:
    breaker = make()
    loop = asyncio.get_running_loop()
    good, bad = loop.create_future(), loop.create_future()
    tasks = [await started(breaker, good), await started(breaker, bad)]
    await half_open(breaker, clock)
    assert not await refused(breaker)

    bad.set_exception(OSError("late"))
    await asyncio.wait([tasks[1]])
    assert await state(breaker) == "half_open"
    good.set_result("late")
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (await breaker.get_state()).successes == 1


async def test_it_can_be_changed_by_hand_for_all(make: Make, clock: ManualClock) -> None:
    one, other = make(), make()

    await one.trip()
    assert await refused(other)
    assert (await other.get_state()).since == clock.now
    await other.reset()
    await failing(one, 2)

    assert await state(one) == "closed"


async def test_breakers_of_other_names_are_others(make: Make) -> None:
    await failing(make("a:b"), 3)

    for name in ("a", "b", "a:b{", "a%3Ab", "ä b"):
        assert not await refused(make(name))
    assert await refused(make("a:b"))


async def test_fifty_failures_at_once_are_all_counted(make: Make) -> None:
    config = CircuitBreakerConfig(failure_threshold=50)
    breaker = make("many", config)
    ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks = [await started(breaker, ending) for _ in range(49)]

    ending.set_exception(OSError("down"))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await breaker.get_state()).failures == 49
    await failing(breaker)

    assert await state(breaker) == "open"
