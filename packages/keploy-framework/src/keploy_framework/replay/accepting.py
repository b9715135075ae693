"""Taking what was replayed into the recording: new answers, and noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from keploy_framework.errors import OptionError
from keploy_framework.noise import dotted, entries
from keploy_framework.storage.documents import Document, as_read, render, replace_file
from keploy_framework.storage.folder import KeployFolder
from keploy_framework.storage.http import encode_http
from keploy_framework.storage.sidecar import digest_of, encode_sidecar
from keploy_framework.storage.writer import SIDECAR_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from keploy_framework.model import Exchange
    from keploy_framework.results import CaseOutcome
    from keploy_framework.storage.folder import TestSet
    from keploy_framework.storage.stored import StoredCase

__all__ = ("accept", "write_noise")


def accept(folder: Path | str, outcomes: Iterable[CaseOutcome]) -> tuple[str, ...]:
    """Make the answers that came the recorded ones, for the cases that failed.

    The request stays, and so do noise, other assertions, and whatever else stands in the files.

    Args:
        folder: The `keploy` folder.
        outcomes: Those to accept; such that passed are left alone.

    Returns:
        The ids of the cases whose answer is another one now.

    Raises:
        OptionError: A case got no whole answer: there is nothing to accept.
        FormatError: A file is damaged.
        JournalError: A file cannot be written.
    """
    chosen = [outcome for outcome in outcomes if outcome.status == "FAILED"]
    for outcome in chosen:
        if outcome.actual is None or outcome.actual.response is None or outcome.actual.failure:
            raise OptionError(
                f"{outcome.id} got no whole answer that could be accepted: {outcome.reason}"
            )
    store = KeployFolder(folder)
    for outcome in chosen:
        found = store.set(outcome.test_set)
        _accepted(found, found.case(outcome.name), cast("Exchange", outcome.actual))
    return tuple(outcome.id for outcome in chosen)


def write_noise(
    folder: Path | str, noise: Mapping[str, Mapping[str, Sequence[str]]]
) -> tuple[str, ...]:
    """Add noise rules to test cases; a rule for a path that has one replaces it.

    Args:
        folder: The `keploy` folder.
        noise: By the id of the case (`set/name`): paths, each with its patterns, as
            `NoiseFound.noise` gives them.

    Returns:
        The ids of the cases that were written.

    Raises:
        OptionError: A case has no file that could hold noise, as those of WebSockets.
        LookupError: There is no such case.
    """
    store = KeployFolder(folder)
    for name, rules in noise.items():
        set_name, _, case_name = name.rpartition("/")
        found = store.set(set_name)
        case = found.case(case_name)
        kept = entries({path: list(patterns) for path, patterns in case.noise.items()})
        merged = {**kept, **{path: tuple(patterns) for path, patterns in rules.items()}}
        found.rewrite(case, noise=dotted(merged))
    return tuple(noise)


def _accepted(found: TestSet, case: StoredCase, actual: Exchange) -> None:
    old = case.exchange
    if old is None or actual.response is None:
        return
    response = actual.response
    duration = max(0, actual.ended_at - actual.started_at)
    new = replace(
        old,
        response=response,
        failure=None,
        messages=actual.messages,
        ended_at=old.started_at + duration,
    )
    digest = None
    if case.document is not None:
        document = _with_answer(case.document, new, found.name)
        replace_file(case.path, render([document]))
        digest = digest_of(as_read(document))
    sidecar = found.path / "tta" / f"{case.name}.yaml"
    tree = encode_sidecar(new, case.name, digest=digest)
    replace_file(sidecar, render([Document(tree, head=SIDECAR_HEAD)]))


def _with_answer(document: Document, exchange: Exchange, test_set: str) -> Document:
    """Return a document with another answer."""
    made = encode_http(exchange, exchange.name or "case", test_set=test_set).tree
    tree = cast("dict[str, Any]", document.tree)
    spec = cast("dict[str, Any]", tree["spec"])
    return replace(document, tree={**tree, "spec": {**spec, "resp": made["spec"]["resp"]}})
