"""Structured log lines on the standard `logging`: an event, named fields, and the run's ids.

`get_logger` gives a logger whose methods take fields by keyword. `configure_logging` installs the
one handler of ours, which writes JSON lines (or a line for a terminal) for every logger of the
process, with the ids of the workflow that is running. Without it the library installs no handler,
and what is logged goes wherever the program sends it, fields at the end of the text.

Secrets are taken out of every field and text; the rules stand in `redaction`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO, TypeAlias, cast

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability.redaction import scrub, scrub_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.observability.redaction import Plain

__all__ = (
    "ConsoleFormatter",
    "CorrelationFilter",
    "JsonFormatter",
    "LogObserver",
    "StructuredLogger",
    "configure_logging",
    "get_logger",
    "unconfigure_logging",
)

ExcInfo: TypeAlias = (
    "bool | BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | None"
)
Ids: TypeAlias = "tuple[str, str, str]"  # trace id in 32 hex digits, span id in 16, correlation id

WORKFLOW_LOGGER = "tta_dev_primitives.workflow"
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


# --- writing ------------------------------------------------------------------------------------


class StructuredLogger:
    """A logger whose methods take an event and fields; made by `get_logger`.

    Fields may have any name. One that a line uses for itself (`message`, `trace_id`, …) is
    written with an underscore behind it and never replaces the real one.
    """

    __slots__ = ("_enabled", "_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object]) -> None:
        self._logger = logger
        self._enabled = logger.isEnabledFor
        self._fields = fields

    @property
    def name(self) -> str:
        """The name of the logger beneath."""
        return self._logger.name

    def bind(self, **fields: object) -> StructuredLogger:
        """Return a logger that adds these fields to each of its lines."""
        return StructuredLogger(self._logger, {**self._fields, **fields})

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - as in `logging`
        """Whether a line of this level would be written; to save work on its fields."""
        return self._enabled(level)

    def debug(
        self, event: str, /, *, exc_info: ExcInfo = None, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at DEBUG; see `log`."""
        if self._enabled(logging.DEBUG):
            _emit(self._logger, logging.DEBUG, event, exc_info, stacklevel, self._with(fields))

    def info(
        self, event: str, /, *, exc_info: ExcInfo = None, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at INFO; see `log`."""
        if self._enabled(logging.INFO):
            _emit(self._logger, logging.INFO, event, exc_info, stacklevel, self._with(fields))

    def warning(
        self, event: str, /, *, exc_info: ExcInfo = None, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at WARNING; see `log`."""
        if self._enabled(logging.WARNING):
            _emit(self._logger, logging.WARNING, event, exc_info, stacklevel, self._with(fields))

    def error(
        self, event: str, /, *, exc_info: ExcInfo = None, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at ERROR; see `log`."""
        if self._enabled(logging.ERROR):
            _emit(self._logger, logging.ERROR, event, exc_info, stacklevel, self._with(fields))

    def exception(
        self, event: str, /, *, exc_info: ExcInfo = True, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at ERROR, with the exception that is being handled; see `log`."""
        if self._enabled(logging.ERROR):
            _emit(self._logger, logging.ERROR, event, exc_info, stacklevel, self._with(fields))

    def critical(
        self, event: str, /, *, exc_info: ExcInfo = None, stacklevel: int = 1, **fields: object
    ) -> None:
        """Log at CRITICAL; see `log`."""
        if self._enabled(logging.CRITICAL):
            _emit(self._logger, logging.CRITICAL, event, exc_info, stacklevel, self._with(fields))

    def log(
        self,
        level: int,
        event: str,
        /,
        *,
        exc_info: ExcInfo = None,
        stacklevel: int = 1,
        **fields: object,
    ) -> None:
        """Log an event.

        Args:
            level: As in `logging`.
            event: What happened, the same words each time; what varies goes into fields.
            exc_info: True for the exception that is being handled, or an exception.
            stacklevel: 1 names the caller as the place; 2 the caller's caller.
            fields: Any values, under any names.
        """
        if self._enabled(level):
            _emit(self._logger, level, event, exc_info, stacklevel, self._with(fields))

    def _with(self, fields: dict[str, object]) -> dict[str, object]:
        return {**self._fields, **fields} if self._fields else fields


def _emit(
    logger: logging.Logger,
    level: int,
    event: str,
    exc_info: ExcInfo,
    stacklevel: int,
    fields: Mapping[str, object],
    ids: Ids | None = None,
) -> None:
    # `Logger.findCaller` compares file names frame by frame, which costs more than the whole line.
    try:
        frame = sys._getframe(stacklevel + 1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        code = frame.f_code
        place, line, function = code.co_filename, frame.f_lineno, code.co_name
    except ValueError:
        place, line, function = "(unknown file)", 0, "(unknown function)"
    record = logger.makeRecord(
        logger.name,
        level,
        place,
        line,
        _Event(event, fields) if fields else event,
        (),
        _exception(exc_info),
        function,
    )
    record.__dict__["tta_fields"] = fields
    if ids is not None:
        record.__dict__["tta_ids"] = ids
    logger.handle(record)


def get_logger(name: str | None = None, **fields: object) -> StructuredLogger:
    """Return a logger that takes an event and fields.

    Args:
        name: As in `logging.getLogger`; usually `__name__`. Default: the root logger.
        fields: Added to each of its lines.

    Example:
        >>> logger = get_logger("shop.orders", region="eu")
        >>> logger.info("order received", order_id=17, total=12.5)
    """
    return StructuredLogger(logging.getLogger(name), fields)


class _Event(str):
    """The text of an event that, shown by a handler of another's, has its fields behind it."""

    __slots__ = ("_fields",)

    _fields: Mapping[str, object]

    def __new__(cls, event: str, fields: Mapping[str, object]) -> Self:
        made = super().__new__(cls, event)
        made._fields = fields
        return made

    def __str__(self) -> str:
        return f"{scrub_text(str.__str__(self))} {_pairs(_plain_fields(self._fields))}"

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _exception(exc_info: ExcInfo) -> Any:
    """Return what a log record wants: a triple, or None."""
    if not exc_info:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return exc_info if isinstance(exc_info, tuple) else sys.exc_info()


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
    if isinstance(message, _Event):
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


def _pairs(fields: Mapping[str, Plain]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in fields.items())


def _shown(value: Plain) -> str:
    if isinstance(value, str) and value.isprintable() and not set(value) & set(' "='):
        return value or '""'
    return json.dumps(value, ensure_ascii=False).translate(_CONTROL)


# --- the handler --------------------------------------------------------------------------------


class _Handler(logging.Handler):
    """Writes to a stream that was given, or to whatever `sys.stdout` is at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.target: TextIO | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, in characters that the stream can take."""
        try:
            stream = self.target or sys.stdout
            line = self.format(record)
            if not line.isascii():
                encoding = getattr(stream, "encoding", None) or "utf-8"
                line = line.encode(encoding, "backslashreplace").decode(encoding)
            stream.write(f"{line}\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - `logging` decides what becomes of a failing handler
            self.handleError(record)


_configuring = threading.Lock()
_handler: _Handler | None = None
_level_before = logging.WARNING


def configure_logging(
    level: int | str = "INFO",
    stream: TextIO | None = None,
    format: Literal["json", "console"] = "json",  # noqa: A002 - what `logging.basicConfig` calls it
) -> logging.Handler:
    """Install our handler at the root logger: one line per event, with the run's ids.

    Calling it again changes the settings of the one handler. Other handlers stay.

    Args:
        level: The root logger's level, as a name or a number.
        stream: Where lines go. Default: what `sys.stdout` is when a line is written.
        format: `json` for one JSON object per line; `console` for a terminal.

    Returns:
        The handler, for filters of one's own. `unconfigure_logging` takes it away.

    Raises:
        ConfigurationError: No such level or format.
    """
    global _handler, _level_before  # noqa: PLW0603 - one handler per process
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        known = ", ".join(logging.getLevelNamesMapping())
        raise ConfigurationError(f"level must be a number or one of {known}, not {level!r}")
    if format not in {"json", "console"}:
        raise ConfigurationError(f"format must be 'json' or 'console', not {format!r}")
    root = logging.getLogger()
    with _configuring:
        handler = _handler
        if handler is None:
            handler = _handler = _Handler()
            _level_before = root.level
            engine.want_frames(True)
        handler.target = stream
        handler.setFormatter(JsonFormatter() if format == "json" else ConsoleFormatter())
        root.addHandler(handler)  # does nothing where it is already
        root.setLevel(number)
    return handler


def unconfigure_logging() -> None:
    """Take our handler away and give the root logger its level back."""
    global _handler
    with _configuring:
        handler, _handler = _handler, None
        if handler is None:
            return
        root = logging.getLogger()
        root.removeHandler(handler)
        root.setLevel(_level_before)
        engine.want_frames(False)
    handler.close()


# --- calls as log lines -------------------------------------------------------------------------


def _possible(logger: logging.Logger, level: int) -> Callable[[], bool]:
    """Return what says whether `logger` may let `level` through, in one call into C.

    A logger remembers its verdicts in a dict, which every change of a level empties. Where there
    is no verdict yet, the answer is yes, and `isEnabledFor` leaves one.
    """
    verdicts: object = getattr(logger, "_cache", None)
    if isinstance(verdicts, dict):
        return cast(
            "Callable[[], bool]", partial(cast("dict[int, bool]", verdicts).get, level, True)
        )
    return partial(logger.isEnabledFor, level)  # a logger of another make


class LogObserver:
    """Writes a line for each call that ended: runs at INFO (failed ones at ERROR), steps at DEBUG.

    The logger is `tta_dev_primitives.workflow`. Lines have the path, type, status, duration in
    milliseconds and the class of the exception; inputs, outputs and exception texts are not
    written.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger(WORKFLOW_LOGGER)
        self.enabled: Callable[[], bool] = partial(self._logger.isEnabledFor, logging.INFO)
        """Says whether the logger's level lets any of these lines through."""
        self.possible: Callable[[], bool] = _possible(self._logger, logging.INFO)
        """Says so at once, or that `enabled` is to be asked; asked for every run."""

    def ended(self, record: Record, /) -> None:
        """Write the line of a call."""
        run = "/" not in record.path
        level = logging.DEBUG
        if run:
            level = logging.ERROR if record.status == "error" else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "path": record.path,
            "type": record.type,
            "status": record.status,
            "duration_ms": round(record.duration * 1000, 3),
        }
        if record.attempt > 1:
            fields["attempt"] = record.attempt
        if record.error is not None:
            fields["error_type"] = type(record.error).__name__
        if record.attributes:
            fields["attributes"] = record.attributes
        ids = f"{record.trace_id:032x}", f"{record.span_id:016x}", record.correlation_id
        _emit(self._logger, level, "run ended" if run else "step ended", None, 1, fields, ids)
