"""What a log line looks like: JSON for machines, a line for a terminal, and the run's ids in both.

Secrets are taken out of every field and text; the rules stand in `redaction`.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tta_dev_primitives.core import engine
from tta_dev_primitives.observability.logging import Event
from tta_dev_primitives.observability.redaction import scrub, scrub_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tta_dev_primitives.observability.redaction import Plain

__all__ = ("ConsoleFormatter", "CorrelationFilter", "JsonFormatter", "text_of_event")

Ids: TypeAlias = "tuple[str, str, str]"  # trace id in 32 hex digits, span id in 16, correlation id

RESERVED = frozenset(
    {
        "correlation_id",
        "exception",
        "logger",
        "message",
        "severity",
        "span_id",
        "stack",
        "timestamp",
        "trace_id",
    }
)
"""Names of a line's own parts. A field of such a name is written with `_` behind it."""


# --- ids ----------------------------------------------------------------------------------------


def current_ids() -> Ids | None:
    """Return the ids of the step that is running; None outside a workflow that has frames."""
    frame = engine.current.get()
    if frame is None:
        return None
    return (
        f"{frame.trace_id:032x}",
        f"{frame.child_span_id:016x}",
        frame.context.correlation_id,
    )


class CorrelationFilter(logging.Filter):
    """Puts the ids on each record: for a handler of one's own, or before a `QueueHandler`.

    Sets `trace_id`, `span_id` and `correlation_id` (empty outside a workflow), for formats such as
    `%(trace_id)s`. The ids are known while an observer or our log handler is installed.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids and let the record pass."""
        values = record.__dict__
        ids: Ids | None = values.get("tta_ids") or current_ids()
        values["tta_ids"] = ids
        values["trace_id"], values["span_id"], values["correlation_id"] = ids or ("", "", "")
        return True


_ID_NAMES = ("trace_id", "span_id", "correlation_id")
_STANDARD = frozenset(
    {
        *logging.makeLogRecord({}).__dict__,
        "asctime",
        "color_message",  # uvicorn's copy of the message with terminal codes
        "message",
        "taskName",
        "tta_fields",
        "tta_ids",
    }
)


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the fields of a record: ours, or what was given as `extra` to `logging`."""
    values = record.__dict__
    ours: Mapping[str, object] | None = values.get("tta_fields")
    if ours is not None:
        return ours
    fields = {name: value for name, value in values.items() if name not in _STANDARD}
    if "tta_ids" in values:  # set by our filter, not by the user
        for name in _ID_NAMES:
            fields.pop(name, None)
    return fields


def _plain_fields(fields: Mapping[str, object]) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    for name, value in fields.items():
        shown = name if name.isidentifier() else scrub_text(name)
        while shown in RESERVED or shown in plain:
            shown += "_"
        plain[shown] = scrub(value, key=name)
    return plain


def _message_of(record: logging.LogRecord) -> str:
    """Return a record's text without fields; a format that does not fit its arguments is shown."""
    message = record.msg
    if isinstance(message, Event):
        return scrub_text(str.__str__(message))
    try:
        return scrub_text(record.getMessage())
    except Exception:  # noqa: BLE001 - a bad format must not lose the line
        return scrub_text(f"{message!s} {record.args!r}")


# --- formats ------------------------------------------------------------------------------------

_quote = json.encoder.encode_basestring_ascii
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, in ASCII, so that it fits any stream."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        # Written part by part: the encoder would be built anew for each line.
        parts = [
            f'{{"timestamp":"{_timestamp(record.created)}"',
            f'"severity":{_quote(record.levelname)}',
            f'"logger":{_quote(record.name)}',
            f'"message":{_quote(_message_of(record))}',
        ]
        ids: Ids | None = record.__dict__.get("tta_ids") or current_ids()
        if ids is not None:
            trace_id, span_id, correlation_id = ids
            parts.append(f'"trace_id":"{trace_id}","span_id":"{span_id}"')
            parts.append(f'"correlation_id":{_quote(correlation_id)}')
        fields = _fields_of(record)
        if fields:
            parts += [
                f"{_quote(name)}:{_quote(value) if type(value) is str else _encoded(value)}"
                for name, value in _plain_fields(fields).items()
            ]
        if record.exc_info or record.exc_text:
            parts.append(f'"exception":{_encode(self._exception(record))}')
        if record.stack_info:
            parts.append(f'"stack":{_quote(scrub_text(record.stack_info))}')
        return f"{','.join(parts)}}}"

    def _exception(self, record: logging.LogRecord) -> dict[str, Plain]:
        described: dict[str, Plain] = {}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            described["type"] = type(error).__name__
            described["message"] = _error_text(error)
        described["stacktrace"] = _traceback(self, record)
        return described


class ConsoleFormatter(logging.Formatter):
    """Formats a record as a line for a terminal: time, level, logger, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback below it where there is one."""
        clock = _timestamp(record.created)[11:23]
        line = f"{clock} {record.levelname:<8} {record.name}  {_visible(_message_of(record))}"
        fields = _plain_fields(_fields_of(record))
        ids: Ids | None = record.__dict__.get("tta_ids") or current_ids()
        if ids is not None:
            fields["correlation_id"] = ids[2]
        if fields:
            line = f"{line}  {_pairs(fields)}"
        if record.exc_info or record.exc_text:
            line = f"{line}\n{_visible(_traceback(self, record))}"
        if record.stack_info:
            line = f"{line}\n{_visible(scrub_text(record.stack_info))}"
        return line


def _encoded(value: Plain) -> str:
    """Encode a value that is not a text; an integer, the most frequent, needs no encoder."""
    return str(value) if type(value) is int else _encode(value)


_second: tuple[int, str] = (-1, "")


def _timestamp(created: float) -> str:
    """Return ISO 8601 in UTC with microseconds; the part up to the second is made once a second."""
    global _second  # noqa: PLW0603 - a cache of one, replaced as a whole
    whole = int(created)
    known, text = _second
    if known != whole:
        text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = whole, text
    return f"{text}.{int((created - whole) * 1_000_000):06d}Z"


def _error_text(error: BaseException) -> str:
    try:
        return scrub_text(str(error))
    except Exception:  # noqa: BLE001 - an exception whose text fails must not lose the line
        return ""


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info:
        try:
            return scrub_text(formatter.formatException(cast("Any", record.exc_info)))
        except Exception:  # noqa: BLE001 - as above
            return type(record.exc_info[1]).__name__
    return scrub_text(record.exc_text or "")


_KEPT = frozenset("\t\n")
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in _KEPT
}


def _visible(text: str) -> str:
    """Return a text that cannot drive the terminal: control characters are spelled out."""
    return text.translate(_CONTROL)


def text_of_event(event: str, fields: Mapping[str, object]) -> str:
    """Return an event with its fields behind it, as a handler of another's shows it."""
    return f"{scrub_text(event)} {_pairs(_plain_fields(fields))}"


def _pairs(fields: Mapping[str, Plain]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in fields.items())


def _shown(value: Plain) -> str:
    if isinstance(value, str) and value.isprintable() and not set(value) & set(' "='):
        return value or '""'
    return json.dumps(value, ensure_ascii=False).translate(_CONTROL)
