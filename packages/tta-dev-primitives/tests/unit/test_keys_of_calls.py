"""Keys of calls: arguments count by parameter, however they are written."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import WorkflowContext
from tta_dev_primitives.errors import CompositionError, ConfigurationError, Unkeyable
from tta_dev_primitives.performance.call_keys import CallKey
from tta_dev_primitives.performance.keys import key_of

CLIENT = object()


def f(a: int, b: int = 2) -> int:
    return a + b


def asks(prompt: str, /, model: str = "m", *, temperature: float | None = None) -> str:
    return f"{prompt}{model}{temperature}"


def open_ended(first: int, *rest: int, flag: bool = False, **more: object) -> int:
    return first


def with_client(prompt: str, client: object = CLIENT) -> str:
    return prompt


def key(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return CallKey(cast("Any", getattr(function, "__func__", function))).key(function, args, kwargs)


def test_the_keyword_form_does_not_split_the_cache() -> None:
    """Nor do defaults that are spelt out (case 4)."""
    forms = [
        key(f, 1, b=2),
        key(f, a=1, b=2),
        key(f, b=2, a=1),
        key(f, 1, 2),
        key(f, 1),
        key(f, a=1),
    ]
    assert len(set(forms)) == 1
    assert len({key(f, 1), key(f, 2), key(f, 2, 1), key(f, 1.0), key(f, True), key(f, "1")}) == 6


def test_every_kind_of_parameter_counts_by_name() -> None:
    """Positional-only, keyword-only, and what takes the rest."""
    spelt = key(asks, "p", "m", temperature=None)
    assert spelt == key(asks, "p") == key(asks, "p", model="m")
    assert len({spelt, key(asks, "p", temperature=0), key(asks, "p", temperature=0.0)}) == 3
    assert key(open_ended, 1, x=1, y=2) == key(open_ended, y=2, first=1, x=1, flag=False)
    forms = [key(open_ended, 1), key(open_ended, 1, 2), key(open_ended, 1, x=2)]
    assert len({*forms, key(open_ended, 1, rest=(2,)), key(open_ended, 1, flag=True)}) == 5


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"c": 1}), ((), {"b": 1})],
    ids=["none", "too many", "twice", "unknown", "without the first"],
)
def test_a_call_that_the_function_does_not_take_is_its_error(args: Any, kwargs: Any) -> None:
    """A `TypeError` as the function itself raises it, not a wrong key."""
    with pytest.raises(TypeError) as own:
        f(*args, **kwargs)
    with pytest.raises(TypeError) as ours:
        key(f, *args, **kwargs)
    assert not isinstance(ours.value, Unkeyable)
    assert own.type is ours.type


def test_the_error_names_the_argument() -> None:
    """And the way into it (case 71)."""
    with pytest.raises(TypeError) as caught:
        key(asks, "p", model=cast("Any", [{"x": object()}]))
    assert (
        str(caught.value) == "argument 'model'[0]['x'] has no key: object is compared by identity"
    )


def test_the_error_names_a_field_of_the_context() -> None:
    """The context's data counts, so it has to have a key."""

    def step(context: WorkflowContext, text: str) -> str:
        return text

    context = WorkflowContext(data={"client": object()})
    with pytest.raises(Unkeyable, match=r"argument 'context'\.data\['client'\] has no key"):
        key(step, context, "a")


def test_a_default_without_a_key_belongs_to_the_function() -> None:
    """Left out or spelt out; another object in its place has no key."""
    assert (
        key(with_client, "a")
        == key(with_client, "a", CLIENT)
        == key(with_client, "a", client=CLIENT)
    )
    assert key(with_client, "a") != key(with_client, "b")
    assert key(with_client, "a") != key(with_client, "a", None)
    with pytest.raises(Unkeyable, match="argument 'client' has no key"):
        key(with_client, "a", object())


class Service:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Service)

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - what is tested

    def ask(self, text: str, model: str = "m") -> str:
        return self.name + text

    @classmethod
    def make(cls, name: str) -> str:
        return cls.__name__ + name


class Child(Service):
    pass


class Slots:
    __slots__ = ("x",)

    def ask(self, text: str) -> str:
        return text


def test_methods_are_apart_by_object() -> None:
    """Also where the objects are equal or cannot be hashed (case 72)."""
    one, two = Service("a"), Service("b")
    assert key(one.ask, "x") == key(one.ask, text="x", model="m")
    assert key(one.ask, "x") != key(two.ask, "x")
    assert key(Service.make, "x") != key(Child.make, "x")
    assert key(one.ask, "x")[0] != "a"
    with pytest.raises(Unkeyable, match="weak reference"):
        key(Slots().ask, "x")


def test_a_key_does_not_keep_the_object_of_a_method_alive() -> None:
    """Nor does another object take its place (case 72)."""
    one = Service("a")
    kept = key(one.ask, "x")
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert all(kept != key(Service("a").ask, "x") for _ in range(50))


def test_what_is_ignored_does_not_count() -> None:
    """By name, wherever it is written, also if it has no key."""
    made = CallKey(with_client, ignore=["client"])
    assert made.key(with_client, ("a",), {}) == made.key(with_client, ("a", object()), {})
    assert made.key(with_client, ("a",), {}) != made.key(with_client, ("b",), {})


def test_what_shapes_the_answer_cannot_be_ignored_by_accident() -> None:
    """It takes a word that says so (case 68)."""
    with pytest.raises(ConfigurationError, match="ignore names 'temperature', which shapes"):
        CallKey(asks, ignore=["temperature"])
    made = CallKey(asks, ignore=["temperature"], allow_reserved=True)
    assert made.key(asks, ("p",), {}) == made.key(asks, ("p",), {"temperature": 1.0})


def test_what_is_no_parameter_cannot_be_ignored() -> None:
    """A misspelt name would do nothing, without a word."""
    with pytest.raises(ConfigurationError, match=r"ignore names 'klient'.*no such parameter"):
        CallKey(with_client, ignore=["klient"])


def test_a_function_without_readable_parameters_is_refused() -> None:
    """At decoration."""
    with pytest.raises(CompositionError, match=r"parameters of .* cannot be read"):
        CallKey(cast("Any", type))


def test_a_partial_counts_what_it_was_given_as_defaults() -> None:
    """They belong to it."""
    half = partial(f, b=5)
    assert key(half, 1) == key(half, 1, b=5)
    assert key(half, 1) != key(half, 1, b=2)


def test_contexts_count_by_their_data() -> None:
    """Ids of a run never do (case 68)."""

    def step(context: WorkflowContext, text: str) -> str:
        return text

    made = CallKey(step)
    one = WorkflowContext(correlation_id="1", session_id="s1", data={"tenant": "a"})
    same = WorkflowContext(correlation_id="2", session_id="s2", data={"tenant": "a"})
    other = WorkflowContext(correlation_id="1", data={"tenant": "b"})
    assert made.key(step, (one, "x"), {}) == made.key(step, (same, "x"), {})
    assert made.key(step, (one, "x"), {}) != made.key(step, (other, "x"), {})
    assert made.key(step, (one, "x"), {}, ()) == made.key(step, (other, "x"), {}, ())
    assert made.key(step, (one, "x"), {}) != made.key(step, (cast("Any", {"tenant": "a"}), "x"), {})


plain = (
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.text(max_size=1)
    | st.lists(st.integers(0, 1))
)


@given(a=plain, b=plain, c=plain, d=plain)
def test_two_calls_share_a_key_exactly_where_all_arguments_do(
    a: Any, b: Any, c: Any, d: Any
) -> None:
    """In every way of writing them."""
    same = (key_of(a), key_of(b)) == (key_of(c), key_of(d))
    for one in (key(f, a, b), key(f, a, b=b), key(f, b=b, a=a)):
        for two in (key(f, c, d), key(f, c, b=d), key(f, b=d, a=c)):
            assert (one == two) == same
