"""Structured log lines: their parts, their ids, and that nothing breaks them."""

import asyncio
import io
import json
import logging
import logging.handlers
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives.core import engine
from tta_dev_primitives.core.base import WorkflowContext
from tta_dev_primitives.core.functions import step
from tta_dev_primitives.core.sequential import Sequential
from tta_dev_primitives.errors import ConfigurationError
from tta_dev_primitives.observability.log_formats import CorrelationFilter, JsonFormatter
from tta_dev_primitives.observability.logging import (
    WORKFLOW_LOGGER,
    configure_logging,
    get_logger,
    unconfigure_logging,
)
from tta_dev_primitives.observability.metrics import disable_observability, enable_observability
from tta_dev_primitives.observability.propagation import current_span_context
from tta_dev_primitives.observability.redaction import REDACTED


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Nobody listens at first; our handler is gone after each test."""
    disable_observability()
    yield
    unconfigure_logging()


@pytest.fixture
def lines() -> io.StringIO:
    """What our handler writes, from DEBUG on."""
    stream = io.StringIO()
    configure_logging("DEBUG", stream)
    return stream


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines as objects, and forget them."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    stream.seek(0)
    stream.truncate()
    return [one for one in found if one["logger"] != "asyncio"]  # the loop tells of itself


def test_a_line_has_its_parts_in_order_and_then_the_fields(lines: io.StringIO) -> None:
    """Outside a workflow there are no ids."""
    get_logger("shop").info("order received", order_id=17, items=["a", {"b": 1.5}])

    (line,) = read(lines)
    assert list(line) == ["timestamp", "severity", "logger", "message", "order_id", "items"]
    assert line["timestamp"].endswith("Z")
    assert line["timestamp"][10] == "T"
    assert (line["severity"], line["logger"]) == ("INFO", "shop")
    assert (line["message"], line["items"]) == ("order received", ["a", {"b": 1.5}])


async def test_inside_a_step_the_ids_are_there(lines: io.StringIO) -> None:
    """Trace id in 32 digits, span id in 16, those of `current_span_context`; correlation id."""
    seen: list[Any] = []

    async def speak(value: int) -> int:
        seen.append(current_span_context())
        get_logger("inner").info("ours")
        logging.getLogger("theirs").info("of the standard library", extra={"n": value})
        return value

    context = WorkflowContext(correlation_id="req-1")
    await Sequential([speak, speak]).execute(context, 1)

    ours, theirs, second = [one for one in read(lines) if one["logger"] != WORKFLOW_LOGGER][:3]
    assert ours["correlation_id"] == theirs["correlation_id"] == "req-1"
    assert ours["trace_id"] == theirs["trace_id"] == f"{context.trace_id:032x}"
    assert ours["span_id"] == theirs["span_id"] == f"{seen[0].span_id:016x}"
    assert second["span_id"] != ours["span_id"]
    assert theirs["n"] == 1


async def test_concurrent_runs_do_not_share_ids(lines: io.StringIO) -> None:
    """Each line has the correlation id of its own run."""

    async def speak(value: int) -> int:
        await asyncio.sleep(0)
        get_logger("inner").info("here", value=value)
        return value

    workflow = Sequential([speak])
    await asyncio.gather(
        *(workflow.execute(WorkflowContext(correlation_id=f"r{i}"), i) for i in range(50))
    )

    inner = [one for one in read(lines) if one["logger"] == "inner"]
    assert len(inner) == 50
    assert all(one["correlation_id"] == f"r{one['value']}" for one in inner)


def test_a_field_never_replaces_a_part_of_the_line(lines: io.StringIO) -> None:
    """It is written with an underscore behind its name; two such fields with two."""
    get_logger("x").info("event", message="m", trace_id="t", logger=1, exception=2, trace_id_="u")
    logging.getLogger("x").info("event", extra={"severity": "low", "correlation_id": "c"})

    ours, theirs = read(lines)
    assert (ours["message"], ours["message_"], ours["logger_"]) == ("event", "m", 1)
    assert (ours["trace_id_"], ours["trace_id__"], ours["exception_"]) == ("t", "u", 2)
    assert "trace_id" not in ours
    assert (theirs["severity"], theirs["severity_"]) == ("INFO", "low")
    assert (theirs["correlation_id_"], "correlation_id" in theirs) == ("c", False)


@pytest.mark.parametrize("name", ["event", "level", "self", "name", "args", "msg", "fields"])
def test_any_name_can_be_a_field(name: str, lines: io.StringIO) -> None:
    """Also those of our own parameters and of `logging`'s record."""
    get_logger("x").info("event", **{name: 1})  # pyright: ignore[reportArgumentType]
    assert read(lines)[0][name] == 1


def test_bound_fields_are_on_each_line_and_can_be_replaced(lines: io.StringIO) -> None:
    """The logger that was bound is left as it was."""
    logger = get_logger("x", region="eu")
    bound = logger.bind(user=1)
    bound.warning("a", user=2)
    bound.error("b")
    logger.critical("c")

    found = [(one["severity"], one["region"], one.get("user")) for one in read(lines)]
    assert found == [("WARNING", "eu", 2), ("ERROR", "eu", 1), ("CRITICAL", "eu", None)]
    assert (bound.name, bound.isEnabledFor(logging.INFO)) == ("x", True)


def test_an_exception_is_part_of_the_line(lines: io.StringIO) -> None:
    """With its class, its text and its traceback, without the secrets in them."""
    logger = get_logger("x")
    try:
        {}["password=hunter2"]
    except KeyError as error:
        logger.exception("failed")
        logger.warning("failed", exc_info=error)

    for line in read(lines):
        assert line["exception"]["type"] == "KeyError"
        assert line["exception"]["message"] == f"'password={REDACTED}'"
        assert "test_logging.py" in line["exception"]["stacktrace"]


def test_secrets_are_in_no_line(lines: io.StringIO) -> None:
    """In fields, nested ones, event texts, format arguments and exceptions, in either format."""
    logger = get_logger("x")
    for _ in range(2):
        logger.info("using sk-proj-abcdef1234567890", api_key="PLANT3D", n={"token": "PLANT3D"})
        logging.getLogger("y").info("%s", "password=PLANT3D", extra={"secret": "PLANT3D"})
        logging.getLogger("y").info({"password": "PLANT3D"})
        try:
            json.loads("PLANT3D")
        except ValueError as error:
            error.add_note("while using postgres://u:PLANT3D@h")
            logger.info("x", exc_info=ValueError("Bearer PLANT3D.PLANT3D.PLANT3D"))
        configure_logging("DEBUG", lines, format="console")

    assert "PLANT3D" not in lines.getvalue()
    assert "sk-proj-abcdef" not in lines.getvalue()


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_nothing_that_is_logged_raises_or_is_lost(
    lines: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values without a repr, cycles, wrong formats, lone surrogates: a line each, no complaint."""
    # The test runner's own handlers would keep the surrogate, and parallel runs cannot send it.
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if "_pytest" not in type(handler).__module__]
    monkeypatch.setattr(root, "handlers", ours)
    cycle: list[Any] = []
    cycle.append(cycle)
    logger = get_logger("x")
    logger.info("a", value=Hostile(), cycle=cycle, huge=10**5000, odd={1: {2}, (3,): b"\xff"})
    logger.info("b %s %d")
    logger.info("c \ud800")
    logger.info("d", exc_info=HostileError())
    logger.exception("e")  # noqa: LOG004 - there is none to show

    assert [one["message"][0] for one in read(lines)] == list("abcde")
    assert capsys.readouterr().err == ""


def test_a_format_that_does_not_fit_its_arguments_is_shown_with_them() -> None:
    """A slip in a log call of the standard library loses no line."""
    record = logging.LogRecord("y", logging.INFO, "f.py", 1, "n is %d", ("many",), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "n is %d ('many',)"


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5), st.text())
def test_every_line_is_one_line_of_json(fields: dict[str, str], event: str) -> None:
    """Whatever is logged, a line break never comes from the data."""
    fields.pop("exc_info", None)
    fields.pop("stacklevel", None)
    stream = io.StringIO()
    configure_logging("DEBUG", stream)
    get_logger("x").info(event, **fields)  # pyright: ignore[reportArgumentType]
    unconfigure_logging()

    assert stream.getvalue().count("\n") == 1
    assert isinstance(json.loads(stream.getvalue()), dict)


def test_the_console_format_is_for_readers(lines: io.StringIO) -> None:
    """Fields stand behind the event, and no text drives the terminal."""
    configure_logging("DEBUG", lines, format="console")
    get_logger("shop").info("order \x1b[31mred", order_id=17, note='a "b"', empty="")

    line = lines.getvalue()
    assert r"order \x1b[31mred  order_id=17 " in line
    assert r'note="a \"b\"" empty=""' in line
    assert "\x1b" not in line


def test_a_foreign_handler_shows_the_fields_too(caplog: pytest.LogCaptureFixture) -> None:
    """Without our handler the fields stand behind the text, without secrets."""
    with caplog.at_level(logging.INFO):
        get_logger("x").info("event sk-proj-abcdef1234567890", user_id=1, password="p-1")  # noqa: S106

    assert caplog.messages == [f"event {REDACTED} user_id=1 password={REDACTED}"]
    assert (caplog.records[0].filename, caplog.records[0].funcName) == (
        "test_logging.py",
        "test_a_foreign_handler_shows_the_fields_too",
    )


def test_stacklevel_names_the_caller_of_a_wrapper(caplog: pytest.LogCaptureFixture) -> None:
    """2 is the caller's caller; more than there are is not an error."""

    def wrapper() -> None:
        get_logger("x").warning("event", stacklevel=2)
        get_logger("x").warning("event", stacklevel=10_000)

    wrapper()

    assert caplog.records[0].funcName == "test_stacklevel_names_the_caller_of_a_wrapper"
    assert caplog.records[1].lineno == 0


async def test_ids_survive_a_queue() -> None:
    """The filter before a `QueueHandler` takes the ids along to the thread that writes."""
    configure_logging("DEBUG", io.StringIO())
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)  # type: ignore[arg-type]
    handler.addFilter(CorrelationFilter())
    logger = logging.getLogger("queued")
    logger.addHandler(handler)

    async def speak(value: int) -> int:
        logger.info("plain")
        get_logger("queued").info("ours", value=value)
        return value

    try:
        await step(speak).execute(WorkflowContext(correlation_id="q-1"), 1)
        logger.info("outside")
    finally:
        logger.removeHandler(handler)

    format_line = JsonFormatter().format
    inside, ours, outside = (json.loads(format_line(records.get_nowait())) for _ in range(3))
    assert inside["correlation_id"] == ours["correlation_id"] == "q-1"
    assert ours["value"] == 1
    assert "trace_id_" not in inside
    assert "correlation_id" not in outside


def test_configuring_twice_writes_once_and_changes_the_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One handler; by default JSON on the standard output of the moment."""
    first = configure_logging()
    second = configure_logging(logging.WARNING)
    get_logger("x").info("not written")
    get_logger("x").warning("written")

    assert first is second
    out = capsys.readouterr().out
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["written"]


def test_unconfiguring_leaves_nothing_behind() -> None:
    """The handler goes, the level comes back, and frames are no longer kept; twice is once."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    handler = configure_logging("DEBUG")
    assert handler in root.handlers
    assert engine._ambient == 1  # pyright: ignore[reportPrivateUsage]

    unconfigure_logging()
    unconfigure_logging()

    assert (root.level, list(root.handlers)) == before
    assert engine._ambient == 0  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("level", ["LOUD", None, 1.5])
def test_an_unknown_level_is_refused_by_name(level: Any) -> None:
    """The error lists the levels that exist."""
    with pytest.raises(ConfigurationError, match="WARNING"):
        configure_logging(level)


def test_an_unknown_format_is_refused_by_name() -> None:
    """Nothing is installed then."""
    with pytest.raises(ConfigurationError, match=r"'json' or 'console'.*'xml'"):
        configure_logging(format="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert engine._ambient == 0  # pyright: ignore[reportPrivateUsage]


async def test_runs_are_logged_at_info_and_steps_at_debug(lines: io.StringIO) -> None:
    """With path, type, status and duration; a failed run at ERROR, with the class alone."""
    enable_observability()

    async def fail(value: int) -> int:
        raise LookupError(f"secret text {value}")

    workflow = Sequential([abs, fail])
    with pytest.raises(LookupError):
        await workflow.execute(1)

    first, second, run = read(lines)
    assert (first["severity"], first["message"], first["path"]) == (
        "DEBUG",
        "step ended",
        "sequential/abs",
    )
    assert (second["status"], second["error_type"]) == ("error", "LookupError")
    assert (run["severity"], run["message"], run["path"]) == ("ERROR", "run ended", "sequential")
    assert run["duration_ms"] > 0
    assert first["trace_id"] == run["trace_id"]
    assert "secret text" not in json.dumps([first, second, run])


async def test_at_info_only_runs_are_logged(lines: io.StringIO) -> None:
    """Steps stay silent."""
    enable_observability()
    configure_logging("INFO", lines)
    await Sequential([abs, abs]).execute(1)

    assert [one["path"] for one in read(lines)] == ["sequential"]


async def test_below_info_no_record_is_made(lines: io.StringIO) -> None:
    """The level is asked once per run, and nothing is built for nobody."""
    enable_observability()
    unconfigure_logging()
    logging.getLogger(WORKFLOW_LOGGER).setLevel(logging.WARNING)
    try:
        assert engine.listening is not None
        assert not engine.listening.framed()
        await Sequential([abs]).execute(1)
    finally:
        logging.getLogger(WORKFLOW_LOGGER).setLevel(logging.NOTSET)
    assert read(lines) == []
