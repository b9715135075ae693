"""Structured log lines on the standard `logging`: an event, named fields, and the run's ids.

`get_logger` gives a logger whose methods take fields by keyword. `configure_logging` installs the
one handler of ours, which writes JSON lines (or a line for a terminal) for every logger of the
process, with the ids of the workflow that is running. Without it the library installs no handler,
and what is logged goes wherever the program sends it, fields at the end of the text.

How a line looks stands in `log_formats`, which is loaded with the first line. Secrets are taken out
of every field and text; the rules stand in `redaction`.
"""

from __future__ import annotations

import logging
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO, TypeAlias, cast

from tta_dev_primitives.core import engine
from tta_dev_primitives.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tta_dev_primitives.core.record import Record
    from tta_dev_primitives.observability.log_formats import Ids

__all__ = (
    "Event",
    "LogObserver",
    "StructuredLogger",
    "configure_logging",
    "get_logger",
    "unconfigure_logging",
)

ExcInfo: TypeAlias = (
    "bool | BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | None"
)

WORKFLOW_LOGGER = "tta_dev_primitives.workflow"
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
        Event(event, fields) if fields else event,
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


class Event(str):
    """The text of an event that, shown by a handler of another's, has its fields behind it."""

    __slots__ = ("_fields",)

    _fields: Mapping[str, object]

    def __new__(cls, event: str, fields: Mapping[str, object]) -> Self:
        """Return the event, which remembers its fields."""
        made = super().__new__(cls, event)
        made._fields = fields
        return made

    def __str__(self) -> str:
        from tta_dev_primitives.observability.log_formats import text_of_event  # noqa: PLC0415 - with the first line

        return text_of_event(str.__str__(self), self._fields)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _exception(exc_info: ExcInfo) -> Any:
    """Return what a log record wants: a triple, or None."""
    if not exc_info:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return exc_info if isinstance(exc_info, tuple) else sys.exc_info()


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
    from tta_dev_primitives.observability.log_formats import ConsoleFormatter, JsonFormatter  # noqa: PLC0415 - a program that logs by other means needs none

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
