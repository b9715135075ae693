"""What goes into a run and comes out of it, as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from tta_dev_primitives.cli.problems import UsageProblem
from tta_dev_primitives.core.context import WorkflowContext
from tta_dev_primitives.core.frozen import Frozen
from tta_dev_primitives.errors import ConfigurationError

__all__ = ("OutputClosed", "as_json", "context_from", "read", "write_out")

# Made by the engine, or of no meaning outside the process.
_NOT_GIVEN = frozenset({"parent_span_context", "deadline"})


class OutputClosed(Exception):  # noqa: N818 - nothing went wrong here
    """Whoever read the standard output has gone, as `head` does when it has seen enough."""


def write_out(text: str) -> None:
    """Write to the standard output, at once.

    Raises:
        OutputClosed: Nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise OutputClosed from None


def read(option: str, text: str) -> Any:
    """Return the value of an option that takes JSON, `@FILE`, or `-` for the standard input.

    Args:
        option: Its name, for an error's text.
        text: What the user gave.

    Raises:
        UsageProblem: It cannot be read, or is not JSON.
    """
    source = option
    if text == "-":
        source = f"{option} (standard input)"
        text = _decoded(source, sys.stdin.buffer.read())
    elif text.startswith("@"):
        source = f"{option} {text}"
        try:
            text = _decoded(source, Path(text[1:]).read_bytes())
        except OSError as error:
            message = f"{source}: {error.strerror or error}"
            raise UsageProblem(message) from None
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        message = f"{source} is nested too deeply"
    except json.JSONDecodeError as error:
        message = f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        if source == option and error.pos == 0 and text.strip():
            message += f"; a text needs quotes: {option} '{json.dumps(text[:60])}'"
    except ValueError as error:
        message = f"{source} is not JSON: {error}"
    raise UsageProblem(message)


def _decoded(source: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{source} is not UTF-8: byte {raw[error.start]:#04x} at offset {error.start}"
        raise UsageProblem(message) from None


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is no JSON number"
    raise ValueError(message)


def context_from(text: str | None) -> WorkflowContext:
    """Return the context of a run from the option `--context`.

    Raises:
        UsageProblem: It is not an object with fields of `WorkflowContext`.
    """
    given: Any = {} if text is None else read("--context", text)
    if not isinstance(given, dict):
        message = f"--context must be a JSON object with fields of WorkflowContext, not {given!r}"
        raise UsageProblem(message)
    fields = cast("dict[str, Any]", given)
    for name in sorted(_NOT_GIVEN & fields.keys()):
        hint = "; use --timeout" if name == "deadline" else ""
        message = f"--context: {name} cannot be given on the command line{hint}"
        raise UsageProblem(message)
    for name in ("data", "tags", "baggage"):
        if name in fields and not isinstance(fields[name], Mapping):
            message = f"--context: {name} must be a JSON object, not {fields[name]!r}"
            raise UsageProblem(message)
    budget = fields.get("budget")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, (int, float))):
        message = f"--context: budget must be a number, not {budget!r}"
        raise UsageProblem(message)
    try:
        return WorkflowContext(**fields)
    except ConfigurationError as error:
        message = f"--context: {error}"
        raise UsageProblem(message) from None


def as_json(value: object, *, indent: int | None = None) -> str | None:
    """Return a value as JSON text, or None where JSON cannot hold it.

    Dataclasses and pydantic models become objects, sets become lists.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return {name: getattr(value, name) for name in value.record_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    dump = getattr(cast("object", value), "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(cast("Any", value))
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value), key=repr)
    message = f"{type(value).__name__} has no form in JSON"
    raise TypeError(message)
