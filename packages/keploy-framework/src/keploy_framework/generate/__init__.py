"""What can be made of recordings: pytest files, OpenAPI documents, smaller test sets."""

from __future__ import annotations

from keploy_framework.generate.dedupe import CoverageProof, Duplicates, find_duplicates, read_lines
from keploy_framework.generate.openapi import openapi_document
from keploy_framework.generate.pytest_file import pytest_file
from keploy_framework.generate.shapes import path_template

__all__ = (
    "CoverageProof",
    "Duplicates",
    "find_duplicates",
    "openapi_document",
    "path_template",
    "pytest_file",
    "read_lines",
)
