"""Why a budget is missed: where the time goes, found by leaving parts out and measuring again.

By the key of the row. A row that is missed and stands nowhere here is reported as unexplained, so
that nobody mistakes an old explanation for a new one.
"""

from __future__ import annotations

__all__ = ("REASONS", "reason")

_RECORDER = (
    "each step pays one clock reading and one append, about one await together, more on Python "
    "3.13; asking whether log lines are wanted costs 0.05 for a chain of 10"
)
_PER_RUN = (
    "a coroutine that asks whether its input is of the kind that it knows, who listens, and what "
    "the step gave, and that awaits the step in a `try`; each question costs up to a tenth of an "
    "await, some a clock reading besides. A chain asks most of them once for all its steps"
)
_REFUSAL = (
    "text and note are made only when somebody reads them; what is left is a lock, for threads, "
    "that is taken twice, the figures of that moment, which the error keeps, the way in through "
    "`execute`, and the context of a run that has not called its step yet"
)
_IN_A_CHAIN = (
    "asking who listens, whether a context came along, and telling coroutines and streams from "
    "other results costs about one await"
)
_START = (
    "making the context costs 0.15 of ten awaits from Python 3.12 on, the clock reading 0.1, and "
    "the checks of the arguments 0.05"
)
REASONS: dict[str, str] = {
    **{f"chain.10.{kind}.off": _START for kind in ("input", "context", "class")},
    **{
        f"chain.{count}.{kind}.recorder": _RECORDER
        for count in (10, 100)
        for kind in ("input", "context", "class")
    },
    **{
        f"fan-out.{count}.immediate.off": (
            "every branch is an eager task in a group that can cancel it; the budget was measured "
            "with eager tasks alone"
        )
        for count in (10, 100)
    },
    "wrapper.retry.off": _PER_RUN,
    "wrapper.retry-guarded.off": _PER_RUN,
    "wrapper.retry-failing.off": (
        "the loop by hand looks for no hint of a provider, no shared attempts, no deadline of "
        "others and no cancellation that the step has hidden, keeps no history for the error's "
        "note, and asks one class instead of the kind of the error"
    ),
    "wrapper.cache-herd-cost.off": (
        "three fifths are `gather` and a task for each caller, a quarter a future for each and its "
        "waking: what a herd costs that does nothing else is 0.59 on Python 3.11. Each who waits "
        "has a future of its own, since a shared one cannot tell whose cancellation it was"
    ),
    "wrapper.rejection.breaker": (
        "`execute` asks what it was given and who listens; the rejection is counted, and the error "
        "is the same"
    ),
    "wrapper.rejection.bulkhead": _REFUSAL,
    "wrapper.rejection.rate-limit": _REFUSAL,
    "wrapper.fallback.off": _PER_RUN,
    "wrapper.retry.recorder": (
        "beside what it costs unobserved: a second clock reading, the durations of the step and of "
        "the Retry, one count for both, and the question whether log lines are wanted"
    ),
    "wrapper.retry.chained": _IN_A_CHAIN,
    "wrapper.fallback.chained": _IN_A_CHAIN,
    "wrapper.breaker.off": _PER_RUN,
    "wrapper.cache-hit.off": _PER_RUN,
    "wrapper.rate-limit.off": (
        "taking a request costs about three awaits: the lock that threads need, the clock, and the "
        "arithmetic of GCRA; the peer counts a bucket down, without a lock, and reads the clock "
        "only once it is empty"
    ),
    "wrapper.cache-miss.off": (
        "a quarter of it is the policy, which makes an entry and evicts another; a seventh the "
        "flight, which others could join; the rest the lock, the counts, the clock, the context "
        "variable by which a circle of waits is seen, and `execute`"
    ),
    "cache.policy-cost": (
        "a quarter of it are the ghosts, noted and looked up; the queues hold entries, which time "
        "to live, weight and removal by key need, and read and write their fields, where the "
        "budget was measured with bare keys and numbers"
    ),
    "import.core": (
        "the modules of the core, and `typing`; `asyncio` is loaded with the first run only"
    ),
    "import.everything": (
        "breakers, sagas, limiters and the cache bring some forty modules, and `random` for jitter"
    ),
}
"""Texts for the list under the tables; each holds wherever the row is missed."""


def reason(key: str) -> str:
    """Return why the row misses its budget, as far as it is known."""
    return REASONS.get(key, "not explained yet")
