"""Who takes part: ours, plain commands of redis-py, and the task queues that one else would take.

Each is driven as its own documentation and its own worker do it, one process, one server. A peer
that is not installed is named with the reason, and stops no other.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from .contender import Contender
from .ours import Ours, OursBare, OursFused, OursIterator
from .raw import RawList, RawStream

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("ABSENT", "NAMES", "Contender", "find")

PEERS = {
    "dramatiq": ("dramatiq", "Dramatiq"),
    "saq": ("saq", "Saq"),
    "taskiq-redis": ("taskiq_redis", "TaskiqRedis"),
    "bullmq": ("bullmq", "BullMQ"),
    "kombu": ("kombu", "Kombu"),
    "pyrsmq": ("rsmq", "Rsmq"),
    "huey": ("huey", "Huey"),
}
"""By the name on the package index: module of this package, class in it."""
NAMES = tuple(PEERS)
ABSENT = {
    "arq": "pins redis < 6, and cannot be installed beside ours",
    "BullMQ for node": "another language; its server side is that of `bullmq`",
    "Celery": "its transport is kombu, which takes part",
}
"""Who does not take part, and why."""


def find(names: Sequence[str]) -> tuple[list[Contender], dict[str, str]]:
    """Return all contenders, and for peers that cannot take part the reason.

    Args:
        names: Which peers; ours and the plain commands always take part.
    """
    found: list[Contender] = [
        RawList(),
        RawStream(),
        Ours(),
        OursBare(),
        OursFused(),
        OursIterator(),
    ]
    missing = dict(ABSENT)
    for name in names:
        module, kind = PEERS[name]
        try:
            release = version(name)
            made: Contender = getattr(import_module(f".{module}", __name__), kind)()
        except (ImportError, PackageNotFoundError) as error:
            missing[name] = f"not installed ({error}); it is in the dependency group `bench`"
            continue
        made.name = f"{name} {release}"
        found.append(made)
    return found, missing
