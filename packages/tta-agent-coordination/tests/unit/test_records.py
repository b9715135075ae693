"""Agents' names, messages, entries, limits, errors, metrics: what needs no mailbox."""

import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import tta_agent_coordination as package
from tta_agent_coordination import (
    AgentCoordinationError,
    AgentId,
    AgentMessage,
    ConfigurationError,
    InMemoryMessageCoordinator,
    InvalidMessageError,
    MessageMetrics,
    MessagePriority,
    MessageType,
    NullMetrics,
    QueueObserver,
)
from tta_agent_coordination.coordinators.entries import body_of, optional, unpack
from tta_agent_coordination.coordinators.names import mailbox_of, mailboxes_of, parse_token
from tta_agent_coordination.coordinators.store import Backoff
from tta_agent_coordination.limits import check_count, check_fraction, check_seconds
from tta_agent_coordination.server.names import quoted, unquoted
from tta_agent_coordination.testing import ASKER, WRITER, ManualClock, RedisServer, sample

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> dict[str, Any]:
    """Return a payload so many lists deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"x": value}


@given(NAMES)
def test_a_quoted_name_can_be_told_apart_and_read_back(name: str) -> None:
    text = quoted(name)

    assert unquoted(text) == name
    assert text.isascii()
    assert not set(text) & set(" :{}*%\n") - {"%"}


@given(NAMES, st.none() | NAMES)
def test_every_agent_has_a_mailbox_of_its_own(kind: str, instance: str | None) -> None:
    """No instance is mistaken for the shared mailbox, and tokens lead back."""
    agent = AgentId(type=kind, instance=instance)
    mailbox = mailbox_of(agent)

    assert (mailbox.name == "*") is (instance is None)
    assert mailboxes_of(agent)[0] == mailbox
    found = parse_token(f"{mailbox.type}:{mailbox.name}:key")
    assert found is not None
    assert found.mailbox == mailbox
    assert found.token == f"{mailbox.type}:{mailbox.name}:key"


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_every_json_payload_survives(payload: dict[str, Any]) -> None:
    message = sample("m1", payload=payload)

    assert AgentMessage.from_bytes(message.to_bytes()) == message


@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", object(), (1, 2), {1: 2}, 1j, "\ud800", float("nan"), float("inf")]
)
def test_a_payload_that_is_not_json_is_refused_where_it_is_made(value: object) -> None:
    """Instead of arriving as something else."""
    with pytest.raises((ValidationError, InvalidMessageError)):
        sample("m1", payload={"x": value}).to_bytes()


@pytest.mark.parametrize("depth", [124, 200, 10_000])
def test_a_payload_nested_too_deeply_is_refused_before_it_is_sent(depth: int) -> None:
    with pytest.raises((ValidationError, InvalidMessageError)):
        sample("m1", payload=nested(depth)).to_bytes()


def test_a_payload_nested_as_deeply_as_can_be_read_is_sent() -> None:
    message = sample("m1", payload=nested(123))

    assert AgentMessage.from_bytes(message.to_bytes()) == message


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: dict[str, Any] = {}
    payload["self"] = payload

    with pytest.raises(ValidationError, match="contains itself"):
        sample("m1", payload=payload)


def test_a_refused_payload_is_told_where_it_is_wrong() -> None:
    with pytest.raises(ValidationError, match=r"payload\.a\[1\]\.b is of type set"):
        sample("m1", payload={"a": [1, {"b": {2}}]})


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b"null", b"[" * 5000])
def test_what_is_no_message_is_an_error_that_says_where(body: bytes) -> None:
    with pytest.raises(InvalidMessageError, match="no message"):
        AgentMessage.from_bytes(body)


def test_agents_and_messages_are_strict_and_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        AgentId(type="")
    with pytest.raises(ValidationError):
        AgentId.model_validate({"type": "x", "unknown": 1})
    with pytest.raises(ValidationError):
        AgentId.model_validate({"type": 5})
    with pytest.raises(ValidationError):
        setattr(WRITER, "type", "other")  # noqa: B010 - checkers would refuse the plain form


def test_the_fields_of_the_specification_have_its_values() -> None:
    message = AgentMessage(
        message_id="m1", sender=ASKER, recipient=WRITER, message_type=MessageType.REQUEST
    )

    assert message.priority is MessagePriority.NORMAL
    assert message.payload == {}
    assert message.timestamp is None
    assert [level.value for level in MessagePriority] == [1, 5, 9]
    assert [kind.value for kind in MessageType] == ["request", "response", "event"]


def test_an_entry_with_fields_of_a_newer_program_can_be_read() -> None:
    body = body_of(sample("m1"), {"a": "b"})
    entry = unpack(b"1 2 9 30 40 m%201 =k%20 timeout =e new newer\n" + body)

    assert (entry.message_id, entry.attempts, entry.level) == ("m 1", 2, 9)
    assert (entry.key, entry.error, entry.expires) == ("k ", "e", 40)
    assert entry.body == body


@given(st.none() | NAMES)
def test_an_optional_text_is_one_word(text: str | None) -> None:
    assert " " not in optional(text)
    assert (optional(text) == "-") is (text is None)


def test_headers_must_be_texts() -> None:
    with pytest.raises(InvalidMessageError, match="text to text"):
        body_of(sample("m1"), {"a": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def test_a_back_off_never_overflows() -> None:
    backoff = Backoff(base=1000, factor=1e300, cap=30_000, share=0.5)

    assert [backoff.after(attempts) for attempts in (1, 2, 10**6)] == [500, 15_000, 15_000]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "1", None, 10**400])
def test_a_duration_must_be_one(value: object) -> None:
    with pytest.raises(ConfigurationError, match="wait must be a number of seconds"):
        check_seconds("wait", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "1", None])
def test_a_fraction_must_be_one(value: object) -> None:
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        check_fraction("share", value)


def test_limits_return_what_they_allow() -> None:
    assert check_seconds("wait", 0, zero=True) == 0
    assert check_count("n", 3) == 3
    assert check_fraction("share", 1) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_length": 0},
        {"max_message_bytes": -1},
        {"dedupe_window": -1},
        {"backoff_base": "1"},
        {"backoff_factor": 0.5},
        {"backoff_max": float("nan")},
        {"backoff_jitter": 2},
    ],
)
def test_a_senseless_option_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        InMemoryMessageCoordinator(**options)


@pytest.mark.parametrize(
    "name",
    [name for name in package.__all__ if name.endswith(("Error", "Lost", "Timeout", "Failed"))],
)
def test_every_error_has_one_root_and_can_be_pickled(name: str) -> None:
    error = getattr(package, name)("what happened")

    assert isinstance(error, AgentCoordinationError)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is type(error)
    assert str(again) == "what happened"


def test_null_metrics_count_nothing_and_observe_nothing() -> None:
    metrics = NullMetrics()
    metrics.inc_delivered_ok(1)
    metrics.inc_delivered_error(1)

    assert not isinstance(metrics, QueueObserver)
    assert isinstance(MessageMetrics(), QueueObserver)


def test_metrics_in_memory_add_up() -> None:
    metrics = MessageMetrics()
    metrics.inc_delivered_ok(2)
    metrics.inc_delivered_error(3)

    assert (metrics.delivered_ok, metrics.delivered_error) == (2, 3)
    assert metrics.snapshot()["delivered_ok"] == 2


def test_a_manual_clock_moves_when_told() -> None:
    clock = ManualClock(10.0)
    clock.advance(1.5)

    assert (clock(), clock.milliseconds()) == (11.5, 11_500)


def test_a_server_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(ConfigurationError, match="apt install"):
        RedisServer("no-such-redis-server")


def test_a_server_that_does_not_start_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match="did not start"):
        RedisServer(sys.executable, timeout=2).start()
