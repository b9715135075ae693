"""Which lines of Lua the tests run: `python tests/lua_lines.py`, with exit code 1 if not all.

The tests over fakeredis run in this process, whose Lua tells by a hook which lines it comes to.
Which lines there are is read from the compiled scripts. When all were run, no further test is run.
Arguments go to pytest in place of these.
"""

from __future__ import annotations

import re
import struct
import sys
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "tta_agent_coordination"
HERE = Path(__file__).parent
TESTS = (str(HERE / "unit"), str(HERE / "integration" / "test_core_stores.py"))
SELECTED = (
    "-k",
    "(fakeredis or test_scripts or (as_the_core_does and not server)) and not thousand",
)
FIRST = (
    *("test_scripts", "test_transport", "test_late_copies_of_state", "test_shared_state"),
    *("test_late_copies_of_mailbox_calls", "test_circuit_breaker", "test_contract_consuming"),
    *("test_contract_care", "test_redis_registry"),
    *("test_a_watcher_is_told_of_who", "test_priorities_do_not_break", "test_the_oldest_calls"),
    *("test_purging_removes_what_waits", "test_one_dead_letter_can", "test_a_poison_message"),
    *("test_a_scheduled_message_wakes", "test_deliveries_are_counted", "test_cancelling_makes_the"),
    *("test_the_heartbeat_renews_all", "test_a_token_given_twice", "test_two_dead_letters_of"),
    *("test_a_token_that_never_was", "test_a_watcher_that_missed_too"),
)
"""What these names begin with, files or tests, comes to all lines: then the others are not run."""
HOOK = """
function(seen)
  local lines
  local function hook(_, line) lines[line] = true end
  local function start(name)
    lines = seen[name] or {}
    seen[name] = lines
    debug.sethook(hook, 'l')
  end
  return start, function() debug.sethook() end
end
"""
NO_CODE = re.compile(r"end[\s)}\],]*")
"""A function's last line holds an instruction, also where it is never come to."""


class Place(NamedTuple):
    """A line of a file."""

    file: str
    number: int


@cache
def composed(path: Path) -> tuple[list[str], list[Place]]:
    """Return the lines of a script as the server gets it, and where each comes from."""
    lines = path.read_text("utf-8").split("\n")
    file = f"{path.parents[1].name}/{path.name}"
    places = [Place(file, number) for number in range(1, len(lines) + 1)]
    if not lines[0].startswith("--! "):
        return lines, places
    all_lines: list[str] = []
    all_places: list[Place] = []
    for part in lines[0].split()[1:]:
        elsewhere, _, name = part.rpartition("/")
        folder = PACKAGE / elsewhere / "lua" if elsewhere else path.parent
        more, their = composed(folder / f"{name}.lua")
        all_lines += more
        all_places += their
    return all_lines + lines[1:], all_places + places[1:]


class Dump:
    """A compiled chunk of Lua 5.1, of which only the numbers of its lines are read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 12
        self.lines: set[int] = set()
        self._function()

    def _int(self) -> int:
        (value,) = struct.unpack_from("<i", self._data, self._at)
        self._at += 4
        return int(value)

    def _text(self) -> None:
        (size,) = struct.unpack_from("<Q", self._data, self._at)
        self._at += 8 + size

    def _function(self) -> None:
        self._text()
        self._at += 12
        count = self._int()
        self._at += 4 * count
        for _ in range(self._int()):
            kind = self._data[self._at]
            self._at += 1
            if kind == 4:
                self._text()
            else:
                self._at += {0: 0, 1: 1, 3: 8}[kind]
        for _ in range(self._int()):
            self._function()
        self.lines |= {self._int() for _ in range(self._int())}
        for _ in range(self._int()):
            self._text()
            self._at += 8
        for _ in range(self._int()):
            self._text()


class Traced:
    """A runtime of fakeredis that notes down which lines of its scripts it runs."""

    def __init__(self, runtime: Any, seen: defaultdict[bytes, set[int]]) -> None:
        self._runtime = runtime
        self._seen = seen
        self._table = runtime.table()
        self._start, self._stop = runtime.eval(HOOK)(self._table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, code: bytes | str) -> Any:
        """Run a script; what fakeredis itself runs is text."""
        if not isinstance(code, bytes):
            return self._runtime.execute(code)
        self._start(code)
        try:
            return self._runtime.execute(code)
        finally:
            self._stop()
            self._seen[code] |= {int(line) for line in self._table[code].keys()}  # noqa: SIM118 - a table of Lua
            self._table[code] = None


def trace() -> defaultdict[bytes, set[int]]:
    """Let fakeredis note down lines; return where they will be found, by the script's text."""
    mixin = import_module("fakeredis.commands_mixins.scripting_mixin").ScriptingCommandsMixin
    original = mixin._get_server_runtime
    seen: defaultdict[bytes, set[int]] = defaultdict(set)
    wrapped: dict[int, tuple[Any, Traced]] = {}

    def traced(self: Any, server: Any) -> Traced:
        runtime = original(self, server)
        # The runtime is kept as well, so that its number is not given to another one.
        kept = wrapped.get(id(runtime))
        if kept is None:
            if len(wrapped) > 50:
                wrapped.clear()
            kept = wrapped[id(runtime)] = (runtime, Traced(runtime, seen))
        return kept[1]

    mixin._get_server_runtime = traced
    return seen


@cache
def compiled(text: str) -> set[int]:
    """Return the lines of a script that hold instructions."""
    runtime = import_module("lupa.lua51").LuaRuntime(encoding=None)
    dump = runtime.eval("function(text) return string.dump(assert(loadstring(text))) end")
    return Dump(dump(text.encode())).lines


def uncovered(seen: dict[bytes, set[int]]) -> tuple[list[Place], int]:
    """Return the lines that were not run, and how many there are."""
    there: set[Place] = set()
    run: set[Place] = set()
    for path in sorted(PACKAGE.glob("*/lua/*.lua")):
        lines, places = composed(path)
        text = "\n".join(lines)
        if path.read_text("utf-8").startswith("--! "):
            run |= {places[number - 1] for number in seen.get(text.encode(), set())}
            there |= {
                places[number - 1]
                for number in compiled(text)
                if not NO_CODE.fullmatch(lines[number - 1].strip())
            }
    return sorted(there - run), len(there)


class Enough:
    """Runs tests until all lines were run, those first that come to most of them."""

    def __init__(self, seen: dict[bytes, set[int]]) -> None:
        self._seen = seen
        self._enough = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put them in order."""

        def place(item: pytest.Item) -> int:
            names = (item.path.name, item.name)
            found = (
                n for n, first in enumerate(FIRST) if any(name.startswith(first) for name in names)
            )
            return next(found, len(FIRST))

        items.sort(key=place)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        """Pass a test by if there is nothing left for it."""
        self._enough = self._enough or not uncovered(self._seen)[0]
        return True if self._enough else None


def main(arguments: list[str]) -> int:
    """Run the tests and report; return the exit code."""
    seen = trace()
    code = pytest.main(
        [
            *(arguments or [*TESTS, *SELECTED]),
            "-q",
            "-n0",
            "--no-header",
            "-p",
            "no:randomly",
            "--hypothesis-seed=1",
        ],
        plugins=[Enough(seen)],
    )
    if code:
        return int(code)
    missed, total = uncovered(seen)
    for place in missed:
        path = PACKAGE / place.file.replace("/", "/lua/")
        line = path.read_text("utf-8").split("\n")[place.number - 1].strip()
        print(f"{place.file}:{place.number}: {line}")  # noqa: T201 - what it is for
    print(f"{total - len(missed)} of {total} lines of Lua were run")  # noqa: T201 - as above
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
