"""Steps of every form that the corpus composes, from text to number and back."""

from tta_dev_primitives import WorkflowContext, WorkflowPrimitive


class Length(WorkflowPrimitive[str, int]):
    async def _execute_impl(self, context: WorkflowContext, input_data: str) -> int:
        return len(input_data)


class Shout(WorkflowPrimitive[str, str]):
    async def _execute_impl(self, context: WorkflowContext, input_data: str) -> str:
        return input_data.upper()


class Words(WorkflowPrimitive[str, list[str]]):
    async def _execute_impl(self, context: WorkflowContext, input_data: str) -> list[str]:
        return input_data.split()


class Double(WorkflowPrimitive[int, int]):
    async def _execute_impl(self, context: WorkflowContext, input_data: int) -> int:
        return input_data * 2


class Show(WorkflowPrimitive[int, str]):
    async def _execute_impl(self, context: WorkflowContext, input_data: int) -> str:
        return str(input_data)


class Untyped(WorkflowPrimitive[object, bool]):
    async def _execute_impl(self, context: WorkflowContext, input_data: object) -> bool:
        return bool(input_data)


length = Length()
shout = Shout()
words = Words()
double = Double()
show = Show()
truth = Untyped()
context = WorkflowContext()


async def async_length(text: str) -> int:
    return len(text)


async def async_shout(text: str) -> str:
    return text.upper()


async def async_double(number: int) -> int:
    return number * 2


async def async_show(number: int) -> str:
    return str(number)


async def async_join(parts: list[str]) -> str:
    return " ".join(parts)


def sync_length(text: str) -> int:
    return len(text)


def sync_shout(text: str) -> str:
    return text.upper()


def sync_double(number: int) -> int:
    return number * 2


def sync_show(number: int) -> str:
    return str(number)


async def async_length_in(context: WorkflowContext, text: str) -> int:
    return len(context.correlation_id + text)


async def async_show_in(context: WorkflowContext, number: int) -> str:
    return context.correlation_id * number


def sync_length_in(context: WorkflowContext, text: str) -> int:
    return len(context.correlation_id + text)


def sync_show_in(context: WorkflowContext, number: int) -> str:
    return context.correlation_id * number


async def async_now() -> float:
    return 0.0


def sync_now() -> float:
    return 0.0


def total(numbers: list[int]) -> int:
    return sum(numbers)


def is_long(text: str) -> bool:
    return len(text) > 10


def is_large(number: int) -> bool:
    return number > 10


def is_long_in(context: WorkflowContext, text: str) -> bool:
    return len(text) > 10


def three(first: int, second: int, third: int) -> int:
    return first + second + third
