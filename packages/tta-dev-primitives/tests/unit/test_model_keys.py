"""Keys of requests to models: each field counts, ways of writing do not, trace ids never do.

The requests in `data/model_requests.json` have the shapes of four interfaces: chat completions and
responses of OpenAI, messages of Anthropic, `generateContent` of Gemini.
"""

import copy
import enum
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard, cast

import pytest

from tta_dev_primitives import WorkflowContext
from tta_dev_primitives.errors import ConfigurationError, Unkeyable
from tta_dev_primitives.performance.call_keys import CallKey
from tta_dev_primitives.performance.model_keys import (
    RESERVED_PARAMETERS,
    TRACE_FIELDS,
    check_fields,
    check_ignored,
    chosen_data,
    context_key,
    is_reserved,
    request_key,
)
from tta_dev_primitives.performance.shared_keys import shared_key

Request = dict[str, Any]
CORPUS: dict[str, Request] = json.loads(
    (Path(__file__).parent / "data" / "model_requests.json").read_text("utf-8")
)


def is_dict(value: object) -> TypeGuard[Request]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


# --- no collision --------------------------------------------------------------------------------


def other_leaves(value: object) -> Iterator[object]:
    """Yield what may stand in the place of a leaf, each a little different from it."""
    yield from (None, [value], {"value": value}, str(value) + " ")
    if isinstance(value, bool):
        yield from (not value, int(value), str(value))
    elif isinstance(value, int):
        yield from (value + 1, -value - 1, float(value), str(value), value + 0.5)
    elif isinstance(value, float):
        yield from (value + 0.01, -value - 1, str(value), int(value))
    elif isinstance(value, str):
        yield from (value + "x", value[:-1], value.upper() + "!", [value, value])


def changed(value: Any) -> Iterator[Any]:
    """Yield a value with one change in each possible place."""
    if is_dict(value):
        for name, item in value.items():
            yield {n: i for n, i in value.items() if n != name}
            yield {(f"{n}_" if n == name else n): i for n, i in value.items()}
            for other in changed(item):
                yield {**value, name: other}
        yield {**value, "another": None}
        yield [[name, item] for name, item in value.items()]
    elif is_list(value):
        for index, item in enumerate(value):
            yield value[:index] + value[index + 1 :]
            yield [*value[: index + 1], *value[index:]]
            for other in changed(item):
                yield [*value[:index], other, *value[index + 1 :]]
        for index in range(len(value) - 1):
            yield [*value[:index], value[index + 1], value[index], *value[index + 2 :]]
        yield [*value, None]
        yield [value]
    else:
        yield from other_leaves(value)


def text_of(request: object) -> str:
    """Return what goes over the wire; two requests are one exactly where it is the same."""
    return json.dumps(request, sort_keys=True)


NOTHINGS: list[Any] = [None, 0, 0.0, 1, "", [], {}]


def every_change() -> dict[str, Request]:
    """Return all requests of the corpus and all that differ from one of them in one field."""
    made: dict[str, Request] = {}
    for request in CORPUS.values():
        made[text_of(request)] = request
        for name, item in request.items():
            without = {n: i for n, i in request.items() if n != name}
            made[text_of(without)] = without
            for other in changed(item):
                version: Request = {**request, name: other}
                made[text_of(version)] = version
        for name in RESERVED_PARAMETERS - request.keys():
            for value in NOTHINGS:
                version = {**request, name: value}
                made[text_of(version)] = version
    return made


@pytest.mark.slow
def test_no_two_requests_share_a_key() -> None:
    """Over every change of a single field of every request (case 68)."""
    requests = every_change()
    assert len(CORPUS) >= 20
    assert len(requests) > 10_000
    keys = {request_key(request) for request in requests.values()}
    assert len(keys) == len(requests)
    assert len({shared_key("n", key) for key in keys}) == len(requests)


@pytest.mark.parametrize("request_name", CORPUS)
def test_an_omitted_parameter_is_not_zero_and_not_none(request_name: str) -> None:
    """Each provider has defaults of its own, and they change (case 69)."""
    request = {n: i for n, i in CORPUS[request_name].items() if n != "temperature"}
    versions = [request, *({**request, "temperature": t} for t in (None, 0, 0.0, 1, 1.0, "0"))]
    assert len({request_key(version) for version in versions}) == len(versions)


# --- no split ------------------------------------------------------------------------------------


class Wire(enum.StrEnum):
    USER = "user"
    SYSTEM = "system"
    ASSISTANT = "assistant"
    MODEL = "model"
    FUNCTION = "function"
    TEXT = "text"


ENUMS = {str(member): member for member in Wire}


def everywhere(change: Callable[[Any], Any], value: Any) -> Any:
    """Return a value with `change` made at every level, from the inside out."""
    if is_dict(value):
        return change({name: everywhere(change, item) for name, item in value.items()})
    if is_list(value):
        return change([everywhere(change, item) for item in value])
    return change(value)


def shuffled(value: Any) -> Any:
    if not is_dict(value):
        return value
    pairs = list(value.items())
    random.Random(len(pairs)).shuffle(pairs)
    return dict(pairs)


def reverse(value: Any) -> Any:
    if not is_dict(value):
        return value
    return dict(reversed(value.items()))


def as_tuple(value: Any) -> Any:
    if not is_list(value):
        return value
    return tuple(value)


def as_enum(value: Any) -> Any:
    return ENUMS.get(value, value) if isinstance(value, str) else value


def fresh_text(value: Any) -> Any:
    return bytes(value, "utf-8").decode() if isinstance(value, str) else value


REWRITES: dict[str, Callable[[Request], Any]] = {
    "a deep copy": copy.deepcopy,
    "through JSON": lambda request: json.loads(json.dumps(request)),
    "through JSON with its names in order": lambda r: json.loads(json.dumps(r, sort_keys=True)),
    "through JSON with escapes and spaces": lambda r: json.loads(json.dumps(r, indent=4)),
    "names of the request in reverse": lambda request: dict(reversed(request.items())),
    "names on every level in reverse": lambda request: everywhere(reverse, request),
    "names on every level shuffled": lambda request: everywhere(shuffled, request),
    "tuples for lists": lambda request: everywhere(as_tuple, request),
    "members of a text enum for texts": lambda request: everywhere(as_enum, request),
    "texts that are other objects": lambda request: everywhere(fresh_text, request),
    "a read-only mapping": MappingProxyType,
    "as keywords": lambda request: dict(**request),
    "with a trace id": lambda request: {**request, "trace_id": "4bf92f", "request_id": "r-1"},
    "with a field that is ignored": lambda request: {**request, "timeout": random.random()},
}


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
def test_another_way_of_writing_a_request_has_the_same_key(
    rewrite: Callable[[Request], Any],
) -> None:
    """For every request of the corpus, here and in a shared store (cases 4, 5 and 68)."""
    ignored = check_ignored(["timeout"])
    for request in CORPUS.values():
        one = request_key(request, ignore=ignored)
        two = request_key(rewrite(request), ignore=ignored)
        assert one == two
        assert shared_key("n", one) == shared_key("n", two)


def test_the_keyword_form_of_a_client_does_not_split() -> None:
    """By position, by name, in another order, with defaults spelt out (case 4)."""

    def complete(
        model: str, messages: object, *, temperature: float | None = None, tools: object = ()
    ) -> str:
        return f"{model}{messages}{temperature}{tools}"

    key = CallKey(complete)
    messages = CORPUS["openai chat, plain"]["messages"]
    swapped = everywhere(reverse, messages)
    forms = [
        key.key(complete, ("m", messages), {}),
        key.key(complete, ("m",), {"messages": swapped}),
        key.key(complete, (), {"tools": (), "messages": messages, "model": "m"}),
        key.key(complete, ("m", swapped), {"temperature": None}),
    ]
    assert len(set(forms)) == 1


# --- what never counts, what always does ----------------------------------------------------------


def test_tenants_never_share_and_trace_ids_never_split() -> None:
    """All of `context.data` counts, except for ids of the run (case 68)."""
    data = {"tenant": "a", "model": "m", "temperature": 0.5, "tools": ["t"], "seed": 1}
    own = context_key(WorkflowContext(correlation_id="c-1", data=data), None)
    for name in data:
        other = WorkflowContext(correlation_id="c-1", data={**data, name: "other"})
        assert context_key(other, None) != own
    for name in TRACE_FIELDS:
        traced = WorkflowContext(correlation_id="c-2", data={**data, name: "other"})
        assert context_key(traced, None) == own


def test_context_fields_name_what_counts() -> None:
    """And what shapes the answer counts besides, so that it is not left out by accident."""
    data: Request = {"tenant": "a", "history": [], "model": "m", "maxTokens": 5, "trace_id": "t"}
    assert chosen_data(data, ("tenant",)) == {"tenant": "a", "model": "m", "maxTokens": 5}
    assert chosen_data(data, ("trace_id", "absent")) == {
        "trace_id": "t",
        "model": "m",
        "maxTokens": 5,
    }
    assert chosen_data(data, ()) == {}
    assert chosen_data(data, None) == {n: i for n, i in data.items() if n != "trace_id"}
    assert chosen_data({1: "a", None: "b"}, ("tenant",)) == {}


def test_an_error_names_the_place_in_the_request_or_the_context() -> None:
    """Never the value (case 71)."""
    with pytest.raises(TypeError, match=r"^request\['tools'\]\[0\] has no key: object is compared"):
        request_key({"model": "secret", "tools": [object()]})
    with pytest.raises(Unkeyable, match=r"^context\.data\['client'\] has no key: object is"):
        context_key(WorkflowContext(data={"client": object()}), None)


@pytest.mark.parametrize(
    "name", ["temperature", "topP", "max_tokens", "maxOutputTokens", "Tool-Choice", "model", "seed"]
)
def test_what_shapes_the_answer_cannot_be_ignored_by_accident(name: str) -> None:
    """In no spelling (case 68)."""
    assert is_reserved(name)
    with pytest.raises(ConfigurationError, match=f"ignore names '{name}', which shapes the answer"):
        check_ignored(["timeout", name])
    assert check_ignored([name], allow_reserved=True) == {name}


def test_every_parameter_of_the_corpus_that_shapes_the_answer_is_reserved() -> None:
    """What is not is listed here, with nothing that a model reads."""
    names = {name for request in CORPUS.values() for name in request}
    harmless = {"user", "store", "metadata"}
    assert {name for name in names if not is_reserved(name)} == harmless
    config = CORPUS["gemini, configured"]["generation_config"]
    assert all(map(is_reserved, config))


@pytest.mark.parametrize("given", ["timeout", b"", {"timeout": 1}, 1, [1], [None], object()])
def test_names_come_as_a_list(given: Any) -> None:
    """A text would be read letter by letter."""
    with pytest.raises(ConfigurationError, match="ignore must be a list of names"):
        check_ignored(given)
    with pytest.raises(ConfigurationError, match="context_fields must be a list of names"):
        check_fields(given)


def test_names_in_any_collection_are_taken() -> None:
    """A list, a tuple, a set, what yields them."""
    for given in (["a"], ("a",), {"a"}, (name for name in "a")):
        assert check_fields(cast("Any", given)) == ("a",)
    assert check_fields(None) is None
    assert check_fields([]) == ()


class Mode(enum.Enum):
    FAST = 1


class Words(list[str]):
    pass


def test_values_that_no_json_has_keep_their_types() -> None:
    """Sets, enums that are no texts, lists of a kind of their own."""
    versions = [{"a": v} for v in ({"x"}, ["x"], Words(["x"]), Mode.FAST, 1, "FAST", {1: "x"})]
    assert len({request_key(version) for version in versions}) == len(versions)
    assert request_key({"a": {("x",)}}) == request_key({"a": {("x",)}})
