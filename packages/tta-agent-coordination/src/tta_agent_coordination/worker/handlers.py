"""What works on messages: functions, objects with `process`, workflows of the core package."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from pydantic import BaseModel

from tta_agent_coordination.errors import ConfigurationError
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.neighbor import incoming, is_workflow, lasting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tta_agent_coordination.messaging import ReceivedMessage
    from tta_agent_coordination.models import AgentMessage

__all__ = (
    "Classify",
    "Handler",
    "ProcessingAgent",
    "Workflow",
    "classify",
    "current_message",
    "payload_of",
    "runner_of",
)


class ProcessingAgent(Protocol):
    """An object that works on payloads, such as an `AgentProxy`."""

    async def process(self, input_payload: dict[str, Any], /) -> object:
        """Work on a payload; what is returned is the answer to a request."""
        ...


class Workflow(Protocol):
    """A workflow of the core package, as far as it is used here."""

    def execute(self, context: Any, input_data: Any, /) -> Awaitable[object]:
        """Run it with the payload of a message."""
        ...


Handler: TypeAlias = "Callable[[AgentMessage], object] | ProcessingAgent | Workflow"
"""What works on messages."""
Classify: TypeAlias = "Callable[[Exception], FailureType]"
"""Tells what kind of failure an exception is."""
Runner: TypeAlias = "Callable[[ReceivedMessage, float | None], Coroutine[Any, Any, object]]"
"""Works on a delivery until a time of the loop's clock."""

_current: contextvars.ContextVar[ReceivedMessage] = contextvars.ContextVar("tta_current_message")


def current_message() -> ReceivedMessage:
    """Return the delivery that the running handler works on: its headers, attempt, and so on.

    Raises:
        LookupError: No handler of a worker is running here.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("current_message() was called outside the handler of a worker") from None


def classify(error: Exception) -> FailureType:
    """Tell what kind of failure an exception is: the rule of a worker that is given none.

    TIMEOUT for a `TimeoutError`. PERMANENT for what would fail again in the same way: an error of
    the program (such as a `TypeError`), and, where the core package is installed, whatever its
    `classify_error` would not retry (such as a request that a provider refuses). Else TRANSIENT.

    Example:
        >>> classify(TimeoutError()), classify(TypeError()), classify(OSError())
        (<FailureType.TIMEOUT: 'timeout'>, <FailureType.PERMANENT: 'permanent'>, <FailureType.TRANSIENT: 'transient'>)
    """  # noqa: E501 - what Python prints
    if isinstance(error, TimeoutError):
        return FailureType.TIMEOUT
    return FailureType.PERMANENT if lasting(error) else FailureType.TRANSIENT


def runner_of(handler: object) -> Runner:
    """Return how a handler is run.

    Raises:
        ConfigurationError: It is none.
    """
    if is_workflow(handler):
        return _workflow(cast("Workflow", handler))
    process = getattr(handler, "process", None)
    if inspect.iscoroutinefunction(process):
        return _processing(process)
    if callable(handler) and not isinstance(handler, type):
        return _function(cast("Callable[[AgentMessage], object]", handler))
    raise ConfigurationError(
        "handler must be a function of the message, an object with an async method process, or a "
        f"workflow, not {handler!r:.100}"
    )


def _workflow(workflow: Workflow) -> Runner:
    async def run(received: ReceivedMessage, until: float | None) -> object:
        _current.set(received)
        context = incoming(received.headers, until)
        return await workflow.execute(context, received.message.payload)

    return run


def _processing(process: Callable[[dict[str, Any]], Awaitable[object]]) -> Runner:
    async def run(received: ReceivedMessage, until: float | None) -> object:
        del until
        _current.set(received)
        return await process(received.message.payload)

    return run


def _function(function: Callable[[AgentMessage], object]) -> Runner:
    called = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)

    async def run(received: ReceivedMessage, until: float | None) -> object:
        del until
        _current.set(received)
        if asynchronous:
            return await cast("Awaitable[object]", function(received.message))
        result = await _in_thread(function, received.message)
        # Such as a partial of an async function, or a lambda that calls one.
        return await result if inspect.isawaitable(result) else result

    return run


async def _in_thread(function: Callable[[AgentMessage], object], message: AgentMessage) -> object:
    """Call a function in a thread of its own.

    A thread cannot be ended. These do not hold up the end of the process, as those of an executor
    would: when the work is given up, its result is not wanted.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: object, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: object = None
        failure: BaseException | None = None
        try:
            result = context.run(function, message)
        except StopIteration as error:  # a future would refuse it
            failure = RuntimeError("the handler raised StopIteration")
            failure.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - it is raised in the worker
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody wants the result
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=work, name="tta-agent-handler", daemon=True).start()
    return await done


def payload_of(result: object) -> Mapping[str, Any]:
    """Return what a handler returned as the payload of an answer.

    A mapping is the payload, a pydantic model is written as one, None is an empty one; anything
    else is put under the key `result`.

    Example:
        >>> payload_of({"text": "owls"}), payload_of(None), payload_of(3)
        ({'text': 'owls'}, {}, {'result': 3})
    """
    if result is None:
        return {}
    if isinstance(result, Mapping):
        return cast("Mapping[str, Any]", result)
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    return {"result": result}
