"""What the release of one package needs to know: `release.py check TAG` and `release.py notes TAG`.

A tag is the name of the distribution and its version, joined by `-v`: `keploy-framework-v0.2.0`.
(`NAME==VERSION` would be misread by tools as the requirement of a package.)
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from workspace import Package, select


class ReleaseError(Exception):
    """The tag and the tree do not fit each other."""


def package_of(tag: str) -> Package:
    """Return the package that a tag releases.

    Raises:
        ReleaseError: If there is no such package, or its version is another.
    """
    name, separator, version = tag.rpartition("-v")
    if not separator:
        raise ReleaseError(f"{tag!r} has not the form NAME-vVERSION")
    try:
        (package,) = select([name])
    except LookupError as error:
        raise ReleaseError(str(error)) from error
    if package.version != version:
        raise ReleaseError(f"{tag!r} does not fit: {name} in this tree is {package.version}")
    return package


def notes(changelog: str, version: str) -> str:
    """Return the section of a changelog that tells about a version.

    Raises:
        ReleaseError: If there is no such section, or it is empty.
    """
    heading = rf"^## \[{re.escape(version)}\][^\n]*$"
    found = re.search(
        rf"{heading}\n(?P<text>.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    text = found["text"].strip() if found else ""
    if not text:
        raise ReleaseError(
            f"the changelog tells nothing about {version}; run towncrier build first"
        )
    return text


def main(arguments: Sequence[str]) -> int:
    """Check a tag, or print the notes of its release."""
    if len(arguments) != 2 or arguments[0] not in {"check", "notes"}:  # noqa: PLR2004 - verb, tag
        print("usage: release.py (check | notes) TAG", file=sys.stderr)
        return 2

    verb, tag = arguments
    try:
        package = package_of(tag)
        text = notes(Path(package.folder, "CHANGELOG.md").read_text("utf-8"), package.version)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    if verb == "notes":
        print(text)
    else:
        print(f"name={package.name}\nmodule={package.module}\nversion={package.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
