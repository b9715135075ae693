"""Fan-outs in all their forms and policies: what comes out, seen by both checkers."""

from tta_dev_primitives import Parallel, step

from ..steps import *

# --- lists ----------------------------------------------------------------------------------------
reveal_type(Parallel([length, length]))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([length, shout]))  # ParallelPrimitive[str, list[int | str]] / mypy: ParallelPrimitive[str, list[object]]
reveal_type(Parallel([async_length, async_length]))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([sync_length, sync_length]))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([async_length_in]))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([length], max_concurrency=1, name="one"))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([length], on_error="fail_fast"))  # ParallelPrimitive[str, list[int]]

# --- dicts ----------------------------------------------------------------------------------------
reveal_type(Parallel({"a": length, "b": length}))  # ParallelPrimitive[str, dict[str, int]]
reveal_type(Parallel({"a": async_length}))  # ParallelPrimitive[str, dict[str, int]]
reveal_type(Parallel({"a": sync_length}))  # ParallelPrimitive[str, dict[str, int]]
reveal_type(Parallel({"a": async_length_in}))  # ParallelPrimitive[str, dict[str, int]]

# --- policies -------------------------------------------------------------------------------------
reveal_type(Parallel([length], on_error="collect"))  # ParallelPrimitive[str, list[Outcome[int]]]
reveal_type(Parallel([async_length], on_error="collect"))  # ParallelPrimitive[str, list[Outcome[int]]]
reveal_type(Parallel({"a": length}, on_error="collect"))  # ParallelPrimitive[str, dict[str, Outcome[int]]]
reveal_type(Parallel([length], on_error="first_success"))  # ParallelPrimitive[str, int]
reveal_type(Parallel([async_length], on_error="first_success"))  # ParallelPrimitive[str, int]
reveal_type(Parallel([sync_length], on_error="first_success"))  # ParallelPrimitive[str, int]
reveal_type(Parallel({"a": length}, on_error="first_success"))  # ParallelPrimitive[str, int]
reveal_type(Parallel([length, length], quorum=1))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel([async_length, async_length], quorum=1))  # ParallelPrimitive[str, list[int]]
reveal_type(Parallel({"a": length}, quorum=1))  # ParallelPrimitive[str, list[int]]

# --- tuples, to eight branches --------------------------------------------------------------------
reveal_type(Parallel.of(length, shout))  # ParallelPrimitive[str, tuple[int, str]]
reveal_type(Parallel.of(length, shout, words))  # ParallelPrimitive[str, tuple[int, str, list[str]]]
reveal_type(Parallel.of(length, step(async_shout)))  # ParallelPrimitive[str, tuple[int, str]]
reveal_type(Parallel.of(length, shout, length, shout))  # ParallelPrimitive[str, tuple[int, str, int, str]]
five = Parallel.of(length, shout, words, length, shout)
reveal_type(five)  # ParallelPrimitive[str, tuple[int, str, list[str], int, str]]
six = Parallel.of(length, shout, words, length, shout, words)
reveal_type(six)  # ParallelPrimitive[str, tuple[int, str, list[str], int, str, list[str]]]
seven = Parallel.of(length, shout, length, shout, length, shout, length)
reveal_type(seven)  # ParallelPrimitive[str, tuple[int, str, int, str, int, str, int]]
eight = Parallel.of(length, shout, length, shout, length, shout, length, shout)
reveal_type(eight)  # ParallelPrimitive[str, tuple[int, str, int, str, int, str, int, str]]


# --- on with the result ---------------------------------------------------------------------------
def both(pair: tuple[int, str]) -> str:
    return pair[0] * pair[1]


def by_name(found: dict[str, int]) -> int:
    return found["a"]


reveal_type(Parallel.of(length, shout) >> both)  # SequentialPrimitive[str, str]
reveal_type(Parallel({"a": length}) >> by_name)  # SequentialPrimitive[str, int]
reveal_type(Parallel([length]) >> total)  # SequentialPrimitive[str, int]
reveal_type(Parallel([length], on_error="first_success") >> show)  # SequentialPrimitive[str, str]
reveal_type(Parallel([length], on_error="collect").run("a")[0].unwrap())  # int
reveal_type(shout >> Parallel([length, length]))  # SequentialPrimitive[str, list[int]]
