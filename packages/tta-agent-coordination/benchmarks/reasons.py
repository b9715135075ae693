"""Why a goal is missed: where the time goes, found by leaving parts out and measuring again.

By the goal's key. One that is missed and stands nowhere here is reported as unexplained, so that
nobody mistakes an old explanation for a new one.
"""

from __future__ import annotations

__all__ = ("REASONS", "reason")

_SCRIPT = (
    "sent in a pipeline, so that the network does not count, a XADD of 1 KB costs the server 2.6 "
    "µs and a send 19: a script that does nothing 1.1, setting up the functions that all scripts "
    "share 1.8, asking for the time 0.8, reading the mailbox's state 2, deduplication 4, and the "
    "rest Lua's work on the entry"
)
_AWAITED = (
    "the goal was set with a prototype that had no validation, no state of the mailbox to read, no "
    "limits, no ordering keys and no check for repeated calls; ours runs in one round trip, and "
    "what it saves on the client's side, a quarter, it spends on the server's"
)
REASONS: dict[str, str] = {
    "G1.server": _SCRIPT,
    "G1.client": (
        "redis-py itself takes 70 µs for a command with as many arguments and 25 more when the "
        "answer takes as long as a script's; our own code, with the message made, validated and "
        "written as JSON, takes 20 without a server; the rest is spread over deeper awaits and the "
        "timer that guards against a cancellation that Python 3.11 swallows"
    ),
    "G2.raw": _AWAITED,
    "G2.bullmq": (
        "client and server share two cores here, so the rate follows the sum of both processor "
        "times; of that it takes half"
    ),
    "G2.kombu": (
        "near its budget: 1.84x to 2.64x in five runs, the lowest while the machine was at its "
        "slowest; client and server share two cores, so the rate follows the sum of both"
    ),
    "G2.pyrsmq": (
        "it is synchronous, and its three round trips cost the client hardly more than one of "
        "asyncio"
    ),
    "G3.raw": _SCRIPT,
    "G3.bullmq": _SCRIPT,
    "G4": (
        "an entry of a raw stream stays where it is, and its reader only notes ids; here each "
        "message is written once more, with its attempt and a deadline of its own, in Lua (13 µs "
        "more), and becomes a validated object (13 µs more)"
    ),
    "G5.rate": _AWAITED,
    "G5.speed-up": "one process: four consumers share its processor, as they do for raw streams",
    "G6.p50": (
        "the send runs a script that hands the message over, 60 µs of the server's time against "
        "20, and both sides' answers are made into validated objects, which raw streams leave out"
    ),
    "G6.p99": "as the median",
    "G16.beat": (
        "2 µs for each of the hundred: a look at the record, which holds the incarnation, and a "
        "write of the time; the anchor was one write"
    ),
    "G16.list": (
        "an absolute time, so it follows the machine: 1.76 to 2.77 ms in four runs, three of "
        "which meet it"
    ),
    "G17.agree": (
        "a cache of 100 ms is part of it: the last of four processes asks when its cache has run "
        "out, and the answer takes the rest; a shorter cache brings it down by as much"
    ),
}
"""Texts for the list under the table; each holds wherever the goal is missed."""


def reason(key: str) -> str:
    """Return why the goal is missed, as far as it is known."""
    return REASONS.get(key, "not explained yet")
