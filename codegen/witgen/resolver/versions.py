"""The order of versions.

In: version texts, which the lexer has checked. Out: keys that sort by semantic versioning: numbers first, a pre-release
before its release, then build tags. No version sorts before every version.
"""

from __future__ import annotations

TagKey = tuple[tuple[int, int, str], ...]
VersionKey = tuple[tuple[int, int, int], bool, TagKey, TagKey]

_NONE: VersionKey = ((-1, -1, -1), False, (), ())


def precedence(version: str | None) -> VersionKey:
    """The sort key of a version."""
    if version is None:
        return _NONE
    rest, _, build = version.partition("+")
    numbers, _, prerelease = rest.partition("-")
    major, minor, patch = (int(number) for number in numbers.split("."))
    return (major, minor, patch), not prerelease, _tags(prerelease), _tags(build)


def _tags(text: str) -> TagKey:
    return tuple(_tag(tag) for tag in text.split(".")) if text else ()


def _tag(tag: str) -> tuple[int, int, str]:
    """Numbers before words, and by size: the length decides first, so that no number is too long to convert."""
    if tag.isdigit():
        digits = tag.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, tag
