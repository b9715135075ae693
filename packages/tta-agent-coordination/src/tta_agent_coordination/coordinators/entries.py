"""How a message lies in a mailbox: a line that the mailbox reads, one of headers, and the message.

```text
1 0 5 1767225600000 0 msg-123 - - -
{"traceparent": "00-…"}
{"message_id": "msg-123", …}
```

The first line is the format's version, deliveries so far, priority, when it was enqueued and when
it expires (ms; 0: never), the id, the ordering key, and the last failure and its error (`-` for
none). Scripts on the server read only this line. The version counts changes of what follows it; the
line itself only ever grows at its end, so old and new programs can share a mailbox during an
upgrade.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from tta_agent_coordination.errors import ConfigurationError, InvalidMessageError
from tta_agent_coordination.messaging import FailureType
from tta_agent_coordination.models import AgentMessage
from tta_agent_coordination.server.names import quoted, unquoted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "ERROR_LENGTH",
    "VERSION",
    "Entry",
    "Parcel",
    "body_of",
    "cut_error",
    "open_body",
    "optional",
    "unpack",
)

VERSION = 1
ERROR_LENGTH = 2000
"""So many characters of an error are kept with a message."""

_HEADERS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
_FIELDS = 9
_FAILURES = {failure.value: failure for failure in FailureType}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message on its way into a mailbox.

    Attributes:
        message_id: Its id.
        level: Its priority: 9, 5 or 1.
        body: Headers and message, as `body_of` makes it.
        key: Its ordering key.
    """

    message_id: str
    level: int
    body: bytes
    key: str | None = None


@dataclass(slots=True, kw_only=True)
class Entry:
    """A message in a mailbox. Times are milliseconds since 1970."""

    message_id: str
    level: int
    enqueued: int
    body: bytes
    expires: int = 0
    attempts: int = 0
    key: str | None = None
    failure: FailureType | None = None
    error: str | None = None
    version: int = VERSION


def body_of(message: AgentMessage, headers: Mapping[str, str] | None) -> bytes:
    """Return headers and message as the lines that follow an entry's first.

    Raises:
        InvalidMessageError: The message, or a header, cannot be written.
    """
    if not headers:
        return b"\n" + message.to_bytes()
    parts = cast("tuple[object, ...]", (*headers.keys(), *headers.values()))
    if not all(isinstance(part, str) for part in parts):
        raise InvalidMessageError(f"headers must map text to text, not {dict(headers)!r:.200}")
    return json.dumps(dict(headers)).encode() + b"\n" + message.to_bytes()


def open_body(entry: Entry) -> tuple[AgentMessage, dict[str, str] | None]:
    """Return an entry's message and headers.

    Raises:
        InvalidMessageError: They cannot be read, or belong to a newer version of the format.
    """
    if entry.version != VERSION:
        raise InvalidMessageError(
            f"message {entry.message_id!r:.80} has format {entry.version}, and this program reads "
            f"format {VERSION}: upgrade it, then redrive the message"
        )
    headers, _, body = entry.body.partition(b"\n")
    try:
        found = _HEADERS.validate_json(headers) if headers else None
    except ValidationError:
        raise InvalidMessageError(
            f"the headers of message {entry.message_id!r:.80} are damaged"
        ) from None
    return AgentMessage.from_bytes(body), found


def unpack(data: bytes) -> Entry:
    """Return the entry that a server keeps as bytes.

    Its first line is always sound: the scripts that hand out entries have read it.
    """
    line, _, body = data.partition(b"\n")
    fields = line.decode("ascii").split(" ")[:_FIELDS]
    version, attempts, level, enqueued, expires, message_id, key, failure, error = fields
    return Entry(
        message_id=unquoted(message_id),
        level=int(level),
        enqueued=int(enqueued),
        body=body,
        expires=int(expires),
        attempts=int(attempts),
        key=None if key == "-" else unquoted(key[1:]),
        failure=_FAILURES.get(failure),
        error=None if error == "-" else unquoted(error[1:]),
        version=int(version),
    )


def optional(text: str | None) -> str:
    """Return a text that may be absent as one word; `-` stands for absent.

    Example:
        >>> optional("two words"), optional(None)
        ('=two%20words', '-')
    """
    return "-" if text is None else f"={quoted(text)}"


def cut_error(error: object) -> str | None:
    """Return an error's text as it is kept.

    Raises:
        ConfigurationError: It is no text.
    """
    if error is None:
        return None
    if not isinstance(error, str):
        raise ConfigurationError(f"error must be a text or None, not {error!r:.60}")
    # What is no Unicode would be refused further on; an error's text is for people.
    return error[:ERROR_LENGTH].encode(errors="replace").decode()
