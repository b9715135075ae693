"""One bulkhead in several event loops and threads: exact, in order, and no permit is lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tta_dev_primitives.recovery import Bulkhead, BulkheadPrimitive


@pytest.mark.parametrize("threads", [8])
def test_threads_with_loops_of_their_own_share_its_permits(threads: int) -> None:
    """Never more than the limit, and all come back; nobody waits for ever (case 54)."""
    pool = Bulkhead(3)
    lock = threading.Lock()
    now: list[int] = [0, 0, 0]

    async def counts(value: int) -> int:
        with lock:
            now[0] += 1
            now[1] = max(now[:2])
        await asyncio.sleep(0)
        with lock:
            now[0] -= 1
            now[2] += 1
        return value

    limited = BulkheadPrimitive(counts, bulkhead=pool)

    async def many() -> None:
        await asyncio.gather(*(limited.execute(value) for value in range(50)))

    crowd = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert (now[0], now[2], pool.running, pool.waiting) == (0, threads * 50, 0, 0)
    assert now[1] <= 3


def test_a_loop_that_ends_leaves_its_permits_to_the_others() -> None:
    """Its calls are cancelled as it ends; a permit meant for one goes on."""
    pool = Bulkhead(1)

    async def leaves_one_waiting() -> None:
        await pool.acquire()
        left = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        assert not left.done()

    asyncio.run(leaves_one_waiting())
    assert (pool.running, pool.waiting) == (1, 0)
    pool.release()
    asyncio.run(pool.acquire())
    pool.release()
    assert pool.running == 0


def test_a_permit_for_a_loop_that_is_closed_goes_to_the_next() -> None:
    """Though the call was never told that its loop is gone."""
    pool = Bulkhead(1)
    loop = asyncio.new_event_loop()
    assert pool.try_acquire()
    lost = loop.create_task(pool.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def main() -> None:
        waits = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.release()
        await waits

    asyncio.run(main())
    lost._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - it is lost on purpose
    assert pool.running == 1
