"""Rate limiter: requests and tokens start no faster than allowed, in order, and nothing is lost."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tta_dev_primitives import install_default_observers
from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.errors import ConfigurationError, RateLimitedError, RejectedError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.recovery import (
    Rate,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_dev_primitives.testing import no_leaked_tasks, run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["bare", "counted", "observed"], autouse=True)
def listening(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test where nobody, the recorder or an observer listens: nothing may differ."""
    engine.silence()
    if request.param == "counted":
        install_default_observers()
    if request.param != "observed":
        yield
    else:
        with collect_records():
            yield


async def when(value: object) -> float:
    """Tell at which second the step ran."""
    return round(asyncio.get_running_loop().time(), 6)


def tokens(limit: float = 60, **options: Any) -> Rate:
    return Rate(limit, unit="tokens", **options)


def starts(limited: RateLimitPrimitive[object, float], *inputs: object) -> list[float]:
    """Return when each of some calls that are made at once has started."""

    async def main() -> list[float]:
        return await asyncio.gather(*(limited.execute(value) for value in inputs))

    return run_virtual(main())


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    """Sixty a minute with a burst of three: one more each second."""
    limited = RateLimitPrimitive(when, limiter=Rate(60, burst=3))
    assert starts(limited, *range(6)) == [0, 0, 0, 1, 2, 3]


def test_requests_and_tokens_are_taken_together() -> None:
    """A call waits for whichever is short, and takes nothing of the other meanwhile."""
    limiter = RateLimiter(Rate(60, burst=2), tokens(60, burst=10))
    limited = RateLimitPrimitive(when, limiter=limiter, cost=len)
    assert starts(limited, "aaaaaaaa", "bbbbb", "c", "d") == [0, 3, 4, 5]


def test_a_small_call_does_not_overtake_a_big_one() -> None:
    """Strictly first come, first served; so a big call cannot starve."""
    limited = RateLimitPrimitive(when, limiter=RateLimiter(tokens(60, burst=10)), cost=len)
    assert starts(limited, "a" * 10, "b" * 9, "c", "") == [0, 9, 10, 10]


def test_a_thousand_at_once_pass_at_the_rate() -> None:
    """Ten a second: the last one after 99 seconds and nine tenths."""
    limited = RateLimitPrimitive(when, limiter=Rate(10, per=1, burst=1))

    async def main() -> list[float]:
        with no_leaked_tasks():
            return await asyncio.gather(*(limited.execute(number) for number in range(1000)))

    assert run_virtual(main()) == pytest.approx([number / 10 for number in range(1000)])


async def test_where_no_wait_is_allowed_a_call_is_refused_at_once() -> None:
    """Before anything is awaited, with the seconds after which it would pass."""
    rate = Rate(1, per=10_000, burst=1)
    limited = RateLimitPrimitive(when, limiter=RateLimiter(rate, max_wait=0))
    await limited.execute(0)
    with pytest.raises(RateLimitedError, match="no wait is allowed") as caught:
        limited.execute(0).send(None)
    error = caught.value
    assert isinstance(error, RejectedError)
    assert error.retry_after is not None
    assert 9_000 < error.retry_after <= 10_000
    assert "in workflow step rate_limit," in error.__notes__[0]
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), again.retry_after) == (RateLimitedError, error.retry_after)


def test_a_call_whose_turn_comes_too_late_is_refused_before_it_waits() -> None:
    """The queue before it is reckoned with; one whose turn is just in time waits."""
    limited = RateLimitPrimitive(when, limiter=RateLimiter(Rate(60, burst=1), max_wait=2))

    async def main() -> None:
        calls = [asyncio.create_task(limited.execute(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert [call.done() for call in calls] == [True, False, False, True, True]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[:3] == [0, 1, 2]
        assert [getattr(result, "retry_after", None) for result in results[3:]] == [3, 3]

    run_virtual(main())


def test_a_turn_after_the_deadline_of_the_run_is_too_late() -> None:
    """Refused at once; so is everything once the deadline has passed."""
    limited = RateLimitPrimitive(when, limiter=Rate(60, burst=1))

    async def main() -> None:
        await limited.execute(0)
        with pytest.raises(RateLimitedError):
            await limited.execute(WorkflowContext(deadline=0.5), 0)
        assert asyncio.get_running_loop().time() == 0
        assert await limited.execute(WorkflowContext(deadline=1.5), 0) == 1
        assert await limited.execute(WorkflowContext(deadline=float("inf")), 0) == 2

    run_virtual(main())


def test_a_call_that_is_cancelled_while_it_waits_has_taken_nothing() -> None:
    """Those behind it start that much earlier."""
    limiter = RateLimiter(tokens(60, burst=10))
    limited = RateLimitPrimitive(when, limiter=limiter, cost=len)

    async def main() -> None:
        await limited.execute("a" * 10)
        gone = asyncio.create_task(limited.execute("b" * 10))
        stays = asyncio.create_task(limited.execute("c" * 5))
        await asyncio.sleep(1)
        gone.cancel()
        assert await stays == 5
        assert gone.cancelled()

    run_virtual(main())
    assert limiter.waiting == 0


def test_a_call_cancelled_as_its_turn_comes_gives_back_what_it_took() -> None:
    """In the very pass in which it is woken; the next one starts in its place (case 56)."""
    limiter = RateLimiter(Rate(60, burst=1), tokens(60, burst=1))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await limiter.acquire(1)
        gone = asyncio.create_task(limiter.acquire(1))
        stays = asyncio.create_task(limiter.acquire(1))
        await asyncio.sleep(0)
        loop.call_at(1.0, gone.cancel)  # after the timer of the limiter, before the wake-up
        await asyncio.wait([gone, stays])
        assert gone.cancelled()
        assert loop.time() == 1.0
        assert not limiter.try_acquire(1)

    run_virtual(main())


def test_a_thousand_cancelled_at_once_leave_the_rate_whole() -> None:
    """No time is lost to them, and none is left behind."""
    limiter = RateLimiter(Rate(60, burst=1))

    async def main() -> None:
        with no_leaked_tasks():
            tasks = [asyncio.create_task(limiter.acquire()) for _ in range(1000)]
            await asyncio.sleep(2.5)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert sum(not task.cancelled() for task in tasks) == 3
        await limiter.acquire()
        assert asyncio.get_running_loop().time() == 3.0

    run_virtual(main())
    assert limiter.waiting == 0


def test_what_was_not_used_is_given_back_and_what_was_over_is_owed() -> None:
    """`usage` tells after the call; None leaves the estimate."""
    used = iter([2, 20, None])
    limited = RateLimitPrimitive(
        when, limiter=RateLimiter(tokens(60, burst=10)), cost=len, usage=lambda _: next(used)
    )

    async def main() -> list[float]:
        return [await limited.execute("a" * 8) for _ in range(3)]

    # 2 used of 8; 8 can be had at once, but 20 are used: it takes 20 seconds until 8 fit again.
    assert run_virtual(main()) == [0, 0, 20]


def test_a_reservation_can_be_settled_inside_its_block_only_and_once() -> None:
    """After it, and before, there is nothing to correct."""
    limiter = RateLimiter(tokens(60, burst=10))

    async def main() -> None:
        grant = limiter.reserve(10)
        with pytest.raises(ConfigurationError, match="settle"):
            grant.settle(1)
        async with grant:
            assert not limiter.try_acquire(4)
            grant.settle(6)
            grant.settle(0)
        assert limiter.try_acquire(4)
        assert not limiter.try_acquire(0.1)
        with pytest.raises(ConfigurationError, match="settle"):
            grant.settle(1)

    run_virtual(main())


def test_a_failed_call_has_used_what_was_taken_for_it() -> None:
    """The other side has counted it; the error is the step's own."""

    async def fails(text: str) -> str:
        raise KeyError(text)

    limited = RateLimitPrimitive(fails, limiter=RateLimiter(tokens(burst=10)), cost=len)

    async def main() -> float:
        for _ in range(2):
            with pytest.raises(KeyError) as caught:
                await limited.execute("a" * 10)
            assert "rate_limit/fails" in caught.value.__notes__[0]
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 10


def test_units_can_be_counted_apart() -> None:
    """Input and output tokens have limits of their own."""
    limiter = RateLimiter(Rate(100, unit="input_tokens"), Rate(60, unit="output_tokens", burst=10))
    limited = RateLimitPrimitive(
        when, limiter=limiter, cost=lambda text: {"input_tokens": len(text), "output_tokens": 10}
    )
    assert starts(limited, "a" * 30, "b" * 30) == [0, 10]


def test_the_limits_in_a_response_hold_from_then_on() -> None:
    """Another client has used up the account: ours yields; of an error, too."""

    class RefusedError(Exception):
        headers = {"Retry-After": "5"}  # noqa: RUF012 - as on a response

    async def responds(fail: bool) -> dict[str, str]:  # noqa: FBT001 - an input
        if fail:
            raise RefusedError
        return {"X-RateLimit-Limit-Requests": "60", "X-RateLimit-Remaining-Requests": "0"}

    limiter = RateLimiter(Rate(600))
    limited = RateLimitPrimitive(
        responds, limiter=limiter, headers=lambda answer: getattr(answer, "headers", answer)
    )

    async def main() -> None:
        await limited.execute(False)
        await limiter.acquire()
        assert asyncio.get_running_loop().time() == 1  # none remained, and 60 a minute are allowed
        with pytest.raises(RefusedError):
            await limited.execute(True)
        await limiter.acquire()
        assert asyncio.get_running_loop().time() == 7  # that call waited for a second, and then 5

    run_virtual(main())


def test_a_hint_of_days_holds_no_longer_than_allowed() -> None:
    """The cap of `max_hold` (case 36); garbage is passed over."""
    limiter = RateLimiter(Rate(60), max_hold=30)

    async def main() -> None:
        for text in ("soon", "-5", "nan", "inf", "", "Thu, 01 Jan 1970 00:00:00 GMT"):
            limiter.observe({"retry-after": text, "x-ratelimit-remaining-requests": text})
            assert limiter.try_acquire()
        limiter.observe({"retry-after": "277403"})
        await limiter.acquire()
        assert asyncio.get_running_loop().time() == 30

    run_virtual(main())


def test_who_waits_is_put_off_by_what_a_response_says() -> None:
    """A wait that becomes too long by it ends in the error, at its limit."""
    limiter = RateLimiter(Rate(60, burst=1), max_wait=3)

    async def main() -> None:
        await limiter.acquire()
        waits = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0.5)
        limiter.observe({"retry-after": "60"})
        with pytest.raises(RateLimitedError) as caught:
            await waits
        assert asyncio.get_running_loop().time() == 3
        assert caught.value.retry_after == pytest.approx(57.5)

    run_virtual(main())
    assert limiter.waiting == 0


def test_a_limiter_works_in_loop_after_loop() -> None:
    """Though a loop in virtual time begins its clock anew."""
    limited = RateLimitPrimitive(when, limiter=Rate(60, burst=1))
    for _ in range(2):
        assert starts(limited, *range(3))[-1] in {2, 3}


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_jumps_of_the_wall_clock_change_nothing(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a date in a header is compared with it (case 8)."""
    real = time.time
    limited = RateLimitPrimitive(when, limiter=Rate(60, burst=1))

    async def main() -> list[float]:
        calls = [asyncio.create_task(limited.execute(number)) for number in range(3)]
        await asyncio.sleep(0.5)
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        return await asyncio.gather(*calls)

    assert run_virtual(main()) == [0, 1, 2]


def test_threads_with_loops_of_their_own_share_the_rate() -> None:
    """Counted exactly, and nobody waits for ever (case 54)."""
    limiter = RateLimiter(Rate(2000, per=1, burst=1))
    passed: list[int] = []

    async def many() -> None:
        for _ in range(25):
            await limiter.acquire()
            passed.append(1)

    began = time.perf_counter()
    crowd = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert (len(passed), limiter.waiting) == (200, 0)
    assert time.perf_counter() - began >= 199 / 2000


def test_as_a_decorator_it_keeps_the_function() -> None:
    """And stands beside other wrappers."""
    limiter = RateLimiter(Rate(60, burst=1))

    @limiter
    async def shout(text: str, mark: str = "!") -> str:
        return text.upper() + mark

    async def main() -> float:
        assert await shout("a", mark="?") == "A?"
        assert await (shout >> str.lower).execute("B") == "b!"
        patient = RetryPrimitive(TimeoutPrimitive(limiter(shout.step), seconds=9))
        assert await patient.execute("c") == "C!"
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3  # the last call takes two


def test_a_copy_starts_afresh() -> None:
    """Also one that was pickled; rates and options are the same."""
    limiter = RateLimiter(Rate(60, burst=1), max_wait=0, name="model")
    assert limiter.try_acquire()
    for again in (copy.deepcopy(limiter), pickle.loads(pickle.dumps(limiter))):  # noqa: S301 - our own
        assert (again.name, again.max_wait, repr(again)) == ("model", 0, repr(limiter))
        assert again.try_acquire()
