"""`Parallel` in all its forms, composed wrongly: each marked line is flagged by both checkers.

Branches that disagree about their input leave mypy with an input that nothing fits (`Never`), so it
flags the use; pyright flags the composition.
"""

from tta_dev_primitives import Parallel, step

from ..steps import *

# --- lists ----------------------------------------------------------------------------------------
a1 = Parallel([length, show])  # BAD: one branch takes str, one int
a2 = Parallel([async_length, async_show]).run("a")  # BAD: one branch takes str, one int
a3 = Parallel([sync_length, sync_show]).run("a")  # BAD: one branch takes str, one int
a4 = Parallel([length, 3])  # BAD: a number is no step
a5 = Parallel(length)  # BAD: a list or dict is wanted
a6 = Parallel([three])  # BAD: a function with three parameters
a7 = Parallel(["length"])  # BAD: a text is no step
a8 = Parallel([length, length]) >> show  # BAD: list[int] into a primitive that takes int
a9 = double >> Parallel([length, length])  # BAD: int into branches that take str
a10 = Parallel([length, length]).run(3)  # BAD: int into branches that take str
a11 = Parallel([async_length]) >> show  # BAD: list[int] into a primitive that takes int
a12 = Parallel([sync_length]).run("a").upper()  # BAD: the result is a list
a13 = Parallel([length, async_show])  # BAD: one branch takes str, one int

# --- dicts ----------------------------------------------------------------------------------------
b1 = Parallel({"a": length, "b": show})  # BAD: one branch takes str, one int
b2 = Parallel({"a": async_length, "b": async_show}).run("a")  # BAD: one takes str, one int
b3 = Parallel({1: length})  # BAD: keys are texts
b4 = Parallel({"a": length}) >> show  # BAD: a dict into a primitive that takes int
b5 = Parallel({"a": length}).run("a")["a"].upper()  # BAD: the result under a is an int
b6 = Parallel({"a": length}).run(3)  # BAD: int into a branch that takes str
b7 = Parallel({"a": 3})  # BAD: a number is no step

# --- policies -------------------------------------------------------------------------------------
c1 = Parallel([length], on_error="colect")  # BAD: no such policy
c2 = Parallel([length], on_error="collect", quorum=1)  # BAD: a policy and a quorum
c3 = Parallel([length], quorum="1")  # BAD: a quorum is a number
c4 = Parallel([length], max_concurrency="2")  # BAD: a limit is a number
c5 = Parallel([length], on_error="collect") >> total  # BAD: Outcomes into list[int]
c6 = Parallel([length], on_error="collect").run("a")[0].upper()  # BAD: an Outcome is no str
c7 = Parallel([length], on_error="collect").run("a")[0].unwrap().upper()  # BAD: the value is an int
c8 = Parallel([length], on_error="first_success") >> total  # BAD: one int into list[int]
c9 = Parallel([length], on_error="first_success").run("a")[0]  # BAD: one int, no list
c10 = Parallel({"a": length}, quorum=1).run("a")["a"]  # BAD: a list, no dict
c11 = Parallel([length, length], quorum=1) >> show  # BAD: list[int] into a primitive that takes int
c12 = Parallel({"a": length}, on_error="collect") >> show  # BAD: a dict into int
c13 = Parallel([length], retries=3)  # BAD: no such option

# --- tuples ---------------------------------------------------------------------------------------
d1 = Parallel.of(length, show).run("a")  # BAD: one branch takes str, one int
d2 = shout >> Parallel.of(length, show)  # BAD: one branch takes str, one int
d3 = Parallel.of(length, 3)  # BAD: a number is no step
d4 = Parallel.of(length, shout) >> total  # BAD: a tuple into a function that takes a list
d5 = Parallel.of(length, shout).run("a")[0].upper()  # BAD: the first place is an int
d6 = Parallel.of(length, shout).run("a")[2]  # BAD: there are two places
d7 = Parallel.of(length, step(async_show)).run("a")  # BAD: one branch takes str, one int
d8 = Parallel.of(length, shout).run(3)  # BAD: int into branches that take str
