"""Every Python block of every document runs, in order, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from tta_dev_primitives.observability import enable_observability, reset_metrics
from tta_dev_primitives.testing import preserved_observers

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "packages/*/*.md", "packages/*/docs/**/*.md")
    for path in ROOT.glob(pattern)
    if ".site" not in path.parts
)
_BLOCKS = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_the_blocks_of_a_document_run(
    document: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names carry over from block to block; a `text` block after one shows what it prints."""
    monkeypatch.chdir(ROOT)
    with preserved_observers():
        enable_observability()  # as a reader's program starts, with nothing counted
        reset_metrics()
        for example in _BLOCKS.parse(document).examples():
            example.evaluate()
    printed = capsys.readouterr().out
    for shown in re.findall(
        r"```python\n.*?```\n\n```text\n(.*?)```", document.read_text(), re.DOTALL
    ):
        assert shown.strip() in printed


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_the_links_of_a_document_lead_to_files(document: Path) -> None:
    """Relative to the document."""
    missing = [
        target
        for target in _LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []
