"""The commands and their options; what they do stands in the modules beside this one."""

from __future__ import annotations

import io
import os
import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from tta_dev_primitives.cli.data import OutputClosed, as_json, context_from, read, write_out
from tta_dev_primitives.cli.problems import UsageProblem, say
from tta_dev_primitives.cli.target import load

if TYPE_CHECKING:
    from tta_dev_primitives.cli.measuring import Measured

__all__ = ("app",)

_EPILOG = (
    "Exit codes: 0 it went well; 1 the workflow failed, or problems were found; 2 wrong use (a "
    "target that does not import, malformed input, a missing extra); 130 interrupted."
)

app: typer.Typer = typer.Typer(
    help="Run, draw, check and measure workflows.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE_OR_FILE:NAME",
        help="A primitive, or a function without parameters that makes one.",
    ),
]


class LogLevel(StrEnum):
    """The levels of `logging`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class PictureStyle(StrEnum):
    """The styles of `draw`."""

    TREE = "tree"
    MERMAID = "mermaid"
    SVG = "svg"


_SUFFIXES = {
    ".svg": PictureStyle.SVG,
    ".mmd": PictureStyle.MERMAID,
    ".mermaid": PictureStyle.MERMAID,
}


@app.callback()
def start() -> None:
    """Run, draw, check and measure workflows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign shows its code.
            stream.reconfigure(errors="backslashreplace")


@app.command(epilog=_EPILOG)
def run(
    target: _Target,
    *,
    input_text: Annotated[
        str,
        typer.Option(
            "--input", "-i", metavar="JSON|@FILE|-", help="The input; - is the standard input."
        ),
    ] = "null",
    context: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE", help='Fields of the context, such as {"data": {"tier": "fast"}}.'
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Cancel the run after this time.")
    ] = None,
    as_document: Annotated[
        bool, typer.Option("--json", help="Write one JSON document for machines.")
    ] = False,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one JSON line per call.")
    ] = None,
    full_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show all of a failure's traceback.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(help="Log lines go to the standard error stream.")
    ] = LogLevel.WARNING,
) -> None:
    """Run a workflow: its result goes to standard output, all else to standard error.

    In a terminal the steps are shown as they run. A workflow that streams is written as it comes.
    """
    from tta_dev_primitives.cli.running import Job  # noqa: PLC0415 - only for this command
    from tta_dev_primitives.observability.logging import configure_logging, unconfigure_logging  # noqa: PLC0415 - as above

    if timeout is not None and not 0 < timeout < float("inf"):
        text = f"--timeout must be a number of seconds above 0, not {timeout:g}"
        raise _usage(UsageProblem(text))
    try:
        job = Job(
            _loaded(target, quiet=as_document),
            context_from(context),
            read("--input", input_text),
            timeout=timeout,
            as_document=as_document,
            trace=trace,
            full_traceback=full_traceback,
        )
    except UsageProblem as problem:
        raise _usage(problem) from None
    configure_logging(
        log_level.value.upper(), stream=cast("TextIO", _StandardError()), format="console"
    )
    try:
        code = job.run()
    except OutputClosed:
        raise _closed() from None
    finally:
        unconfigure_logging()
    raise typer.Exit(code)


@app.command(epilog=_EPILOG)
def graph(
    target: _Target,
    style: Annotated[
        PictureStyle | None,
        typer.Option(help="Default: by the suffix of --output, else tree."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: the terminal.")
    ] = None,
) -> None:
    """Draw a workflow, without running it."""
    try:
        workflow = _loaded(target)
    except UsageProblem as problem:
        raise _usage(problem) from None
    if style is None:
        style = PictureStyle.TREE if output is None else _SUFFIXES.get(output.suffix.lower())
    picture = f"{workflow.draw((style or PictureStyle.TREE).value)}\n"
    if output is None:
        _write(picture)
        return
    try:
        output.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise _usage(UsageProblem(f"--output {output}: {error.strerror or error}")) from None


@app.command(epilog=_EPILOG)
def validate(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...", help="MODULE_OR_FILE:NAME; without :NAME, all in the module."
        ),
    ],
) -> None:
    """Check workflows without running them; one problem per line.

    They must import, their annotations must resolve and fit, every route must be reachable, and
    no composite may be empty.
    """
    from tta_dev_primitives.cli.checking import check_target  # noqa: PLC0415 - only for this command

    failed = False
    for target in targets:
        problems, count = check_target(target)
        failed = failed or bool(problems)
        _write("".join(f"{problem}\n" for problem in problems))
        if not problems:
            say(f"{target}: {count} nodes, no problem")
    raise typer.Exit(1 if failed else 0)


@app.command(epilog=_EPILOG)
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")
    ] = None,
    *,
    turns: Annotated[int, typer.Option(min=1, help="How often each row is measured.")] = 101,
    as_document: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Measure what the engine costs on this machine, as a ratio to the bare loop."""
    from tta_dev_primitives.cli.measuring import measure, rows  # noqa: PLC0415 - only for this command

    known = rows()
    for name in names or ():
        if name not in known:
            text = f"there is no benchmark {name!r}; there are {', '.join(known)}"
            raise _usage(UsageProblem(text))
    results: list[Measured] = []
    for row in (known[name] for name in names or known):
        for number, measured in enumerate(measure(row, turns=turns), 1):
            _progress(f"{row.name}: {number} of {turns}")
            if number == turns:
                results.append(measured)
    _progress("")
    if as_document:
        _write(f"{as_json([result.facts() for result in results], indent=2)}\n")
        return
    _write(f"{'benchmark':<20} {'bare':>10} {'composed':>10} {'ratio':>7} {'budget':>7}\n")
    for r in results:
        _write(
            f"{r.name:<20} {r.bare * 1e6:>7.2f} µs {r.composed * 1e6:>7.2f} µs "
            f"{r.ratio:>7.2f} {r.budget:>7.2f}\n"
        )


# --- small matters ------------------------------------------------------------------------------


def _loaded(target: str, *, quiet: bool = False) -> Any:
    """Load a target; `quiet`: what its module prints does not get into the output."""
    from contextlib import nullcontext, redirect_stdout  # noqa: PLC0415 - only here

    with redirect_stdout(sys.stderr) if quiet else nullcontext():
        return load(target)


def _usage(problem: UsageProblem) -> typer.Exit:
    say(f"tta: {problem}")
    return typer.Exit(2)


def _write(text: str) -> None:
    try:
        write_out(text)
    except OutputClosed:
        raise _closed() from None


def _closed() -> typer.Exit:
    """End quietly; without this, the interpreter complains when it flushes the closed stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return typer.Exit(1)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()


class _StandardError(io.TextIOBase):
    """What `sys.stderr` is when a line is written: the live tree puts itself in its place."""

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
