"""Operators and methods that compose what cannot fit: each marked line is flagged by both checkers."""

from tta_dev_primitives import WorkflowPrimitive

from ..steps import *


def type_safety(
    step1: WorkflowPrimitive[str, dict[str, int]],
    step2: WorkflowPrimitive[dict[str, int], list[int]],
    step3: WorkflowPrimitive[bytes, str],
) -> None:
    """Under this heading the system design shows one good line and one deliberately wrong."""
    print(step1 >> step2)
    print(step1 >> step3)  # BAD: a dict into a step that takes bytes


# --- >> -------------------------------------------------------------------------------------------
a1 = length >> shout  # BAD: int into a primitive that takes str
a2 = length >> async_shout  # BAD: int into an async function that takes str
a3 = length >> sync_shout  # BAD: int into a function that takes str
a4 = length >> async_length_in  # BAD: int into an async (context, str)
a5 = length >> sync_length_in  # BAD: int into a (context, str)
a6 = length >> len  # BAD: int into a builtin that takes a sized value
a7 = async_length >> shout  # BAD: async function gives int, primitive takes str
a8 = sync_length >> shout  # BAD: function gives int, primitive takes str
a9 = async_length_in >> shout  # BAD: async (context, str) gives int, primitive takes str
a10 = sync_length_in >> shout  # BAD: (context, str) gives int, primitive takes str
a11 = async_now >> shout  # BAD: a function without input gives float, primitive takes str
a12 = length >> show >> double  # BAD: str into a primitive that takes int, at the end of a chain
a13 = (length >> show) >> async_show  # BAD: str into a function that takes int
a14 = length >> (shout >> length)  # BAD: int into a chain that takes str
a15 = length >> three  # BAD: a function with three parameters
a16 = length >> async_show(1)  # BAD: a coroutine, the function was called
a17 = length >> [show]  # BAD: a list is no step
a18 = length >> 3  # BAD: a number is no step
a19 = "text" >> length  # BAD: a text is no step
a20 = None >> length  # BAD: None is no step
a21 = words >> total  # BAD: list[str] into a function that takes list[int]

# --- .then ----------------------------------------------------------------------------------------
b1 = length.then(shout)  # BAD: int into a primitive that takes str
b2 = length.then(async_shout)  # BAD: int into an async function that takes str
b3 = length.then(sync_shout)  # BAD: int into a function that takes str
b4 = length.then(sync_length_in)  # BAD: int into a (context, str)
b5 = length.then(lambda number: number.upper())  # BAD: the lambda's argument is an int
b6 = length.then(show).then(double)  # BAD: str into a primitive that takes int
b7 = length.then("show")  # BAD: a text is no step
b8 = length.then()  # BAD: nothing to chain

# --- | --------------------------------------------------------------------------------------------
c1 = length | show  # BAD: str on the left, int on the right
c2 = length | async_show  # BAD: the async function takes int
c3 = length | sync_show  # BAD: the function takes int
c4 = length | async_show_in  # BAD: the async (context, int) takes int
c5 = length | sync_show_in  # BAD: the (context, int) takes int
c6 = async_show | length  # BAD: the async function takes int, the primitive str
c7 = sync_show | length  # BAD: the function takes int, the primitive str
c8 = sync_show_in | length  # BAD: the (context, int) takes int, the primitive str
c9 = length | shout | show  # BAD: a third branch takes int
c10 = length | (shout >> show)  # BAD: the chain inside gives str where int is taken
c11 = length | 3  # BAD: a number is no step
c12 = (length | shout) >> total  # BAD: list[int | str] into a function that takes list[int]
c13 = (length | length) >> show  # BAD: list[int] into a primitive that takes int
c14 = double >> (length | shout)  # BAD: int into branches that take str

# --- .also ----------------------------------------------------------------------------------------
d1 = length.also(show)  # BAD: str on the left, int on the right
d2 = length.also(async_show)  # BAD: the async function takes int
d3 = length.also(sync_show)  # BAD: the function takes int
d4 = length.also(lambda text: text.bit_length())  # BAD: the lambda's argument is a str
d5 = length.also(shout).also(show)  # BAD: a third branch takes int
d6 = length.also(None)  # BAD: None is no step
