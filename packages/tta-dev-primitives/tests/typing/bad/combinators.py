"""Sequential, Conditional, Switch, Router, Batch, Loop, Assign, Filter, composed wrongly.

Each marked line is flagged by both checkers. Steps that disagree about their input leave mypy with
an input that nothing fits (`Never`), so it flags the use; pyright flags the composition.
"""

from tta_dev_primitives import (
    Assign,
    Batch,
    Conditional,
    Filter,
    Loop,
    Router,
    Sequential,
    Switch,
)

from ..steps import *

# --- Sequential -----------------------------------------------------------------------------------
a1 = Sequential([shout, shout]) >> double  # BAD: str into a primitive that takes int
a2 = Sequential([shout, shout]).run(3)  # BAD: int into a chain that takes str
a3 = Sequential([async_shout]).run(3)  # BAD: int into a chain that takes str
a4 = Sequential(shout)  # BAD: a list is wanted
a5 = Sequential([shout, 3])  # BAD: a number is no step
a6 = Sequential([length, show]) >> double  # BAD: the types of a mixed list are not followed

# --- Conditional ----------------------------------------------------------------------------------
b1 = Conditional(is_long, length, show).run("a")  # BAD: one step takes str, one int
b2 = Conditional(is_large, length, length).run("a")  # BAD: the condition takes int
b3 = Conditional(is_long, async_length, async_show).run("a")  # BAD: one step takes str, one int
b4 = Conditional(is_long, sync_length, sync_show).run("a")  # BAD: one step takes str, one int
b5 = Conditional(is_long, length, length) >> shout  # BAD: int into a primitive that takes str
b6 = Conditional(is_long, length) >> double  # BAD: int or str into a primitive that takes int
b7 = Conditional(is_long, length, length).run(3)  # BAD: int into a choice that takes str
b8 = Conditional(length)  # BAD: no step
b9 = Conditional(True, length, length)  # BAD: a condition is a function
b10 = Conditional(is_long, length, 3)  # BAD: a number is no step
b11 = double >> Conditional(is_long, length, length)  # BAD: int into a choice that takes str
b12 = Conditional(is_long, length, async_show).run("a")  # BAD: one step takes str, one int

# --- Switch ---------------------------------------------------------------------------------------
c1 = Switch(is_long, {True: length, False: show}).run("a")  # BAD: one case takes str, one int
c2 = Switch(is_large, {True: length}).run("a")  # BAD: the selector takes int
c3 = Switch(is_long, {True: length}, show).run("a")  # BAD: the default takes int
c4 = Switch(is_long, {True: length}) >> shout  # BAD: int into a primitive that takes str
c5 = Switch(is_long, [length])  # BAD: cases are a dict
c6 = Switch(is_long, {True: 3})  # BAD: a number is no step
c7 = Switch({True: length})  # BAD: no selector

# --- Router ---------------------------------------------------------------------------------------
d1 = Router({"a": length, "b": show}).run("a")  # BAD: one route takes str, one int
d2 = Router({"a": length}, is_large).run("a")  # BAD: the selector takes int
d3 = Router({"a": length}) >> shout  # BAD: int into a primitive that takes str
d4 = Router({1: length})  # BAD: names are texts
d5 = Router([length])  # BAD: routes are a dict
d6 = Router({"a": length}, costs={"a": "cheap"})  # BAD: a cost is a number
d7 = Router({"a": length}, default_route=1)  # BAD: a name is a text
d8 = Router({"a": async_length}).run(3)  # BAD: int into routes that take str
d9 = Router({"a": 3})  # BAD: a number is no step

# --- Batch ----------------------------------------------------------------------------------------
e1 = Batch(length).run([1, 2])  # BAD: items are int, the step takes str
e2 = Batch(async_length).run(3)  # BAD: an int is no collection
e3 = Batch(length) >> show  # BAD: list[int] into a primitive that takes int
e4 = words >> Batch(double)  # BAD: list[str] into a batch over int
e5 = length >> Batch(length)  # BAD: int is no collection
e6 = Batch(length, on_error="collect") >> total  # BAD: Outcomes into list[int]
e7 = Batch(length, on_error="first_success")  # BAD: a batch has no such policy
e8 = Batch(length, max_concurrency=None)  # BAD: a batch has a bound
e9 = Batch([length])  # BAD: a list is no step
e10 = Batch(length, on_progress=is_long)  # BAD: takes two numbers

# --- Loop -----------------------------------------------------------------------------------------
f1 = Loop(length, until=is_long, max_iterations=9)  # BAD: gives int, takes str
f2 = Loop(async_length, until=is_long, max_iterations=9)  # BAD: gives int, takes str
f3 = Loop(double, until=is_long, max_iterations=9)  # BAD: the condition takes str
f4 = Loop(double, until=is_large)  # BAD: no bound
f5 = Loop(double, until=is_large, max_iterations="9")  # BAD: a bound is a number
f6 = Loop(double, until=is_large, max_iterations=9, on_limit="stop")  # BAD: no such choice
f7 = Loop(double, until=is_large, max_iterations=9) >> shout  # BAD: int into a primitive: str
f8 = Loop(double, until=is_large, max_iterations=9).run("a")  # BAD: str into a loop over int

# --- Assign ---------------------------------------------------------------------------------------
g1 = Assign(size=length)  # BAD: the step takes str, it is given a dict
g2 = Assign(size=async_length)  # BAD: the function takes str, it is given a dict
g3 = Assign(size=3)  # BAD: a number is no step
g4 = Assign(now=sync_now).run("a")  # BAD: str is no dict
g5 = Assign(now=sync_now) >> show  # BAD: a dict into a primitive that takes int
g6 = Assign(sync_now)  # BAD: steps are given by key
g7 = shout >> Assign(now=sync_now)  # BAD: str is no dict

# --- Filter ---------------------------------------------------------------------------------------
h1 = words >> Filter(is_large)  # BAD: list[str] into a filter over int
h2 = Filter(is_large).run(["a"])  # BAD: items are str, the condition takes int
h3 = Filter(three)  # BAD: a function with three parameters
h4 = Filter(True)  # BAD: a condition is a function
h5 = words >> Filter(is_long) >> show  # BAD: list[str] into a primitive that takes int
h6 = shout >> Filter(is_large)  # BAD: str into a filter over int
h7 = double >> Filter(is_long)  # BAD: int into a filter over str
h8 = sync_length >> Filter(is_long)  # BAD: int into a filter over str
h9 = shout >> Filter(is_long) >> double  # BAD: str into a primitive that takes int
