"""Ask a question about Markdown documents: a whole workflow, from files to a cited answer.

    python ask_docs.py "How do I retry a step?"
    python ask_docs.py "Which ports are open?" --docs handbook/ notes.md

Without a model the answer is put together from sentences of the documents. With `OPENAI_API_KEY`,
or `OPENAI_BASE_URL` for any OpenAI-compatible server (Ollama, LM Studio, vLLM, …), the model named
by `OPENAI_MODEL` answers from the same passages, and when it fails the sentences take its place.

How it is built is in `reading` and `answering`; everything below them is the command line. The
parts that do the work know nothing of workflows and stand in `docs_qa/`.

Exit codes: 0 answered; 1 nothing was found; 2 the command or a setting is wrong; 3 there is nothing
to search; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

# Types of steps stand outside TYPE_CHECKING: composition checks and pictures read them.
from docs_qa.extraction import Answer, extract
from docs_qa.index import Evidence, PassageIndex, Query, Ranking, SearchUnavailableError, fused  # noqa: TC002
from docs_qa.model import ModelBusyError, ModelClient, Settings, SettingsError
from docs_qa.passages import Document, find_files, read, split  # noqa: TC002
from docs_qa.terminal import complain, listed, printable, progress, shortened, waiting

from tta_dev_primitives import Batch, Router, WorkflowContext, WorkflowPrimitive, in_thread  # noqa: TC001
from tta_dev_primitives.errors import TimeoutExceededError
from tta_dev_primitives.observability import collect_records, render_tree
from tta_dev_primitives.performance import CachePrimitive
from tta_dev_primitives.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tta_dev_primitives import Sequential

DEFAULT_QUESTION = "What is TTA.dev, and how do I build and run a workflow?"
PROJECT = Path(__file__).resolve().parents[3]
PROJECT_DOCUMENTS = ("README.md", "docs", "packages/*/README.md", "packages/*/CHANGELOG.md")
PASSAGES = 8  # enough to answer from, and few enough for the context of a small local model


# --- the workflows ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Documents that can be searched.

    Attributes:
        index: Their passages.
        files: How many documents there are.
        problems: What was wrong with some of them, in sentences.
    """

    index: PassageIndex
    files: int
    problems: tuple[str, ...]


def reading(
    shown_as: Callable[[Path], str], on_progress: Callable[[int, int | None], object]
) -> Sequential[Iterable[Path], Library]:
    """Return a workflow that reads files, several at a time, and makes a library of them.

    Args:
        shown_as: How the reader of an answer is told about a file.
        on_progress: Called with the number of files that are done, and of all files.
    """

    def document(path: Path) -> Document:
        return split(read(path, shown_as=shown_as(path)))

    def library(documents: list[Document]) -> Library:
        return Library(
            index=PassageIndex([each for one in documents for each in one.passages]),
            files=len(documents),
            problems=tuple(one.problem for one in documents if one.problem),
        )

    documents = Batch(in_thread(document), max_concurrency=8, on_progress=on_progress)
    return documents >> in_thread(library)


def answering(
    index: PassageIndex, settings: Settings | None, *, timeout: float = 60.0
) -> Sequential[str, Answer]:
    """Return the workflow from a question to its answer.

    Args:
        index: The passages to answer from.
        settings: The model to ask; None to answer with the documents' own sentences.
        timeout: How long the model may take, all attempts together, in seconds.
    """

    def way(strategy: str) -> WorkflowPrimitive[Query, Ranking]:
        def search(query: Query) -> Ranking:
            return index.search(query, strategy)

        return in_thread(search, name=strategy)

    def merge(rankings: list[Ranking]) -> Evidence:
        best = fused(rankings, limit=PASSAGES)
        return Evidence(
            query=rankings[0].query, passages=tuple(index.passages[number] for number in best)
        )

    def answerer(evidence: Evidence) -> str:
        if not evidence.passages:
            return "nothing"
        return "quotes" if settings is None else "model"

    # Four searches at once on the same query; the same query is searched only once.
    search = (way("all_words") | way("any_word") | way("headings") | way("near_words")).named(
        "search"
    )
    find = CachePrimitive(TimeoutPrimitive(search >> merge, seconds=10), max_size=100, name="find")

    # Failed requests are repeated, a model that hangs is cut off, and what was paid for is kept.
    client = ModelClient(settings or Settings(), timeout=2 * timeout)
    asked = RetryPrimitive(client.ask, max_attempts=3, on=ModelBusyError)
    model = CachePrimitive(
        TimeoutPrimitive(asked, seconds=timeout), max_size=100, context_fields=()
    )

    quotes = in_thread(quote)
    routes: dict[str, WorkflowPrimitive[Evidence, Answer]] = {
        "model": FallbackPrimitive(SayWhy(model), fallback=quotes),
        "quotes": quotes,
        "nothing": in_thread(nothing),
    }
    return (in_thread(index.query, name="understand") >> find >> Router(routes, answerer)).named(
        "answer"
    )


class SayWhy(WorkflowPrimitive[Evidence, Answer]):
    """Runs a step and, when it fails, tells whoever takes over why: in `context.data["why"]`.

    A primitive of our own: `_execute_impl` is all that one needs. `nodes` and `segments` are there
    to show the inner step in pictures.
    """

    kind = "wrapper"

    def __init__(self, inner: WorkflowPrimitive[Evidence, Answer]) -> None:
        self._inner = inner

    @property
    def nodes(self) -> tuple[WorkflowPrimitive[Evidence, Answer]]:
        """The inner step."""
        return (self._inner,)

    @property
    def segments(self) -> tuple[str]:
        """The inner step's name in paths."""
        return (self._inner.name,)

    async def _execute_impl(self, context: WorkflowContext, input_data: Evidence) -> Answer:
        try:
            return await self._inner.execute(context, input_data)
        except TimeoutExceededError as error:
            context.data["why"] = f"no answer within {error.seconds:g} s"
            raise
        except Exception as error:
            context.data["why"] = str(error)
            raise


def quote(context: WorkflowContext, evidence: Evidence) -> Answer:
    """Answer with sentences of the documents, and say why no model did."""
    why = context.data.get("why")
    remark = f"the model failed: {why}" if why else "no model is set up"
    return replace(extract(evidence), remark=remark)


def nothing(evidence: Evidence) -> Answer:
    """Say that no passage has any word of the question."""
    unknown = evidence.query.unknown
    text = "The question has no word that could be searched for."
    if unknown:
        text = f"No passage has any of these words: {listed(unknown)}."
    return Answer(question=evidence.query.text, text=text, sources=(), answered_by="nobody")


# --- the command line ---------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 gets a `?`
    try:
        return ask(parsed(arguments))
    except (SettingsError, UsageError) as error:
        complain(f"error: {error}")
        return 2
    except (SearchUnavailableError, NothingToSearchError) as error:
        complain(f"error: {error}")
        return 3
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class UsageError(ValueError):
    """The command cannot be carried out as it was given."""


class NothingToSearchError(RuntimeError):
    """There is no document with any text."""


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command's arguments."""
    description, _, exit_codes = (__doc__ or "").partition("Exit codes: ")
    parser = argparse.ArgumentParser(
        prog="ask_docs.py",
        description=description,
        epilog=f"Exit codes: {exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", nargs="*", help=f"default: {DEFAULT_QUESTION}")
    parser.add_argument(
        "--docs",
        nargs="+",
        action="extend",
        type=Path,
        metavar="PATH",
        help="Markdown files and folders; default: this project's own documents",
    )
    go_on = "go on with questions from standard input"
    parser.add_argument("--interactive", action="store_true", help=go_on)
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long the model may take; default: %(default)g",
    )
    parser.add_argument("--trace", action="store_true", help="show what ran, and for how long")
    parser.add_argument("--graph", action="store_true", help="show the workflow, and do not run it")
    return parser.parse_args(arguments)


def ask(options: argparse.Namespace) -> int:
    """Answer the questions of a command; returns the exit code of the last one."""
    settings = Settings.from_environment(os.environ)
    if not 0 < options.timeout < float("inf"):
        raise UsageError(f"--timeout must be a number of seconds, above 0, not {options.timeout!r}")
    if options.graph:
        with closing(PassageIndex([])) as empty:
            print(answering(empty, settings, timeout=options.timeout).draw("tree"))
        return 0
    library, searched = opened(options.docs)
    for problem in library.problems:
        complain(f"warning: {problem}")
    code = 0
    with closing(library.index) as index:
        workflow = answering(index, settings, timeout=options.timeout)
        for question in questions(options):
            code = answered(workflow, question, searched=searched, trace=options.trace)
    return code


def opened(places: Sequence[Path] | None) -> tuple[Library, str]:
    """Read the documents; returns them and a sentence part that says what they are.

    Raises:
        UsageError: A place does not exist.
        NothingToSearchError: There is nothing to search.
    """
    if places is None:
        wanted = [path for name in PROJECT_DOCUMENTS for path in sorted(PROJECT.glob(name))]
        base, named = PROJECT, ", ".join(PROJECT_DOCUMENTS)
    else:
        wanted, base, named = list(places), Path.cwd(), ", ".join(map(str, places))
    files, missing = find_files(wanted)
    if missing:
        message = (
            f"{', '.join(map(str, missing))}: no such file or folder "
            f"(a question stands before --docs)"
        )
        raise UsageError(message)

    def shown_as(path: Path) -> str:
        return str(path.relative_to(base) if path.is_relative_to(base) else path)

    library = reading(shown_as, progress("reading documents")).run(files)
    count = len(library.index.passages)
    if not count:
        library.index.close()
        for problem in library.problems:
            complain(f"warning: {problem}")
        message = f"there is no Markdown text in {named} (below {base}); --docs names other places"
        raise NothingToSearchError(message)
    return library, f"{count} passages of {library.files} files ({named})"


def questions(options: argparse.Namespace) -> Iterator[str]:
    """Yield the questions of a command.

    Raises:
        UsageError: The question is empty.
    """
    # Bytes that are no text arrive as lone surrogates, which cannot be printed or sent.
    first = " ".join(options.question).encode("utf-8", "replace").decode().strip()
    if options.question and not first:
        raise UsageError("the question is empty")
    if first or not options.interactive:
        yield first or DEFAULT_QUESTION
    while options.interactive:
        try:
            line = input("\nquestion (Ctrl-D ends): " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line.strip()


def answered(
    workflow: WorkflowPrimitive[str, Answer], question: str, *, searched: str, trace: bool
) -> int:
    """Answer one question and print the answer; returns the exit code."""
    began = time.perf_counter()
    with waiting("answering"), collect_records() if trace else nullcontext() as records:
        answer = workflow.run(question)
    took = time.perf_counter() - began
    print(f"Question: {shortened(question)}\n\n{printable(answer.text)}\n")
    if answer.sources:
        print("Sources")
        for number, passage in answer.sources:
            print(f"  [{number}] {printable(passage.place)}")
        print()
        remark = f" ({printable(answer.remark)})" if answer.remark else ""
        print(f"Answered by {printable(answer.answered_by)}{remark} in {took:.2f} s,")
        print(f"from {searched}.")
    else:
        print(f"Searched: {searched}.")
    if records is not None:
        print(f"\n{render_tree(records)}")
    sys.stdout.flush()
    return 0 if answer.sources else 1


if __name__ == "__main__":
    sys.exit(main())
