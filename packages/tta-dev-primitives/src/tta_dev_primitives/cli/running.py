"""`tta run`: one run of a workflow, its output and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.cli.data import OutputClosed, as_json, write_out
from tta_dev_primitives.cli.problems import failure_as_data, failure_as_text, say
from tta_dev_primitives.cli.watch import TraceFile, Watch, watching
from tta_dev_primitives.core.blocking import Bell
from tta_dev_primitives.core.graph import describe
from tta_dev_primitives.core.stream import as_stream
from tta_dev_primitives.errors import Filtered

if TYPE_CHECKING:
    from pathlib import Path

    from tta_dev_primitives.cli.live import LiveTree
    from tta_dev_primitives.core.base import WorkflowPrimitive
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Job",)


class Job:
    """One run as the command line wants it.

    Args:
        workflow: What runs.
        context: Its context.
        input_data: Its input.
        timeout: Seconds after which it is cancelled; None for never.
        as_document: Write one JSON document instead of a result and a summary.
        trace: Where records go as JSON lines.
        full_traceback: Show all frames of a failure.
    """

    def __init__(
        self,
        workflow: WorkflowPrimitive[Any, Any],
        context: WorkflowContext,
        input_data: object,
        *,
        timeout: float | None = None,
        as_document: bool = False,
        trace: Path | None = None,
        full_traceback: bool = False,
    ) -> None:
        self.workflow = workflow
        self.context = context
        self.input_data = input_data
        self.timeout = timeout
        self.as_document = as_document
        self.full_traceback = full_traceback
        self.trace: TraceFile | None = None if trace is None else TraceFile(trace)
        self.watch: Watch = Watch(self.trace)
        self.tree: LiveTree | None = None
        self.status: str = "ok"
        self.result: object = None
        self.streamed: bool = False
        self.error: BaseException | None = None
        self.seconds: float = 0.0

    def run(self) -> int:
        """Run the workflow, write what came out, and return the exit code."""
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            stack.enter_context(watching(self.watch))
            if self.as_document:
                # What steps print must not get into the document.
                stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            elif sys.stderr.isatty():
                stack.enter_context(self._show_tree())
            try:
                self._run_interruptible()
            except KeyboardInterrupt:
                self.status, self.error = "interrupted", None
            except asyncio.CancelledError as error:
                self.status, self.error = "cancelled", error
            self.seconds = time.perf_counter() - began
        lost = None if self.trace is None else self.trace.close()
        if self.as_document:
            write_out(f"{self._document()}\n")
        else:
            self._report()
        if lost is not None:
            say(f"tta: {lost}")
        if self.status == "interrupted":
            return 130
        return 0 if self.status in {"ok", "filtered"} and lost is None else 1

    def _run_interruptible(self) -> None:
        with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
            if sys.platform != "win32":
                bell = stack.enter_context(contextlib.closing(Bell(runner.get_loop())))
                stack.enter_context(bell)
            runner.run(self._drive())

    def _show_tree(self) -> contextlib.AbstractContextManager[None]:
        from tta_dev_primitives.cli.live import LiveTree  # noqa: PLC0415 - for terminals only

        tree = self.tree = LiveTree(
            describe(self.workflow), self.watch, capture_stdout=sys.stdout.isatty()
        )
        return tree.shown()

    async def _drive(self) -> None:
        bound = asyncio.timeout(self.timeout)
        try:
            async with bound:
                await self._execute()
        except OutputClosed:
            raise
        except Filtered:
            self.status = "filtered"
        except TimeoutError as error:
            # A TimeoutError of the workflow's own is a failure like any other.
            self.status = "timeout" if bound.expired() else "error"
            self.error = error
        except Exception as error:  # noqa: BLE001 - whatever the workflow raises is reported
            self.status, self.error = "error", error

    async def _execute(self) -> None:
        result = await self.workflow.execute(self.context, self.input_data)
        if not isinstance(result, AsyncIterable):
            self.result = result
            return
        self.streamed = True
        if self.as_document:
            self.result = await as_stream(cast("object", result)).collect()
            return
        if self.tree is not None and sys.stdout.isatty():
            self.tree.stop()
        async with as_stream(cast("object", result)) as items:
            await self._write_items(items)

    async def _write_items(self, items: AsyncIterable[object]) -> None:
        """Write items as they come: texts as they are, anything else one to a line."""
        open_line = False
        try:
            async for item in items:
                text = item if isinstance(item, str) else f"{_shown(item)}\n"
                write_out(text)
                open_line = not text.endswith("\n") if text else open_line
        finally:
            if open_line:
                write_out("\n")

    # --- what is told -----------------------------------------------------------------------

    def _report(self) -> None:
        if self.status == "ok" and not self.streamed:
            write_out(f"{_shown(self.result, indent=2)}\n")
        if self.status == "timeout":
            say(f"tta: not done within {self.timeout:g} s{self._was_at()}")
        elif self.status == "interrupted":
            say(f"tta: interrupted{self._was_at()}")
        elif self.status == "filtered":
            say("tta: a filter ended the run; there is no result")
        elif self.error is not None:
            say(failure_as_text(self.error, full=self.full_traceback))
        say(self._summary())

    def _was_at(self) -> str:
        paths = self.watch.cut_off()
        if not paths:
            return ""
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""  # noqa: PLR2004 - enough for a line
        return f"; was at {', '.join(paths[:3])}{more}"

    def _summary(self) -> str:
        places = self.watch.places.values()
        parents = {path.rpartition("/")[0] for path in self.watch.places}
        steps = [place for place in places if place.path not in parents]
        parts = [
            f"{self.status} in {self.seconds:.3f} s",
            _counted(sum(place.calls for place in steps), "step call"),
        ]
        if any(place.failed for place in steps):
            parts.append(f"{sum(place.failed for place in steps)} failed")
        if any(place.retries for place in places):
            parts.append(f"{sum(place.retries for place in places)} retried")
        if len(steps) > 1:
            slowest = max(steps, key=lambda place: place.seconds)
            parts.append(f"slowest {slowest.path} {slowest.seconds:.3f} s")
        parts.append(f"correlation id {self.context.correlation_id}")
        return " · ".join(parts)

    def _document(self) -> str:
        document: dict[str, Any] = {
            "workflow": self.workflow.name,
            "status": self.status,
            "duration": self.seconds,
            "correlation_id": self.context.correlation_id,
            "trace_id": f"{self.context.trace_id:032x}",
            "result": self.result,
            "result_is_text": False,
            "error": None if self.error is None else failure_as_data(self.error),
            "steps": [place.facts() for place in self.watch.places.values()],
        }
        if self.status == "timeout":
            document["error"] = {
                "type": "TimeoutError",
                "message": f"not done within {self.timeout:g} s",
                "was_at": self.watch.cut_off(),
            }
        text = as_json(document, indent=2)
        if text is None:
            document["result"] = _text_of(self.result)
            document["result_is_text"] = True
            text = as_json(document, indent=2)
        return text or "{}"


def _shown(value: object, *, indent: int | None = None) -> str:
    text = as_json(value, indent=indent)
    return _text_of(value) if text is None else text


def _text_of(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the run went well; only its result cannot be shown
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
