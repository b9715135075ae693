"""What agents are called, and what they send each other."""

from __future__ import annotations

import math
import uuid
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tta_agent_coordination.errors import InvalidMessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationInfo

__all__ = ("AgentId", "AgentMessage", "MessagePriority", "MessageType")

SAFE_NESTING = 120
"""So many brackets a message may have without a look at how deep they are nested."""
_SCALARS = frozenset({str, int, float, bool, type(None)})

DEEPEST = 125
"""A payload may be nested so deep; the reader of pydantic before 2.5 refuses 128 levels."""


def _check_json(payload: dict[str, Any]) -> None:
    """Raise a ValueError that says where, if a payload is more than JSON can tell."""
    level: list[tuple[str, object]] = [("payload", payload)]
    for _ in range(DEEPEST):
        below: list[tuple[str, object]] = []
        for place, value in level:
            if type(value) is dict:
                items = cast("dict[object, object]", value).items()
                wrong = [key for key, _ in items if type(key) is not str]
                if wrong:
                    raise ValueError(f"{place:.200} has a key that is no text: {wrong[0]!r:.60}")
                below += [(f"{place}.{key}", inner) for key, inner in items]
            elif type(value) is list:
                inners = cast("list[object]", value)
                below += [(f"{place}[{index}]", inner) for index, inner in enumerate(inners)]
            elif type(value) is float and not math.isfinite(value):
                raise ValueError(f"{place:.200} is {value}, which JSON cannot tell")
            elif type(value) not in _SCALARS:
                raise ValueError(
                    f"{place:.200} is of type {type(value).__name__}; JSON has only dict, list, "
                    "str, int, float, bool and None"
                )
        if not below:
            return
        level = below
    raise ValueError(f"the payload is nested deeper than {DEEPEST} levels, or contains itself")


class MessagePriority(int, Enum):
    """How urgent a message is: 9 is received before 5, and 5 before 1, without starving any."""

    LOW = 1
    NORMAL = 5
    HIGH = 9


class MessageType(str, Enum):  # noqa: UP042 - the specification spells it so
    """What a message is for."""

    REQUEST = "request"
    RESPONSE = "response"
    EVENT = "event"


class AgentId(BaseModel, frozen=True, extra="forbid", strict=True):
    """The name of an agent, or of all agents of a type.

    Args:
        type: What kind of agent it is, such as `"input_processor"`: any text.
        instance: Which one of its kind. Without it, the id means the queue that all instances of
            the type share: a message to it is received by one of them.

    Example:
        >>> AgentId(type="world_builder", instance="worker-2")
        AgentId(type='world_builder', instance='worker-2')
    """

    type: str = Field(
        ...,
        min_length=1,
        max_length=256,
        description="Agent type identifier (e.g., 'input_processor')",
    )
    instance: str | None = Field(
        default=None, min_length=1, max_length=256, description="Optional instance ID"
    )


class AgentMessage(BaseModel):
    """One message from one agent to another.

    Args:
        message_id: Chosen by the sender. Within the coordinator's window of deduplication, a second
            message to the same recipient with the same id is taken for a repetition of the first.
        sender: Who sends it.
        recipient: Whom it is for; without an instance, any one agent of that type.
        message_type: Request, response or event.
        payload: The content: JSON, that is, dicts with text keys, lists, text, numbers, True, False
            and None. Anything else is refused here, where the mistake is, instead of arriving as
            something else.
        priority: How urgent it is.
        timestamp: When it was made, in a form of the sender's choice.

    Example:
        >>> message = AgentMessage(
        ...     message_id="msg-1",
        ...     sender=AgentId(type="input_processor"),
        ...     recipient=AgentId(type="world_builder"),
        ...     message_type=MessageType.REQUEST,
        ...     payload={"action": "process"},
        ... )
        >>> AgentMessage.from_bytes(message.to_bytes()) == message
        True
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)

    message_id: str = Field(min_length=1, max_length=512)
    sender: AgentId
    recipient: AgentId
    message_type: MessageType
    payload: dict[str, Any] = Field(default_factory=dict)
    priority: MessagePriority = MessagePriority.NORMAL
    timestamp: str | None = None

    @field_validator("payload")
    @classmethod
    def _payload_is_json(cls, payload: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.mode == "python":
            _check_json(payload)
        return payload

    @classmethod
    def create(
        cls,
        message_type: MessageType,
        *,
        sender: AgentId,
        recipient: AgentId,
        payload: Mapping[str, Any],
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> AgentMessage:
        """Make a message with an id of its own.

        Raises:
            InvalidMessageError: The payload is no JSON, or an option is of a wrong type.

        Example:
            >>> writer = AgentId(type="writer")
            >>> message = AgentMessage.create(
            ...     MessageType.EVENT, sender=writer, recipient=writer, payload={"n": 1}
            ... )
            >>> len(message.message_id)
            32
        """
        try:
            return cls(
                message_id=uuid.uuid4().hex,
                sender=sender,
                recipient=recipient,
                message_type=message_type,
                payload=dict(payload),
                priority=priority,
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (TypeError, ValueError) as error:
            said = f"payload: {error}"
        raise InvalidMessageError(f"no message can be made of this: {said:.300}")

    def to_bytes(self) -> bytes:
        """Return the message as JSON.

        Raises:
            InvalidMessageError: The payload was changed into something that is not JSON, or is
                nested deeper than any receiver can read (125 levels), or has an integer beyond 64
                bits, which pydantic 2.0 cannot write; 2.1 and later can.
        """
        try:
            body = self.__pydantic_serializer__.to_json(self)
            if body.count(b"{") + body.count(b"[") > SAFE_NESTING:
                _check_json(self.payload)
        except (ValueError, RecursionError) as error:  # pydantic's own error is a ValueError
            raise InvalidMessageError(
                f"message {self.message_id!r:.80} cannot be written as JSON: {error!s:.200}"
            ) from None
        return body

    @classmethod
    def from_bytes(cls, body: bytes) -> AgentMessage:
        """Read a message from JSON.

        Raises:
            InvalidMessageError: It is no JSON, or not that of a message.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the text"
            raise InvalidMessageError(
                f"these bytes are no message: {place}: {first['msg']:.200}"
            ) from None
