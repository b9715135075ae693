"""A decorated function is the function, and a primitive."""

import asyncio
import copy
import functools
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import pytest

from tta_dev_primitives.core.base import WorkflowContext, WorkflowPrimitive, as_primitive
from tta_dev_primitives.core.decorated import DecoratedFunction
from tta_dev_primitives.core.functions import FunctionPrimitive, step
from tta_dev_primitives.core.parallel import Parallel
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import CompositionError

P = ParamSpec("P")
R = TypeVar("R")

calls: list[str] = []


async def around_async(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    calls.append("call")
    return await function(*args, **kwargs)


def around(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    calls.append("call")
    return function(*args, **kwargs)


class Marked(WorkflowPrimitive[Any, Any]):
    """The nominal primitive of the decorator that is tested here."""

    def __init__(self, inner: FunctionPrimitive[Any, Any]) -> None:
        self.inner = inner
        self._name = inner.name

    async def _execute_impl(self, context: WorkflowContext, input_data: Any) -> Any:
        calls.append("step")
        return await self.inner.execute(context, input_data)


def marked(function: Callable[P, R]) -> DecoratedFunction[P, R]:
    chosen = around_async if inspect.iscoroutinefunction(function) else around
    return DecoratedFunction(function, around=chosen, make_step=Marked)  # pyright: ignore[reportReturnType]


@marked
async def double(value: int, *, times: int = 2) -> int:
    """Multiply."""
    return value * times


@marked
def shout(text: str) -> str:
    return text.upper()


@marked
async def with_context(context: WorkflowContext, value: int) -> str:
    return f"{context.correlation_id}:{value}"


@marked
async def nothing() -> str:
    return "nothing"


@marked
async def three(a: int, b: int, c: int) -> int:
    return a + b + c


class Service:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @marked
    async def scale(self, value: int) -> int:
        return value * self.factor

    @staticmethod
    @marked
    async def outside(value: int) -> int:
        return -value

    @marked
    @staticmethod
    def inside(value: int) -> int:
        return -value

    @classmethod
    @marked
    async def made_by(cls, value: int) -> str:
        return f"{cls.__name__}:{value}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Service) and other.factor == self.factor

    def __hash__(self) -> int:
        return self.factor


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def test_it_is_called_as_before() -> None:
    """With its own arguments, through the decorator."""
    assert await double(2, times=5) == 10
    assert shout("a") == "A"
    assert await three(1, 2, c=3) == 6
    assert calls == ["call"] * 3


async def test_it_goes_wherever_a_step_goes() -> None:
    """On both sides of both operators, in lists and dicts; the nominal primitive runs."""
    assert await (double >> str >> shout).execute(2) == "4"
    assert await (str.strip >> shout).execute(" a ") == "A"
    assert await (double | double | str).execute(1) == [2, 2, "1"]
    assert await (str | double).execute(1) == ["1", 2]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert await double.then(str).execute(1) == "2"
    assert await double.also(str).execute(1) == [2, "1"]
    assert await Sequential([double, double]).execute(1) == 4
    assert await Parallel({"a": double}).execute(1) == {"a": 2}
    assert set(calls) == {"step"}


async def test_it_is_executed_like_a_primitive() -> None:
    """With and without a context; `run` from synchronous code."""
    context = WorkflowContext(correlation_id="c")
    assert await with_context.execute(context, 1) == "c:1"
    assert await (double >> with_context).execute(context, 1) == "c:2"
    assert await nothing.execute(None) == "nothing"
    assert await asyncio.to_thread(double.run, 4) == 8


def test_it_counts_as_a_primitive_and_has_a_nominal_one() -> None:
    """`isinstance` holds; `.step` is what composites use; what primitives answer, it answers."""
    assert isinstance(double, WorkflowPrimitive)
    assert isinstance(double.step, Marked)
    assert as_primitive(double) is double.step
    assert step(double) is double.step
    assert double.name == "double"
    assert [path for path, _ in double.walk()] == ["double"]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'no_such'"):
        _ = double.no_such  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def test_a_primitive_with_a_step_of_its_own_stays_itself() -> None:
    """Only a decorated function is replaced by its `.step`."""

    class WithStep(Marked):
        step = "an attribute of the user's"

    made = WithStep(FunctionPrimitive(abs))
    assert as_primitive(made) is made


def test_a_function_of_any_signature_can_be_decorated_but_not_every_one_is_a_step() -> None:
    """The error comes when it is used as one, and names the parameters."""
    with pytest.raises(CompositionError, match="a, b, c"):
        _ = three.step
    with pytest.raises(CompositionError, match="a, b, c"):
        double >> three  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def test_introspection_sees_the_function() -> None:
    """Name, text, signature, hints, module, and what it wraps."""
    assert (double.__name__, double.__qualname__, double.__doc__) == (
        "double",
        "double",
        "Multiply.",
    )
    assert double.__module__ == __name__
    assert str(inspect.signature(double)) == "(value: int, *, times: int = 2) -> int"
    assert typing.get_type_hints(double) == {"value": int, "times": int, "return": int}
    assert inspect.unwrap(double).__name__ == "double"
    assert callable(double)
    assert repr(double) == "<decorated function double>"


def test_it_says_whether_a_call_gives_a_coroutine() -> None:
    """For functions, bound methods, partials and callables without code of their own."""

    class Asynchronous:
        async def __call__(self, value: int) -> int:
            return value

    class Synchronous:
        def __call__(self, value: int) -> int:
            return value

    for found in (double, Service(1).scale, functools.partial(double, times=3)):
        assert inspect.iscoroutinefunction(found)
        assert asyncio.iscoroutinefunction(found)  # pyright: ignore[reportDeprecated]
    assert not inspect.iscoroutinefunction(shout)
    assert inspect.iscoroutinefunction(
        DecoratedFunction(Asynchronous(), around=around_async, make_step=Marked)
    )
    assert not inspect.iscoroutinefunction(
        DecoratedFunction(Synchronous(), around=around, make_step=Marked)
    )
    assert not inspect.iscoroutinefunction(marked(len))
    assert inspect.iscoroutinefunction(marked(functools.partial(double, times=3)))


async def test_a_method_is_bound_and_a_step_of_its_object() -> None:
    """Each object's method is its own; operators work on it."""
    two, three_times = Service(2), Service(3)

    assert await two.scale(5) == 10
    assert await (two.scale >> three_times.scale).execute(1) == 6
    assert await (two.scale | three_times.scale).execute(1) == [2, 3]
    assert await Service.scale(two, 5) == 10
    assert isinstance(two.scale, WorkflowPrimitive)
    assert str(inspect.signature(two.scale)) == "(value: int) -> int"


async def test_static_and_class_methods_work() -> None:
    """On the class and on an object."""
    for owner in (Service, Service(1)):
        assert await owner.outside(1) == -1  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        assert owner.inside(1) == -1  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        assert await owner.made_by(1) == "Service:1"  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportUnknownMemberType]
    assert await (Service.outside >> Service.inside).execute(1) == 1


def test_a_classmethod_object_is_refused_with_the_right_order() -> None:
    """It cannot be called, so there is nothing to decorate."""
    with pytest.raises(CompositionError, match="put @classmethod above"):
        marked(classmethod(lambda cls: cls))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wrong", [None, 3, "text", Marked(FunctionPrimitive(abs))])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    """With its type in the message."""
    with pytest.raises(CompositionError, match=type(wrong).__name__):
        marked(wrong)


def test_generators_are_refused() -> None:
    """Of both kinds."""

    def plain() -> Any:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    for generator in (plain, asynchronous):
        with pytest.raises(CompositionError, match="is a generator"):
            marked(generator)


async def test_it_is_picklable_where_the_function_is() -> None:
    """By name; a method by its object; a decorated copy of another's function by parts."""
    assert pickle.loads(pickle.dumps(double)) is double  # noqa: S301 - made one line above
    assert copy.deepcopy(double) is double
    assert await pickle.loads(pickle.dumps(Service(4).scale))(2) == 8  # noqa: S301 - made one line above
    again: Any = pickle.loads(pickle.dumps(marked(abs)))  # noqa: S301 - made one line above
    assert again(-1) == 1


async def test_decorators_stack() -> None:
    """Each does its part, for calls and for steps."""

    @marked
    @marked
    async def twice(value: int) -> int:
        return value

    assert await twice(1) == 1
    assert calls == ["call", "call"]
    assert inspect.iscoroutinefunction(twice)
    assert await twice.execute(1) == 1
