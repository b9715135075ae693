"""A tag releases what it says, or nothing."""

import pytest

from release import ReleaseError, main, notes, package_of
from workspace import packages

CHANGELOG = """\
# Changelog

<!-- towncrier release notes start -->

## [0.2.0] - 2026-11-21

### Added

- New.

## [0.1.0] - 2026-11-20

### Fixed

- Old.
"""


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.name)
def test_the_tag_of_the_version_in_the_tree_fits(package: object) -> None:
    found = next(one for one in packages() if one == package)

    assert package_of(f"{found.name}-v{found.version}") == found


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("v1.0.0", "has not the form"),
        ("keploy-framework", "has not the form"),
        ("keploy-framework-v999.0", "does not fit"),
        ("other-v1.0.0", "no such package: other"),
    ],
)
def test_any_other_tag_is_refused_with_the_reason(tag: str, reason: str) -> None:
    with pytest.raises(ReleaseError, match=reason):
        package_of(tag)


def test_the_notes_are_the_section_of_the_version_alone() -> None:
    assert notes(CHANGELOG, "0.2.0") == "### Added\n\n- New."
    assert notes(CHANGELOG, "0.1.0") == "### Fixed\n\n- Old."


@pytest.mark.parametrize("version", ["0.3.0", "0.1", "0x1x0"])
def test_a_version_without_a_section_has_no_notes(version: str) -> None:
    with pytest.raises(ReleaseError, match="tells nothing"):
        notes(CHANGELOG, version)


def test_bad_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish"]) == 2
    assert "usage" in capsys.readouterr().err
