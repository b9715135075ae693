"""The documents tell of all that there is, and of nothing that there is not."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import tta_agent_coordination
from tta_agent_coordination import errors

FOLDER = Path(__file__).resolve().parents[4] / "docs" / "packages" / "tta-agent-coordination"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the package is tested without the site"
)


def text(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text("utf-8")


def test_the_api_document_names_every_public_name() -> None:
    said = text("API")

    missing = [name for name in tta_agent_coordination.__all__ if name not in said]
    assert missing in ([], ["__version__"])


@pytest.mark.parametrize(
    "name",
    [
        *("MailboxCoordinator", "DeadLetters", "SyncSender", "Lease", "AgentWorker"),
        *("RedisAgentTransport", "RedisAgentRegistry", "MailboxAgentProxy", "CircuitBreaker"),
        *("SharedState", "MessageMetrics"),
    ],
)
def test_it_names_every_method_with_its_parameters(name: str) -> None:
    kind: Any = getattr(tta_agent_coordination, name)
    rows = re.findall(r"^\| `([^`]*)` \|", text("API").partition(f"### {name}\n")[2], re.MULTILINE)

    for method, function in inspect.getmembers(kind, inspect.isfunction):
        if method.startswith("_"):
            continue
        (row,) = [row for row in rows if re.search(rf"(^|[ ]){method}\(", row)][:1]
        for parameter in inspect.signature(function).parameters:
            assert parameter == "self" or re.search(rf"\b{parameter}\b", row), (method, parameter)
        assert row.startswith("await ") == inspect.iscoroutinefunction(function)


def test_it_draws_the_tree_of_errors_as_it_is() -> None:
    tree = inspect.cleandoc(errors.__doc__ or "").partition("```text\n")[2].partition("\n```")[0]

    assert tree in text("API")


@pytest.mark.parametrize("name", ["README", "MIGRATION", "EXAMPLES", "OPERATIONS"])
def test_errors_and_states_that_are_named_exist(name: str) -> None:
    """`AgentCommunicationError` is of the code before this package."""
    named = set(re.findall(r"`([A-Z][A-Za-z]+(?:Error|Lost|Timeout|Failed))`", text(name)))

    known = {*errors.__all__, "AgentCommunicationError", "TypeError"}
    assert named <= known
