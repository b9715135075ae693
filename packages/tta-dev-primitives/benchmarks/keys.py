"""What a key costs: `python -m benchmarks.keys`, in this package's folder.

Beside what a user would write by hand for a list of messages, which neither tells `1` from `True`
in a dict's names nor takes anything but JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchmarks.measure import FULL, compare
from tta_dev_primitives.performance.call_keys import CallKey
from tta_dev_primitives.performance.keys import key_of
from tta_dev_primitives.performance.model_keys import request_key
from tta_dev_primitives.performance.shared_keys import shared_key

if TYPE_CHECKING:
    from benchmarks.measure import Timed

_TEXT = "a sentence of a conversation that goes on for a while. " * 7
MESSAGES: list[dict[str, Any]] = [
    {"role": "user" if turn % 2 else "assistant", "content": f"{turn}: {_TEXT}"}
    for turn in range(10)
]
REQUEST: dict[str, Any] = {"model": "m", "messages": MESSAGES, "temperature": 0.5, "seed": 1}


def _ask(model: str, messages: list[dict[str, Any]], *, temperature: float | None = None) -> None:
    del model, messages, temperature


_KEY = CallKey(_ask)


async def _bare(_: int) -> None:
    pass


async def _text(_: int) -> None:
    hash(key_of("a question"))


async def _number(_: int) -> None:
    hash(key_of(17))


async def _messages(_: int) -> None:
    hash(key_of(MESSAGES))


async def _request(_: int) -> None:
    hash(request_key(REQUEST))


async def _call(_: int) -> None:
    hash(_KEY.key(_ask, ("m", MESSAGES), {}))


async def _call_by_name(_: int) -> None:
    hash(_KEY.key(_ask, (), {"messages": MESSAGES, "model": "m", "temperature": None}))


async def _shared(_: int) -> None:
    shared_key("n", key_of(MESSAGES))


async def _repr(_: int) -> None:
    hash(repr(MESSAGES))


async def _json(_: int) -> None:
    hash(json.dumps(MESSAGES, sort_keys=True))


async def _json_digest(_: int) -> None:
    hashlib.sha256(json.dumps(MESSAGES, sort_keys=True).encode()).hexdigest()


SUBJECTS: dict[str, Timed] = {
    "key_of a text": _text,
    "key_of a number": _number,
    "key_of 4 kB of messages": _messages,
    "request_key of 4 kB of messages": _request,
    "CallKey, by position": _call,
    "CallKey, by name": _call_by_name,
    "shared_key of 4 kB of messages": _shared,
    "by hand: repr": _repr,
    "by hand: sorted JSON": _json,
    "by hand: SHA-256 of sorted JSON": _json_digest,
}


def main() -> None:
    """Print each subject's ratio to a bare await."""
    print(f"{len(json.dumps(MESSAGES))} bytes of messages; x one bare await, median (quartiles)")
    for name, figure in asyncio.run(compare(_bare, SUBJECTS, FULL)).items():
        print(f"{name:34} {figure.median:8.2f}  ({figure.low:.2f} to {figure.high:.2f})")


if __name__ == "__main__":
    main()
