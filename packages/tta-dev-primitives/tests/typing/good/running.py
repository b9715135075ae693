"""`execute` and `run` in both forms, and what keeps the type of the workflow itself."""

from tta_dev_primitives import WorkflowContext, WorkflowPrimitive, in_thread, step

from ..steps import *

chain = length >> show


async def executes() -> None:
    reveal_type(await length.execute("text"))  # int
    reveal_type(await length.execute(context, "text"))  # int
    reveal_type(await length.execute(context=context, input_data="text"))  # int
    reveal_type(await length.execute(input_data="text"))  # int
    reveal_type(await chain.execute("text"))  # str
    reveal_type(await chain.execute(context, "text"))  # str
    reveal_type(await (length | shout).execute("text"))  # list[int | str]
    reveal_type(await truth.execute(None))  # bool


reveal_type(length.run("text"))  # int
reveal_type(length.run(context, "text"))  # int
reveal_type(length.run(input_data="text"))  # int
reveal_type(chain.run("text"))  # str

# --- step and in_thread ---------------------------------------------------------------------------
reveal_type(step(async_length))  # FunctionPrimitive[str, int]
reveal_type(step(sync_length))  # FunctionPrimitive[str, int]
reveal_type(step(async_length_in))  # FunctionPrimitive[str, int]
reveal_type(step(sync_length_in))  # FunctionPrimitive[str, int]
reveal_type(step(async_now))  # FunctionPrimitive[object, float]
reveal_type(step(sync_now, name="now"))  # FunctionPrimitive[object, float]
reveal_type(step(len))  # FunctionPrimitive[Sized, int]
reveal_type(in_thread(sync_length))  # FunctionPrimitive[str, int]
reveal_type(in_thread(sync_length_in, name="length"))  # FunctionPrimitive[str, int]
reveal_type(in_thread(sync_length) >> show)  # SequentialPrimitive[str, str]


@step
async def decorated(text: str) -> int:
    return len(text)


@step
def decorated_in(context: WorkflowContext, text: str) -> int:
    return len(text)


reveal_type(decorated >> show)  # SequentialPrimitive[str, str]
reveal_type(shout >> decorated_in)  # SequentialPrimitive[str, int]

# --- copies keep their class ----------------------------------------------------------------------
reveal_type(length.named("count"))  # Length
reveal_type(chain.named("chain"))  # SequentialPrimitive[str, str]
reveal_type(chain.replace("sequential/length", async_length))  # SequentialPrimitive[str, str]
reveal_type((length | shout).named("both"))  # FanOut[str, int | str]
reveal_type(length.name)  # str

# --- a value of the right type where a primitive is declared --------------------------------------
as_declared: WorkflowPrimitive[str, str] = length >> show
narrower_input: WorkflowPrimitive[str, bool] = truth
wider_output: WorkflowPrimitive[str, object] = length
