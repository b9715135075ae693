"""The two spellings of noise in Keploy's files, read and written.

A test case has ``body.a.b: [pattern, …]`` (dotted) or ``body: [a.b, c]`` (by section); an empty
list, or ``"*"``, excuses everything that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from keploy_framework.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("SECTIONS", "dotted", "entries", "global_entries", "sectioned")

SECTIONS: Final = ("body", "header", "requestbody", "trailer", "url")
"""The first words of noise paths."""

_ALL: Final = "*"


def entries(noise: object) -> dict[str, tuple[str, ...]]:
    """Return the noise of a test case: dotted paths, each with its patterns.

    Args:
        noise: The value of ``assertions.noise``, as the YAML reader returns it; None for none.

    Raises:
        FormatError: It is neither a mapping of lists nor a list of paths.

    Example:
        >>> entries({"body": ["a.b", "c"], "header.Date": []})
        {'body.a.b': (), 'body.c': (), 'header.Date': ()}
        >>> entries({"body": ["*"]})
        {'body': ()}
    """
    if noise is None:
        return {}
    if isinstance(noise, list):
        return {_word(item, "noise"): () for item in cast("list[object]", noise)}
    if not isinstance(noise, dict):
        raise FormatError(f"noise is a mapping of paths to lists of patterns, not {noise!r:.60}")
    found: dict[str, tuple[str, ...]] = {}
    for key, value in cast("dict[object, object]", noise).items():
        path = _word(key, "noise")
        values = _values(value, path)
        if path not in SECTIONS:
            found[path] = () if values == (_ALL,) else values
        elif isinstance(value, dict):
            for inner, patterns in cast("dict[object, object]", value).items():
                name = _word(inner, path)
                found[path if name == _ALL else f"{path}.{name}"] = _values(patterns, name)
        elif not values or _ALL in values:
            found[path] = ()
        else:
            found.update({f"{path}.{name}": () for name in values})
    return found


def _word(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise FormatError(f"{where}: a path is a word or words joined by dots, not {value!r:.60}")
    return value.strip()


def _values(value: object, where: str) -> tuple[str, ...]:
    if value is None or isinstance(value, dict):
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        items = cast("list[object]", value)
        words = tuple(item for item in items if isinstance(item, str))
        if len(words) == len(items):
            return words
    raise FormatError(f"noise of {where}: a list of patterns, not {value!r:.60}")


def global_entries(noise: object) -> dict[str, tuple[str, ...]]:
    """Return ``globalNoise.global``, or one of its ``test-sets``, as dotted paths.

    Raises:
        FormatError: It is no mapping of sections.

    Example:
        >>> global_entries({"body": {"ts": []}, "header": {"Date": []}})
        {'body.ts': (), 'header.Date': ()}
    """
    if noise is None:
        return {}
    if not isinstance(noise, dict):
        raise FormatError(f"globalNoise is a mapping of sections, not {noise!r:.60}")
    sections = cast("dict[object, object]", noise)
    unknown = [key for key in sections if key not in SECTIONS]
    if unknown:
        raise FormatError(
            f"globalNoise has no section {unknown[0]!r:.40}; it has {', '.join(SECTIONS)}"
        )
    return entries(sections)


def dotted(noise: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return noise as a test case stores it; `entries` reads it back."""
    return {path: list(patterns) for path, patterns in noise.items()}


def sectioned(noise: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, list[str]]]:
    """Return noise as ``globalNoise`` stores it; `global_entries` reads it back."""
    result: dict[str, dict[str, list[str]]] = {}
    for path, patterns in noise.items():
        section, _, name = path.partition(".")
        result.setdefault(section, {})[name or _ALL] = list(patterns)
    return result
