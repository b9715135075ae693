"""`execute`, `run`, names and copies used wrongly: each marked line is flagged by both checkers."""

from tta_dev_primitives import WorkflowContext, WorkflowPrimitive, in_thread, step

from ..steps import *

chain = length >> show


async def executes() -> None:
    await length.execute(3)  # BAD: int into a primitive that takes str
    await length.execute(context, 3)  # BAD: int into a primitive that takes str, with a context
    await length.execute("text", context)  # BAD: the context comes first
    await length.execute()  # BAD: no input
    await length.execute(context)  # BAD: a context, but no input
    await length.execute(context, "text", 3)  # BAD: three arguments
    await length.execute(input="text")  # BAD: no such parameter
    await chain.execute(3)  # BAD: int into a chain that takes str
    await (length | shout).execute(3)  # BAD: int into branches that take str
    text: str = await length.execute("text")  # BAD: the result is an int
    number: int = await chain.execute("text")  # BAD: the result is a str
    unwaited: int = length.execute("text")  # BAD: a coroutine, an await is missing
    (await (length | shout).execute("text"))[0].upper()  # BAD: the first result may be an int


length.run(3)  # BAD: int into a primitive that takes str
length.run(context, 3)  # BAD: int into a primitive that takes str, with a context
length.run("text", context)  # BAD: the context comes first
length.run()  # BAD: no input
as_text: str = length.run("text")  # BAD: the result is an int
chain.run("text").bit_length()  # BAD: the result is a str

# --- step and in_thread ---------------------------------------------------------------------------
e1 = step(async_length) >> shout  # BAD: int into a primitive that takes str
e2 = step(three)  # BAD: a function with three parameters
e3 = step("length")  # BAD: a text is no step
e4 = in_thread(sync_length) >> shout  # BAD: int into a primitive that takes str
e5 = in_thread(sync_length_in) | show  # BAD: str on the left, int on the right
e6 = step(sync_length).run(3)  # BAD: int into a function that takes str


@step
async def decorated(text: str) -> int:
    return len(text)


e7 = decorated >> shout  # BAD: int into a primitive that takes str
e8 = show >> decorated >> words  # BAD: int into a primitive that takes str

# --- names and copies -----------------------------------------------------------------------------
f1 = length.named(3)  # BAD: a name is a text
f2: Show = length.named("show")  # BAD: a copy keeps its class
f3 = chain.replace("sequential/length", 3)  # BAD: a number is no step
f4: WorkflowPrimitive[int, str] = chain.replace("sequential/length", double)  # BAD: types stay
f5: WorkflowPrimitive[str, int] = length >> show  # BAD: the chain gives str
f6: WorkflowPrimitive[object, int] = length  # BAD: takes str only
f7 = chain.named("a").then(double)  # BAD: str into a primitive that takes int

# --- a subclass whose method is not what it says --------------------------------------------------
class Wrong(WorkflowPrimitive[str, int]):
    async def _execute_impl(self, context: WorkflowContext, input_data: int) -> int:  # BAD: takes str
        return input_data


class WrongResult(WorkflowPrimitive[str, int]):
    async def _execute_impl(self, context: WorkflowContext, input_data: str) -> str:  # BAD: gives int
        return input_data


# --- the context ----------------------------------------------------------------------------------
g1 = WorkflowContext(correlation_id=3)  # BAD: an id is a text
g2 = WorkflowContext(user="me")  # BAD: no such field
g3 = context.user  # BAD: no such field
