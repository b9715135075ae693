"""What of a request to a model counts for its key: nothing that shapes the answer is ever left out.

Caches of model answers go wrong by a key that forgets a parameter. Here all of a request counts
unless it is named in an `ignore` list, and names that shape the answer (`RESERVED_PARAMETERS`) are
refused there. A parameter that was left out differs from one that is given as None or as 0. Ids
that only trace a call (`TRACE_FIELDS`) never count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.errors import ConfigurationError, Unkeyable
from tta_dev_primitives.performance.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = (
    "RESERVED_PARAMETERS",
    "TRACE_FIELDS",
    "check_fields",
    "check_ignored",
    "chosen_data",
    "context_key",
    "is_reserved",
    "request_key",
)

RESERVED_PARAMETERS: frozenset[str] = frozenset(
    {
        # what is asked, and of whom
        *("model", "messages", "prompt", "system", "input", "instructions", "contents", "content"),
        *("system_prompt", "system_instruction", "question", "query", "suffix", "images", "audio"),
        *("documents", "context", "history", "previous_response_id", "conversation", "container"),
        *("cached_content", "adapter", "lora", "prompt_id", "prompt_version", "provider"),
        # how it is answered
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "n", "best_of"),
        *("candidate_count", "max_tokens", "max_completion_tokens", "max_output_tokens"),
        *("max_new_tokens", "stop", "stop_sequences", "stop_token_ids", "presence_penalty"),
        *("frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("prediction", "truncation", "echo", "num_ctx", "safety_settings", "generation_config"),
        *("thinking", "thinking_config", "reasoning", "reasoning_effort", "verbosity", "effort"),
        # in which form
        *("response_format", "response_schema", "response_mime_type", "response_modalities"),
        *("text", "modalities", "include", "output_config", "output_format", "format", "schema"),
        *("json_schema", "guided_json", "grammar", "language", "locale", "dimensions"),
        *("encoding_format", "voice", "speech_config", "size", "quality", "style"),
        # with which tools
        *("tools", "tool_choice", "tool_config", "parallel_tool_calls", "functions"),
        *("function_call", "max_tool_calls", "mcp_servers", "web_search_options", "betas"),
        *("extra_body",),
        # for whom
        *("tenant", "tenant_id", "organization", "user_id"),
    }
)
"""Names that no `ignore` list may hold by accident, however they are spelt: `maxTokens` as well."""

_IN_CONTEXT = frozenset(
    {
        *("model", "provider", "systemprompt", "temperature", "topp", "topk", "minp", "seed"),
        *("maxtokens", "maxcompletiontokens", "maxoutputtokens", "stop", "stopsequences"),
        *("presencepenalty", "frequencypenalty", "logitbias", "thinking", "reasoningeffort"),
        *("responseformat", "responseschema", "tools", "toolchoice", "toolconfig"),
    }
)
"""Those that say nothing else in a context's data either; others may be anything there."""

TRACE_FIELDS: frozenset[str] = frozenset(
    {
        "correlation_id",
        "parent_span_id",
        "request_id",
        "span_id",
        "trace_id",
        "traceparent",
        "tracestate",
    }
)
"""Names of ids that tell one call from another and nothing else; they never count."""


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


_RESERVED = frozenset(map(_plain, RESERVED_PARAMETERS))


def is_reserved(name: str) -> bool:
    """Whether `name` is one of `RESERVED_PARAMETERS` in any spelling.

    Example:
        >>> is_reserved("max_tokens"), is_reserved("maxTokens"), is_reserved("user_agent")
        (True, True, False)
    """
    return _plain(name) in _RESERVED


def check_ignored(names: Collection[str], *, allow_reserved: bool = False) -> frozenset[str]:
    """Return the names that are not to count.

    Args:
        names: What the caller wants left out of the key.
        allow_reserved: Whether names that shape the answer may be among them.

    Raises:
        ConfigurationError: It is no list of names, or one of them is reserved.

    Example:
        >>> check_ignored(["temperature"])
        Traceback (most recent call last):
          ...
        tta_dev_primitives.errors.ConfigurationError: ignore names 'temperature', which shapes the \
answer: calls that differ there would share one result; if that is meant, say allow_reserved=True
    """
    listed = _names("ignore", names)
    reserved = sorted(filter(is_reserved, listed))
    if reserved and not allow_reserved:
        shown = ", ".join(map(repr, reserved))
        message = (
            f"ignore names {shown}, which {'shape' if len(reserved) > 1 else 'shapes'} the answer: "
            "calls that differ there would share one result; if that is meant, say "
            "allow_reserved=True"
        )
        raise ConfigurationError(message)
    return frozenset(listed)


def check_fields(fields: Collection[str] | None) -> tuple[str, ...] | None:
    """Return `context_fields` as a tuple; None stays None.

    Raises:
        ConfigurationError: It is no list of names.
    """
    return None if fields is None else _names("context_fields", fields)


def _names(option: str, names: object) -> tuple[str, ...]:
    if not isinstance(names, (str, bytes, Mapping)):
        try:
            listed: tuple[Any, ...] = tuple(cast("Collection[Any]", names))
        except TypeError:
            listed = (None,)
        if all(isinstance(name, str) for name in listed):
            return listed
    message = f"{option} must be a list of names, not {names!r:.80}"
    raise ConfigurationError(message)


def chosen_data(data: dict[Any, Any], fields: tuple[str, ...] | None) -> dict[Any, Any]:
    """Return what counts of `context.data`.

    Args:
        data: The context's data.
        fields: The names that count. A model, a temperature, tools and their like count besides,
            since a parameter that a step reads from the context must not be forgotten; an empty
            tuple says that nothing counts. None: all but `TRACE_FIELDS`.
    """
    if not data or fields == ():
        return {}
    if fields is None:
        if TRACE_FIELDS.isdisjoint(data):
            return data
        return {name: data[name] for name in data if name not in TRACE_FIELDS}
    return {
        name: data[name]
        for name in data
        if name in fields or (isinstance(name, str) and _plain(name) in _IN_CONTEXT)
    }


def context_key(context: WorkflowContext, fields: tuple[str, ...] | None) -> Hashable:
    """Return the key of what counts of a context.

    Raises:
        Unkeyable: A part of it has none.

    Example:
        >>> from tta_dev_primitives import WorkflowContext
        >>> a = WorkflowContext(data={"tenant": "a", "trace_id": "1"})
        >>> b = WorkflowContext(data={"tenant": "a", "trace_id": "2"})
        >>> context_key(a, None) == context_key(b, None)
        True
    """
    try:
        return key_of(chosen_data(context.data, fields))
    except Unkeyable as error:
        raise error.at("context.data") from error.__cause__


def request_key(request: Mapping[str, Any], *, ignore: frozenset[str] = frozenset()) -> Hashable:
    """Return the key of a request to a model, as it goes over the wire.

    Where JSON knows no difference there is none here either: a tuple counts as a list, a member
    of a text enum as its text. Numbers keep their types: 1 and 1.0 are two requests.

    Args:
        request: The request's fields by name, as a provider's client takes them.
        ignore: Names on the top level that do not count; see `check_ignored`.

    Raises:
        Unkeyable: A part of it has no key; the text names the part.

    Example:
        >>> request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        >>> request_key(request) == request_key({**request, "trace_id": "t-1"})
        True
        >>> request_key(request) == request_key({**request, "temperature": None})
        False
    """
    left_out = TRACE_FIELDS | ignore
    counted = {name: request[name] for name in request if name not in left_out}
    try:
        return _on_the_wire(key_of(counted))
    except Unkeyable as error:
        raise error.at("request") from error.__cause__


def _on_the_wire(part: Hashable) -> Hashable:
    """Return a key in which JSON's types are the only ones."""
    kind = type(part)
    if kind is frozenset:
        return frozenset(map(_on_the_wire, cast("frozenset[Hashable]", part)))
    if kind is not tuple:
        return part
    items = cast("tuple[Hashable, ...]", part)
    if not items:
        return items
    first = items[0]
    if first is tuple:
        first = list
    elif first not in _JSON:
        if not isinstance(first, type):
            return tuple(map(_on_the_wire, items))
        if hasattr(first, "__members__") and issubclass(first, (str, int)):
            return items[2]  # an enum: its class, its name, the key of its value
    return (
        first,
        *[item if type(item) is str else _on_the_wire(item) for item in items[1:]],
    )


_JSON: frozenset[object] = frozenset({dict, list, int, float, bool, type(None)})
