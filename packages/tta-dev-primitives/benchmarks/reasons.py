"""Why a budget is missed: where the time goes, found by leaving parts out and measuring again.

By the key of the row. A row that is missed and stands nowhere here is reported as unexplained, so
that nobody mistakes an old explanation for a new one.
"""

from __future__ import annotations

__all__ = ("REASONS", "reason")

_RECORDER = (
    "each step pays one clock reading and one append, 1.3 awaits together, 1.6 on Python 3.13; "
    "asking whether log lines are wanted costs 0.15 for a chain of 10, folding the durations 0.15"
)
_PER_RUN = (
    "a run of its own pays once for the clock reading and the context (about 1.8 awaits), which a "
    "chain shares among its steps"
)
_START = (
    "the clock reading and the context of a run cost 0.15 of ten awaits on this version, the "
    "checks of the arguments 0.05"
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
        "the loop by hand does not classify the error (0.5 of its time for both failures), and "
        "looks for no hint of a provider, no shared attempts, no deadline of others and no "
        "cancellation that the step has hidden"
    ),
    "wrapper.fallback.off": _PER_RUN,
    "wrapper.retry.recorder": (
        "the observed path builds its bookkeeping of attempts anew for every call, also for one "
        "that succeeds at once"
    ),
    "wrapper.breaker.off": _PER_RUN,
    "wrapper.cache-hit.off": _PER_RUN,
    "wrapper.rate-limit.off": (
        "the wrapper alone costs 3.7 awaits, taking a request 4.7 more: 0.9 for the lock that "
        "threads need, 0.7 for the clock, the rest for the arithmetic of GCRA; the peer counts a "
        "bucket down, without a lock, and reads the clock only once it is empty"
    ),
    "wrapper.cache-miss.off": (
        "as a hit, and the leader of a flight is set up for every miss; making the `Entry` that is "
        "kept and evicting another costs 9 awaits"
    ),
    "cache.policy-cost": (
        "making an `Entry` for each miss costs 0.5 of it; the queues hold these objects, which "
        "time to live, weight and removal by key need, and read and write their fields, where the "
        "budget was measured with bare keys and numbers"
    ),
    "import.core": (
        "the modules of the core and `random`; making five `Protocol` classes costs 0.016 of it"
    ),
    "import.everything": (
        "`datetime` for cache keys, `urllib.parse` with `ipaddress` for propagation, and the "
        "patterns of redaction are loaded when their names are touched"
    ),
}
"""Texts for the list under the tables; each holds wherever the row is missed."""


def reason(key: str) -> str:
    """Return why the row misses its budget, as far as it is known."""
    return REASONS.get(key, "not explained yet")
