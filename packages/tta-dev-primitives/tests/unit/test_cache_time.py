"""Cache over time: results grow old, go stale, are renewed, and give way to errors."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import Any

import pytest

from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability import collect_records
from tta_dev_primitives.performance import CachePrimitive, cached
from tta_dev_primitives.testing import run_virtual


class Source:
    """A step that counts its runs, gives their number, takes its time, and fails when told to."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.runs = 0
        self.seconds = seconds
        self.error: Exception | None = None

    async def __call__(self, key: str) -> tuple[str, int]:
        self.runs += 1
        run = self.runs
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return key, run


def around(source: Source, **options: Any) -> CachePrimitive[str, tuple[str, int]]:
    return CachePrimitive(source, **options)


# --- growing old --------------------------------------------------------------------------------


def test_an_expired_result_is_computed_once_for_all_who_come() -> None:
    """Twenty callers, one run (case 33)."""

    async def main() -> None:
        source = Source()
        cache = around(source, ttl=10)
        await cache.execute("k")
        await asyncio.sleep(10)
        got = await asyncio.gather(*[cache.execute("k") for _ in range(20)])
        assert set(got) == {("k", 2)}
        assert cache.cache_stats().expirations == 1

    run_virtual(main())


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A jump of a day either way makes nothing older or younger (case 8)."""

    async def main() -> None:
        source = Source(0)
        cache = around(source, ttl=10)
        await cache.execute("k")
        real = time.time
        for jump in (86_400, -86_400):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            assert await cache.execute("k") == ("k", 1)
        await asyncio.sleep(10)
        assert await cache.execute("k") == ("k", 2)

    run_virtual(main())


def lifetimes(seed: int) -> list[float]:
    """Return for how long each of fifty results was good."""

    async def main() -> list[float]:
        source = Source(0)
        cache = around(source, ttl=100, jitter=0.5, rng=random.Random(seed))
        keys = [f"k{n}" for n in range(50)]
        for key in keys:
            await cache.execute(key)
        ended: dict[str, float] = {}
        for second in range(1, 102):
            await asyncio.sleep(1)
            for key in keys:
                if key not in ended:
                    before = source.runs
                    await cache.execute(key)
                    if source.runs > before:
                        ended[key] = second
        return [ended[key] for key in keys]

    return run_virtual(main())


def test_jitter_spreads_the_ends_within_its_share_and_a_seed_repeats_it() -> None:
    """Never longer than the time to live, never shorter than the share allows."""
    ends = lifetimes(1)
    assert 50 <= min(ends) < 60
    assert 90 < max(ends) <= 100
    assert len(set(ends)) > 20
    assert lifetimes(1) == ends
    assert lifetimes(2) != ends


# --- stale, while it is renewed -----------------------------------------------------------------


def test_stale_results_are_handed_out_at_once_while_one_task_renews_them() -> None:
    """Fifty callers: no wait, one run; then the new result is there (case 65)."""

    async def main() -> None:
        source = Source()
        async with around(source, ttl=10, stale_ttl=100) as cache:
            await cache.execute("k")
            await asyncio.sleep(10)
            began = asyncio.get_running_loop().time()
            got = await asyncio.gather(*[cache.execute("k") for _ in range(50)])
            assert asyncio.get_running_loop().time() == began
            assert set(got) == {("k", 1)}
            gc.collect()  # the task is referenced
            await asyncio.sleep(1)
            assert await cache.execute("k") == ("k", 2)
            assert source.runs == 2
            stats = cache.cache_stats()
            assert (stats.stale_hits, stats.hits, stats.misses, stats.refreshes) == (50, 1, 1, 1)

    run_virtual(main())


def test_a_failed_renewal_keeps_the_stale_result_until_its_hard_limit() -> None:
    """And then the failure is the caller's (case 65)."""

    async def main() -> None:
        source = Source()
        async with around(source, ttl=10, stale_ttl=20) as cache:
            await cache.execute("k")
            await asyncio.sleep(10)
            source.error = OSError("down")
            for _ in range(3):
                assert await cache.execute("k") == ("k", 1)
                await asyncio.sleep(5)
            assert cache.cache_stats().refresh_errors == 3
            await asyncio.sleep(5)
            with pytest.raises(OSError, match="down"):
                await cache.execute("k")
            source.error = None
            assert await cache.execute("k") == ("k", 6)

    run_virtual(main())


@pytest.mark.parametrize("begun", [False, True])
def test_closing_cancels_the_renewal_and_nothing_stale_is_handed_out_after(*, begun: bool) -> None:
    """No task outlives the cache, whether it has begun its work or not (case 65)."""

    async def main() -> None:
        source = Source(60)
        cache = around(source, ttl=10, stale_ttl=1000)
        await cache.execute("k")
        await asyncio.sleep(10)
        await cache.execute("k")
        assert len(asyncio.all_tasks()) == 2
        if begun:
            await asyncio.sleep(1)
        await cache.aclose()
        assert len(asyncio.all_tasks()) == 1
        assert await cache.execute("k") == ("k", 2 + begun)

    run_virtual(main())


def test_one_who_comes_after_the_hard_limit_waits_for_the_renewal_under_way() -> None:
    """It is not run a second time."""

    async def main() -> None:
        source = Source(5)
        async with around(source, ttl=10, stale_ttl=2) as cache:
            await cache.execute("k")
            await asyncio.sleep(11)
            assert await cache.execute("k") == ("k", 1)
            await asyncio.sleep(2)
            assert await cache.execute("k") == ("k", 2)
            assert source.runs == 2

    run_virtual(main())


def test_a_renewal_is_a_run_of_its_own_for_whoever_listens() -> None:
    """Recorded under the step's name, with the correlation id of the call that caused it."""

    async def main() -> None:
        async with around(Source(), ttl=10, stale_ttl=100) as cache:
            await cache.execute("k")
            await asyncio.sleep(10)
            with collect_records() as records:
                await cache.execute("k")
                await asyncio.sleep(2)
            assert [(r.path, r.attributes.get("cache")) for r in records] == [
                ("cache", "hit"),
                ("source", None),
            ]
            assert records[0].context.correlation_id == records[1].context.correlation_id

    run_virtual(main())


async def test_a_synchronous_function_cannot_be_renewed_in_the_background() -> None:
    """That is said when it is decorated."""
    with pytest.raises(ConfigurationError, match="stale_if_error works"):
        cached(len, stale_ttl=5)


# --- stale, because of an error -----------------------------------------------------------------


def test_a_stale_result_stands_in_when_the_step_fails() -> None:
    """For all who wait, and for as long as it was said."""

    async def main() -> None:
        source = Source()
        cache = around(source, ttl=10, stale_if_error=20)
        await cache.execute("k")
        await asyncio.sleep(10)
        source.error = OSError("down")
        got = await asyncio.gather(*[cache.execute("k") for _ in range(3)])
        assert got == [("k", 1)] * 3
        assert source.runs == 2
        await asyncio.sleep(20)
        with pytest.raises(OSError, match="down"):
            await cache.execute("k")

    run_virtual(main())


def test_a_stale_result_stands_in_for_a_synchronous_function_too() -> None:
    """There it needs no loop."""
    now = 0.0
    failing = False

    @cached(ttl=10, stale_if_error=10, clock=lambda: now)
    def half(n: int) -> int:
        if failing:
            raise OSError
        return n // 2

    assert half(4) == 2
    now, failing = 15.0, True
    assert half(4) == 2
    now = 20.0
    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        half(4)


# --- errors that are kept -----------------------------------------------------------------------


class NotFoundError(LookupError):
    pass


class GoneError(NotFoundError):
    pass


def test_only_named_errors_are_kept_each_for_its_time_as_a_copy_per_caller() -> None:
    """The class nearest to the error's own counts (case 66)."""

    async def main() -> None:
        source = Source(0)
        cache = around(source, cache_errors={NotFoundError: 5.0, GoneError: 50.0})
        for error, seconds in ((NotFoundError("no"), 5), (GoneError("gone"), 50)):
            cache.cache_clear()
            source.runs = 0
            source.error = error
            raised: list[BaseException] = []
            for _ in range(3):
                with pytest.raises(type(error), match=str(error)) as caught:
                    await cache.execute("k")
                raised.append(caught.value)
            assert source.runs == 1
            assert len({id(e) for e in raised}) == 3
            assert [len(e.__notes__) for e in raised] == [1, 1, 1]
            await asyncio.sleep(seconds)
            with pytest.raises(type(error)):
                await cache.execute("k")
            assert source.runs == 2
        source.error = OSError("other")
        cache.cache_clear()
        for _ in range(2):
            with pytest.raises(OSError, match="other"):
                await cache.execute("k")
        assert source.runs == 4

    run_virtual(main())


@pytest.mark.parametrize(
    "bad",
    [
        {asyncio.CancelledError: 5.0},
        {KeyboardInterrupt: 5.0},
        {"NotFound": 5.0},
        {OSError: -1},
        {OSError: float("nan")},
        {},
        [OSError],
        OSError,
    ],
    ids=repr,
)
def test_what_can_never_be_kept_is_refused_at_once(bad: Any) -> None:
    """Cancellation is no answer."""
    with pytest.raises(ConfigurationError, match="cache_errors"):
        CachePrimitive(len, cache_errors=bad)


@pytest.mark.parametrize("option", ["stale_ttl", "stale_if_error"])
@pytest.mark.parametrize("bad", [-1, float("nan"), "5", True, None])
def test_a_bad_time_is_refused_at_once(option: str, bad: Any) -> None:
    """Zero means off."""
    with pytest.raises(ConfigurationError, match=option):
        CachePrimitive(len, **{option: bad})
    off: Any = {option: 0}
    CachePrimitive(len, **off)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), "0.1", True])
def test_jitter_is_a_share(bad: Any) -> None:
    """From 0 to 1."""
    with pytest.raises(ConfigurationError, match="jitter"):
        CachePrimitive(len, jitter=bad)
